//! What every kind of provider and sink is built from, and what each says of the rights that it
//! needs.

mod credential;

use std::{fmt, sync::Arc, time::Duration};

use reqwest::Url;
use serde::Serialize;

pub use self::credential::{Credential, SecretStore, Stores, Unread};
use crate::{
    clock::{Clock, Entropy},
    error::chain,
    http::{Endpoint, Http, HttpSettings, proxy},
    secret::SecretSource,
    table::{Environment, HttpConfig, ProxyConfig, SecretRef},
    telemetry::metrics::Metrics,
};

/// Who is asking, in requests.
const USER_AGENT: &str = concat!("scimitar/", env!("CARGO_PKG_VERSION"));

/// What the process has for every kind.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where referenced secrets are read.
    pub env: Arc<dyn Environment>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where random numbers come from.
    pub entropy: Arc<dyn Entropy>,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// The top table's certificates and proxy.
    pub http: HttpConfig,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The sinks that keep secrets for others.
    pub stores: Stores,
}

impl Parts {
    /// How a service is reached; what its own table leaves out, the top table says.
    ///
    /// # Errors
    /// When a proxy that is a secret cannot be read, or is none.
    pub fn http_settings(&self, own: &HttpConfig) -> Result<HttpSettings, BuildError> {
        let proxy = match own.proxy.as_ref().or(self.http.proxy.as_ref()) {
            None => None,
            Some(ProxyConfig::Url(url)) => Some(url.clone()),
            Some(ProxyConfig::Secret(secret)) => Some(self.secret_proxy(secret)?),
        };
        Ok(HttpSettings {
            ca_file: own.ca_file.clone().or_else(|| self.http.ca_file.clone()),
            proxy,
            request_timeout: self.request_timeout,
            user_agent: USER_AGENT.to_owned(),
        })
    }

    /// A client of a service.
    ///
    /// # Errors
    /// As [`Parts::http_settings`], and when certificates are of no use.
    pub fn client(&self, own: &HttpConfig) -> Result<Http, BuildError> {
        Http::try_new(self.http_settings(own)?).map_err(|error| BuildError::of(&error))
    }

    /// A secret that is read each time it is needed.
    #[must_use]
    pub fn secret(&self, reference: &SecretRef) -> SecretSource {
        let (secret, env) = (reference.clone(), Arc::clone(&self.env));
        SecretSource::new(move || secret.read(env.as_ref()).map_err(|error| chain(&error)))
    }

    /// A secret to log in with, which a sink may keep.
    #[must_use]
    pub fn credential(&self, reference: &SecretRef) -> Credential {
        match reference.stored() {
            Some(stored) => Credential::stored(self.stores.clone(), stored.clone()),
            None => self.secret(reference).into(),
        }
    }

    /// A proxy whose URL is a secret.
    fn secret_proxy(&self, secret: &SecretRef) -> Result<Url, BuildError> {
        let failed = |words: &str| BuildError(format!("`proxy`, read from {secret}: {words}"));
        let url = secret.read(self.env.as_ref()).map_err(|error| failed(&chain(&error)))?;
        proxy::parse(url.expose()).map_err(failed)
    }
}

/// The address of a service, as requests need it.
///
/// # Errors
/// When it cannot be one.
pub fn endpoint(url: &Url) -> Result<Endpoint, BuildError> {
    Endpoint::try_new(url.clone()).map_err(|error| BuildError::of(&error))
}

/// Why something cannot be built from a configuration that was read: in words, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(String);

impl BuildError {
    /// For this reason.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self(chain(error))
    }

    /// In these words.
    pub fn new(words: impl fmt::Display) -> Self {
        Self(words.to_string())
    }
}

/// What one service has to grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The table of the configuration that it is for, such as `sinks.vault`.
    pub table: String,
    /// That table's `type`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is granted: a tenant's domain, a server's address.
    pub at: String,
    /// The namespace of the server that it is granted in.
    pub namespace: Option<String>,
    /// Whom it is granted to, for people.
    #[serde(skip)]
    pub to: &'static str,
    /// As the service takes it: scopes in one line, a policy in HCL or in JSON.
    pub policy: String,
    /// The same, one by one: an object whose one key says what kind of rights they are.
    pub rights: serde_json::Value,
}
