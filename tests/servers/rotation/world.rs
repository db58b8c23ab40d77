//! A tenant that a test controls, a configuration for it, and what is true of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::{Client, Method};
use scimitar::{
    clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp},
    sandbox::{self, Faults, Options, Rule, Sandbox},
    secret::Secret,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::binary::{Call, Ended, LIMIT, Running};

/// A connection that the tenant starts with.
pub(crate) const OKTA: &str = "con_okta000000000001";
pub(crate) const WAAD: &str = "con_waad000000000001";
pub(crate) const NAME: &str = "initech-okta";
/// Where its tokens are listed and made.
pub(crate) const TOKENS: &str = "/scim-configuration/tokens";
/// The secret that the tenant wants of its client.
pub(crate) const CLIENT_SECRET: &str = "client-secret-canary-5f0c8be1";

/// The tenant and everything that a run touches.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) clock: Arc<Shifted>,
    pub(crate) entropy: Arc<Recorder>,
    /// The door that Scimitar goes through: with faults, and a log of requests.
    pub(crate) faults: Faults,
    _front: sandbox::Running,
    /// A second door to the same tenant, for the test and for people: no faults, no log.
    pub(crate) back: sandbox::Running,
    pub(crate) client: Client,
    // Last: everything above may still want it when it is dropped.
    runtime: Runtime,
}

/// A configuration with one connection, whose parts a test may change.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) connection_id: String,
    pub(crate) domain: String,
    pub(crate) base_url: String,
    pub(crate) request_timeout: String,
    /// The keys of `[state]`.
    pub(crate) state: String,
    /// The connection's keys, as TOML values.
    pub(crate) policy: BTreeMap<&'static str, String>,
    /// The entries of `deliver_to`.
    pub(crate) deliver_to: Vec<String>,
    /// Anything else.
    pub(crate) more: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::limited(None, 0)
    }

    /// The same with so many connections more, and so many requests a second and at once.
    pub(crate) fn limited(rate: Option<(f64, u32)>, connections: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Shifted::default());
        let entropy = Arc::new(Recorder::default());
        let door = || Options {
            data_dir: Some(folder.path().join("tenant")),
            client: Some(("rotator".to_owned(), Secret::new(CLIENT_SECRET.to_owned()))),
            clock: clock.clone(),
            entropy: entropy.clone(),
            ..Options::default()
        };
        let entrance = Options { rate, connections, ..door() };
        let front = runtime.block_on(Sandbox::start(entrance)).unwrap();
        let back = runtime.block_on(Sandbox::start(door())).unwrap();
        let config = Config::new(front.url().as_str());
        let world = Self {
            config,
            clock,
            entropy,
            faults: front.faults(),
            _front: front,
            back,
            client: Client::builder().no_proxy().build().unwrap(),
            runtime,
            folder,
        };
        let secret = world.path("client-secret");
        fs::write(&secret, CLIENT_SECRET).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        world.configure();
        world
    }

    /// The same, with one rotation behind it and no request in the log.
    pub(crate) fn rotated() -> Self {
        let world = Self::new();
        world.run(&["--rotate-now"]).exits(0);
        world.faults.forget_requests();
        world
    }

    /// Writes the configuration as it stands.
    pub(crate) fn configure(&self) {
        fs::write(self.path("scimitar.toml"), self.config.text()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the last one-shot left for node_exporter, without the label that says whose it is.
    pub(crate) fn textfile(&self) -> String {
        let text = fs::read_to_string(self.path("scimitar.prom")).unwrap();
        let own = "instance_name=\"scimitar\"";
        let series = text.lines().filter(|line| !line.starts_with('#'));
        assert!(series.clone().all(|line| line.contains(own)), "{text}");
        text.replace(&format!("{{{own}}}"), "").replace(&format!(",{own}}}"), "}")
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let all: Vec<&str> =
            ["--config", "scimitar.toml"].iter().chain(arguments).copied().collect();
        Call::new(self.folder.path(), &all)
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.call(arguments).start()
    }

    /// Runs a command that answers in JSON.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let all: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
        self.call(&all).run()
    }

    pub(crate) fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, what).await })
            .expect("it takes too long")
    }

    pub(crate) fn fault(&self, rule: Rule) {
        self.faults.add(rule).unwrap();
    }

    pub(crate) fn release(&self) {
        self.block_on(self.faults.release());
    }

    pub(crate) fn until_held(&self, count: usize) {
        let held = async { tokio::time::timeout(LIMIT, self.faults.until_held(count)).await };
        self.block_on(held).expect("the request that is to be held");
    }

    /// Lets so much time pass at the provider.
    pub(crate) fn pass(&self, time: TimeDelta) {
        self.clock.0.fetch_add(time.num_milliseconds(), Ordering::SeqCst);
    }

    /// How many requests of this kind came through the front door since the log was emptied.
    pub(crate) fn asked(&self, method: &str, end: &str) -> usize {
        let seen = self.faults.requests();
        seen.iter().filter(|seen| seen.method == method && seen.path.ends_with(end)).count()
    }

    /// How many tokens were asked for.
    pub(crate) fn creates(&self) -> usize {
        self.asked("POST", TOKENS)
    }

    /// How many tokens were to be deleted.
    pub(crate) fn deletes(&self) -> usize {
        self.faults.requests().iter().filter(|seen| seen.method == "DELETE").count()
    }

    /// The ids of the connection's tokens, as they really are.
    pub(crate) fn listed(&self) -> BTreeSet<String> {
        self.tokens_of(OKTA).iter().map(id_of).collect()
    }

    pub(crate) fn tokens_of(&self, connection: &str) -> Vec<Value> {
        let (status, tokens) =
            self.api(Method::GET, &format!("connections/{connection}{TOKENS}"), None);
        assert_eq!(status, 200, "{tokens}");
        tokens.as_array().unwrap().clone()
    }

    /// Somebody else makes a token: its id and value.
    pub(crate) fn mint(&self, connection: &str) -> (String, String) {
        self.mint_for(connection, 2_592_000)
    }

    /// Once the older token is gone, somebody else takes its slot.
    pub(crate) fn mint_after_overlap(&self) {
        self.pass(TimeDelta::seconds(61));
        self.run(&["--once"]).exits(0);
        self.mint(OKTA);
    }

    /// The same, for so many seconds.
    pub(crate) fn mint_for(&self, connection: &str, life: u64) -> (String, String) {
        let body = json!({ "scopes": SCOPES, "token_lifetime": life });
        let (status, made) =
            self.api(Method::POST, &format!("connections/{connection}{TOKENS}"), Some(body));
        assert_eq!(status, 201, "{made}");
        (id_of(&made), made["token"].as_str().unwrap().to_owned())
    }

    /// Somebody else deletes a token.
    pub(crate) fn delete(&self, id: &str) {
        let (status, answer) =
            self.api(Method::DELETE, &format!("connections/{OKTA}{TOKENS}/{id}"), None);
        assert_eq!(status, 204, "{answer}");
    }

    /// Somebody uses a token: the status that the SCIM endpoint answers.
    pub(crate) fn use_token(&self, value: &str) -> u16 {
        let url = format!("{}scim/v2/connections/{OKTA}/Users?count=1", self.back.url());
        let sent = self.client.get(url).bearer_auth(value).send();
        self.block_on(sent).unwrap().status().as_u16()
    }

    /// What the connection's file holds.
    pub(crate) fn file(&self) -> String {
        fs::read_to_string(self.path("tokens/initech.token")).unwrap()
    }

    /// Somebody writes the connection's file.
    pub(crate) fn put(&self, text: &str) {
        fs::create_dir_all(self.path("tokens")).unwrap();
        fs::write(self.path("tokens/initech.token"), text).unwrap();
    }

    /// The id of the token in the connection's file.
    pub(crate) fn held(&self) -> String {
        prefix(&self.file())
    }

    /// What `status` says of the connection.
    pub(crate) fn status(&self) -> Value {
        self.run(&["status"]).exits(0).row()
    }

    /// Asserts what is true whenever the work is done: one current token, listed and in the file,
    /// that works; at most one older beside it; nothing else.
    pub(crate) fn assert_sound(&self, when: &str) -> Value {
        let row = self.status();
        let listed = self.listed();
        let current = row["token_id"].as_str().map(str::to_owned);
        let current = current.unwrap_or_else(|| panic!("{when}: no current token: {row}"));
        assert!(listed.contains(&current), "{when}: {current} is not listed: {listed:?}; {row}");
        assert_eq!(self.held(), current, "{when}: the file; {row}");
        assert_eq!(self.use_token(&self.file()), 200, "{when}: the value works; {row}");
        let previous = row["previous_token_id"].as_str().map(str::to_owned);
        let known: BTreeSet<String> = previous.into_iter().chain([current]).collect();
        assert!(listed.is_subset(&known), "{when}: an orphan in {listed:?}; {row}");
        row
    }

    pub(crate) fn api(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}api/v2/{path}", self.back.url());
        let mut request = self.client.request(method, url).bearer_auth(self.log_in());
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
        })
    }

    fn log_in(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "rotator"),
            ("client_secret", CLIENT_SECRET),
            ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ];
        let sent = self.client.post(format!("{}oauth/token", self.back.url())).form(&form).send();
        let answer: Value = self.block_on(async { sent.await.unwrap().json().await.unwrap() });
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// What every token here may do.
const SCOPES: [&str; 5] = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

impl Config {
    fn new(base_url: &str) -> Self {
        let policy = [
            ("scopes", format!("{SCOPES:?}")),
            ("token_lifetime", "\"30d\"".to_owned()),
            ("rotate_before", "\"10d\"".to_owned()),
            ("overlap", "\"1m\"".to_owned()),
            // By time alone: nobody uses these tokens.
            ("revoke_after_use", "false".to_owned()),
        ];
        Self {
            name: NAME.to_owned(),
            connection_id: OKTA.to_owned(),
            domain: "acme.eu.auth0.com".to_owned(),
            base_url: base_url.to_owned(),
            request_timeout: "30s".to_owned(),
            state: "url = \"sqlite://ledger.db\"".to_owned(),
            policy: BTreeMap::from(policy),
            deliver_to: vec!["{ sink = \"disk\", file = \"initech.token\" }".to_owned()],
            more: String::new(),
        }
    }

    /// The same with one more key in the policy.
    pub(crate) fn set(&mut self, key: &'static str, value: &str) {
        self.policy.insert(key, value.to_owned());
    }

    fn text(&self) -> String {
        let policy: String =
            self.policy.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!(
            "[state]\n{}\n\
             [engine]\nrequest_timeout = \"{}\"\n\
             [metrics]\ntextfile = \"scimitar.prom\"\n\
             [providers.acme]\ntype = \"auth0\"\ndomain = \"{}\"\nbase_url = \"{}\"\n\
             client_id = \"rotator\"\nclient_secret = {{ file = \"client-secret\" }}\n\
             [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
             [[connections]]\nname = \"{}\"\nprovider = \"acme\"\nconnection_id = \"{}\"\n\
             {policy}deliver_to = [{}]\n{}",
            self.state,
            self.request_timeout,
            self.domain,
            self.base_url,
            self.name,
            self.connection_id,
            self.deliver_to.join(", "),
            self.more,
        )
    }
}

/// The id that a token's value begins with.
pub(crate) fn prefix(value: &str) -> String {
    let (id, _) = value.split_once('.').unwrap_or_else(|| panic!("no token: {value:?}"));
    id.to_owned()
}

fn id_of(token: &Value) -> String {
    token["token_id"].as_str().unwrap().to_owned()
}

/// Runs a test for each case at the same time: most of it is spent waiting.
pub(crate) fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        let test = &test;
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

/// Waits for something that other processes do, looking again every few milliseconds.
pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        if done() {
            return;
        }
        std::thread::park_timeout(PAUSE);
    }
    panic!("it did not come to pass: {what}");
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                // One that is gone again was never of interest.
                if let Ok(bytes) = fs::read(&path) {
                    found.insert(path, bytes);
                }
            }
        }
    }
    found
}

/// The host's clock and as much more as a test lets pass.
#[derive(Debug, Default)]
pub(crate) struct Shifted(AtomicI64);

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now() + TimeDelta::milliseconds(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let shift = TimeDelta::milliseconds(self.0.load(Ordering::SeqCst));
        SystemClock.sleep_until(deadline - shift).await;
    }
}

/// Randomness that remembers what it gave: every value that the tenant ever made is in it.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<u64>>);

impl Recorder {
    /// Every 16 hex digits that may be a part of a secret.
    pub(crate) fn drawn(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().iter().map(|bits| format!("{bits:016x}")).collect()
    }
}

impl Entropy for Recorder {
    fn bits(&self) -> u64 {
        let bits = SystemEntropy.bits();
        self.0.lock().unwrap().push(bits);
        bits
    }
}
