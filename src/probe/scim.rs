//! Asks a SCIM endpoint over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, Url};

use super::{ProbeAnswer, ScimProbe, UserAct, UserAnswer};
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request, Sent, Unanswered},
    token::TokenValue,
};

/// RFC 7644's own media type first.
pub(super) const ACCEPT: &str = "application/scim+json, application/json";

/// How much later than its time-out a probe may still reach the endpoint: in a proxy's queue, or
/// in the service's own.
const MARGIN: Duration = Duration::from_secs(30);

/// The SCIM client.
#[derive(Clone, Debug)]
pub struct ScimClient {
    pub(super) http: Http,
    pub(super) request_timeout: Duration,
}

impl ScimClient {
    /// A client whose requests take at most `request_timeout`.
    #[must_use]
    pub fn new(http: Http, request_timeout: Duration) -> Self {
        Self { http, request_timeout }
    }

    /// `GET {endpoint}/Users?count=1`. The users in the answer are read away, not kept.
    async fn ask(&self, endpoint: &Url, token: Option<&TokenValue>) -> Result<ScimAnswer, Fault> {
        let who = token.map_or("without credentials", |_| "with the token");
        let words = |at: &str| format!("ask the SCIM endpoint {at} {who}");
        let users = Endpoint::try_new(endpoint.clone())
            .and_then(|endpoint| endpoint.join(&["Users"]))
            .map_err(|error| {
                let host = endpoint.host_str().unwrap_or_default();
                Fault::new(words(host), Class::Terminal, Code::Invalid, error.to_string())
            })?
            .query("count", "1");
        let mut request = Request::new(Method::GET, &users)
            .accept(ACCEPT)
            .without_body()
            .within(self.request_timeout);
        if let Some(token) = token {
            request = request.bearer(token.expose());
        }
        let operation = words(&users.to_string());
        match self.http.send(request).await {
            Ok(reply) => Ok(ScimAnswer { operation, reply }),
            Err(unanswered) => Err(lost(operation, unanswered)),
        }
    }
}

#[async_trait]
impl ScimProbe for ScimClient {
    fn longest(&self) -> Duration {
        self.request_timeout + MARGIN
    }

    async fn anonymous(&self, endpoint: &Url) -> Result<(), Fault> {
        let answer = self.ask(endpoint, None).await?;
        match answer.reply.status {
            401 | 403 => Ok(()),
            200 => Err(answer.fault(
                Class::Terminal,
                Code::Invalid,
                "; it answers without credentials, so a token cannot be proven there",
            )),
            _ => Err(answer.inconclusive()),
        }
    }

    async fn read(&self, endpoint: &Url, token: &TokenValue) -> ProbeAnswer {
        match self.ask(endpoint, Some(token)).await {
            Err(fault) => ProbeAnswer::Inconclusive(fault),
            Ok(answer) => match answer.reply.status {
                200 => ProbeAnswer::Accepted,
                401 => ProbeAnswer::Unauthorized,
                403 => ProbeAnswer::NotScoped,
                _ => ProbeAnswer::Inconclusive(answer.inconclusive()),
            },
        }
    }

    async fn user(&self, endpoint: &Url, token: &TokenValue, act: &UserAct) -> UserAnswer {
        self.about_user(endpoint, token, act).await
    }
}

pub(super) struct ScimAnswer {
    pub(super) operation: String,
    pub(super) reply: Reply,
}

impl ScimAnswer {
    fn fault(&self, class: Class, code: Code, way_out: &str) -> Fault {
        let detail = format!("it answered {}{way_out}", self.reply.status);
        Fault::new(self.operation.clone(), class, code, detail)
            .retry_after(self.reply.retry_after())
    }

    /// The fault of an answer that says nothing about a token.
    pub(super) fn inconclusive(&self) -> Fault {
        match self.reply.status {
            300..=399 => {
                let way_out = format!(
                    ", a redirect to {}, which Scimitar does not follow: credentials are sent only to \
                     the configured host",
                    self.reply.redirect().unwrap_or("an unknown address")
                );
                self.fault(Class::Terminal, Code::Invalid, &way_out)
            }
            404 => self.fault(
                Class::Terminal,
                Code::ScimNotConfigured,
                "; there is no SCIM endpoint: check connection_id and base_url, and that SCIM is \
                 set up for the connection",
            ),
            408 => self.fault(Class::Transient, Code::Timeout, ""),
            429 => self.fault(Class::Transient, Code::Throttled, ""),
            400..=499 => self.fault(
                Class::Terminal,
                Code::Invalid,
                "; a SCIM endpoint answers 200, 401 or 403",
            ),
            500..=599 => self.fault(Class::Transient, Code::Unavailable, ""),
            _ => self.fault(
                Class::Transient,
                Code::Unreadable,
                "; a SCIM endpoint answers 200, 401 or 403",
            ),
        }
    }
}

/// A read changes nothing: whether it arrived does not matter for what follows.
pub(super) fn lost(operation: String, unanswered: Unanswered) -> Fault {
    let class = match unanswered.sent {
        Sent::No if unanswered.code == Code::Invalid => Class::Terminal,
        Sent::No | Sent::Perhaps => Class::Transient,
    };
    Fault::new(operation, class, unanswered.code, unanswered.detail)
}
