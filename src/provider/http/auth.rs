//! What proves to a declared issuer who asks.

use std::{sync::Arc, time::Duration};

use aws_smithy_types::base64;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request, quote},
    kind::Credential,
    provider::{
        operation::{Operation, code_word},
        session::{Access, Session, Want},
    },
    secret::Secret,
    telemetry::metrics::Metrics,
    token::ProviderName,
};

/// `auth`: `S` is a reference in the configuration, and what reads it in a provider.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Auth<S, U> {
    /// `Authorization: Bearer …`.
    Bearer(S),
    /// A header of the issuer's own.
    Header(HeaderName, S),
    /// `Authorization: Basic …`.
    Basic(String, S),
    /// OAuth 2.0 client credentials.
    Client {
        token_url: U,
        client_id: String,
        secret: S,
        scope: Option<String>,
        audience: Option<String>,
    },
}

/// What one request is sent with.
pub(in crate::provider) enum Proof {
    /// As it goes behind `Authorization:`, and the scheme.
    Authorization(&'static str, Secret),
    Header(HeaderMap, Secret),
    Access(Arc<Access>),
}

impl Proof {
    /// What must not be shown.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Authorization(_, secret) | Self::Header(_, secret) => secret.expose(),
            Self::Access(access) => access.token.expose(),
        }
    }

    pub(super) fn authorize<'a>(&'a self, request: Request<'a>) -> Request<'a> {
        match self {
            Self::Authorization(scheme, secret) => request.credentials(scheme, secret.expose()),
            Self::Header(headers, _) => request.headers(headers.clone()),
            Self::Access(access) => request.bearer(access.token.expose()),
        }
    }
}

/// The credentials and, where they are exchanged for an access token, its session.
pub(super) struct Credentials {
    pub(super) provider: ProviderName,
    pub(super) auth: Auth<Credential, Endpoint>,
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) timeout: Duration,
    pub(super) session: Session,
}

impl Credentials {
    /// Logs in where that takes a log-in.
    pub(super) async fn prepare(&self) -> Result<(), Fault> {
        match &self.auth {
            Auth::Client { .. } => self.access(Want::Valid).await.map(drop),
            Auth::Bearer(_) | Auth::Header(..) | Auth::Basic(..) => Ok(()),
        }
    }

    /// Logs in afresh where that takes a log-in.
    pub(super) async fn afresh(&self) -> Result<(), Fault> {
        match &self.auth {
            Auth::Client { .. } => self.access(Want::New).await.map(drop),
            Auth::Bearer(_) | Auth::Header(..) | Auth::Basic(..) => Ok(()),
        }
    }

    pub(super) async fn proof(
        &self,
        operation: &Operation,
        refused: Option<&Proof>,
    ) -> Result<Proof, Fault> {
        match (&self.auth, refused) {
            (Auth::Client { .. }, Some(Proof::Access(refused))) => {
                self.access(Want::OtherThan(refused)).await.map(Proof::Access)
            }
            (Auth::Client { .. }, _) => self.access(Want::Valid).await.map(Proof::Access),
            (Auth::Bearer(_) | Auth::Header(..) | Auth::Basic(..), _) => self.kept(operation).await,
        }
    }

    /// Whether there is another proof than one that was refused: another log-in, or what is kept
    /// was changed meanwhile.
    pub(super) async fn has_another(
        &self,
        operation: &Operation,
        refused: &Proof,
    ) -> Result<bool, Fault> {
        match &self.auth {
            Auth::Client { .. } => Ok(true),
            Auth::Bearer(_) | Auth::Header(..) | Auth::Basic(..) => {
                Ok(self.kept(operation).await?.secret() != refused.secret())
            }
        }
    }

    /// The credentials as they are kept now, so that a changed file is seen without a restart.
    async fn kept(&self, operation: &Operation) -> Result<Proof, Fault> {
        let unusable = |class: Class, why: &str| {
            let detail = format!("the credentials of `{}` cannot be used: {why}", self.provider);
            operation.fault(class, Code::Unauthorized, detail)
        };
        let fault = |why: &str| unusable(Class::Terminal, why);
        let read = async |source: &Credential| {
            source.read().await.map_err(|why| unusable(why.class, &why.words))
        };
        match &self.auth {
            Auth::Bearer(source) => Ok(Proof::Authorization("Bearer", read(source).await?)),
            Auth::Basic(user, source) => {
                let password = read(source).await?;
                let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
                let encoded = Secret::new(base64::encode(pair.as_bytes()));
                Ok(Proof::Authorization("Basic", encoded))
            }
            Auth::Header(name, source) => {
                let secret = read(source).await?;
                let mut value = HeaderValue::from_str(secret.expose())
                    .map_err(|_| fault("they have characters that are not allowed in a header"))?;
                value.set_sensitive(true);
                Ok(Proof::Header(HeaderMap::from_iter([(name.clone(), value)]), secret))
            }
            // They are exchanged for an access token first.
            Auth::Client { .. } => Err(fault("there is no access token")),
        }
    }

    async fn access(&self, want: Want<'_>) -> Result<Arc<Access>, Fault> {
        let log_in = |serial| self.log_in(serial);
        self.session.get(want, &self.provider, &*self.clock, log_in).await
    }

    /// # If the answer is lost
    /// An access token was issued that nobody has; it expires.
    async fn log_in(&self, serial: u64) -> Result<Access, Fault> {
        let Auth::Client { token_url, client_id, secret, scope, audience } = &self.auth else {
            return Err(self.fault(Class::Terminal, Code::Invalid, "no log-in is declared"));
        };
        let secret = secret.read().await.map_err(|why| {
            let detail = format!("client_secret cannot be read: {why}; nothing was sent");
            self.fault(why.class, Code::Io, detail)
        })?;
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret.expose()),
        ];
        fields.extend(scope.as_deref().map(|scope| ("scope", scope)));
        fields.extend(audience.as_deref().map(|audience| ("audience", audience)));
        let request = Request::new(Method::POST, token_url).form(&fields).fresh();
        let reply = self.http.send(request.within(self.timeout)).await.map_err(|unanswered| {
            let code = code_word(unanswered.code);
            self.metrics.provider_request(&self.provider, "login", code);
            let invalid = unanswered.code == Code::Invalid;
            let class = if invalid { Class::Terminal } else { Class::Transient };
            self.fault(class, unanswered.code, unanswered.detail)
        })?;
        self.metrics.provider_request(&self.provider, "login", &reply.status.to_string());
        if reply.status != 200 {
            return Err(self.refused(token_url, &reply, &secret));
        }
        let answer: TokenAnswer =
            reply.json().map_err(|why| self.fault(Class::Transient, Code::Unreadable, why))?;
        let TokenAnswer { access_token, expires_in } = answer;
        Access::granted(access_token, expires_in.as_ref(), None, serial, self.clock.now())
            .map_err(|why| self.fault(Class::Transient, Code::Unreadable, why))
    }

    fn refused(&self, token_url: &Endpoint, reply: &Reply, secret: &Secret) -> Fault {
        let said: ErrorAnswer = reply.json().unwrap_or_default();
        let words = said.error_description.or(said.error).unwrap_or_default();
        let words = quote(&words, &[secret.expose()]);
        let gap = if words.is_empty() { "" } else { ": " };
        let detail = format!("{} answered {}{gap}{words}", token_url.host(), reply.status);
        let (class, code) = match reply.status {
            408 => (Class::Transient, Code::Timeout),
            429 => {
                self.metrics.provider_throttled(&self.provider);
                (Class::Transient, Code::Throttled)
            }
            401 | 403 => (Class::Terminal, Code::Unauthorized),
            300..=499 => (Class::Terminal, Code::Invalid),
            500..=599 => (Class::Transient, Code::Unavailable),
            _ => (Class::Transient, Code::Unreadable),
        };
        self.fault(class, code, detail).retry_after(reply.retry_after())
    }

    fn fault(&self, class: Class, code: Code, detail: impl Into<String>) -> Fault {
        Fault::new(format!("log in to {}", self.provider), class, code, detail)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
}
