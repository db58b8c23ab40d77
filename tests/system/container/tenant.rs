//! A tenant that lives in the test's own process, so that what it was asked is known.

use std::{collections::BTreeSet, fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use reqwest::Client;
use scimitar::{
    sandbox::{Options, Running, Sandbox},
    secret::Secret,
};
use serde_json::Value;

/// A connection that the tenant starts with.
pub(crate) const OKTA: &str = "con_okta000000000001";
/// Where its tokens are listed and made.
pub(crate) const TOKENS: &str = "/scim-configuration/tokens";
/// The first secret that the tenant wants of its client.
pub(crate) const SECRET: &str = "client-secret-canary-3c1b90aa";

/// The tenant.
pub(crate) struct Tenant {
    running: Running,
    secret: &'static str,
    client: Client,
}

impl Tenant {
    /// Serves what `folder` holds to whoever knows `secret`, at a free port or at that of another.
    pub(crate) async fn start(
        folder: &Path,
        secret: &'static str,
        listen: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let options = Options {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            data_dir: Some(folder.join("tenant")),
            client: Some(("rotator".to_owned(), Secret::new(secret.to_owned()))),
            ..Options::default()
        };
        let running = Sandbox::start(options).await.map_err(|error| error.to_string())?;
        Ok(Self { running, secret, client: Client::builder().no_proxy().build().unwrap() })
    }

    /// The same with whatever makes trouble, and what it was asked.
    pub(crate) fn faults(&self) -> scimitar::sandbox::Faults {
        self.running.faults()
    }

    pub(crate) fn url(&self) -> String {
        self.running.url().to_string()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.running.url();
        format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()).parse().unwrap()
    }

    /// The status that a log-in with a secret is answered, and what came with it.
    pub(crate) async fn log_in(&self, secret: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "rotator"),
            ("client_secret", secret),
            ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ];
        let url = format!("{}oauth/token", self.url());
        let answer = self.client.post(url).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The ids of the connection's tokens.
    pub(crate) async fn tokens(&self) -> BTreeSet<String> {
        let (_, answer) = self.log_in(self.secret).await;
        let url = format!("{}api/v2/connections/{OKTA}{TOKENS}", self.url());
        let asked = self.client.get(url).bearer_auth(answer["access_token"].as_str().unwrap());
        let tokens: Value = asked.send().await.unwrap().json().await.unwrap();
        let id = |token: &Value| token["token_id"].as_str().unwrap().to_owned();
        tokens.as_array().unwrap().iter().map(id).collect()
    }

    /// The application uses its token: the status that the SCIM endpoint answers.
    pub(crate) async fn use_token(&self, value: &str) -> u16 {
        let url = format!("{}scim/v2/connections/{OKTA}/Users?count=1", self.url());
        self.client.get(url).bearer_auth(value).send().await.unwrap().status().as_u16()
    }

    /// How many requests of this kind came.
    pub(crate) fn asked(&self, method: &str, end: &str) -> usize {
        let seen = self.faults().requests();
        seen.iter().filter(|seen| seen.method == method && seen.path.ends_with(end)).count()
    }

    /// The part of a configuration that says where it is; its secret is the file `auth0-acme` of a
    /// folder.
    pub(crate) fn provider(&self, secrets: &str) -> String {
        format!(
            "[providers.acme]\ntype = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\n\
             base_url = \"{}\"\nclient_id = \"rotator\"\n\
             client_secret = {{ file = \"{secrets}/auth0-acme\" }}\n",
            self.url()
        )
    }
}

/// The part of a configuration that says what is rotated, and where it goes.
pub(crate) fn connection(deliver_to: &str) -> String {
    format!(
        "[[connections]]\nname = \"initech-okta\"\nprovider = \"acme\"\n\
         connection_id = \"{OKTA}\"\nscopes = [\"get:users\"]\ntoken_lifetime = \"30d\"\n\
         rotate_before = \"10d\"\ndeliver_to = [{deliver_to}]\n"
    )
}

/// Puts a file where only its owner can read it.
pub(crate) fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Waits for something that other processes do, looking again every few milliseconds.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        super::bao::pause(10).await;
    }
    panic!("it did not come to pass: {what}");
}
