//! A place in a real server, and the sinks that are opened on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    clock::{SystemClock, SystemEntropy},
    http::{Endpoint, HttpSettings},
    secret::{Secret, SecretSource},
    sink::{
        Sink,
        payload::{Labels, PayloadTemplate},
        vault::{Auth, Method, ServerSettings, VaultServer, VaultSink, VaultTarget},
    },
    token::SinkName,
};
use serde_json::{Value, json};

use super::{
    bao::{self, Bao, unique},
    sink_conformance::Site,
};

/// The secret, behind its mount.
pub(crate) const KEY: &str = "team/initech";

/// A secret of its own in an engine of its own, and a token that may do what a rotation needs and
/// nothing else.
pub(crate) struct VaultSite {
    pub(crate) bao: &'static Bao,
    pub(crate) mount: String,
    pub(crate) version: u8,
    pub(crate) payload: Option<PayloadTemplate>,
    pub(crate) custom: Labels,
    pub(crate) policy: String,
    pub(crate) token: String,
}

pub(crate) fn source(text: &str) -> SecretSource {
    let text = text.to_owned();
    SecretSource::new(move || Ok(Secret::new(text.clone())))
}

pub(crate) fn http_settings() -> HttpSettings {
    HttpSettings {
        ca_file: None,
        proxy: None,
        request_timeout: Duration::from_secs(10),
        user_agent: "scimitar/test".to_owned(),
    }
}

pub(crate) fn server_settings(url: &str, method: Method, mount: &str) -> ServerSettings {
    ServerSettings {
        sink: SinkName::try_new("vault").unwrap(),
        address: Endpoint::try_new(Url::parse(url).unwrap()).unwrap(),
        namespace: None,
        auth: Auth { method, mount: mount.to_owned(), namespace: None },
        http: http_settings(),
        identity: None,
    }
}

pub(crate) fn server(settings: ServerSettings) -> Arc<VaultServer> {
    VaultServer::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
}

pub(crate) fn server_with(url: &str, token: &str) -> Arc<VaultServer> {
    server(server_settings(url, Method::Token(source(token)), "token"))
}

pub(crate) fn sink(server: &Arc<VaultServer>, path: &str) -> VaultSink {
    VaultSink::try_new(server, settings(path, None)).unwrap()
}

pub(crate) fn settings(path: &str, payload: Option<PayloadTemplate>) -> VaultTarget {
    VaultTarget {
        path: path.to_owned(),
        mount: None,
        payload,
        overwrite: false,
        custom_metadata: Default::default(),
    }
}

pub(crate) fn template(pairs: &[(&str, &str)]) -> PayloadTemplate {
    let source: BTreeMap<String, String> =
        pairs.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    PayloadTemplate::parse(&source).unwrap()
}

impl VaultSite {
    pub(crate) async fn new(version: u8, payload: Option<PayloadTemplate>) -> Self {
        Self::on(bao::shared().await, version, payload).await
    }

    pub(crate) async fn on(
        bao: &'static Bao,
        version: u8,
        payload: Option<PayloadTemplate>,
    ) -> Self {
        let mount = bao.mount(version).await;
        let policy = unique("policy");
        let (custom, token) = (Labels::default(), String::new());
        let mut site = Self { bao, mount, version, payload, custom, policy, token };
        site.grant(&["create", "read", "update"], &["read", "patch"]).await;
        site.token = bao.token(&site.policy, json!({ "no_default_policy": true })).await;
        site
    }

    /// What the token may do with the data and with the metadata.
    pub(crate) async fn grant(&self, data: &[&str], metadata: &[&str]) {
        let mount = &self.mount;
        let own: (String, &[&str]) = ("auth/token/lookup-self".to_owned(), &["read"]);
        let rights: Vec<(String, &[&str])> = if self.version == 2 {
            vec![
                own,
                (format!("{mount}/data/{KEY}"), data),
                (format!("{mount}/metadata/{KEY}"), metadata),
                (format!("{mount}/config"), &["read"]),
            ]
        } else {
            let asked = ("sys/capabilities-self".to_owned(), &["update"][..]);
            vec![own, (format!("{mount}/{KEY}"), data), asked]
        };
        self.bao.policy(&self.policy, &rights).await;
    }

    /// Takes every right on the secret away.
    pub(crate) async fn forbid(&self) {
        self.grant(&["deny"], &["deny"]).await;
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{KEY}", self.mount)
    }

    pub(crate) fn sink(&self) -> VaultSink {
        let custom_metadata = self.custom.clone();
        let settings =
            VaultTarget { custom_metadata, ..settings(&self.path(), self.payload.clone()) };
        VaultSink::try_new(&server_with(&self.bao.url, &self.token), settings).unwrap()
    }

    pub(crate) fn data_path(&self) -> String {
        let data = if self.version == 2 { "data/" } else { "" };
        format!("{}/{data}{KEY}", self.mount)
    }

    pub(crate) fn metadata_path(&self) -> String {
        format!("{}/metadata/{KEY}", self.mount)
    }

    /// The keys and values that a reader sees.
    pub(crate) async fn data(&self) -> Value {
        let (_, answer) = self.bao.ask("GET", &self.data_path(), Value::Null).await;
        if self.version == 2 { answer["data"]["data"].clone() } else { answer["data"].clone() }
    }

    /// Writes as somebody else does.
    pub(crate) async fn put(&self, data: Value) {
        let body = if self.version == 2 { json!({ "data": data }) } else { data };
        self.bao.must("POST", &self.data_path(), body).await;
    }

    pub(crate) async fn metadata(&self) -> Value {
        self.bao.ask("GET", &self.metadata_path(), Value::Null).await.1["data"].clone()
    }
}

#[async_trait]
impl Site for VaultSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    async fn visible(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::from([self.data().await.to_string()]);
        if self.version == 2 {
            let metadata = self.metadata().await;
            seen.insert(format!("{} {}", metadata["current_version"], metadata["custom_metadata"]));
        }
        seen
    }

    async fn add_foreign(&self) -> Option<String> {
        let mut data = self.data().await;
        data["theirs"] = json!({ "n": 12_345_678, "text": "a $b" });
        self.put(data).await;
        Some(r#""theirs":{"n":12345678,"text":"a $b"}"#.to_owned())
    }

    async fn garble(&self) {
        self.put(json!({ "token": { "is": "no token" }, "SCIM_TOKEN": ["nor"] })).await;
    }

    fn tells(&self) -> bool {
        true
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        self.put(json!({ "app": { "auth": ["x y", format!("Bearer {text}")] } })).await;
        Some("app.auth.1".to_owned())
    }

    async fn forbid_writing(&self) {
        self.grant(&["read"], &["read"]).await;
    }

    async fn forbid_reading(&self) {
        self.grant(&["create", "update"], &["read", "patch"]).await;
    }
}
