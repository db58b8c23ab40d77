//! The sink for the Parameter Store over moto, with rights and signatures that are looked at.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use scimitar::{
    clock::SystemClock,
    error::{Class, Code},
    secret::Secret,
    sink::{
        Contents, Loss, Sink, Version,
        aws::{Account, AwsAccount},
        payload::{Labels, PayloadTemplate},
        ssm::{Needs, ParameterStore, SsmSink, SsmTarget, Tier, policy},
    },
};
use scimitar_test_support::{
    heard::Heard,
    moto::{self, Keys, Moto, REGION, unique},
};
use serde_json::{Value, json};

use super::{
    rotates::{exits, scimitar},
    sink_conformance::*,
    site::account_settings,
};

/// A parameter of its own, and a user who may do what a rotation needs and nothing else.
pub(super) struct ParameterSite {
    moto: &'static Moto,
    pub(super) name: String,
    payload: Option<PayloadTemplate>,
    raw: bool,
    tier: Option<Tier>,
    keys: Option<Keys>,
    to_tag: Labels,
}

impl ParameterSite {
    fn new(moto: &'static Moto) -> Self {
        let name = unique("/scim/initech");
        let to_tag = Labels::default();
        Self { moto, name, payload: None, raw: false, tier: None, keys: None, to_tag }
    }

    /// Where rights and signatures are looked at: those that `permissions` prints are granted.
    async fn guarded(moto: &'static Moto, payload: Option<PayloadTemplate>, raw: bool) -> Self {
        moto.guard(false).await;
        let keys = Some(moto.user(&unique("user")).await);
        let site = Self { payload, raw, keys, ..Self::new(moto) };
        site.grant(|_| true).await;
        site
    }

    /// The same, with tags that each delivery puts there.
    pub(super) async fn tagged(moto: &'static Moto, to_tag: Labels) -> Self {
        let site = Self { to_tag, ..Self::guarded(moto, None, false).await };
        site.grant(|_| true).await;
        site
    }

    /// Grants those of the actions.
    pub(super) async fn grant(&self, of: impl Fn(&str) -> bool) {
        let account = Account::of_region(REGION);
        let needs = Needs {
            account: &account,
            names: [self.name.clone()].into(),
            watched: Default::default(),
            marks: self.payload.is_some() || self.raw,
            tags: !self.to_tag.is_empty(),
        };
        let mut policy = policy(&needs);
        let actions = policy["Statement"][0]["Action"].as_array_mut().unwrap();
        actions.retain(|action| of(action.as_str().unwrap()));
        // Moto knows no ARNs of parameters.
        policy["Statement"][0]["Resource"] = json!("*");
        self.moto.guard(false).await;
        self.moto.grant(self.keys.as_ref().unwrap(), &policy).await;
        self.moto.guard(true).await;
    }

    pub(super) fn sink(&self) -> SsmSink {
        self.sink_of(SsmTarget {
            parameter: self.name.clone(),
            description: Some("SCIM token of initech".to_owned()),
            payload: self.payload.clone(),
            raw: self.raw,
            overwrite: false,
            tags: self.to_tag.clone(),
        })
    }

    fn sink_of(&self, target: SsmTarget) -> SsmSink {
        let mut settings = account_settings(&self.moto.url);
        settings.account.tags.insert("team".to_owned(), "identity".to_owned());
        if let Some(keys) = &self.keys {
            let key = Secret::new(keys.key.clone());
            settings.origin = scimitar::aws_identity::Origin::Keys { id: keys.id.clone(), key };
        }
        let account = AwsAccount::try_new(settings, Arc::new(SystemClock)).unwrap();
        let store = Arc::new(ParameterStore { account, tier: self.tier });
        SsmSink::try_new(&store, target).unwrap()
    }

    /// A call by somebody who may do everything.
    pub(super) async fn ask(&self, call: &str, mut body: Value) -> Value {
        body["Name"] = json!(self.name);
        if self.keys.is_some() {
            self.moto.guard(false).await;
        }
        let (_, answer) = self.moto.ask_ssm(call, body).await;
        if self.keys.is_some() {
            self.moto.guard(true).await;
        }
        answer
    }

    /// What readers get; null where there is none.
    async fn parameter(&self) -> Value {
        let answer = self.ask("GetParameter", json!({ "WithDecryption": true })).await;
        answer["Parameter"].clone()
    }

    async fn put(&self, text: &str) {
        let body = json!({ "Value": text, "Type": "SecureString", "Overwrite": true });
        let answer = self.ask("PutParameter", body).await;
        assert!(answer["Version"].is_number(), "{answer}");
    }
}

#[async_trait]
impl Site for ParameterSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    fn tells(&self) -> bool {
        true
    }

    async fn visible(&self) -> BTreeSet<String> {
        let parameter = self.parameter().await;
        [format!("{} {}", parameter["Version"], parameter["Value"])].into()
    }

    async fn add_foreign(&self) -> Option<String> {
        if self.raw {
            return None;
        }
        let parameter = self.parameter().await;
        let mut data: Value = serde_json::from_str(parameter["Value"].as_str().unwrap()).unwrap();
        data["theirs"] = json!({ "n": 12_345_678, "text": "a $b" });
        self.put(&data.to_string()).await;
        // As it stands in a text within a text.
        Some(json!(r#""theirs":{"n":12345678,"text":"a $b"}"#).to_string().trim_matches('"').into())
    }

    async fn garble(&self) {
        let garbled = if self.raw { "no token at all" } else { "{ no object" };
        self.put(garbled).await;
    }

    fn open_overwriting(&self) -> Option<Arc<dyn Sink>> {
        Some(Arc::new(self.sink_of(SsmTarget {
            parameter: self.name.clone(),
            description: None,
            payload: self.payload.clone(),
            raw: self.raw,
            overwrite: true,
            tags: self.to_tag.clone(),
        })))
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
        self.grant(|action| action != "ssm:PutParameter").await;
    }

    async fn forbid_reading(&self) {
        self.grant(|action| action != "ssm:GetParameter").await;
    }
}

fn template() -> PayloadTemplate {
    let pairs = [("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")];
    let pairs = pairs.map(|(key, text)| (key.to_owned(), text.to_owned()));
    PayloadTemplate::parse(&pairs.into()).unwrap()
}

/// A server of its own, since whether rights are looked at holds for all of it.
async fn guarding() -> &'static Moto {
    Box::leak(Box::new(Moto::start().await))
}

/// All but one law: of two writers at the same moment both write, since the API has no compare-and-set.
/// It says so, and the later one is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_conform_but_for_fencing_and_say_so() {
    let moto = guarding().await;
    all_but_fencing(&async || ParameterSite::guarded(moto, None, false).await).await;
    let site = ParameterSite::guarded(moto, None, false).await;
    let sink = site.sink();
    sink.read().await.unwrap();
    let said = sink.caveat().unwrap();
    assert!(said.contains("no compare-and-set") && said.contains("no dry run"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_with_marks_in_tags_conform() {
    let moto = guarding().await;
    all_but_fencing(&async || ParameterSite::guarded(moto, Some(template()), false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_with_the_token_alone_conform() {
    let moto = guarding().await;
    all_but_fencing(&async || ParameterSite::guarded(moto, None, true).await).await;
}

/// Reading is all that watching needs, and a write is none of it.
#[tokio::test]
async fn the_rights_to_watch_are_enough_to_read_a_parameter() {
    let site = ParameterSite::guarded(guarding().await, None, true).await;
    promote(&site.sink(), 1).await;
    let watching = ["ssm:GetParameter", "ssm:ListTagsForResource"];
    site.grant(|action| watching.contains(&action)).await;
    let seen = site.sink().read().await.unwrap();
    assert!(seen.contents.value().is_some());
    let fault = site.sink().prove_writable(&seen).await.unwrap_err();
    // moto's refusal is in XML, where AWS's own are in JSON.
    assert!(fault.detail.contains("answered 403"), "{fault}");
    site.grant(|action| action == watching[1]).await;
    let fault = site.sink().read().await.unwrap_err();
    assert!(fault.detail.contains("answered 403"), "{fault}");
}

#[tokio::test]
async fn a_parameter_is_made_once_encrypted_and_with_its_tags() {
    let site = ParameterSite { raw: true, ..ParameterSite::new(moto::shared().await) };
    let (one, other) = (site.sink(), site.sink());
    let absent = Version(Version::ABSENT.to_owned());
    let made = one.promote(&delivery(1), &absent, &Gate::open()).await.unwrap();
    assert_eq!(made.0, "1");
    let parameter = site.parameter().await;
    assert_eq!(parameter["Type"], "SecureString");
    assert!(parameter["Value"] == delivery(1).value.expose(), "the value alone");
    let (_, listed) = site
        .moto
        .ask_ssm(
            "ListTagsForResource",
            json!({ "ResourceType": "Parameter", "ResourceId": site.name }),
        )
        .await;
    let tags = listed["TagList"].as_array().unwrap();
    let keys: Vec<&str> = tags.iter().map(|tag| tag["Key"].as_str().unwrap()).collect();
    assert!(
        keys.contains(&"team") && keys.iter().any(|key| key.starts_with("scimitar:")),
        "{keys:?}"
    );
    let refused = other.promote(&delivery(2), &absent, &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
}

#[tokio::test]
async fn what_is_in_clear_or_too_large_is_refused() {
    let site = ParameterSite::new(moto::shared().await);
    site.ask("PutParameter", json!({ "Value": "{}", "Type": "String" })).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("of type String"), "{fault}");
    }
    for (tier, most) in [(Some(Tier::Standard), 4096), (Some(Tier::Advanced), 8192), (None, 8192)] {
        let site = ParameterSite { tier, ..ParameterSite::new(moto::shared().await) };
        let sink = site.sink();
        let seen = sink.read().await.unwrap();
        let mut large = delivery(1);
        large.scim_endpoint = "x".repeat(most);
        let fault = sink.promote(&large, &seen.version, &Gate::open()).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains(&most.to_string()), "{fault}");
        assert_eq!(site.parameter().await, Value::Null);
    }
}

/// A hundred versions later, the oldest with a label.
#[tokio::test]
async fn a_label_on_the_oldest_version_is_said_with_the_way_out() {
    let site = ParameterSite::new(moto::shared().await);
    let sink = site.sink();
    promote(&sink, 1).await;
    let label = json!({ "ParameterVersion": 1, "Labels": ["release"] });
    site.ask("LabelParameterVersion", label).await;
    for _ in 0..99 {
        site.put("{}").await;
    }
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.version.0, "100");
    assert!(
        matches!(seen.contents, Contents::Unmarked { value: None }) && seen.loss == Loss::Nothing
    );
    let fault = sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
    assert!(fault.detail.contains("label-parameter-version"), "{fault}");
}

/// No value and no key, at the highest verbosity.
#[tokio::test]
async fn nothing_secret_is_shown_of_a_parameter() {
    let moto = guarding().await;
    let (heard, guard) = Heard::listen();
    let mut shown = String::new();
    let mut keys = Vec::new();
    for raw in [false, true] {
        let site = ParameterSite::guarded(moto, None, raw).await;
        keys.push(site.keys.as_ref().unwrap().key.clone());
        let sink = site.sink();
        let version = promote(&sink, 1).await;
        site.forbid_writing().await;
        let seen = sink.read().await;
        let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
        writeln!(shown, "{sink:?} {seen:?} {done:?} {}", done.as_ref().unwrap_err()).unwrap();
        site.grant(|_| true).await;
        site.garble().await;
        let done = sink.promote(&delivery(3), &version, &Gate::open()).await;
        writeln!(shown, "{done:?}").unwrap();
    }
    drop(guard);
    keys.push(CANARY.to_owned());
    heard.holds_none_of(&["hyper"], &keys, &shown);
}

#[tokio::test]
async fn a_rotation_ends_in_a_parameter() {
    let site = ParameterSite::new(moto::shared().await);
    let url = &site.moto.url;
    let sink = format!(
        "[sinks.p]\ntype = \"aws_ssm\"\nregion = \"{REGION}\"\nendpoint_url = \"{url}\"\n\
         sts_endpoint_url = \"{url}\"\ntier = \"standard\""
    );
    let to = format!(
        "overlap = \"1s\"\nrevoke_after_use = false\n\
         deliver_to = [{{ sink = \"p\", parameter = \"{}\", format = \"raw\" }}]",
        site.name
    );
    let folder = scimitar_test_support::delivery::configured(&sink, &to);
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 0);
    assert!(said.contains("no compare-and-set"), "what cannot be promised is said: {said}");
    let mut values = Vec::new();
    for _ in 0..2 {
        let ended = scimitar(folder.path(), &["--rotate-now", "--output", "json", "-vvv"]).await;
        let said = exits(&ended, 0);
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let parameter = site.parameter().await;
        let place = &document["results"][0]["sinks"][0];
        assert_eq!(place["state"], "delivered", "{document}");
        assert_eq!(place["version"], parameter["Version"].to_string(), "{document}");
        values.push(parameter["Value"].as_str().unwrap().to_owned());
        for secret in values.iter().map(String::as_str).chain(["k3y5ecret"]) {
            assert!(!said.contains(secret), "a secret is shown");
        }
    }
    assert_ne!(values[0], values[1]);
    exits(&scimitar(folder.path(), &["--once", "--wait"]).await, 0);
    let version = site.parameter().await["Version"].clone();
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        exits(&scimitar(folder.path(), arguments).await, 0);
    }
    assert_eq!(site.parameter().await["Version"], version, "none on a look");
    let said = exits(&scimitar(folder.path(), &["permissions"]).await, 0);
    assert!(said.contains("ssm:PutParameter") && said.contains("parameter/scim/initech"), "{said}");
}
