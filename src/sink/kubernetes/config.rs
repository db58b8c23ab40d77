//! The kind `kubernetes`: `[sinks.NAME]`, and what `deliver_to` says of a Secret.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde_json::json;

use super::{
    KubernetesSink,
    cluster::{Cluster, NO_CLUSTER},
    kubeconfig,
    rights::{self, Secrets as Named},
    schema,
    settings::{
        ClusterSettings, KIND as PLACES, KubernetesTarget, LABELS, Reach, check_key, check_name,
        check_namespace, cluster_name, location,
    },
};
use crate::{
    kind::{BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        entry::{labels, overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
        payload::PayloadTemplate,
    },
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, Table, Value, http::http, secret::document, shown,
    },
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "kubernetes",
    places: PLACES,
    location: "secret",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, outer, keyring| Some(Arc::new(sink(table, outer, keyring)?)),
    absent: None,
    store: None,
    reopen: None,
};

/// Where Kubernetes puts a service account's token and the authority's certificate (its documentation
/// "Accessing the Kubernetes API from a Pod").
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A cluster, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The kubeconfig and its context; `None`: the cluster that Scimitar runs in.
    pub kubeconfig: Option<(SecretRef, String)>,
    /// The namespace of Secrets whose delivery names none.
    pub namespace: String,
    /// Whether a Secret that is not there is made.
    pub create: bool,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

impl KubernetesConfig {
    fn namespace<'a>(&'a self, target: &'a KubernetesTarget) -> &'a str {
        target.namespace.as_deref().unwrap_or(&self.namespace)
    }

    fn cluster(&self) -> &str {
        cluster_name(self.kubeconfig.as_ref().map(|(_, context)| context.as_str()))
    }
}

impl SinkConfig for KubernetesConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry, known);
        let place = |target: &KubernetesTarget| {
            let place = location(self.cluster(), self.namespace(target), &target.secret);
            Spot::Named(format!("{PLACES}:{place}"))
        };
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let mut secrets = Named::new();
        for (target, mode) in deliveries {
            let Ok(target) = target.of_kind::<KubernetesTarget>() else { continue };
            let wanted = secrets.entry(self.namespace(target).to_owned()).or_default();
            let names = match mode {
                Mode::Rotate => &mut wanted.delivered,
                Mode::Observe => &mut wanted.watched,
            };
            names.insert(target.secret.clone());
        }
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: self.cluster().to_owned(),
            namespace: None,
            to: "a Role in each namespace, for the account that Scimitar has there: kubectl create \
                 rolebinding scimitar --role=scimitar --serviceaccount=NAMESPACE:NAME",
            policy: rights::yaml(&secrets, self.create),
            rights: json!({ "rbac": rights::roles(&secrets, self.create) }),
        })
    }

    /// The cluster looks at its certificates itself.
    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let reach = match &self.kubeconfig {
            Some((source, context)) => {
                Reach::Kubeconfig { source: parts.secret(source), context: context.clone() }
            }
            None => {
                let folder = PathBuf::from(SERVICE_ACCOUNT);
                Reach::InCluster { folder, env: Arc::clone(&parts.env) }
            }
        };
        let settings = ClusterSettings {
            sink: name.clone(),
            reach,
            namespace: self.namespace.clone(),
            create: self.create,
            http: parts.http_settings(&self.http)?,
        };
        Ok(Arc::new(Cluster::try_new(settings).map_err(BuildError::new)?))
    }
}

#[async_trait]
impl Service for Arc<Cluster> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &KubernetesTarget = target.of_kind()?;
        Ok(Arc::new(KubernetesSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(KubernetesSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<KubernetesConfig> {
    let before = table.findings().count();
    let context = table.get("context");
    let read_context = context.and_then(|value| value.unbroken("copy it from the kubeconfig"));
    let kubeconfig = table.get("kubeconfig");
    let namespace = table.require("namespace", "\"scim\"").and_then(|value| namespace(&value));
    let create = table.get("create").and_then(|value| value.boolean());
    let own = http(table, keyring);
    let kubeconfig = match (kubeconfig, context) {
        (None, None) => {
            in_a_pod(table, keyring);
            None
        }
        (Some(value), Some(_)) => {
            let source = document(&value, keyring);
            let both = source.zip(read_context);
            if let Some((source, context)) = &both {
                check(&value, source, context, keyring);
            }
            both
        }
        (Some(value), None) => {
            // Where `kubectl config use-context` points is no setting of a daemon.
            value.findings().error(
                value.key_at,
                "`kubeconfig` needs a context",
                "write context = \"…\" beside it: kubectl config get-contexts lists them; \
                 current-context is not followed, since kubectl changes it",
            );
            None
        }
        (None, Some(value)) => {
            value.findings().error(
                value.key_at,
                "`context` belongs to a kubeconfig, and none is set",
                "write kubeconfig = { file = \"…\" } beside it, or leave it out in a pod",
            );
            None
        }
    };
    let namespace = namespace?;
    (table.findings().count() == before).then(|| KubernetesConfig {
        kubeconfig,
        namespace,
        create: create.unwrap_or(true),
        http: own.or(outer),
    })
}

/// Outside a pod nothing says where the cluster is.
fn in_a_pod(table: &Table<'_>, keyring: Keyring<'_>) {
    if keyring.env.var("KUBERNETES_SERVICE_HOST").is_some() {
        return;
    }
    let (words, hint) = NO_CLUSTER.split_once("; ").unwrap_or((NO_CLUSTER, ""));
    let words = format!("{} without `kubeconfig`: {words}", table.name());
    match keyring.secrets {
        Secrets::Needed => table.findings().error(table.at(), words, hint),
        Secrets::Checked => table.findings().warning(table.at(), words, hint),
        Secrets::Unneeded => {}
    }
}

/// What is wrong with a kubeconfig that can be read: an error, wherever it is asked for.
fn check(value: &Value<'_>, source: &SecretRef, context: &str, keyring: Keyring<'_>) {
    if keyring.secrets == Secrets::Unneeded {
        return;
    }
    let Ok(text) = source.read(keyring.env) else { return };
    if let Err(words) = kubeconfig::read(&text, context) {
        let message = format!("`kubeconfig` cannot be used: {words}");
        value.refuse(message, format!("it was read from {source}"));
    }
}

fn namespace(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_namespace(text) {
        value.refuse(format!("`namespace` {words}"), "write a namespace such as \"scim\"");
        return None;
    }
    Some(text.to_owned())
}

/// Reads what `deliver_to` says of a Secret.
fn target(table: &Table<'_>, known: &Known<'_>) -> Option<KubernetesTarget> {
    let secret = table.require("secret", "\"scim-initech\"").and_then(|value| name(&value));
    let own = table.get("namespace").map(|value| namespace(&value));
    let payload = table.get("payload").and_then(|value| keyed(&value));
    let overwrite = overwrite(table);
    let labels = labels(table, &LABELS, known);
    let namespace = match own {
        Some(namespace) => Some(namespace?),
        None => None,
    };
    Some(KubernetesTarget { secret: secret?, namespace, payload, overwrite, labels })
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_name(text) {
        value.refuse(format!("`secret` {words}"), "write a name such as \"scim-initech\"");
        return None;
    }
    Some(text.to_owned())
}

/// Reads `payload`, whose keys are those of a Secret's data.
fn keyed(value: &Value<'_>) -> Option<PayloadTemplate> {
    let payload = payload(value, None, false)?;
    let table = value.table("`payload`")?;
    let before = table.findings().count();
    for (key, value) in table.values() {
        if let Err(words) = check_key(key) {
            value.findings().error(
                value.key_at,
                format!("`{}` {words}", shown(key)),
                "use the name that its readers mount, such as \"scim-token\"",
            );
        }
    }
    (table.findings().count() == before).then_some(payload)
}
