//! A vault and a secret in it as they are configured, checked before they are used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::KIND;
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, HttpSettings},
    sink::{
        Container, Place, Remembered,
        azure_identity::{Authority, Identity, Login},
        payload::{Labels, Limits, PayloadTemplate},
        rules::{Keys, form::Form, invalid, not_remembered, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The longest name of a secret (Microsoft's documentation "Vault-name and Object-name").
const LONGEST_NAME: usize = 127;

/// The most tags of a secret.
pub(super) const MOST_TAGS: usize = 15;

/// The tags that a delivery may put there; one is left for marks. The service takes 256 characters in a
/// name and in a value (Microsoft's documentation "About Azure Key Vault secrets").
pub(super) static TAGS: Limits = Limits {
    key: "tags",
    most: MOST_TAGS - 1,
    reserved: &[],
    check_key: |key| match is_of_a_tag(key) {
        true => Ok(()),
        false => Err("is not a valid tag name: 1 to 256 characters without a line break"),
    },
    check_value: |value| match is_of_a_tag(value) {
        true => Ok(()),
        false => Err("is not a valid tag value: up to 256 characters without a line break"),
    },
    way_out: "shorten it, as in {{ scopes[:256] }}",
};

fn is_of_a_tag(text: &str) -> bool {
    (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// `[sinks.NAME]` of type `azure_key_vault`, as it runs.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// The vault.
    pub vault: Endpoint,
    /// Where log-ins are.
    pub authority: Authority,
    /// Who we are there.
    pub identity: Identity,
    /// How to reach it.
    pub http: HttpSettings,
}

/// A vault, shared by all places in it: one set of connections, and one log-in.
#[derive(Debug)]
pub struct Vault {
    pub(super) settings: VaultSettings,
    pub(super) http: Http,
    pub(super) login: Login,
}

impl Vault {
    /// A vault; nothing is asked of it yet.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn try_new(
        settings: VaultSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, Fault> {
        let http = Http::try_new(settings.http.clone()).map_err(|error| {
            let what = format!("reach the vault of [sinks.{}]", settings.sink);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let (authority, identity) = (settings.authority.clone(), settings.identity.clone());
        let login = Login::new(authority, identity, http.clone(), clock, entropy);
        Ok(Arc::new(Self { settings, http, login }))
    }
}

impl VaultSettings {
    fn location(&self, name: &str) -> String {
        location_of(&self.vault, name)
    }

    /// What secrets there are in. Names of vaults are unique in their cloud.
    pub(super) fn container(&self) -> Container {
        let host = self.vault.host();
        Container { words: format!("the vault at {host}"), id: host, strict: true }
    }
}

/// What a secret there is called, whichever sink names it.
pub(super) fn location_of(vault: &Endpoint, name: &str) -> String {
    // Key Vault's names are the same in any case.
    format!("{}/{}", vault.host(), name.to_ascii_lowercase())
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureTarget {
    /// The secret's name.
    pub secret_name: String,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether the secret's value is the token alone; never with `payload`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Whether what others put there may be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// What is said in tags.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub tags: Labels,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) overwrite: bool,
    pub(super) tags: Labels,
}

/// Why a text cannot be a secret's name.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_name(text: &str) -> Result<(), &'static str> {
    let fits = (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err("must have 1 to 127 letters, digits and -") }
}

impl AzureTarget {
    /// The delivery to a remembered place, if it is in this vault.
    pub(super) fn remembered(settings: &VaultSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        if PlaceKey::new(KIND.places, &settings.location(&target.secret_name)) != place.key {
            let words = format!("is in another vault than [sinks.{}] names now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn checked(self, settings: &VaultSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.secret_name, settings.sink);
        let failed = |words: String| invalid(&operation, words);
        check_name(&self.secret_name).map_err(|words| failed(format!("the name {words}")))?;
        if self.raw && self.payload.is_some() {
            return Err(failed("`payload` needs keys, and `format = \"raw\"` has none".to_owned()));
        }
        let location = settings.location(&self.secret_name);
        let place = Place {
            key: PlaceKey::new(KIND.places, &location),
            sink: settings.sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { secret_name: name, payload, raw, overwrite, tags } = self;
        let form = if raw { Form::Raw } else { Form::Keys(Keys::new(payload)) };
        Ok(Checked { place, name, form, overwrite, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_key_vault_takes() {
        let long = "x".repeat(128);
        for (name, fits) in
            [("scim-Initech-1", true), ("", false), ("a_b", false), ("a/b", false), (&long, false)]
        {
            assert_eq!(check_name(name).is_ok(), fits, "{name}");
        }
    }
}
