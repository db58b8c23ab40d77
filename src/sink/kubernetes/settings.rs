//! A cluster and a Secret in it as they are configured, checked before they are used.

use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    http::HttpSettings,
    secret::SecretSource,
    sink::{
        Place, Remembered,
        payload::{Labels, Limits, PayloadTemplate},
        rules::{Keys, invalid, not_remembered, remembered},
    },
    table::Environment,
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "kubernetes";

/// What the cluster that Scimitar itself runs in is called.
const OWN: &str = "in-cluster";

/// The longest label (RFC 1123), and the longest name of a Secret: a subdomain.
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;

/// How the cluster is reached, and who we are to it.
#[derive(Clone)]
pub enum Reach {
    /// As Kubernetes tells the containers of a pod.
    InCluster {
        /// Where it puts the service account's token and the authority's certificate.
        folder: PathBuf,
        /// Where it says the API's address.
        env: Arc<dyn Environment>,
    },
    /// As a kubeconfig says.
    Kubeconfig {
        /// The kubeconfig.
        source: SecretSource,
        /// Which of its contexts.
        context: String,
    },
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InCluster { folder, .. } => f.debug_tuple("InCluster").field(folder).finish(),
            Self::Kubeconfig { context, .. } => f.debug_tuple("Kubeconfig").field(context).finish(),
        }
    }
}

/// What the cluster of a context is called in the names of places; without one, our own.
pub(super) fn cluster_name(context: Option<&str>) -> &str {
    context.unwrap_or(OWN)
}

/// `[sinks.NAME]` of type `kubernetes`, as it runs.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// How it is reached.
    pub reach: Reach,
    /// The namespace of Secrets whose delivery names none.
    pub namespace: String,
    /// Whether a Secret that is not there is made.
    pub create: bool,
    /// How to reach it.
    pub http: HttpSettings,
}

impl ClusterSettings {
    fn cluster(&self) -> &str {
        match &self.reach {
            Reach::InCluster { .. } => OWN,
            Reach::Kubeconfig { context, .. } => context,
        }
    }
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesTarget {
    /// The Secret's name.
    pub secret: String,
    /// Its namespace, where it is not the sink's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether what others put there may be lost, once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// What is said in labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) keys: Keys,
    pub(super) overwrite: bool,
    pub(super) labels: Labels,
}

/// What a Secret is called, whichever sink names it.
pub(super) fn location(cluster: &str, namespace: &str, name: &str) -> String {
    format!("{cluster}/{namespace}/{name}")
}

/// Why a text cannot be the name of a Secret: a DNS subdomain as RFC 1123 has it.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > LONGEST_NAME {
        return Err("must have at most 253 characters");
    }
    if !name.split('.').all(is_label) {
        return Err(
            "may hold lower-case letters, digits, - and . only, and begins and ends, as each \
                    part between dots, with a letter or digit",
        );
    }
    Ok(())
}

/// Why a text cannot be a namespace: a DNS label as RFC 1123 has it.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_namespace(name: &str) -> Result<(), &'static str> {
    if name.len() > LONGEST_LABEL {
        return Err("must have at most 63 characters");
    }
    if !is_label(name) {
        return Err(
            "may hold lower-case letters, digits and - only, and begins and ends with a letter or digit",
        );
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.bytes().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The labels that a delivery may put there. The API has no limit to their number.
pub(super) static LABELS: Limits = Limits {
    key: "labels",
    most: 64,
    // Said of a Secret that Scimitar makes.
    reserved: &[MANAGED_BY],
    check_key: |key| match is_label_key(key) {
        true => Ok(()),
        false => Err(
            "is not a valid label key: up to 63 letters, digits, - _ and ., a letter or digit at both ends; in \
             front may be a DNS name and /",
        ),
    },
    check_value: |value| match is_label_text(value) {
        true => Ok(()),
        false => Err(
            "is not a valid label value: up to 63 letters, digits, - _ and ., a letter or digit at both ends",
        ),
    },
    way_out: "use filters, such as {{ owner | replace(\" \", \"-\") }}",
};

/// The label of the Secrets that Scimitar makes.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Kubernetes documentation "Labels and Selectors", "Syntax and character set".
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => check_name(prefix).is_ok() && is_label_text(name),
        None => is_label_text(key),
    }
}

fn is_label_text(text: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Why a text cannot be a key of a Secret's data (Kubernetes API reference, `Secret.data`).
///
/// # Errors
/// In words that fit behind the key.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    let fits = !key.is_empty()
        && key.len() <= LONGEST_NAME
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && key != "."
        && !key.starts_with("..");
    if fits { Ok(()) } else { Err("cannot be a key of a Secret: letters, digits, - _ and . only") }
}

impl KubernetesTarget {
    /// The delivery to a remembered place, if it is in this cluster.
    pub(super) fn remembered(settings: &ClusterSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        let (key, _) = target.names(settings);
        if key != place.key {
            let words =
                format!("is in another cluster or namespace than [sinks.{}] names now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without asking the cluster.
    pub(super) fn checked(mut self, settings: &ClusterSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.secret, settings.sink);
        let failed = |words: String| invalid(&operation, words);
        check_name(&self.secret).map_err(|words| failed(format!("the name {words}")))?;
        let namespace = self.namespace.get_or_insert_with(|| settings.namespace.clone()).clone();
        check_namespace(&namespace).map_err(|words| failed(format!("the namespace {words}")))?;
        for key in self.payload.iter().flat_map(PayloadTemplate::keys) {
            check_key(key).map_err(|words| failed(format!("`{key}` {words}")))?;
        }
        let (key, location) = self.names(settings);
        // Where the sink's namespace changes, the place stays where it was.
        let delivery = Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?;
        let place = Place { key, sink: settings.sink.clone(), location, delivery };
        let Self { secret: name, payload, overwrite, labels, .. } = self;
        Ok(Checked { place, namespace, name, keys: Keys::new(payload), overwrite, labels })
    }

    /// The key and the location of the Secret.
    fn names(&self, settings: &ClusterSettings) -> (PlaceKey, String) {
        let namespace = self.namespace.as_deref().unwrap_or(&settings.namespace);
        let location = location(settings.cluster(), namespace, &self.secret);
        (PlaceKey::new(KIND, &location), location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        for good in ["a", "scim-initech", "0.scim.example", "x-1"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(254);
        for bad in ["", "A", "a_b", "-a", "a-", ".a", "a..b", "a.", "a/b", "ä", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let label = "x".repeat(64);
        for (name, fits) in [("team-a", true), ("team.a", false), ("", false), (&label, false)] {
            assert_eq!(check_namespace(name).is_ok(), fits, "{name}");
        }
        for (key, fits) in [("SCIM_TOKEN", true), ("a.json", true), ("a b", false), ("..", false)] {
            assert_eq!(check_key(key).is_ok(), fits, "{key}");
        }
    }
}
