//! `[providers.NAME]`: the services that issue tokens.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use reqwest::Url;

use super::{
    dbt_cloud::{DbtCloudConfig, dbt_cloud},
    tenants,
};
use crate::{
    provider,
    rotation::policy::Capabilities,
    secret::Secret,
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, Set, Table, Value, amount, http::http,
        is_loopback, secret::reference, shown, suggest, url,
    },
    token::{ConnectionId, ProviderName, Tenant},
};

/// The share of a tenant's request limit that is used when `share` does not say.
const DEFAULT_SHARE: f64 = 0.5;

/// One provider.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderConfig {
    /// `type = "auth0"`.
    Auth0(Auth0Config),
    /// `type = "dbt_cloud"`.
    DbtCloud(DbtCloudConfig),
    /// `type = "sandbox"`.
    Sandbox(SandboxConfig),
}

impl ProviderConfig {
    /// The account that its connections belong to.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Auth0(auth0) => &auth0.tenant,
            Self::DbtCloud(dbt_cloud) => &dbt_cloud.tenant,
            Self::Sandbox(sandbox) => &sandbox.tenant,
        }
    }

    /// Another name that records of this tenant may be kept under: versions before 0.2 took the
    /// domain, which may be a custom one.
    #[must_use]
    pub fn former_tenant(&self) -> Option<Tenant> {
        match self {
            Self::Auth0(auth0) => {
                let domain = Tenant::try_new(auth0.domain.clone()).ok();
                domain.filter(|domain| *domain != auth0.tenant)
            }
            Self::DbtCloud(_) | Self::Sandbox(_) => None,
        }
    }

    /// What it can do, by which it is checked that a policy has a meaning there.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match self {
            Self::Auth0(_) | Self::Sandbox(SandboxConfig { face: Face::Auth0, .. }) => {
                provider::auth0::capabilities()
            }
            Self::DbtCloud(_) | Self::Sandbox(SandboxConfig { face: Face::DbtCloud(_), .. }) => {
                provider::dbt_cloud::capabilities()
            }
        }
    }

    /// The one connection that the account has; `None` where it can have many.
    #[must_use]
    pub fn only_connection(&self) -> Option<&ConnectionId> {
        match self {
            Self::Auth0(_) | Self::Sandbox(SandboxConfig { face: Face::Auth0, .. }) => None,
            Self::Sandbox(SandboxConfig { face: Face::DbtCloud(account), .. }) => Some(account),
            Self::DbtCloud(dbt_cloud) => Some(&dbt_cloud.account),
        }
    }
}

/// An Auth0 tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth0Config {
    /// The tenant's canonical domain, by the audience: what records are kept under.
    pub tenant: Tenant,
    /// The tenant's (or custom) domain, in lower case.
    pub domain: String,
    /// Where log-in, Management API and SCIM endpoint are reached; `https://{domain}/` by default.
    /// https, or http to loopback; no path.
    pub base_url: Url,
    /// The machine-to-machine application.
    pub client_id: String,
    /// How it proves itself.
    pub auth: ClientAuth,
    /// The Management API's identifier; `https://{domain}/api/v2/` by default.
    pub audience: String,
    /// The tenant's plan; `None`: learnt from its answers.
    pub rate_limit: Option<RateLimit>,
    /// How much of that limit is used at most.
    pub share: LimitShare,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

/// How a client proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret`.
    Secret(SecretRef),
    /// `client_assertion_key`: a private key in PEM, for private_key_jwt.
    AssertionKey(SecretRef),
}

/// A tenant's request limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests a second, in the long run; above 0.
    pub per_second: f64,
    /// Requests at once; at least 1.
    pub burst: u32,
}

/// A part of a limit, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LimitShare(f64);

impl LimitShare {
    /// As a number in (0, 1].
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The embedded rehearsal tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxConfig {
    /// `sandbox:` and the provider's name.
    pub tenant: Tenant,
    /// Which provider it behaves as.
    pub face: Face,
    /// Where its state is kept; absolute. `None`: it is lost with the process.
    pub data_dir: Option<PathBuf>,
    /// The limit that it enforces; `None`: none.
    pub rate_limit: Option<RateLimit>,
    /// How much of that limit is used at most.
    pub share: LimitShare,
}

/// What the rehearsal server is reached as: it has both faces at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    /// An Auth0 tenant.
    Auth0,
    /// An account of dbt Cloud, with this number.
    DbtCloud(ConnectionId),
}

impl Face {
    /// The one account that the rehearsal server has.
    fn dbt_cloud() -> Option<Self> {
        ConnectionId::try_new("12345").ok().map(Self::DbtCloud)
    }
}

/// All providers that are declared: `None` for those with mistakes of their own, so that who
/// names one of them is not told that it does not exist.
pub(super) type Providers<'s> = BTreeMap<ProviderName, Set<'s, Option<ProviderConfig>>>;

/// Reads `[providers]`.
pub(super) fn providers<'s>(
    root: &Table<'s>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Providers<'s> {
    let table = root.get("providers").and_then(|value| value.table("[providers]"));
    let mut providers = Providers::new();
    for (name, value) in table.iter().flat_map(Table::values) {
        let name = match ProviderName::try_new(name) {
            Ok(name) => name,
            Err(error) => {
                value.findings().plain_error(value.key_at, error.to_string());
                continue;
            }
        };
        let set = Set { value: one_provider(&name, &value, outer, keyring), at: value.key_at };
        providers.insert(name, set);
    }
    tenants::share(root, &mut providers);
    refuse_shared_folders(root, &providers);
    providers
}

fn one_provider(
    name: &ProviderName,
    value: &Value<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<ProviderConfig> {
    let table = value.table(format!("[providers.{}]", shown(name.as_str())))?;
    let before = table.findings().count();
    let kind = table.require("type", "\"auth0\"")?;
    let read = match kind.string()? {
        "auth0" => auth0(&table, outer, keyring).map(ProviderConfig::Auth0),
        "sandbox" => sandbox(name, &table).map(ProviderConfig::Sandbox),
        "dbt_cloud" => dbt_cloud(&table, outer, keyring).map(ProviderConfig::DbtCloud),
        unknown => {
            kind.refuse(
                format!("there is no provider of type \"{}\"", shown(unknown)),
                suggest(unknown, ["auth0", "dbt_cloud", "sandbox"], "the types are"),
            );
            return None;
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    // Nothing half-right is handed on.
    read.filter(|_| findings.count() == before)
}

fn auth0(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<Auth0Config> {
    let domain = table.require("domain", "\"acme.eu.auth0.com\"").and_then(|value| domain(&value));
    let base_url = table.get("base_url").and_then(|value| base_url(&value));
    let client_id = table.require("client_id", "\"…\"").and_then(|value| plain_word(&value));
    let auth = client_auth(table, keyring);
    let audience = table.get("audience").and_then(|value| audience(&value));
    let rate_limit = rate_limit(table);
    let share = share(table);
    let http = http(table, keyring).or(outer);

    let domain = domain?;
    let base_url = match base_url {
        Some(url) => url,
        None => Url::parse(&format!("https://{domain}/")).ok()?,
    };
    let audience = audience.unwrap_or_else(|| format!("https://{domain}/api/v2/"));
    Some(Auth0Config {
        tenant: tenants::of(&audience, &domain)?,
        domain,
        base_url,
        client_id: client_id?,
        auth: auth?,
        audience,
        rate_limit,
        share,
        http,
    })
}

fn sandbox(name: &ProviderName, table: &Table<'_>) -> Option<SandboxConfig> {
    let data_dir = table.get("data_dir");
    let path = data_dir.and_then(|value| value.path());
    if data_dir.is_none() {
        table.findings().warning(
            table.at(),
            format!("{} forgets its tokens with every process", table.name()),
            "give it a data_dir, so that a second run finds what the first one left",
        );
    }
    if let (Some(value), Some(path)) = (data_dir, &path)
        && path.exists()
        && !path.is_dir()
    {
        value.refuse("`data_dir` is not a folder", "name a folder");
    }
    let is_dbt = match table.get("face") {
        Some(value) => value.word(&[("auth0", false), ("dbt_cloud", true)])?,
        None => false,
    };
    let face = if is_dbt { Face::dbt_cloud()? } else { Face::Auth0 };
    Some(SandboxConfig {
        tenant: Tenant::try_new(format!("sandbox:{name}")).ok()?,
        face,
        data_dir: path,
        rate_limit: rate_limit(table),
        share: share(table),
    })
}

fn client_auth(table: &Table<'_>, keyring: Keyring<'_>) -> Option<ClientAuth> {
    let secret = table.get("client_secret");
    let key = table.get("client_assertion_key");
    let read_secret = secret.and_then(|value| reference(&value, keyring, |_| Ok(())));
    let read_key = key
        .and_then(|value| reference(&value, keyring, |pem| is_private_key(pem, keyring.secrets)));
    match (secret, key) {
        (Some(_), None) => read_secret.map(ClientAuth::Secret),
        (None, Some(_)) => read_key.map(ClientAuth::AssertionKey),
        (Some(_), Some(key)) => {
            table.findings().error(
                key.key_at,
                format!("{} has both `client_secret` and `client_assertion_key`", table.name()),
                "keep the one that the application is set up for",
            );
            None
        }
        (None, None) => {
            table.findings().error(
                table.at(),
                format!("{} does not say how to log in", table.name()),
                "write client_secret = { credential = \"NAME\" }, or client_assertion_key = \
                 { file = \"key.pem\" } for private_key_jwt",
            );
            None
        }
    }
}

/// What is wrong inside it is an error for who asks; a run fails with that provider alone.
fn is_private_key(pem: &Secret, secrets: Secrets) -> Result<(), &'static str> {
    let text = pem.expose();
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err("the private key is encrypted; store it without a passphrase");
    }
    let private = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"];
    if !private.iter().any(|mark| text.contains(mark)) {
        Err("this is not an RSA private key in PEM (-----BEGIN PRIVATE KEY-----)")
    } else if secrets == Secrets::Checked && !provider::auth0::signs(pem) {
        Err(
            "the private key cannot be used: it is cut short or damaged, or no RSA key of at least \
             2048 bits",
        )
    } else {
        Ok(())
    }
}

fn domain(value: &Value<'_>) -> Option<String> {
    host_name(value, "write the host alone, such as domain = \"acme.eu.auth0.com\"")
}

pub(super) fn host_name(value: &Value<'_>, how: &str) -> Option<String> {
    let domain = value.string()?.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) || !domain.contains('.') {
        value.refuse(format!("`{}` is not a host name", value.key()), how);
        return None;
    }
    Some(domain)
}

pub(super) fn base_url(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"http://127.0.0.1:4400\"")?;
    let trouble = match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some("`base_url` is http:// to another machine: credentials would be readable"),
        _ => Some("`base_url` is neither https:// nor http:// to loopback"),
    };
    let has_path = url.path() != "/";
    let trouble = trouble.or_else(|| has_path.then_some("`base_url` must not hold a path"));
    if let Some(trouble) = trouble {
        value.refuse(
            trouble,
            "write https://HOST, or http://127.0.0.1:PORT for a server on this machine",
        );
        return None;
    }
    Some(url)
}

fn audience(value: &Value<'_>) -> Option<String> {
    let url = url(value, "\"https://acme.eu.auth0.com/api/v2/\"")?;
    if url.path().ends_with("/api/v2") {
        value.refuse(
            "`audience` lacks its last slash: Auth0 compares it to the letter",
            "end it in /api/v2/",
        );
        return None;
    }
    value.as_str().map(str::to_owned)
}

fn plain_word(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        value.refuse(
            format!("`{}` must not hold white space", value.key()),
            "copy it again from the application's settings",
        );
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn rate_limit(table: &Table<'_>) -> Option<RateLimit> {
    let value = table.get("rate_limit")?;
    let limit = value.table(format!("`rate_limit` of {}", table.name()))?;
    let per_second = limit.require("per_second", "16").and_then(|value| value.positive(100_000.0));
    let burst = limit.require("burst", "50").and_then(|value| value.integer(1..=1_000_000));
    limit.finish(&[]);
    Some(RateLimit { per_second: per_second?, burst: burst? })
}

pub(super) fn share(table: &Table<'_>) -> LimitShare {
    let share = table.get("share").and_then(|value| {
        let text = value.text_with_unit("a share such as \"50%\"")?;
        let share = amount::percent(text).filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            value.refuse("`share` must be more than 0% and at most 100%", "write share = \"50%\"");
        }
        share
    });
    LimitShare(share.unwrap_or(DEFAULT_SHARE))
}

/// Two sandboxes in one folder are one tenant under two names: a connection could be in it twice.
fn refuse_shared_folders(root: &Table<'_>, providers: &Providers<'_>) {
    let mut seen: BTreeMap<&Path, &ProviderName> = BTreeMap::new();
    for (name, set) in providers {
        let folder = match &set.value {
            Some(ProviderConfig::Sandbox(sandbox)) => sandbox.data_dir.as_deref(),
            Some(ProviderConfig::Auth0(_) | ProviderConfig::DbtCloud(_)) | None => None,
        };
        let Some(folder) = folder else { continue };
        if let Some(first) = seen.get(folder) {
            root.findings().error(
                set.at,
                format!("the sandboxes `{first}` and `{name}` have the same data_dir"),
                "give each its own folder, or use one provider for both",
            );
        } else {
            seen.insert(folder, name);
        }
    }
}
