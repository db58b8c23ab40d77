//! dbt Cloud: the SCIM tokens of an account, by the Administrative API v3.
//!
//! Unlike Auth0 in what matters: tokens have a name and a last use, but neither expiry nor scopes,
//! and no number is known beyond which none is made. An account has one SCIM configuration, which
//! is the one connection there is.
//!
//! What dbt Cloud does not document is taken either way:
//!
//! - `Authorization: Token …` and `Bearer …` are both on record; the settings say which.
//! - A create is answered 200 or 201; a delete 204, or 200 with the usual envelope.
//! - A list may come in pages or in one piece; only one that is proven complete is a list.
//! - Times are written with `T` or a space, with or without their offset (UTC then).
//! - A 404 says "not found" and "not permitted" alike: it proves nothing.
//! - A 409 to a create means that no further token is to be had, whatever its body.

mod answers;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::{Method, Url};
use serde::Serialize;

use self::answers::Gathered;
use super::{
    Call, Provider, Revoked, Right, Urgency,
    budget::{Budget, Closed, Permit, RateLimit, Seen, say},
    operation::{Kind, Operation, code_word},
};
use crate::{
    clock::{Clock, Timestamp},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request, Sent},
    rotation::policy::Capabilities,
    secret::{Secret, SecretSource},
    telemetry::metrics::Metrics,
    token::{ConnectionId, Listing, MintRequest, Minted, ProviderName, TokenId, TokenValue},
};

/// What the token needs: of what dbt Cloud's own sets of permissions hold, none less may administer
/// an account's SCIM configuration.
pub const PERMISSION_SET: &str = "account_admin";

/// After a 429 the whole account is shut out for this long.
const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

/// The longest pause that is waited for here; a longer one is for the caller to wait for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The documented limit of an account, 5,000 requests a minute, and how many of them at once.
const USUAL_LIMIT: (f64, u32) = (5_000.0 / 60.0, 100);

/// How many tokens one page is asked for, and after how many pages a list is none.
const PAGE: usize = 100;
const MOST_PAGES: usize = 100;

/// How the token is announced in `Authorization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Token …`.
    #[default]
    Token,
    /// `Authorization: Bearer …`.
    Bearer,
}

impl Scheme {
    /// The word in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "Token",
            Self::Bearer => "Bearer",
        }
    }
}

/// One account, as it is configured.
#[derive(Clone, Debug)]
pub struct DbtCloudSettings {
    /// The `[providers.NAME]`; a label.
    pub name: ProviderName,
    /// The account's number, which is the id of its one connection too.
    pub account: ConnectionId,
    /// Where API and SCIM endpoint are reached: `https://{host}`, or a sandbox.
    pub base_url: Endpoint,
    /// A service token or personal token with account-admin rights.
    pub token: SecretSource,
    /// How it is announced.
    pub scheme: Scheme,
    /// Which part of the account's rate limit may be used: more than 0, at most 1.
    pub share: f64,
    /// That limit; `None`: the documented one.
    pub rate_limit: Option<RateLimit>,
    /// How long one request may take, and how long it waits for its turn at most.
    pub request_timeout: Duration,
}

/// A dbt Cloud account, or whatever speaks its API at `base_url`.
pub struct DbtCloud {
    settings: DbtCloudSettings,
    http: Http,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    budget: Arc<Budget>,
}

impl DbtCloud {
    /// An account. Nothing is sent until the first call. `shared` is the budget of another provider
    /// of the same account; without one it has its own.
    #[must_use]
    pub fn new(
        settings: DbtCloudSettings,
        http: Http,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        shared: Option<Arc<Budget>>,
    ) -> Arc<Self> {
        let (per_second, burst) = USUAL_LIMIT;
        let limit = settings.rate_limit.or_else(|| RateLimit::try_new(per_second, burst));
        let budget =
            shared.unwrap_or_else(|| Arc::new(Budget::new(limit, settings.share, clock.clone())));
        Arc::new(Self { settings, http, clock, metrics, budget })
    }

    /// What its requests are paced by.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }
}

impl fmt::Debug for DbtCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbtCloud")
            .field("name", &self.settings.name.as_str())
            .field("account", &self.settings.account.as_str())
            .field("base_url", &self.settings.base_url)
            .finish_non_exhaustive()
    }
}

/// What every dbt Cloud account can do: names and a last use in lists; neither expiry nor scopes,
/// and no known limit.
#[must_use]
pub fn capabilities() -> Capabilities {
    Capabilities {
        cap: None,
        shortest_life: None,
        last_used: true,
        scopes: false,
        read_scope: None,
        names: true,
        id_in_value: false,
        default_scopes: std::collections::BTreeSet::new(),
    }
}

#[async_trait]
impl Provider for DbtCloud {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn scim_endpoint(&self, _connection: &ConnectionId) -> Url {
        let base = &self.settings.base_url;
        let path = ["api", "v3", "accounts", self.settings.account.as_str(), "scim", "v2"];
        // An account that cannot be a path segment is refused by every call.
        base.join(&path).unwrap_or_else(|_| base.clone()).url().clone()
    }

    /// Values of dbt Cloud do not say which token they are.
    fn id_in(&self, _value: &TokenValue) -> Option<TokenId> {
        None
    }

    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault> {
        let words = format!("list the SCIM tokens of dbt Cloud account {}", call.connection);
        let operation = self.operation(Kind::List, call, words)?;
        let first = self.tokens(None, &operation)?;
        let mut gathered = Gathered::default();
        for _ in 0..MOST_PAGES {
            // The parameters are a convention that is not documented for this call: what comes in
            // one piece is asked for without them.
            let to = match gathered.len() {
                0 => first.clone(),
                offset => first
                    .clone()
                    .query("limit", &PAGE.to_string())
                    .query("offset", &offset.to_string()),
            };
            let (reply, token) =
                self.call(&operation, call, || Request::new(Method::GET, &to)).await?;
            if reply.status != 200 {
                return Err(operation.dbt_refused(&reply, &[token.expose()]));
            }
            gathered
                .add(operation.page(&reply)?)
                .map_err(|why| operation.unreadable(&reply, why))?;
            if gathered.is_complete() {
                return Ok(gathered.listing());
            }
        }
        let detail = format!("its list does not end after {MOST_PAGES} pages");
        Err(operation.fault(Class::Transient, Code::Unreadable, detail))
    }

    async fn create(&self, call: Call<'_>, request: &MintRequest) -> Result<Minted, Fault> {
        #[derive(Serialize)]
        struct Body<'a> {
            name: &'a str,
        }
        let words = format!("make a SCIM token for dbt Cloud account {}", call.connection);
        let operation = self.operation(Kind::Create, call, words)?;
        let impossible = match request {
            MintRequest { name: None, .. } => Some("a token needs a name"),
            MintRequest { life: Some(_), .. } => Some("a token cannot be given a life"),
            MintRequest { scopes, .. } if !scopes.is_empty() => Some("a token has no scopes"),
            MintRequest { .. } => None,
        };
        let (Some(name), None) = (&request.name, impossible) else {
            let why = impossible.unwrap_or_default();
            let detail = format!("{why} at dbt Cloud; nothing was sent");
            return Err(operation.fault(Class::Terminal, Code::Invalid, detail));
        };
        let to = self.tokens(None, &operation)?;
        let body = Body { name: name.as_str() };
        let (reply, token) = self
            .call(&operation, call, || Request::new(Method::POST, &to).json(&body).fresh())
            .await?;
        if !(200..300).contains(&reply.status) {
            return Err(operation.dbt_refused(&reply, &[token.expose()]));
        }
        operation.dbt_minted(&reply, name)
    }

    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault> {
        let words = format!("revoke SCIM token {id} of dbt Cloud account {}", call.connection);
        let operation = self.operation(Kind::Revoke, call, words)?;
        let to = self.tokens(Some(id), &operation)?;
        let (reply, token) =
            self.call(&operation, call, || Request::new(Method::DELETE, &to).fresh()).await?;
        operation.dbt_revoked(&reply, &[token.expose()])
    }

    async fn prove(&self, connections: &[ConnectionId]) -> Result<Vec<Right>, Fault> {
        let mut rights = Vec::new();
        for connection in connections {
            let call = Call { connection, urgency: Urgency::Routine, not_after: None };
            let missing = match self.list(call).await {
                Ok(_) => None,
                Err(fault) if fault.class == Class::Terminal => Some(fault.to_string()),
                Err(fault) => return Err(fault),
            };
            rights.push(Right { name: format!("list the SCIM tokens of {connection}"), missing });
            rights.push(Right {
                name: format!(
                    "make and delete SCIM tokens of {connection} (unknown: only using it would \
                     show it)"
                ),
                missing: None,
            });
        }
        Ok(rights)
    }
}

impl DbtCloud {
    fn operation(&self, kind: Kind, call: Call<'_>, words: String) -> Result<Operation, Fault> {
        let operation = Operation { kind, words, host: self.settings.base_url.host() };
        if *call.connection == self.settings.account {
            return Ok(operation);
        }
        let detail = format!(
            "`{}` is account {}, whose one SCIM configuration is its only connection; nothing was \
             sent",
            self.settings.name, self.settings.account
        );
        Err(operation.fault(Class::Terminal, Code::NoConnection, detail))
    }

    /// The tokens, or one of them. The slash at the end is a part of the path.
    fn tokens(&self, id: Option<&TokenId>, operation: &Operation) -> Result<Endpoint, Fault> {
        let account = self.settings.account.as_str();
        let mut path = vec!["api", "v3", "accounts", account, "scim-config", "tokens"];
        path.extend(id.map(TokenId::as_str));
        self.settings
            .base_url
            .join(&path)
            .map(Endpoint::with_slash)
            .map_err(|error| operation.fault(Class::Terminal, Code::Invalid, error.to_string()))
    }

    /// Sends a call when it is its turn; again when it was answered 401 and the token is another by
    /// now, and, where it changes nothing, once when its connection was lost. Returns any answer
    /// but a 429, and what it was asked with.
    async fn call<'a>(
        &self,
        operation: &Operation,
        Call { urgency, not_after, .. }: Call<'_>,
        request: impl Fn() -> Request<'a>,
    ) -> Result<(Reply, Secret), Fault> {
        let kind = operation.kind;
        let timeout = self.settings.request_timeout;
        let patience = self.clock.now() + TimeDelta::from_std(timeout).unwrap_or_default();
        let deadline = not_after.map_or(patience, |end| end.min(patience));
        let (mut renewed, mut lost) = (false, false);
        loop {
            let permit = self.permit(operation, urgency, deadline).await?;
            let token = self.token(operation)?;
            let sent = {
                let scheme = self.settings.scheme.as_str();
                let authorized = request().credentials(scheme, token.expose()).within(timeout);
                self.http.send(authorized).await
            };
            let reply = match sent {
                Ok(reply) => reply,
                Err(unanswered) => {
                    self.count(kind, code_word(unanswered.code));
                    let was_cut =
                        unanswered.sent == Sent::Perhaps && unanswered.code == Code::Unavailable;
                    if was_cut && !kind.changes_something() && !lost {
                        lost = true;
                        continue;
                    }
                    return Err(operation.unanswered(unanswered));
                }
            };
            self.count(kind, &reply.status.to_string());
            if reply.status == 429 {
                let pause = self.throttled(permit, &reply);
                let fault = operation.dbt_refused(&reply, &[token.expose()]);
                return Err(fault.retry_after(Some(pause)));
            }
            permit.answered(Seen::default());
            if reply.status == 401 && !renewed && self.token(operation)?.expose() != token.expose()
            {
                renewed = true;
                continue;
            }
            return Ok((reply, token));
        }
    }

    /// The token as it is kept now, so that a changed file is seen without a restart.
    fn token(&self, operation: &Operation) -> Result<Secret, Fault> {
        self.settings.token.read().map_err(|why| {
            let detail = format!("the token of `{}` cannot be read: {why}", self.settings.name);
            operation.fault(Class::Terminal, Code::Unauthorized, detail)
        })
    }

    /// Waits for its turn, but not for long: a change that is sent long after it was decided on
    /// would act on old knowledge, and a cool-down is longer than anybody waits for a list.
    async fn permit(
        &self,
        operation: &Operation,
        urgency: Urgency,
        deadline: Timestamp,
    ) -> Result<Permit<'_>, Fault> {
        let taken = tokio::select! {
            biased;
            permit = self.budget.take_unless_closed(urgency, LONGEST_WAIT) => Some(permit),
            () = self.clock.sleep_until(deadline) => None,
        };
        let account = &self.settings.account;
        let throttled = |detail| operation.fault(Class::Transient, Code::Throttled, detail);
        match taken {
            Some(Ok(permit)) if self.clock.now() <= deadline => Ok(permit),
            Some(Err(Closed { pause })) => {
                let detail = format!(
                    "account {account} asked for a pause, of which {} s are left; nothing was sent",
                    pause.as_secs_f64().ceil()
                );
                Err(throttled(detail).retry_after(Some(pause)))
            }
            Some(Ok(_)) | None => Err(throttled(format!(
                "the request budget of account {account} had no room for it in time; nothing was sent"
            ))),
        }
    }

    fn count(&self, kind: Kind, code: &str) {
        let name = &self.settings.name;
        self.metrics.provider_request(name, kind.label(), code);
        tracing::debug!(provider = %name, operation = kind.label(), code, "asked the provider");
    }

    /// Notes a 429 and returns how long the account is left alone: five minutes at least, as it
    /// shuts everybody out for that long whatever else it says.
    fn throttled(&self, permit: Permit<'_>, reply: &Reply) -> Duration {
        self.metrics.provider_throttled(&self.settings.name);
        let asked = reply.retry_after().unwrap_or_default().max(COOL_DOWN);
        let throttled = permit.throttled(Some(asked));
        say(&self.settings.name, throttled, self.settings.rate_limit);
        throttled.pause
    }
}
