//! `[sinks.NAME]` of type `azure_key_vault`, and what `deliver_to` says of a secret there.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use reqwest::Url;
use serde_json::json;

use super::{
    AzureSink, KIND,
    rights::{self, Needs},
    settings::{AzureTarget, TAGS, Vault, VaultSettings, check_name, location_of},
};
use crate::{
    http::Endpoint,
    kind::{self, BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        azure_identity::{Auth, Authority, auth},
        entry::{labels, overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{HttpConfig, Keyring, Table, Value, address, http::http},
    token::SinkName,
};

/// The clouds: how hosts of vaults end, where log-ins are, and what Key Vault is called there (Microsoft's
/// documentation "National clouds" and "Azure Key Vault DNS suffixes").
const CLOUDS: [(&str, &str, &str); 3] = [
    ("vault.azure.net", "https://login.microsoftonline.com", "https://vault.azure.net"),
    ("vault.azure.cn", "https://login.chinacloudapi.cn", "https://vault.azure.cn"),
    (
        "vault.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://vault.usgovcloudapi.net",
    ),
];

/// A vault, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureConfig {
    /// The vault's URI.
    pub vault: Url,
    /// How to log in.
    auth: Auth,
    /// Where log-ins are, when not where the vault's cloud has them.
    pub authority: Option<Url>,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

impl AzureConfig {
    fn endpoint(&self) -> Option<Endpoint> {
        kind::endpoint(&self.vault).ok()
    }

    fn authority(&self) -> Result<Authority, BuildError> {
        let (login, resource) = cloud(&self.vault).unwrap_or((CLOUDS[0].1, CLOUDS[0].2));
        let login = match &self.authority {
            Some(url) => kind::endpoint(url)?,
            None => {
                let url = Url::parse(login).map_err(|error| BuildError::of(&error))?;
                kind::endpoint(&url)?
            }
        };
        Ok(Authority { login, resource: resource.to_owned() })
    }
}

/// The log-in and the resource of the cloud that a vault is in, by its host.
fn cloud(vault: &Url) -> Option<(&'static str, &'static str)> {
    let host = vault.host_str()?;
    let of = |(suffix, ..): &&(&str, &str, &str)| {
        host.strip_suffix(suffix).is_some_and(|name| name.ends_with('.'))
    };
    CLOUDS.iter().find(of).map(|(_, login, resource)| (*login, *resource))
}

impl SinkConfig for AzureConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry, known);
        let place = |target: &AzureTarget| {
            let place = location_of(&self.endpoint()?, &target.secret_name);
            Some(Spot::Named(format!("{}:{place}", KIND.places)))
        };
        (target.as_ref().and_then(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let names_of = |wanted: Mode| -> BTreeSet<String> {
            let of_mode = deliveries.iter().filter(|(_, mode)| *mode == wanted);
            let targets = of_mode.filter_map(|(to, _)| to.of_kind::<AzureTarget>().ok());
            targets.map(|to| to.secret_name.clone()).collect()
        };
        let needs = Needs { names: names_of(Mode::Rotate), watched: names_of(Mode::Observe) };
        let host = self.vault.host_str().unwrap_or_default();
        let vault = host.split('.').next().unwrap_or_default();
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: host.to_owned(),
            namespace: None,
            to: "a custom role on each secret, for the application or identity that `auth` names",
            policy: rights::roles(vault, &needs),
            rights: json!({ "azure": rights::actions(&needs) }),
        })
    }

    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let settings = VaultSettings {
            sink: name.clone(),
            vault: kind::endpoint(&self.vault)?,
            authority: self.authority()?,
            identity: self.auth.identity(parts)?,
            http: parts.http_settings(&self.http)?,
        };
        let (clock, entropy) = (Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
        let vault = Vault::try_new(settings, clock, entropy);
        Ok(Arc::new(vault.map_err(BuildError::new)?))
    }
}

#[async_trait]
impl Service for Arc<Vault> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &AzureTarget = target.of_kind()?;
        Ok(Arc::new(AzureSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(AzureSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
pub(super) fn sink(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<AzureConfig> {
    let before = table.findings().count();
    let vault = table
        .require("vault", "\"https://acme-scim.vault.azure.net\"")
        .and_then(|value| address(&value, "\"https://acme-scim.vault.azure.net\""));
    let auth = table
        .require("auth", "{ method = \"managed_identity\" }")
        .and_then(|value| auth(&value, keyring));
    let authority = table
        .get("authority")
        .and_then(|value| address(&value, "\"https://login.microsoftonline.com\""));
    let own = http(table, keyring);
    let (vault, auth) = vault.zip(auth)?;
    if cloud(&vault).is_none() && authority.is_none() {
        table.findings().error(
            table.at(),
            format!("the host of {}'s `vault` belongs to no known cloud", table.name()),
            "correct it, or write authority = \"https://…\" beside it",
        );
    }
    (table.findings().count() == before).then(|| AzureConfig {
        vault,
        auth,
        authority,
        http: own.or(outer),
    })
}

/// Reads what `deliver_to` says of a secret.
fn target(table: &Table<'_>, known: &Known<'_>) -> Option<AzureTarget> {
    let secret_name =
        table.require("secret_name", "\"scim-initech\"").and_then(|value| name(&value));
    let raw = table.get("format").and_then(|value| value.word(&[("json", false), ("raw", true)]));
    let raw = raw.unwrap_or(false);
    let bare = raw.then_some("remove one of the two");
    let payload = table.get("payload").and_then(|value| payload(&value, bare, false));
    let overwrite = overwrite(table);
    let tags = labels(table, &TAGS, known);
    Some(AzureTarget { secret_name: secret_name?, payload, raw, overwrite, tags })
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check_name(text) {
        value.refuse(format!("`secret_name` {words}"), "write a name such as \"scim-initech\"");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_logged_in_to_where_its_cloud_is() {
        for (vault, login) in [
            ("https://a.vault.azure.net", Some("https://login.microsoftonline.com")),
            ("https://a.vault.azure.cn", Some("https://login.chinacloudapi.cn")),
            ("https://a.vault.usgovcloudapi.net", Some("https://login.microsoftonline.us")),
            ("https://vault.azure.net", None),
            ("https://evilvault.azure.net", None),
            ("https://a.vault.azure.net.example.com", None),
        ] {
            let cloud = cloud(&Url::parse(vault).unwrap());
            assert_eq!(cloud.map(|(login, _)| login), login, "{vault}");
        }
    }
}
