//! The sink for Kubernetes against a stand-in for its API. No real API server is to be had from the
//! package registries that the tests use.

mod beside;
mod canary;
mod faults;
mod secrets;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    http::HttpSettings,
    secret::{Secret, SecretSource},
    sink::{
        Sink,
        kubernetes::{Cluster, ClusterSettings, KubernetesSink, KubernetesTarget, Reach},
        payload::{Labels, PayloadTemplate},
    },
    token::SinkName,
};
use scimitar_test_support::{
    kubernetes::{KubernetesApi, encode},
    sink_conformance::*,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "team-a";
const NAME: &str = "scim-initech";

/// The account's token: it must show up nowhere.
const ACCOUNT: &str = "acc0unt5ecret";

/// A Secret in an API of its own, and an account that may do what a rotation needs and nothing else.
struct ClusterSite {
    api: KubernetesApi,
    payload: Option<PayloadTemplate>,
    create: bool,
    labels: Labels,
}

/// A Role that allows these verbs on the Secret, and to see its namespace.
fn role(verbs: &[&str], create: bool) -> Vec<Value> {
    let mut rules = vec![
        json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME],
                "verbs": verbs }),
        json!({ "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [NAMESPACE],
                "verbs": ["get"] }),
    ];
    if create {
        rules.push(json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["create"] }));
    }
    vec![json!({ "metadata": { "namespace": NAMESPACE }, "rules": rules })]
}

fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: elsewhere\nclusters:\n- name: c\n  cluster:\n    \
         server: {url}\nusers:\n- name: u\n  user:\n    token: {ACCOUNT}\ncontexts:\n- name: prod\n  \
         context:\n    cluster: c\n    user: u\n"
    )
}

impl ClusterSite {
    async fn new(payload: Option<&[(&str, &str)]>) -> Self {
        let payload = payload.map(|pairs| {
            let pair = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
            PayloadTemplate::parse(&pairs.iter().map(pair).collect()).unwrap()
        });
        let api = KubernetesApi::start(NAMESPACE, ACCOUNT).await;
        let site = Self { api, payload, create: true, labels: Labels::default() };
        site.api.world().bind(ACCOUNT, role(&["get", "patch"], true));
        site
    }

    fn target(&self) -> KubernetesTarget {
        KubernetesTarget {
            secret: NAME.to_owned(),
            namespace: None,
            payload: self.payload.clone(),
            overwrite: false,
            labels: self.labels.clone(),
        }
    }

    fn sink(&self) -> KubernetesSink {
        let text = kubeconfig(&self.api.url);
        let settings = ClusterSettings {
            sink: SinkName::try_new("k8s").unwrap(),
            reach: Reach::Kubeconfig {
                source: SecretSource::new(move || Ok(Secret::new(text.clone()))),
                context: "prod".to_owned(),
            },
            namespace: NAMESPACE.to_owned(),
            create: self.create,
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(10),
                user_agent: "scimitar/test".to_owned(),
            },
        };
        let cluster = Cluster::try_new(settings).unwrap();
        KubernetesSink::try_new(&cluster, self.target()).unwrap()
    }

    /// The Secret as a reader gets it; null where there is none.
    fn secret(&self) -> Value {
        let world = self.api.world();
        let found = world.secrets.get(&(NAMESPACE.to_owned(), NAME.to_owned()));
        found.cloned().unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        self.api.world().change(NAMESPACE, NAME, change);
    }

    fn make(&self, secret: Value) {
        self.api.world().make(NAMESPACE, NAME, secret);
    }
}

#[async_trait]
impl Site for ClusterSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    async fn visible(&self) -> BTreeSet<String> {
        let secret = self.secret();
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        let pair = |(key, value): (String, Value)| format!("{key} {value}");
        data.into_iter().map(pair).chain([secret["metadata"].to_string()]).collect()
    }

    async fn add_foreign(&self) -> Option<String> {
        self.change(|secret| {
            secret["data"]["theirs"] = json!("dGhlaXJz");
            secret["metadata"]["annotations"]["team"] = json!("identity");
        });
        Some("dGhlaXJz".to_owned())
    }

    async fn garble(&self) {
        let keys: Vec<String> =
            self.secret()["data"].as_object().unwrap().keys().cloned().collect();
        // No text in any form.
        self.change(|secret| {
            for key in keys {
                secret["data"][key] = json!("/v8=");
            }
        });
    }

    fn tells(&self) -> bool {
        true
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        let text = json!({ "auth": [format!("Bearer {text}")] }).to_string();
        self.change(|secret| secret["data"] = json!({ "app": encode(&text) }));
        Some("app.auth.0".to_owned())
    }

    async fn forbid_writing(&self) {
        self.api.world().bind(ACCOUNT, role(&["get"], false));
    }

    async fn forbid_reading(&self) {
        self.api.world().bind(ACCOUNT, role(&["patch"], true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_for_kubernetes_conforms() {
    everything(async || ClusterSite::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_with_marks_in_an_annotation() {
    let payload: &[(&str, &str)] =
        &[("header", "Bearer {{ token }}"), ("url", "{{ scim_endpoint }}")];
    everything(async || ClusterSite::new(Some(payload)).await).await;
}
