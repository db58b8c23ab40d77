//! A secret in the stricter server.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use scimitar::sink::{
    Sink,
    aws::{AccountSettings, AwsSink, AwsTarget},
    payload::{Labels, PayloadTemplate},
};
use serde_json::{Value, json};

use super::{
    moto::unique,
    secrets_manager::{Asked, Replica, SecretsManager},
    sink_conformance::Site,
    site::{NEEDED, NO_TOKEN, NO_TOKENS, TAGS, account_settings, named, sink_of},
};

#[derive(Debug)]
pub(crate) struct StrictSite {
    pub(crate) aws: SecretsManager,
    pub(crate) name: String,
    pub(crate) payload: Option<PayloadTemplate>,
    pub(crate) raw: bool,
    pub(crate) to_tag: Labels,
}

impl StrictSite {
    pub(crate) async fn new(payload: Option<PayloadTemplate>) -> Self {
        let aws = SecretsManager::start().await;
        let (name, to_tag) = (unique("scim/initech"), Labels::default());
        Self { aws, name, payload, raw: false, to_tag }
    }

    /// With the token alone, as plain text.
    pub(crate) async fn raw() -> Self {
        Self { raw: true, ..Self::new(None).await }
    }

    pub(crate) fn settings(&self) -> AccountSettings {
        account_settings(&self.aws.url)
    }

    pub(crate) fn sink(&self) -> AwsSink {
        self.sink_with(self.settings())
    }

    pub(crate) fn sink_with(&self, settings: AccountSettings) -> AwsSink {
        let (payload, raw, tags) = (self.payload.clone(), self.raw, self.to_tag.clone());
        sink_of(settings, AwsTarget { payload, raw, tags, ..named(&self.name) })
    }

    /// Everything about the secret.
    pub(crate) fn secret(&self) -> String {
        format!("{:?}", self.aws.world().secrets.get(&self.name))
    }

    /// The version that has a label.
    pub(crate) fn labelled(&self, label: &str) -> Option<String> {
        let world = self.aws.world();
        let versions = &world.secrets.get(&self.name)?.versions;
        let found = versions.iter().find(|(_, version)| version.labels.contains(label));
        found.map(|(id, _)| id.clone())
    }

    /// Makes a copy in another region.
    pub(crate) fn replica(&self, region: &str, replica: Replica) {
        let mut world = self.aws.world();
        let secret = world.secrets.get_mut(&self.name).unwrap();
        secret.replicas.insert(region.to_owned(), replica);
    }

    /// Notes something among the calls that were made.
    pub(crate) fn note(&self, what: &str) {
        self.aws.world().asked.push(Asked {
            region: String::new(),
            call: what.to_owned(),
            body: Value::Null,
            key: String::new(),
        });
    }

    fn deny(&self, actions: &[&str]) {
        let names = actions.iter().map(|action| action.split_once(':').unwrap().1);
        self.aws.world().denied.extend(names.map(|call| (self.name.clone(), call.to_owned())));
    }

    /// Makes a text what readers get.
    pub(crate) fn put(&self, text: &str) {
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, unique(text).as_bytes());
        let body = json!({ "SecretId": self.name, "SecretString": text,
            "ClientRequestToken": id.to_string() });
        self.aws.must("PutSecretValue", &body);
    }
}

#[async_trait]
impl Site for StrictSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    fn tells(&self) -> bool {
        true
    }

    async fn visible(&self) -> BTreeSet<String> {
        let world = self.aws.world();
        let versions = world.secrets.get(&self.name).map(|secret| secret.versions.clone());
        versions
            .into_iter()
            .flatten()
            .flat_map(|(id, version)| {
                let labels = version.labels.into_iter().filter(|label| label.starts_with("AWS"));
                let text = version.string;
                labels.map(move |label| format!("{label} {id} {text:?}"))
            })
            .collect()
    }

    async fn add_foreign(&self) -> Option<String> {
        if self.raw {
            return None;
        }
        let body = json!({ "SecretId": self.name });
        let current = self.aws.must("GetSecretValue", &body);
        let mut data: Value =
            serde_json::from_str(current["SecretString"].as_str().unwrap()).unwrap();
        data["theirs"] = json!({ "n": 12_345_678, "text": "a $b" });
        self.put(&data.to_string());
        Some(r#"\"theirs\":{\"n\":12345678,\"text\":\"a $b\"}"#.to_owned())
    }

    async fn garble(&self) {
        self.put(if self.raw { NO_TOKEN } else { NO_TOKENS });
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        if self.raw {
            return None;
        }
        self.put(&json!({ "app": { "auth": ["x y", format!("Bearer {text}")] } }).to_string());
        Some("app.auth.1".to_owned())
    }

    async fn forbid_writing(&self) {
        self.deny(&NEEDED[2..]);
        self.deny(&TAGS);
    }

    async fn forbid_reading(&self) {
        self.deny(&NEEDED[..2]);
    }
}
