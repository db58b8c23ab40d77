//! What services answer: the input is the name of a call in its first line, and behind it the answers,
//! one after the other, with a line `%%` between them. An answer is a status, lines of headers, an empty
//! line and a body; one that begins with anything else is sent as it is, and its connection closed.
//! When all are sent, the service no longer answers.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use scimitar::{
    app::{self, App},
    clock::{AgreedClock, Clock, Timestamp, parse_timestamp},
    config::{self, Config, Environment},
    engine::progress::Silent,
    ledger::Ledger,
    probe::UserAct,
    provider::{Call, Provider, Urgency, kind::Needs},
    rotation::{policy::Mode, probe_user::ProbeUserName},
    token::{ConnectionId, LedgerId, MintRequest, ScimUserId, TokenId, TokenName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};

use super::files::{in_folder, parts, write};
use crate::{memory_ledger::MemoryLedger, sink_conformance::delivery};

/// A call that takes longer hangs: nothing in it waits for real time but for answers, which come at once.
pub(super) const HANGS: Duration = Duration::from_secs(8);

/// How long one request may take.
pub(super) const REQUEST: &str = "2s";

/// What is in the environment of the configurations.
const SECRETS: [(&str, &str); 2] = [("SECRET", "s3cret"), ("OTHER", "0ther")];

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    static SERVICE: RefCell<Option<Rc<Service>>> = const { RefCell::new(None) };
}

/// Runs a future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// A service that answers as it is told.
#[derive(Debug)]
pub(super) struct Service {
    listener: TcpListener,
    pub(super) port: u16,
    answers: RefCell<VecDeque<Vec<u8>>>,
}

impl Service {
    /// The one of this thread, with these answers to give.
    pub(super) fn with(answers: VecDeque<Vec<u8>>) -> Rc<Self> {
        let service = SERVICE.with(|kept| {
            let mut kept = kept.borrow_mut();
            let fresh = || {
                let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
                let port = listener.local_addr().unwrap().port();
                Rc::new(Self { listener, port, answers: RefCell::default() })
            };
            Rc::clone(kept.get_or_insert_with(fresh))
        });
        service.answers.replace(answers);
        service
    }

    /// Serves one connection after the other: a new one ends the one before, which idles.
    pub(super) async fn serve(&self) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        loop {
            stream = tokio::select! {
                next = self.listener.accept() => next.unwrap().0,
                _ = self.talk(stream) => self.listener.accept().await.unwrap().0,
            };
        }
    }

    async fn talk(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut seen = Vec::new();
        loop {
            while !is_whole(&seen) {
                if stream.read_buf(&mut seen).await? == 0 {
                    return Ok(());
                }
            }
            seen.clear();
            let Some(answer) = self.answers.borrow_mut().pop_front() else { return Ok(()) };
            let (bytes, stays) = sent(&answer);
            stream.write_all(&bytes).await?;
            if !stays {
                return stream.shutdown().await;
            }
        }
    }
}

/// Whether a whole request is in.
fn is_whole(seen: &[u8]) -> bool {
    let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(seen.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    seen.len() >= end + 4 + length
}

/// An answer as it is sent, and whether the connection stays open behind it.
fn sent(answer: &[u8]) -> (Vec<u8>, bool) {
    let end = answer.windows(2).position(|window| window == b"\n\n");
    let (head, body) = match end {
        Some(end) => (answer.get(..end), answer.get(end + 2..).unwrap_or_default()),
        None => (Some(answer), &b""[..]),
    };
    let head = std::str::from_utf8(head.unwrap_or_default()).unwrap_or_default();
    let (status, headers) = head.split_once('\n').unwrap_or((head, ""));
    match status.trim().parse::<u16>() {
        Ok(status @ 200..=599) if !headers.to_ascii_lowercase().contains("content-length") => {
            let mut bytes = format!("HTTP/1.1 {status} Said\r\n").into_bytes();
            for line in headers.lines() {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(body);
            (bytes, true)
        }
        _ => (answer.to_vec(), false),
    }
}

/// A clock on which short waits are over at once, and long ones never.
#[derive(Debug)]
pub(super) struct Quick(Mutex<Timestamp>);

impl Quick {
    /// At the moment that all of this happens at.
    pub(super) fn clock() -> Arc<dyn Clock> {
        Arc::new(Self(Mutex::new(parse_timestamp("2026-11-22T04:00:00Z").unwrap())))
    }
}

#[async_trait]
impl Clock for Quick {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        if deadline - self.now() > TimeDelta::minutes(2) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        let mut now = self.0.lock().unwrap();
        *now = (*now).max(deadline);
    }
}

/// The call and the answers that an input is.
pub(super) fn split(data: &[u8]) -> (String, VecDeque<Vec<u8>>) {
    let (call, answers) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default()),
        None => (data, &b""[..]),
    };
    let answers = parts(answers).into_iter().map(<[u8]>::to_vec).collect();
    (String::from_utf8_lossy(call).into_owned(), answers)
}

/// Feeds the answers of an input to a call on what a configuration is built into.
pub(super) fn feed(data: &[u8], config: fn(u16) -> String, act: impl AsyncFnOnce(&str, &App)) {
    let (call, answers) = split(data);
    let service = Service::with(answers);
    let config = known(&config(service.port));
    block_on(async {
        let app = built(&config, service.port).await.unwrap();
        let acting = timeout(HANGS, act(&call, &app));
        tokio::select! {
            biased;
            done = acting => done.expect("the call hangs"),
            () = service.serve() => {}
        }
    });
}

pub(super) fn env(port: u16) -> BTreeMap<String, String> {
    let secrets = SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let here = format!("127.0.0.1:{port}");
    let hosts = [
        ("GCE_METADATA_HOST".to_owned(), here.clone()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), format!("http://{here}")),
    ];
    secrets.into_iter().chain(hosts).collect()
}

pub(super) fn read(text: &str) -> Result<Config, String> {
    let port = SERVICE.with(|kept| kept.borrow().as_ref().map_or(1, |service| service.port));
    let env = env(port);
    in_folder(|folder| {
        let path = write(folder, "wire/scimitar.toml", text.as_bytes());
        config::load(&path, &env).map_err(|problems| format!("{problems}\n{text}"))
    })
}

/// The same, read once: it takes longer than a call.
fn known(text: &str) -> Rc<Config> {
    thread_local!(static KNOWN: RefCell<BTreeMap<String, Rc<Config>>> = RefCell::default());
    KNOWN.with(|known| {
        let mut known = known.borrow_mut();
        let fresh = || Rc::new(read(text).unwrap());
        Rc::clone(known.entry(text.to_owned()).or_insert_with(fresh))
    })
}

pub(super) async fn built(config: &Config, port: u16) -> Result<App, String> {
    let clock = Arc::new(AgreedClock::new(Quick::clock()));
    let env: Arc<dyn Environment> = Arc::new(env(port));
    let id = LedgerId::try_new("ledger1").unwrap();
    let boot = Arc::new(|| Duration::ZERO);
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::shared(&id, boot, 1).pop().unwrap());
    let built = app::build_on(config, &env, &clock, Arc::new(Silent), ledger).await;
    built.map_err(|error| error.to_string())
}

pub(super) const CONNECTION: &str = "[[connections]]\nname = \"initech\"\nprovider = \"p\"\n";

/// A configuration of one provider, whose tokens go into a file.
fn provider(kind: &str, connection: &str) -> String {
    format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[engine]\nrequest_timeout = \"{REQUEST}\"\n\
         [providers.p]\n{kind}[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
         {CONNECTION}{connection}deliver_to = [{{ sink = \"disk\", file = \"one.token\" }}]\n"
    )
}

/// Calls a provider.
fn ask_provider(data: &[u8], config: fn(u16) -> String) {
    feed(data, config, async |call, app| {
        let one = app.connections.first().unwrap();
        let (provider, connection) = (&one.provider, &one.policy.key.connection);
        asked(&**provider, connection, call).await;
    });
}

async fn asked(provider: &dyn Provider, connection: &ConnectionId, call: &str) {
    let about = Call { connection, urgency: Urgency::Routine, not_after: None };
    let id = TokenId::try_new("tok_1").unwrap();
    match call {
        "create" => {
            let name = provider.capabilities().names;
            let request = MintRequest {
                scopes: delivery(1).scopes,
                life: provider.capabilities().shortest_life.map(|_| Duration::from_secs(2_592_000)),
                name: name.then(|| TokenName::try_new("scimitar-1").unwrap()),
            };
            if let Ok(minted) = provider.create(about, &request).await {
                drop(provider.id_in(&minted.value));
            }
        }
        "revoke" => drop(provider.revoke(about, &id).await),
        "connections" => drop(provider.connections(&|_| true).await),
        "configuration" => drop(provider.scim_config(about, true).await),
        "prove" => {
            let needs = Needs {
                mode: Mode::Rotate,
                discovers: true,
                compares: true,
                creates: true,
                restores: true,
            };
            drop(provider.prove(std::slice::from_ref(connection), needs).await);
        }
        _ => {
            if let Ok(listing) = provider.list(about).await {
                drop(listing.get(&id).cloned());
            }
        }
    }
}

pub(super) fn auth0(data: &[u8]) {
    ask_provider(data, |port| {
        let kind = format!(
            "type = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\nclient_id = \"c\"\n\
             client_secret = {{ env = \"SECRET\" }}\nbase_url = \"http://127.0.0.1:{port}\"\n"
        );
        provider(&kind, "connection_id = \"con_0123456789abcdef\"\ntoken_lifetime = \"30d\"\n")
    });
}

pub(super) fn dbt_cloud(data: &[u8]) {
    ask_provider(data, |port| {
        let kind = format!(
            "type = \"dbt_cloud\"\nhost = \"cloud.getdbt.com\"\naccount_id = 12345\n\
             token = {{ env = \"SECRET\" }}\nbase_url = \"http://127.0.0.1:{port}\"\n"
        );
        provider(&kind, "max_age = \"90d\"\n")
    });
}

/// An issuer with a log-in, and pages by what the call says in front of a colon.
pub(super) fn http(data: &[u8]) {
    let (paging, data) = match data.iter().position(|byte| *byte == b':') {
        Some(at @ 0..8) => {
            (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default())
        }
        _ => (&b""[..], data),
    };
    let by: fn(u16) -> String = match paging {
        b"token" => |port| {
            issuer(port, "paging = { by = \"token\", next = \"/meta/next\", parameter = \"at\" }")
        },
        b"number" => |port| {
            issuer(
                port,
                "paging = { by = \"number\", parameter = \"page\", first = 1, total = \"/meta/total\" }",
            )
        },
        _ => |port| issuer(port, "paging = { by = \"link\", next = \"/meta/next\" }"),
    };
    ask_provider(data, by);
}

fn issuer(port: u16, paging: &str) -> String {
    let kind = format!(
        "type = \"http\"\nbase_url = \"http://127.0.0.1:{port}/v2\"\n\
         auth = {{ method = \"oauth\", token_url = \"http://127.0.0.1:{port}/token\", client_id = \"c\", \
         client_secret = {{ env = \"SECRET\" }} }}\n\
         scim_endpoint = \"http://127.0.0.1:{port}/scim\"\n\
         list = {{ path = \"c/{{{{ connection.id }}}}/tokens\", items = \"/data\", {paging} }}\n\
         create = {{ path = \"c/{{{{ connection.id }}}}/tokens\", body = {{ name = \"{{{{ name }}}}\", \
         seconds = \"{{{{ lifetime.seconds }}}}\" }}, item = \"/data\", value = \"/data/secret\" }}\n\
         delete = {{ path = \"c/{{{{ connection.id }}}}/tokens/{{{{ token_id }}}}\" }}\n\
         tokens = {{ id = \"/id\", created = \"/created_at\", name = \"/name\", expires = \"/expires_at\", \
         last_used = \"/last_used_at\" }}\n"
    );
    provider(&kind, "connection_id = \"con_ours\"\ntoken_lifetime = \"30d\"\n")
}

/// The SCIM endpoint, asked with a token.
pub(super) fn scim(data: &[u8]) {
    let config = |port| issuer(port, "paging = { by = \"link\", next = \"/meta/next\" }");
    feed(data, config, async |call, app| {
        let one = app.connections.first().unwrap();
        let endpoint = one.provider.scim_endpoint(&one.policy.key.connection);
        let (value, user) = (delivery(1).value, ScimUserId::try_new("u1").unwrap());
        let name = ProbeUserName::drawn(1);
        let act = match call {
            "anonymous" => return drop(one.probe.anonymous(&endpoint).await),
            "create" => UserAct::Create(name),
            "search" => UserAct::Search(name),
            "user" => UserAct::Read(user),
            "replace" => UserAct::Replace(user, name),
            "patch" => UserAct::Patch(user),
            "deactivate" => UserAct::Deactivate(user),
            "delete" => UserAct::Delete(user),
            _ => return drop(one.probe.read(&endpoint, &value).await),
        };
        drop(one.probe.user(&endpoint, &value, &act).await);
    });
}
