//! `type = "auth0"`: one Auth0 tenant.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;
use serde_json::Value as Schema;

use super::{
    Auth0, Auth0Settings, ClientAuth, SHORTEST_LIFE, assertion::signs, capabilities, rights,
    scim_table,
};
use crate::{
    kind::{BuildError, Grant, endpoint},
    provider::{
        kind::{
            Built, Configuration, ConnectionIds, Declared, Kind, Managed, Needs, Reading,
            ScopeWords, Site, UsualLimit,
        },
        table::{HOST, base_url, base_url_shape, host_name, limits, plain_word},
    },
    rotation::policy::Capabilities,
    secret::Secret,
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, StoreWord, Table, Value,
        http::{self, http},
        secret::reference,
        shape::{self, credential, fitting},
        url,
    },
    token::{ConnectionId, Tenant},
};

/// The path of every Management API.
const MANAGEMENT_API: &str = "/api/v2/";

/// The lowest sustained rate that Auth0 documents for the Management API, in requests a second: what
/// a tenant is taken to have whose limit is not configured.
const LOWEST_RATE: f64 = 2.0;

/// The scopes that Auth0's SCIM tokens can have.
pub(in crate::provider) const SCOPES: [&str; 10] = [
    "get:users",
    "post:users",
    "put:users",
    "patch:users",
    "delete:users",
    "get:groups",
    "post:groups",
    "put:groups",
    "patch:groups",
    "delete:groups",
];

/// The strategies of connections that can have SCIM.
pub(in crate::provider) const STRATEGIES: [&str; 4] = ["samlp", "oidc", "okta", "waad"];

/// The ids of Auth0's connections.
pub(in crate::provider) const IDS: ConnectionIds = ConnectionIds {
    pattern: "con_[A-Za-z0-9]{16}",
    about: "`con_` and 16 letters or digits.",
    example: "con_0123456789abcdef",
    read: connection_id,
};

/// Auth0 tenants.
pub(in crate::provider) const KIND: Kind = Kind {
    word: "auth0",
    read,
    schema,
    ids: IDS,
    scopes: ScopeWords::These(&SCOPES),
    shortest_life: Some(SHORTEST_LIFE),
    configuration: Some(&scim_table::CONFIGURATION),
    // The schema of auth0/terraform-provider-auth0, and Pulumi's package made from it.
    managed: Some(Managed {
        terraform: "auth0_connection_scim_token",
        pulumi: "auth0:index/connectionScimToken:ConnectionScimToken",
        connection: Some("connection_id"),
        token: "token_id",
        scopes: Some("scopes"),
        value: "token",
    }),
};

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
    pub auth: ClientAuth<SecretRef>,
    /// The Management API's identifier; `https://{domain}/api/v2/` by default.
    pub audience: String,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

#[async_trait]
impl Declared for Auth0Config {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Versions before 0.2 took the domain, which may be a custom one.
    fn former_tenant(&self) -> Option<Tenant> {
        let domain = Tenant::try_new(self.domain.clone()).ok();
        domain.filter(|domain| *domain != self.tenant)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn scopes(&self) -> Vec<&str> {
        SCOPES.to_vec()
    }

    fn usual_limit(&self) -> UsualLimit {
        UsualLimit::Learnt { least: LOWEST_RATE }
    }

    fn http(&self) -> Option<&HttpConfig> {
        Some(&self.http)
    }

    fn unlistable(&self) -> Option<&str> {
        None
    }

    fn strategies(&self) -> &'static [&'static str] {
        &STRATEGIES
    }

    fn configuration(&self) -> Option<&'static Configuration> {
        KIND.configuration
    }

    fn grant(&self, table: String, needs: Needs) -> Option<Grant> {
        Some(rights::grant(table, self, needs))
    }

    async fn build(&self, site: Site<'_>) -> Result<Built, BuildError> {
        let Site { name, parts, http, pace, budget } = site;
        let settings = Auth0Settings {
            name: name.clone(),
            domain: self.domain.clone(),
            base_url: endpoint(&self.base_url)?,
            client_id: self.client_id.clone(),
            auth: match &self.auth {
                ClientAuth::Secret(secret) => ClientAuth::Secret(parts.credential(secret)),
                ClientAuth::AssertionKey(key) => ClientAuth::AssertionKey(parts.credential(key)),
            },
            audience: Some(self.audience.clone()),
            share: pace.share.get(),
            rate_limit: pace.limit,
            request_timeout: parts.request_timeout,
        };
        let (clock, entropy) = (Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
        let metrics = parts.metrics.clone();
        Ok(Built::remote(Auth0::new(settings, http, clock, entropy, metrics, Some(budget))))
    }
}

fn read(&Reading { table, outer, keyring, .. }: &Reading<'_, '_>) -> Option<Arc<dyn Declared>> {
    const HOW: &str = "write only the host, such as domain = \"acme.eu.auth0.com\"";
    let domain =
        table.require("domain", "\"acme.eu.auth0.com\"").and_then(|value| host_name(&value, HOW));
    let base_url = table.get("base_url").and_then(|value| base_url(&value));
    let client_id = table.require("client_id", "\"…\"").and_then(|value| plain_word(&value));
    let auth = client_auth(table, keyring);
    let audience = table.get("audience").and_then(|value| audience(&value));
    let http = http(table, keyring).or(outer);

    let domain = domain?;
    let base_url = match base_url {
        Some(url) => url,
        None => Url::parse(&format!("https://{domain}/")).ok()?,
    };
    let audience = audience.unwrap_or_else(|| format!("https://{domain}{MANAGEMENT_API}"));
    Some(Arc::new(Auth0Config {
        tenant: tenant(&audience, &domain)?,
        domain,
        base_url,
        client_id: client_id?,
        auth: auth?,
        audience,
        http,
    }))
}

/// The tenant that a provider belongs to: the host of its audience. Auth0 issues tokens for the
/// canonical domain alone, whatever domain the log-in is asked at. An audience of another form says
/// nothing of the tenant; it is then the domain.
fn tenant(audience: &str, domain: &str) -> Option<Tenant> {
    let canonical = Url::parse(audience).ok().filter(|url| {
        url.scheme() == "https" && url.port().is_none() && url.path() == MANAGEMENT_API
    });
    let canonical = canonical.as_ref().and_then(Url::host_str);
    Tenant::try_new(canonical.unwrap_or(domain)).ok()
}

fn client_auth(table: &Table<'_>, keyring: Keyring<'_>) -> Option<ClientAuth<SecretRef>> {
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
                format!("{} has no log-in method", table.name()),
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
        return Err("the private key is encrypted; save it without a passphrase");
    }
    let private = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"];
    if !private.iter().any(|mark| text.contains(mark)) {
        Err("this is not an RSA private key in PEM (-----BEGIN PRIVATE KEY-----)")
    } else if secrets == Secrets::Checked && !signs(pem) {
        Err("the private key cannot be used: it is cut short or damaged, or not an RSA key of at \
             least 2048 bits")
    } else {
        Ok(())
    }
}

fn audience(value: &Value<'_>) -> Option<String> {
    let url = url(value, "\"https://acme.eu.auth0.com/api/v2/\"")?;
    if url.path().ends_with("/api/v2") {
        value.refuse(
            "`audience` must end in a slash: Auth0 compares it character by character",
            "write it with /api/v2/ at the end",
        );
        return None;
    }
    value.as_str().map(str::to_owned)
}

/// `con_` and 16 letters or digits (the pattern in Auth0's API description; every recorded id
/// has it, and the sandbox makes such).
fn connection_id(value: &Value<'_>) -> Option<ConnectionId> {
    let text = value.string()?;
    let rest = text.strip_prefix("con_");
    let fits = rest
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    if !fits {
        let hint = match rest {
            Some(rest) => format!(
                "an id is `con_` and 16 letters or digits; after `con_` this has {} characters",
                rest.chars().count()
            ),
            None => "an id is `con_` and 16 letters or digits; it is in the address of the \
                     connection's page in the dashboard"
                .to_owned(),
        };
        value.refuse("`connection_id` is not a connection ID", hint);
        return None;
    }
    ConnectionId::try_new(text).ok()
}

/// The table, as JSON Schema.
fn schema(stores: &[StoreWord]) -> Schema {
    const SECRET: &str = "The application's secret; by reference only.";
    const KEY: &str = "The application's private key (RSA, PEM), for private_key_jwt.";
    const AUDIENCE: &str = "The Management API's identifier. Default: \"https://DOMAIN/api/v2/\".";
    let keys = shape::table("An Auth0 tenant.")
        .tag("type", "auth0")
        .must(
            "domain",
            fitting("The tenant's domain, or its custom domain.", HOST, "acme.eu.auth0.com"),
        )
        .must("client_id", fitting("The machine-to-machine application.", r"^\S+$", "client"))
        .either("client_secret", credential(SECRET, stores))
        .either("client_assertion_key", credential(KEY, stores))
        .may(
            "audience",
            fitting(AUDIENCE, r"^https?://[^@?#]+$", "https://acme.eu.auth0.com/api/v2/"),
        )
        .may("base_url", base_url_shape());
    limits(keys).may("http", http::schema()).build()
}
