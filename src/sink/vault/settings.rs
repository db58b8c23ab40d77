//! The settings of a server and of a secret on it, checked before they are used.

use serde::{Deserialize, Serialize};

use super::{
    auth::Auth,
    path::{below, check_path, location},
};
use crate::{
    error::Fault,
    http::{Endpoint, HttpSettings},
    secret::SecretSource,
    sink::{
        Place, Remembered,
        payload::{Labels, Limits, PayloadTemplate},
        rules::{Keys, invalid, not_remembered, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "vault";

/// What a delivery may put into the metadata that users may write: a server takes 64 keys of 128 bytes and
/// values of 512 (`validateCustomMetadata` of its key-value engine), and marks take some of them.
pub(super) static CUSTOM: Limits = Limits {
    key: "custom_metadata",
    most: 24,
    reserved: &[],
    check_key: |key| match (1..=128).contains(&key.len()) && !key.chars().any(char::is_control) {
        true => Ok(()),
        false => Err("is not valid for custom_metadata: 1 to 128 bytes that can be printed"),
    },
    check_value: |value| match value.len() <= 512 && !value.chars().any(char::is_control) {
        true => Ok(()),
        false => Err("is not valid for custom_metadata: up to 512 bytes that can be printed"),
    },
    way_out: "shorten it, as in {{ scopes[:512] }}",
};

/// A certificate of our own, for the TLS connection.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: SecretSource,
    /// Its private key, in PEM.
    pub key: SecretSource,
}

/// `[sinks.NAME]` of type `vault`.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// Where it is; without a path.
    pub address: Endpoint,
    /// The namespace of the secrets, and of the log-in unless that has its own.
    pub namespace: Option<String>,
    /// How to log in.
    pub auth: Auth,
    /// How to reach it.
    pub http: HttpSettings,
    /// Our own certificate.
    pub identity: Option<Identity>,
}

impl ServerSettings {
    /// The namespace of the log-in.
    pub(super) fn login_namespace(&self) -> Option<&str> {
        self.auth.namespace_in(self.namespace.as_deref())
    }

    /// The way from there down to the secrets, with a slash behind it.
    pub(super) fn inside(&self) -> String {
        self.auth.way_down(self.namespace.as_deref())
    }
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultTarget {
    /// The secret's path, the mount in front.
    pub path: String,
    /// The mount, where the configuration says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether what others put there may be lost, once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// What is said in the metadata that users may write.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub custom_metadata: Labels,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) mount: Option<String>,
    pub(super) keys: Keys,
    pub(super) overwrite: bool,
    pub(super) custom: Labels,
}

impl VaultTarget {
    /// The delivery to a remembered place, if it is on this server.
    pub(super) fn remembered(server: &ServerSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        let (key, _) = names(server, &target.path);
        if key != place.key {
            let words = format!(
                "is on another server or in another namespace than [sinks.{}] names now",
                place.sink
            );
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without asking the server.
    pub(super) fn checked(self, server: &ServerSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.path, server.sink);
        let failed = |words: String| invalid(&operation, words);
        check_path(&self.path).map_err(|words| failed(format!("the path {words}")))?;
        if let Some(mount) = &self.mount {
            check_path(mount).map_err(|words| failed(format!("the mount {words}")))?;
            if below(&self.path, mount).is_none() {
                return Err(failed(format!("the path does not lie in the mount {mount}")));
            }
        }
        let (key, location) = names(server, &self.path);
        let place = Place {
            key,
            sink: server.sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { path, mount, payload, overwrite, custom_metadata: custom } = self;
        Ok(Checked { place, path, mount, keys: Keys::new(payload), overwrite, custom })
    }
}

/// The key and the location of a path on a server.
fn names(server: &ServerSettings, path: &str) -> (PlaceKey, String) {
    let location = location(server.address.url(), server.namespace.as_deref(), path);
    (PlaceKey::new(KIND, &location), location)
}
