//! The kind `okta`: `[sinks.NAME]`, and what `deliver_to` says of an application.

use std::sync::Arc;

use async_trait::async_trait;
use jsonwebtoken::EncodingKey;
use reqwest::Url;

use super::{
    Identity, OktaSink, rights, schema,
    settings::{KIND as PLACES, OktaTarget, Org, OrgSettings},
};
use crate::{
    kind::{BuildError, Grant, Parts, endpoint},
    rotation::policy::Mode,
    secret::Secret,
    sink::{
        Kind, Place, Service,
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, Table, Value, address, guarded, http::http,
        secret::reference, url,
    },
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "okta",
    places: PLACES,
    location: "app_id",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, outer, keyring| Some(Arc::new(sink(table, outer, keyring)?)),
    absent: None,
    store: None,
    reopen: None,
};

/// An org, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OktaConfig {
    /// Its address.
    pub org_url: Url,
    auth: Auth,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Auth {
    ApiToken(SecretRef),
    PrivateKey { client: String, key_id: Option<String>, key: SecretRef },
}

#[derive(Clone, Copy)]
enum Method {
    ApiToken,
    PrivateKey,
}

impl SinkConfig for OktaConfig {
    fn deliver(&self, entry: &Table<'_>, _known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry);
        let spot = |target: &OktaTarget| Spot::Named(format!("{PLACES}:{}", target.app_id));
        (target.as_ref().map(spot), target.map(Target::new))
    }

    /// What is only watched is not asked for.
    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let delivered = deliveries.iter().filter(|(_, mode)| *mode == Mode::Rotate);
        let targets = delivered.filter_map(|(to, _)| to.of_kind::<OktaTarget>().ok());
        let apps: Vec<&str> = targets.map(|to| &*to.app_id).collect();
        let (to, by_scopes) = match &self.auth {
            Auth::ApiToken(_) => ("the administrator whose API token `auth` names", false),
            Auth::PrivateKey { .. } => ("the service app that `auth` names", true),
        };
        (!apps.is_empty()).then_some(())?;
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: endpoint(&self.org_url).ok()?.host(),
            namespace: None,
            to,
            policy: rights::policy(&apps, by_scopes),
            rights: rights::rights(&apps, by_scopes),
        })
    }

    fn readable(&self) -> bool {
        false
    }

    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let identity = match &self.auth {
            Auth::ApiToken(token) => Identity::ApiToken(parts.secret(token)),
            Auth::PrivateKey { client, key_id, key } => Identity::PrivateKey {
                client: client.clone(),
                key_id: key_id.clone(),
                key: parts.secret(key),
            },
        };
        let settings = OrgSettings {
            sink: name.clone(),
            org: endpoint(&self.org_url)?,
            identity,
            http: parts.http_settings(&self.http)?,
        };
        let (clock, entropy) = (Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
        Ok(Arc::new(Org::try_new(settings, clock, entropy).map_err(BuildError::new)?))
    }
}

#[async_trait]
impl Service for Arc<Org> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &OktaTarget = target.of_kind()?;
        Ok(Arc::new(OktaSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(OktaSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<OktaConfig> {
    const ORG: &str = "\"https://acme.okta.com\"";
    let before = table.findings().count();
    let org_url = table.require("org_url", ORG).and_then(|value| org(&value, ORG));
    let auth = table
        .require("auth", "{ method = \"api_token\", api_token = { credential = \"okta\" } }")
        .and_then(|value| auth(&value, keyring));
    let own = http(table, keyring);
    let (org_url, auth) = (org_url?, auth?);
    let http = own.or(outer);
    (table.findings().count() == before).then_some(OktaConfig { org_url, auth, http })
}

/// The API answers at the org's own address, and not at that of the Admin Console.
fn org(value: &Value<'_>, example: &str) -> Option<Url> {
    let url = address(value, example)?;
    let host = url.host_str().unwrap_or_default();
    let Some((name, domain)) =
        host.split_once("-admin.").filter(|(_, rest)| rest.starts_with("okta"))
    else {
        return Some(url);
    };
    value.refuse(
        "`org_url` is the address of the Admin Console, not of the org",
        format!("write org_url = \"https://{name}.{domain}\""),
    );
    None
}

fn auth(value: &Value<'_>, keyring: Keyring<'_>) -> Option<Auth> {
    let table = value.table("`auth`")?;
    let before = table.findings().count();
    let method = table
        .require("method", "\"api_token\"")?
        .word(&[("api_token", Method::ApiToken), ("private_key", Method::PrivateKey)])?;
    let read = match method {
        Method::ApiToken => {
            let token = table.require("api_token", "{ credential = \"okta\" }");
            token.and_then(|value| reference(&value, keyring, is_token)).map(Auth::ApiToken)
        }
        Method::PrivateKey => {
            let client = table.require("client_id", "\"0oa…\"").and_then(|value| word(&value));
            let key_id = table.get("key_id").and_then(|value| word(&value));
            let key = table.require("private_key", "{ credential = \"okta.pem\" }");
            let key = key
                .and_then(|value| reference(&value, keyring, |pem| is_key(pem, keyring.secrets)));
            client.zip(key).map(|(client, key)| Auth::PrivateKey { client, key_id, key })
        }
    };
    let findings = table.findings();
    table.finish(&[]);
    read.filter(|_| findings.count() == before)
}

fn is_token(token: &Secret) -> Result<(), &'static str> {
    if token.expose().starts_with("SSWS ") {
        return Err("it begins with \"SSWS \", which is not part of the API token");
    }
    Ok(())
}

/// What is wrong inside it is an error for who asks; a run fails with the connections of this sink alone.
fn is_key(pem: &Secret, secrets: Secrets) -> Result<(), &'static str> {
    let private = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"];
    if !private.iter().any(|mark| pem.expose().contains(mark)) {
        return Err(
            "this is not an RSA private key in PEM (-----BEGIN PRIVATE KEY-----) without a passphrase",
        );
    }
    let key = EncodingKey::from_rsa_pem(pem.expose().as_bytes());
    if secrets == Secrets::Checked && key.is_err() {
        return Err(
            "the private key cannot be used: it is cut short or damaged, or not an RSA key",
        );
    }
    Ok(())
}

/// Reads what `deliver_to` says of an application.
fn target(table: &Table<'_>) -> Option<OktaTarget> {
    let before = table.findings().count();
    let app = table.require("app_id", "\"0oa1b2c3d4e5f6g7h8i9\"").and_then(|value| word(&value));
    let base_url = table.get("base_url").and_then(|value| base_url(&value));
    let app_id = app.filter(|_| table.findings().count() == before)?;
    Some(OktaTarget { app_id, base_url })
}

fn word(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        value.refuse(
            format!("`{}` may hold letters, digits and _ - only", value.key()),
            "copy it from the address of the application in the Admin Console: it begins with 0oa",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Okta sends the token there.
fn base_url(value: &Value<'_>) -> Option<String> {
    const EXAMPLE: &str = "\"https://scim.zscaler.example/1/2/scim\"";
    let url = url(value, EXAMPLE)?;
    let refuse = |words: String| {
        value.refuse(format!("`base_url` {words}"), format!("write base_url = {EXAMPLE}"));
    };
    guarded(&url, "the token").map_err(refuse).ok()?;
    Some(value.string()?.to_owned())
}
