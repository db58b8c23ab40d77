//! The log-in: an API token of an administrator as it is, or an access token of a service app by its private
//! key (Okta's guide "Implement OAuth for Okta with a service app").

use std::sync::Arc;

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;

use super::{answers::pause, rights};
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, quote},
    secret::{Secret, SecretSource},
    sink::access::{ASSERTION_TYPE, AccessTokens, AskToken, Assertion, Granted, LogIn},
};

/// As in "could not …".
const DOING: &str = "log in to Okta";

/// Who we are to Okta.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An administrator, by an API token.
    ApiToken(SecretSource),
    /// A service app.
    PrivateKey {
        /// The app.
        client: String,
        /// Which of its public keys it is proven by; `None`: it has one.
        key_id: Option<String>,
        /// Its RSA private key, in PEM.
        key: SecretSource,
    },
}

/// The log-in of a sink.
#[derive(Debug)]
pub(super) struct Login {
    org: Endpoint,
    identity: Identity,
    http: Http,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tokens: AccessTokens,
}

/// A service app, with what it is proven by.
struct ServiceApp<'a> {
    client: &'a str,
    key_id: Option<&'a str>,
    key: &'a SecretSource,
}

impl Login {
    pub(super) fn new(
        org: Endpoint,
        identity: Identity,
        http: Http,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { org, identity, http, clock, entropy, tokens: AccessTokens::default() }
    }

    /// What there is to do where a call with this log-in is not accepted.
    pub(super) fn not_accepted(&self) -> &'static str {
        match self.identity {
            Identity::ApiToken(_) => {
                "; an API token expires after 30 days without use, and with the account of the administrator who created \
                 it"
            }
            Identity::PrivateKey { .. } => {
                "; Okta does not accept an access token that it has just issued to the service app: check that the \
                 app is active, and that org_url is the issuer address of Okta's tokens"
            }
        }
    }

    /// # If the answer is lost
    /// An access token was made that nobody has; it ends by itself.
    async fn log_in(&self, app: &ServiceApp<'_>) -> Result<Granted, Fault> {
        let to = self.org.join(&["oauth2", "v1", "token"]);
        let to = to.map_err(|error| fault(Class::Terminal, Code::Invalid, error.to_string()))?;
        let assertion = self.assertion(app, &to)?;
        let scope = rights::scope();
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", scope.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.expose()),
        ];
        let ask = AskToken { doing: DOING, to: &to, fields: &fields };
        let refused =
            |reply: &Reply| refused(&to, reply, &[assertion.expose()]).retry_after(pause(reply));
        ask.send(&self.http, &*self.clock, refused).await
    }

    fn assertion(&self, app: &ServiceApp<'_>, to: &Endpoint) -> Result<Secret, Fault> {
        let pem = app.key.read().map_err(|words| unread("the private key", &words))?;
        let unusable = || {
            let words = "the private key cannot be used: it is not an RSA private key of at least 2048 bits in \
                         PEM; nothing was sent";
            fault(Class::Terminal, Code::Invalid, words.to_owned())
        };
        // The library's own words may quote what it could not read.
        let key = EncodingKey::from_rsa_pem(pem.expose().as_bytes()).map_err(|_| unusable())?;
        let kid = app.key_id.map(str::to_owned);
        let header = Header { kid, ..Header::new(Algorithm::RS256) };
        let assertion = Assertion { header, key, client: app.client, audience: to.url().as_str() };
        assertion.signed(self.clock.now(), &*self.entropy).ok_or_else(unusable)
    }
}

#[async_trait]
impl LogIn for Login {
    fn scheme(&self) -> &'static str {
        match self.identity {
            Identity::ApiToken(_) => "SSWS",
            Identity::PrivateKey { .. } => "Bearer",
        }
    }

    async fn access(&self, refused: Option<&Secret>) -> Result<Arc<Secret>, Fault> {
        match &self.identity {
            // It is read each time, so that one that was replaced counts.
            Identity::ApiToken(token) => {
                let token = token.read().map_err(|words| unread("the API token", &words))?;
                Ok(Arc::new(token))
            }
            Identity::PrivateKey { client, key_id, key } => {
                let app = ServiceApp { client, key_id: key_id.as_deref(), key };
                self.tokens.get(refused, &*self.clock, || self.log_in(&app)).await
            }
        }
    }
}

fn unread(what: &str, words: &str) -> Fault {
    let words = format!("{what} cannot be read: {words}; nothing was sent");
    fault(Class::Terminal, Code::Io, words)
}

/// Any answer but a good one, in OAuth's own form or in Okta's.
fn refused(to: &Endpoint, reply: &Reply, hidden: &[&str]) -> Fault {
    #[derive(Deserialize)]
    struct Said {
        #[serde(alias = "errorCode")]
        error: String,
        #[serde(default, alias = "errorSummary")]
        error_description: String,
    }
    let status = reply.status;
    let said = reply.json::<Said>().ok();
    let words = said.as_ref().map(|said| {
        format!(" {}: {}", quote(&said.error, hidden), quote(&said.error_description, hidden))
    });
    let (class, code, way_out) = match (status, said.as_ref().map(|said| said.error.as_str())) {
        (429, _) => (Class::Transient, Code::Throttled, ""),
        (400..=499, Some("invalid_dpop_proof")) => (
            Class::Terminal,
            Code::Invalid,
            "; switch \"Require Demonstrating Proof of Possession (DPoP)\" off in the service app's settings",
        ),
        (400..=499, Some("invalid_scope" | "consent_required" | "access_denied")) => (
            Class::Terminal,
            Code::Forbidden,
            "; grant the scopes that `scimitar permissions` prints to the service app",
        ),
        (400 | 401 | 403, Some(_)) => (
            Class::Terminal,
            Code::Unauthorized,
            "; compare org_url, client_id, key_id and the public key with the service app in Okta, and the \
             clock of this machine",
        ),
        (300..=399, _) => (
            Class::Terminal,
            Code::Invalid,
            "; a redirect, which Scimitar never follows: compare org_url",
        ),
        (400..=499, _) => (Class::Transient, Code::Unreadable, ""),
        _ => (Class::Transient, Code::Unavailable, ""),
    };
    let words = words.unwrap_or_default();
    fault(class, code, format!("{} answered {status}{words}{way_out}", to.host()))
}

fn fault(class: Class, code: Code, words: String) -> Fault {
    Fault::new(DOING, class, code, words)
}
