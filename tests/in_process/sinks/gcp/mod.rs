//! The sink for Google Cloud's Secret Manager against a stand-in for its API, its metadata server and its
//! log-ins.

mod beside;
mod faults;
mod logins;
mod secrets;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    clock::SystemClock,
    http::{Endpoint, HttpSettings},
    sink::{
        Sink,
        gcp::{GcpSink, GcpTarget, Origin, Project, ProjectSettings},
        payload::PayloadTemplate,
    },
    token::SinkName,
};
use scimitar_test_support::{
    secret_manager::{self, PERMISSIONS, SecretManager},
    sink_conformance::*,
};
use serde_json::{Value, json};

const NAME: &str = "scim-initech";

/// A secret in a project of its own.
struct ProjectSite {
    api: SecretManager,
    target: GcpTarget,
    location: Option<&'static str>,
    create: bool,
    origin: Option<Origin>,
}

impl ProjectSite {
    async fn new() -> Self {
        Self::in_project("projects/acme-identity", None).await
    }

    async fn in_project(parent: &str, location: Option<&'static str>) -> Self {
        let target = GcpTarget {
            secret_id: NAME.to_owned(),
            alias: None,
            payload: None,
            raw: false,
            overwrite: false,
            labels: Default::default(),
        };
        let api = secret_manager::start(parent).await;
        Self { api, target, location, create: true, origin: None }
    }

    /// By what readers ask for, and what is written.
    async fn of(alias: Option<&str>, payload: Option<PayloadTemplate>, raw: bool) -> Self {
        let mut site = Self::new().await;
        site.target.alias = alias.map(str::to_owned);
        site.target.payload = payload;
        site.target.raw = raw;
        site
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::try_new(Url::parse(&self.api.url).unwrap()).unwrap()
    }

    fn sink(&self) -> GcpSink {
        self.sink_of(self.target.clone())
    }

    fn sink_of(&self, target: GcpTarget) -> GcpSink {
        let origin = self.origin.clone();
        let settings = ProjectSettings {
            sink: SinkName::try_new("google").unwrap(),
            project: "acme-identity".to_owned(),
            location: self.location.map(str::to_owned),
            endpoint: Some(self.endpoint()),
            origin: origin.unwrap_or_else(|| Origin::Metadata(self.endpoint())),
            create: self.create,
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(10),
                user_agent: "scimitar/test".to_owned(),
            },
        };
        let project = Project::try_new(settings, Arc::new(SystemClock)).unwrap();
        GcpSink::try_new(&project, target).unwrap()
    }

    /// What readers get.
    fn value(&self) -> Option<String> {
        self.api.world().rules.value(NAME, self.target.alias.as_deref())
    }

    fn put(&self, text: impl AsRef<[u8]>) {
        self.api.world().rules.put(NAME, text.as_ref());
    }

    fn revoke(&self, permission: &str) {
        self.api.world().rules.granted.remove(permission);
    }

    fn grant_all(&self) {
        self.api.world().rules.granted = PERMISSIONS.map(str::to_owned).into();
    }
}

#[async_trait]
impl Site for ProjectSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    fn tells(&self) -> bool {
        true
    }

    /// What readers get, and what they got before, which they can go back to.
    async fn visible(&self) -> BTreeSet<String> {
        let world = self.api.world();
        let Some(secret) = world.rules.secrets.get(NAME) else { return BTreeSet::new() };
        let current = match &self.target.alias {
            None => secret.versions.len(),
            Some(alias) => secret.aliases.get(alias).map_or(0, |number| *number as usize),
        };
        let seen = secret.versions.iter().take(current).enumerate();
        seen.filter(|(_, version)| version.state == "ENABLED")
            .map(|(at, version)| format!("{at} {}", String::from_utf8_lossy(&version.data)))
            .collect()
    }

    async fn add_foreign(&self) -> Option<String> {
        if self.target.raw {
            return None;
        }
        let mut document: Value = serde_json::from_str(&self.value().unwrap()).unwrap();
        document["theirs"] = json!({ "n": 12_345_678 });
        self.put(document.to_string());
        Some(r#""theirs":{"n":12345678}"#.to_owned())
    }

    async fn garble(&self) {
        self.put(b"\xff\xfe");
    }

    fn open_overwriting(&self) -> Option<Arc<dyn Sink>> {
        let target = GcpTarget { overwrite: true, ..self.target.clone() };
        Some(Arc::new(self.sink_of(target)))
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        if self.target.raw {
            return None;
        }
        self.put(json!({ "app": { "auth": ["x y", format!("Bearer {text}")] } }).to_string());
        Some("app.auth.1".to_owned())
    }

    async fn forbid_writing(&self) {
        self.revoke("secretmanager.versions.add");
        self.revoke("secretmanager.secrets.update");
    }

    async fn forbid_reading(&self) {
        self.revoke("secretmanager.versions.access");
    }
}

fn template() -> PayloadTemplate {
    let pairs = [("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")];
    let pairs = pairs.map(|(key, text)| (key.to_owned(), text.to_owned()));
    PayloadTemplate::parse(&pairs.into()).unwrap()
}

/// All but one law: of two writers at the same moment both add a version. It says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latest_version_conforms_but_for_fencing() {
    all_but_fencing(&async || ProjectSite::new().await).await;
    all_but_fencing(&async || ProjectSite::of(None, Some(template()), false).await).await;
    all_but_fencing(&async || ProjectSite::of(None, None, true).await).await;
    let site = ProjectSite::new().await;
    let sink = site.sink();
    sink.read().await.unwrap();
    let said = sink.caveat().unwrap();
    assert!(said.contains("without a compare-and-set") && said.contains("`alias`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_conforms_with_fencing_and_staging() {
    everything(async || ProjectSite::of(Some("scim"), None, false).await).await;
    everything(async || ProjectSite::of(Some("scim"), Some(template()), false).await).await;
    everything(async || ProjectSite::of(Some("scim"), None, true).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regional_secret_conforms() {
    let parent = "projects/acme-identity/locations/europe-west3";
    let site = async || ProjectSite::in_project(parent, Some("europe-west3")).await;
    all_but_fencing(&site).await;
    let site = site().await;
    let place = site.sink().place().location.clone();
    assert!(place.ends_with("/acme-identity/europe-west3/scim-initech"), "{place}");
}
