//! A place in Vault as it is configured, checked before it is used.

use std::sync::Arc;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::server::VaultServer;
use crate::{
    error::Fault,
    sink::{
        Place,
        payload::PayloadTemplate,
        rules::{Keys, invalid, not_remembered, remembered},
    },
    token::PlaceKey,
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "vault";

/// The longest path that is accepted.
const LONGEST: usize = 512;

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultDelivery {
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
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) mount: Option<String>,
    pub(super) keys: Keys,
    pub(super) overwrite: bool,
}

/// Why a path cannot be one of a secret: what would be another path once it is sent is refused.
///
/// # Errors
/// In words that fit behind the path's name.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > LONGEST {
        return Err("is longer than 512 bytes");
    }
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("holds white space or control characters");
    }
    if path.chars().any(|c| "%?#\\*".contains(c)) {
        return Err("holds one of % ? # \\ *, which mean something else in a URL or a policy");
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(
            "has an empty part, \".\" or \"..\": the server would take it for another path",
        );
    }
    Ok(())
}

/// What is left of a path behind its mount; `None` when it is not in that mount.
pub(super) fn below<'p>(path: &'p str, mount: &str) -> Option<&'p str> {
    path.strip_prefix(mount)?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

impl VaultDelivery {
    /// The delivery to a remembered place, if it is on this server.
    pub(super) fn remembered(server: &VaultServer, place: &Place) -> Result<Self, Fault> {
        let delivery: Self = remembered(place)?;
        let (key, _) = names(server, &delivery.path);
        if key != place.key {
            let words = format!(
                "is on another server or in another namespace than [sinks.{}] names today",
                place.sink
            );
            return Err(not_remembered(place, &words));
        }
        Ok(delivery)
    }

    /// Checks everything that can be checked without asking the server.
    pub(super) fn checked(self, server: &Arc<VaultServer>) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.path, server.settings.sink);
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
            sink: server.settings.sink.clone(),
            location,
            delivery: serde_json::to_value(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { path, mount, payload, overwrite } = self;
        Ok(Checked { place, path, mount, keys: Keys::new(payload), overwrite })
    }
}

/// What a path of a server is called.
pub(super) fn location(address: &Url, namespace: Option<&str>, path: &str) -> String {
    let address = address.as_str().trim_end_matches('/');
    let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
    format!("{address}/{namespace}{path}")
}

/// The key and the location of a path on a server.
fn names(server: &VaultServer, path: &str) -> (PlaceKey, String) {
    let settings = &server.settings;
    let location = location(settings.address.url(), settings.namespace.as_deref(), path);
    (PlaceKey::new(KIND, &location), location)
}
