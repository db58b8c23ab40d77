//! The sink for Azure Key Vault against a stand-in for its API and for its log-ins.

mod beside;
mod faults;
mod logins;
mod secrets;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    clock::{SystemClock, SystemEntropy},
    http::{Endpoint, HttpSettings},
    sink::{
        Sink,
        azure::{AzureSink, AzureTarget, Vault, VaultSettings},
        azure_identity::{Authority, Identity},
        payload::PayloadTemplate,
    },
    token::SinkName,
};
use scimitar_test_support::{
    key_vault::{self, ACTIONS, KeyVault, SecretVersion},
    sink_conformance::*,
};
use serde_json::{Value, json};

const NAME: &str = "scim-initech";

/// A secret in a vault of its own.
struct VaultSite {
    api: KeyVault,
    target: AzureTarget,
    identity: Option<Identity>,
}

impl VaultSite {
    async fn new() -> Self {
        let target = AzureTarget {
            secret_name: NAME.to_owned(),
            payload: None,
            raw: false,
            overwrite: false,
            tags: Default::default(),
        };
        Self { api: key_vault::start().await, target, identity: None }
    }

    /// By what is written.
    async fn of(payload: Option<PayloadTemplate>, raw: bool) -> Self {
        let mut site = Self::new().await;
        site.target.payload = payload;
        site.target.raw = raw;
        site
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::try_new(Url::parse(&self.api.url).unwrap()).unwrap()
    }

    fn sink(&self) -> AzureSink {
        self.sink_of(self.target.clone())
    }

    fn sink_of(&self, target: AzureTarget) -> AzureSink {
        let managed = || Identity::Managed { metadata: self.endpoint(), client: None };
        let settings = VaultSettings {
            sink: SinkName::try_new("azure").unwrap(),
            vault: self.endpoint(),
            authority: Authority {
                login: self.endpoint(),
                resource: "https://vault.azure.net".to_owned(),
            },
            identity: self.identity.clone().unwrap_or_else(managed),
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(10),
                user_agent: "scimitar/test".to_owned(),
            },
        };
        let vault = Vault::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy));
        AzureSink::try_new(&vault.unwrap(), target).unwrap()
    }

    /// The newest version.
    fn newest(&self) -> Option<SecretVersion> {
        self.api.world().rules.newest(NAME).cloned()
    }

    fn put(&self, text: &str) {
        self.api.world().rules.put(NAME, text);
    }

    fn revoke(&self, action: &str) {
        self.api.world().rules.granted.remove(action);
    }

    fn grant_all(&self) {
        self.api.world().rules.granted = ACTIONS.map(str::to_owned).into();
    }
}

#[async_trait]
impl Site for VaultSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    fn tells(&self) -> bool {
        true
    }

    async fn visible(&self) -> BTreeSet<String> {
        let world = self.api.world();
        let versions = world.rules.secrets.get(NAME).into_iter().flatten();
        versions.map(|version| format!("{version:?}")).collect()
    }

    async fn add_foreign(&self) -> Option<String> {
        if self.target.raw {
            return None;
        }
        let newest = self.newest().unwrap();
        let mut document: Value = serde_json::from_str(&newest.value).unwrap();
        document["theirs"] = json!({ "n": 12_345_678 });
        self.put(&document.to_string());
        // Whoever edits a value in the portal keeps its tags.
        let mut world = self.api.world();
        world.rules.secrets.get_mut(NAME).unwrap().last_mut().unwrap().tags = newest.tags;
        // As it stands in a text within a text.
        Some(r#"\"theirs\":{\"n\":12345678}"#.to_owned())
    }

    async fn garble(&self) {
        self.put(if self.target.raw { "no token at all" } else { "{ no object" });
    }

    fn open_overwriting(&self) -> Option<Arc<dyn Sink>> {
        let target = AzureTarget { overwrite: true, ..self.target.clone() };
        Some(Arc::new(self.sink_of(target)))
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        if self.target.raw {
            return None;
        }
        self.put(&json!({ "app": { "auth": ["x y", format!("Bearer {text}")] } }).to_string());
        Some("app.auth.1".to_owned())
    }

    async fn forbid_writing(&self) {
        self.revoke("setSecret");
    }

    async fn forbid_reading(&self) {
        self.revoke("getSecret");
    }
}

fn template() -> PayloadTemplate {
    let pairs = [("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")];
    let pairs = pairs.map(|(key, text)| (key.to_owned(), text.to_owned()));
    PayloadTemplate::parse(&pairs.into()).unwrap()
}

/// All but one law: of two writers at the same moment both write, since the API has no compare-and-set. It
/// says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_vault_conforms_but_for_fencing_and_says_so() {
    all_but_fencing(&async || VaultSite::new().await).await;
    all_but_fencing(&async || VaultSite::of(Some(template()), false).await).await;
    all_but_fencing(&async || VaultSite::of(None, true).await).await;
    let site = VaultSite::new().await;
    let sink = site.sink();
    sink.read().await.unwrap();
    assert!(sink.caveat().unwrap().contains("no compare-and-set"), "{:?}", sink.caveat());
}
