//! A secret in a server, and the sinks that are opened on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    aws_identity::Origin,
    clock::SystemClock,
    http::{Endpoint, HttpSettings},
    secret::Secret,
    sink::{
        Sink,
        aws::{Account, AccountSettings, AwsAccount, AwsSink, AwsTarget},
        payload::{Labels, PayloadTemplate},
    },
    token::SinkName,
};
use serde_json::{Value, json};

use super::{
    moto::{Keys, Moto, REGION, policy, unique},
    sink_conformance::Site,
};

/// What a rotation needs of rights where no tags are written.
pub(crate) const NEEDED: [&str; 5] = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:CreateSecret",
];

/// An object whose keys are no tokens.
pub(crate) const NO_TOKENS: &str = r#"{"token":{"is":"no token"},"SCIM_TOKEN":["nor"]}"#;

/// A text that is none.
pub(crate) const NO_TOKEN: &str = "no token at all";

/// And where the marks are in tags.
pub(crate) const TAGS: [&str; 2] = ["secretsmanager:TagResource", "secretsmanager:UntagResource"];

pub(crate) fn http_settings() -> HttpSettings {
    HttpSettings {
        ca_file: None,
        proxy: None,
        request_timeout: Duration::from_secs(10),
        user_agent: "scimitar/test".to_owned(),
    }
}

pub(crate) fn endpoint(url: &str) -> Option<Endpoint> {
    Some(Endpoint::try_new(Url::parse(url).unwrap()).unwrap())
}

pub(crate) fn account_settings(url: &str) -> AccountSettings {
    AccountSettings {
        sink: SinkName::try_new("aws").unwrap(),
        account: Account::of_region(REGION),
        endpoint: endpoint(url),
        sts_endpoint: endpoint(url),
        origin: Origin::Keys { id: "TEST".to_owned(), key: Secret::new("test".to_owned()) },
        http: http_settings(),
    }
}

pub(crate) fn sink_of(settings: AccountSettings, to: AwsTarget) -> AwsSink {
    let account = AwsAccount::try_new(settings, Arc::new(SystemClock)).unwrap();
    AwsSink::try_new(&account, to).unwrap()
}

pub(crate) fn named(name: &str) -> AwsTarget {
    AwsTarget {
        name: name.to_owned(),
        description: None,
        payload: None,
        raw: false,
        overwrite: false,
        tags: Default::default(),
    }
}

pub(crate) fn template(pairs: &[(&str, &str)]) -> PayloadTemplate {
    let source: BTreeMap<String, String> =
        pairs.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    PayloadTemplate::parse(&source).unwrap()
}

/// A secret of its own in moto; with keys, moto looks at their rights and signatures.
pub(crate) struct MotoSite {
    pub(crate) moto: &'static Moto,
    pub(crate) name: String,
    pub(crate) payload: Option<PayloadTemplate>,
    pub(crate) raw: bool,
    pub(crate) keys: Option<Keys>,
    pub(crate) to_tag: Labels,
}

impl MotoSite {
    pub(crate) fn new(moto: &'static Moto, payload: Option<PayloadTemplate>) -> Self {
        let (name, to_tag) = (unique("scim/initech"), Labels::default());
        Self { moto, name, payload, raw: false, keys: None, to_tag }
    }

    /// With the token alone, as plain text.
    pub(crate) async fn raw(moto: &'static Moto) -> Self {
        let tags = Some(template(&[("T", "{{ token }}")]));
        Self { payload: None, raw: true, ..Self::guarded(moto, tags).await }
    }

    /// With a user who may do what a rotation needs and nothing else.
    pub(crate) async fn guarded(moto: &'static Moto, payload: Option<PayloadTemplate>) -> Self {
        moto.guard(false).await;
        let keys = moto.user(&unique("user")).await;
        let site = Self { keys: Some(keys), ..Self::new(moto, payload) };
        let rights: Vec<&str> = match site.payload {
            None => NEEDED.to_vec(),
            Some(_) => NEEDED.iter().chain(&TAGS).copied().collect(),
        };
        site.grant(&rights).await;
        site
    }

    pub(crate) async fn grant(&self, actions: &[&str]) {
        let Some(keys) = &self.keys else { panic!("nobody's rights are looked at") };
        self.moto.guard(false).await;
        self.moto.grant(keys, &policy(actions)).await;
        self.moto.guard(true).await;
    }

    pub(crate) fn settings(&self) -> AccountSettings {
        let mut settings = account_settings(&self.moto.url);
        if let Some(keys) = &self.keys {
            let key = Secret::new(keys.key.clone());
            settings.origin = Origin::Keys { id: keys.id.clone(), key };
        }
        settings
    }

    pub(crate) fn sink(&self) -> AwsSink {
        let (payload, raw, tags) = (self.payload.clone(), self.raw, self.to_tag.clone());
        sink_of(self.settings(), AwsTarget { payload, raw, tags, ..named(&self.name) })
    }

    /// A call by somebody who may do everything.
    pub(crate) async fn ask(&self, call: &str, mut body: Value) -> (u16, Value) {
        body["SecretId"] = json!(self.name);
        if self.keys.is_none() {
            return self.moto.ask_in(REGION, call, body).await;
        }
        self.moto.guard(false).await;
        let answer = self.moto.ask_in(REGION, call, body).await;
        self.moto.guard(true).await;
        answer
    }

    pub(crate) async fn must(&self, call: &str, body: Value) -> Value {
        let (status, answer) = self.ask(call, body).await;
        assert!(status < 300, "{call}: {status} {answer}");
        answer
    }

    /// The version and the value that readers get; null where there is none.
    pub(crate) async fn current(&self) -> (Value, Value) {
        let (_, answer) = self.ask("GetSecretValue", json!({ "VersionStage": "AWSCURRENT" })).await;
        (answer["VersionId"].clone(), answer["SecretString"].clone())
    }

    /// Which version has which label.
    pub(crate) async fn labels(&self) -> BTreeMap<String, String> {
        let (_, described) = self.ask("DescribeSecret", json!({})).await;
        let versions = described["VersionIdsToStages"].as_object().cloned().unwrap_or_default();
        let labels = versions.iter().flat_map(|(id, labels)| {
            let labels = labels.as_array().unwrap().iter();
            labels.map(move |label| (label.as_str().unwrap().to_owned(), id.clone()))
        });
        labels.collect()
    }

    pub(crate) async fn tags(&self) -> BTreeMap<String, String> {
        let (_, described) = self.ask("DescribeSecret", json!({})).await;
        let tags = described["Tags"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        tags.iter().map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect()
    }

    /// Makes a text what readers get. After a move of `AWSCURRENT`, moto would not take it away from
    /// the version that has it by a mere put.
    pub(crate) async fn put(&self, text: &str) {
        let (current, _) = self.current().await;
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, unique(text).as_bytes());
        let body = json!({ "SecretString": text, "VersionStages": ["THEIRS"],
            "ClientRequestToken": id.to_string() });
        let put = self.must("PutSecretValue", body).await;
        let id = &put["VersionId"];
        let body = json!({ "VersionStage": "AWSCURRENT", "RemoveFromVersionId": current,
            "MoveToVersionId": id });
        self.must("UpdateSecretVersionStage", body).await;
        let body = json!({ "VersionStage": "THEIRS", "RemoveFromVersionId": id });
        self.must("UpdateSecretVersionStage", body).await;
    }
}

#[async_trait]
impl Site for MotoSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    fn tells(&self) -> bool {
        true
    }

    async fn visible(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        for label in ["AWSCURRENT", "AWSPREVIOUS"] {
            let (_, answer) = self.ask("GetSecretValue", json!({ "VersionStage": label })).await;
            seen.insert(format!("{label} {} {}", answer["VersionId"], answer["SecretString"]));
        }
        seen
    }

    async fn add_foreign(&self) -> Option<String> {
        if self.raw {
            return None;
        }
        let (_, text) = self.current().await;
        let mut data: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        data["theirs"] = json!({ "n": 12_345_678, "text": "a $b" });
        self.put(&data.to_string()).await;
        // As it stands in a text within a text.
        Some(json!(r#""theirs":{"n":12345678,"text":"a $b"}"#).to_string().trim_matches('"').into())
    }

    async fn garble(&self) {
        self.put(if self.raw { NO_TOKEN } else { NO_TOKENS }).await;
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        if self.raw {
            return None;
        }
        let data = json!({ "app": { "auth": ["x y", format!("Bearer {text}")] } });
        self.put(&data.to_string()).await;
        Some("app.auth.1".to_owned())
    }

    async fn forbid_writing(&self) {
        self.grant(&NEEDED[..2]).await;
    }

    async fn forbid_reading(&self) {
        self.grant(&NEEDED[2..]).await;
    }
}
