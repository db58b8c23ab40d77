//! The log-in: client credentials for a Management API access token, shared by all connections
//! of the tenant.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use reqwest::Method;
use serde::Deserialize;

use super::{
    answers::{ApiError, pause},
    assertion,
};
use crate::{
    clock::{Clock, Entropy, Timestamp},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request, Unanswered},
    kind::Credential,
    provider::{
        newest::NewestClock,
        operation::code_word,
        session::{Access, Session, Want},
    },
    secret::Secret,
    telemetry::metrics::Metrics,
    token::ProviderName,
};

/// An assertion that was refused is made once more where the refusal shows that the provider's clock is
/// off by so much from what the assertion was made by.
const TOLERATED_SKEW: TimeDelta = TimeDelta::seconds(5);

/// How the client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth<S = Credential> {
    /// `client_secret`.
    Secret(S),
    /// `client_assertion_key`: an RSA private key in PEM, used for RS256 (`private_key_jwt`).
    AssertionKey(S),
}

/// The log-in and its last outcome.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) provider: ProviderName,
    pub(super) domain: String,
    pub(super) endpoint: Endpoint,
    pub(super) client_id: String,
    pub(super) auth: ClientAuth,
    pub(super) audience: String,
    pub(super) timeout: Duration,
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) metrics: Metrics,
    pub(super) session: Session,
    pub(super) provider_clock: NewestClock,
}

impl Login {
    /// An access token: the cached one while it is good, else a new one. Callers at the same
    /// time share one log-in and its outcome.
    pub(super) async fn access(&self) -> Result<Arc<Access>, Fault> {
        self.get(Want::Valid).await
    }

    /// Another access token than the one that was just answered with 401.
    pub(super) async fn replace(&self, refused: &Access) -> Result<Arc<Access>, Fault> {
        self.get(Want::OtherThan(refused)).await
    }

    /// An access token of a log-in that began after this call.
    pub(super) async fn fresh(&self) -> Result<Arc<Access>, Fault> {
        self.get(Want::New).await
    }

    async fn get(&self, want: Want<'_>) -> Result<Arc<Access>, Fault> {
        let log_in = |serial| self.log_in(serial);
        self.session.get(want, &self.provider, &*self.clock, log_in).await
    }

    /// Logs in. An assertion is made once more when its refusal shows that it was made by a clock that
    /// is off.
    ///
    /// # If the answer is lost
    /// An access token was issued that nobody has; it ends by itself.
    async fn log_in(&self, serial: u64) -> Result<Access, Fault> {
        let before = self.provider_clock.get().skew();
        let outcome = self.try_once(serial).await;
        let was_off = (self.provider_clock.get().skew() - before).abs() > TOLERATED_SKEW;
        let refused = outcome.as_ref().is_err_and(|fault| {
            matches!(fault.code, Code::Unauthorized | Code::Invalid | Code::Forbidden)
        });
        if was_off && refused && matches!(self.auth, ClientAuth::AssertionKey(_)) {
            return self.try_once(serial).await;
        }
        outcome
    }

    /// Learns what the provider's clock shows.
    pub(super) fn see_clock(&self, reply: &Reply) {
        self.provider_clock.see(reply, self.clock.now());
    }

    async fn try_once(&self, serial: u64) -> Result<Access, Fault> {
        let endpoint = self
            .endpoint
            .join(&["oauth", "token"])
            .map_err(|error| self.fault(Class::Terminal, Code::Invalid, error.to_string()))?;
        let proof = self.proof().await?;
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("audience", &self.audience),
        ];
        match &self.auth {
            ClientAuth::Secret(_) => fields.push(("client_secret", proof.expose())),
            ClientAuth::AssertionKey(_) => {
                fields.push(("client_assertion_type", assertion::TYPE));
                fields.push(("client_assertion", proof.expose()));
            }
        }
        let request =
            Request::new(Method::POST, &endpoint).form(&fields).fresh().within(self.timeout);
        let answer = self.http.send(request).await;
        let now = self.clock.now();
        let reply = match answer {
            Ok(reply) => reply,
            Err(unanswered) => return Err(self.unanswered(unanswered)),
        };
        self.see_clock(&reply);
        let status = reply.status.to_string();
        self.metrics.provider_request(&self.provider, "login", &status);
        if reply.status != 200 {
            return Err(self.refused(&reply, &proof, now));
        }
        let answer: TokenAnswer =
            reply.json().map_err(|why| self.fault(Class::Transient, Code::Unreadable, why))?;
        self.read(answer, serial, now)
    }

    fn read(&self, answer: TokenAnswer, serial: u64, now: Timestamp) -> Result<Access, Fault> {
        let TokenAnswer { access_token, expires_in, scope } = answer;
        let scope = scope.or_else(|| assertion::scope_in(&access_token));
        Access::granted(access_token, expires_in.as_ref(), scope, serial, now)
            .map_err(|why| self.fault(Class::Transient, Code::Unreadable, why.to_owned()))
    }

    /// The client secret, or the signed assertion.
    async fn proof(&self) -> Result<Secret, Fault> {
        let (source, what) = match &self.auth {
            ClientAuth::Secret(source) => (source, "client_secret"),
            ClientAuth::AssertionKey(source) => (source, "client_assertion_key"),
        };
        let secret = source.read().await.map_err(|why| {
            let detail = format!("{what} cannot be read: {why}; nothing was sent");
            self.fault(why.class, Code::Io, detail)
        })?;
        match &self.auth {
            ClientAuth::Secret(_) => Ok(secret),
            ClientAuth::AssertionKey(_) => {
                let audience = format!("https://{}/", self.domain);
                assertion::sign(
                    &secret,
                    &self.client_id,
                    &audience,
                    self.provider_clock.get().to_provider(self.clock.now()),
                    self.entropy.as_ref(),
                )
                .map_err(|why| self.fault(Class::Terminal, Code::Invalid, why))
            }
        }
    }

    fn unanswered(&self, unanswered: Unanswered) -> Fault {
        let code = code_word(unanswered.code);
        self.metrics.provider_request(&self.provider, "login", code);
        let class =
            if unanswered.code == Code::Invalid { Class::Terminal } else { Class::Transient };
        self.fault(class, unanswered.code, unanswered.detail)
    }

    fn refused(&self, reply: &Reply, proof: &Secret, now: Timestamp) -> Fault {
        let status = reply.status;
        let host = self.endpoint.host();
        let said = ApiError::of(reply);
        let answered = format!("{host} answered {status}{}", said.words(&[proof.expose()]));
        let answered = answered.trim_end_matches('.');
        let (class, code, way_out) = match status {
            300..=399 => (
                Class::Terminal,
                Code::Invalid,
                format!(
                    "a redirect to {}, which Scimitar does not follow: credentials are sent only to the \
                     configured host; check domain and base_url",
                    reply.redirect().unwrap_or("an unknown address")
                ),
            ),
            401 => (Class::Terminal, Code::Unauthorized, self.wrong_credentials().to_owned()),
            403 => (
                Class::Terminal,
                Code::Forbidden,
                format!(
                    "the application needs a client grant for {}: in Auth0's dashboard under \
                     Applications, APIs, Auth0 Management API, Machine to Machine Applications, \
                     authorize it with read:scim_token create:scim_token delete:scim_token",
                    self.audience
                ),
            ),
            404 => (
                Class::Terminal,
                Code::Invalid,
                "no log-in endpoint there: check domain and base_url".to_owned(),
            ),
            408 => (Class::Transient, Code::Timeout, "Scimitar retries".to_owned()),
            429 => {
                self.metrics.provider_throttled(&self.provider);
                (
                    Class::Transient,
                    Code::Throttled,
                    "Scimitar retries when the quota allows".to_owned(),
                )
            }
            400..=499 => (
                Class::Terminal,
                Code::Invalid,
                "check client_id, audience, and that the application may use the grant type \
                 client_credentials"
                    .to_owned(),
            ),
            500..=599 => (Class::Transient, Code::Unavailable, "Scimitar retries".to_owned()),
            _ => (
                Class::Transient,
                Code::Unreadable,
                "a log-in must be answered with 200".to_owned(),
            ),
        };
        let pause = if status == 429 { pause(reply, now) } else { reply.retry_after() };
        self.fault(class, code, format!("{answered}; {way_out}")).retry_after(pause)
    }

    fn wrong_credentials(&self) -> &'static str {
        match &self.auth {
            ClientAuth::Secret(_) => {
                "compare client_id and client_secret with the application in Auth0's dashboard"
            }
            ClientAuth::AssertionKey(_) => {
                "check that the application in Auth0's dashboard uses Private Key JWT and has the \
                 public half of client_assertion_key"
            }
        }
    }

    fn fault(&self, class: Class, code: Code, detail: String) -> Fault {
        let operation = format!("log in to {} as client {}", self.domain, self.client_id);
        Fault::new(operation, class, code, detail)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    scope: Option<String>,
}
