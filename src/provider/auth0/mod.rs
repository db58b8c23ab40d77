//! Auth0: SCIM tokens of enterprise connections, by the Management API v2.
//!
//! What Auth0 does not document, and no exchange was recorded of, is taken either way:
//!
//! - Every 409 to a create means that there is no slot, whatever its body.
//! - A DELETE of a token that is not there may be answered 204 or 404; which of them it was is
//!   told, and only a list proves that the token is gone.
//! - A 404 without `errorCode` and without words about the strategy means that SCIM is not
//!   configured, also from the token calls.
//! - 429, 401 and 403 are understood by their status alone; their bodies only go into the words.
//! - A log-in that does not name its `scope` may carry it in the access token; else it is unknown.
//! - Members that do not apply are `null` or absent; unknown ones are allowed.

mod answers;
mod assertion;
mod login;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::{Method, Url};
use serde::Serialize;

use self::{
    answers::{RIGHTS, how_to_grant, scope},
    login::{Access, Login, Session},
};
pub use self::{assertion::signs, login::ClientAuth};
use super::{
    Call, Provider, Revoked, Right, Urgency,
    budget::{Budget, Closed, Permit, RateLimit, Seen, say},
    operation::{Kind, Operation, code_word},
};
pub use crate::secret::SecretSource;
use crate::{
    clock::{Clock, Entropy, Timestamp},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request, Sent},
    rotation::policy::Capabilities,
    telemetry::metrics::Metrics,
    token::{ConnectionId, Listing, MintRequest, Minted, ProviderName, Scope, TokenId, TokenValue},
};

/// "Must be greater than 900" (Auth0's API description).
const SHORTEST_LIFE: Duration = Duration::from_secs(901);

/// How often a call is sent again after a 429.
const PAUSES: u32 = 5;

/// The longest pause that is waited for here; a longer one is for the caller to wait for, who may
/// have other things to do.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The scopes that the application needs at the Management API.
#[must_use]
pub fn scopes() -> [&'static str; 3] {
    RIGHTS.map(scope)
}

/// One tenant, as it is configured.
#[derive(Clone, Debug)]
pub struct Auth0Settings {
    /// The `[providers.NAME]`; a label.
    pub name: ProviderName,
    /// The tenant's canonical domain, such as `acme.eu.auth0.com`.
    pub domain: String,
    /// Where log-in, Management API and SCIM endpoint are reached: `https://{domain}`, a custom
    /// domain, or a sandbox.
    pub base_url: Endpoint,
    /// The application.
    pub client_id: String,
    /// How it proves who it is.
    pub auth: ClientAuth,
    /// The Management API's identifier; `None`: `https://{domain}/api/v2/`, which is right with
    /// a custom domain too.
    pub audience: Option<String>,
    /// Which part of the tenant's rate limit may be used: more than 0, at most 1.
    pub share: f64,
    /// That limit; `None`: learnt from the tenant's answers.
    pub rate_limit: Option<RateLimit>,
    /// How long one request may take. A call also waits at most this long for its turn and
    /// its log-in, so that no change arrives long after it was decided on.
    pub request_timeout: Duration,
}

/// An Auth0 tenant, or whatever speaks its API at `base_url`.
pub struct Auth0 {
    settings: Auth0Settings,
    http: Http,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    budget: Arc<Budget>,
    login: Login,
}

impl Auth0 {
    /// A tenant. Nothing is sent until the first call. `shared` is the budget of another provider of
    /// the same tenant; without one it has its own.
    #[must_use]
    pub fn new(
        settings: Auth0Settings,
        http: Http,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: Metrics,
        shared: Option<Arc<Budget>>,
    ) -> Arc<Self> {
        let audience = settings
            .audience
            .clone()
            .unwrap_or_else(|| format!("https://{}/api/v2/", settings.domain));
        let login = Login {
            provider: settings.name.clone(),
            domain: settings.domain.clone(),
            endpoint: settings.base_url.clone(),
            client_id: settings.client_id.clone(),
            auth: settings.auth.clone(),
            audience,
            timeout: settings.request_timeout,
            http: http.clone(),
            clock: clock.clone(),
            entropy,
            metrics: metrics.clone(),
            session: Session::default(),
        };
        let budget = shared.unwrap_or_else(|| {
            Arc::new(Budget::new(settings.rate_limit, settings.share, clock.clone()))
        });
        Arc::new(Self { settings, http, clock, metrics, budget, login })
    }

    /// What its requests are paced by.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }
}

impl fmt::Debug for Auth0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth0")
            .field("name", &self.settings.name.as_str())
            .field("domain", &self.settings.domain)
            .field("base_url", &self.settings.base_url)
            .finish_non_exhaustive()
    }
}

/// What every Auth0 tenant can do: two active tokens a connection, lifetimes over 900 s, and a
/// `last_used_at` in lists.
#[must_use]
pub fn capabilities() -> Capabilities {
    Capabilities {
        cap: Some(2),
        shortest_life: Some(SHORTEST_LIFE),
        last_used: true,
        scopes: true,
        read_scope: Scope::try_new("get:users").ok(),
        names: false,
        id_in_value: true,
        default_scopes: DEFAULT_SCOPES
            .iter()
            .filter_map(|scope| Scope::try_new(*scope).ok())
            .collect(),
    }
}

/// What a provisioning client needs: the five scopes for users, which every version of Auth0's
/// documentation names. What Auth0 itself grants where none are named is not documented.
const DEFAULT_SCOPES: [&str; 5] =
    ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

#[async_trait]
impl Provider for Auth0 {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn scim_endpoint(&self, connection: &ConnectionId) -> Url {
        let path = ["scim", "v2", "connections", connection.as_str()];
        let base = &self.settings.base_url;
        // An id that cannot be a path segment names no connection; every call refuses it.
        base.join(&path).unwrap_or_else(|_| base.clone()).url().clone()
    }

    fn id_in(&self, value: &TokenValue) -> Option<TokenId> {
        answers::id_in(value)
    }

    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault> {
        let operation =
            self.operation(Kind::List, format!("list the tokens of {}", call.connection));
        let to = self.tokens(call.connection, None, &operation)?;
        let (reply, access) =
            self.call(&operation, call, || Request::new(Method::GET, &to)).await?;
        match reply.status {
            200 => operation.listing(&reply),
            _ => Err(operation.refused(&reply, &[access.token.expose()])),
        }
    }

    async fn create(&self, call: Call<'_>, request: &MintRequest) -> Result<Minted, Fault> {
        #[derive(Serialize)]
        struct Body<'a> {
            scopes: Vec<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            token_lifetime: Option<u64>,
        }
        let operation =
            self.operation(Kind::Create, format!("make a token for {}", call.connection));
        let to = self.tokens(call.connection, None, &operation)?;
        let body = Body {
            scopes: request.scopes.iter().map(|scope| scope.as_str()).collect(),
            token_lifetime: request.life.map(|life| life.as_secs()),
        };
        let (reply, access) = self
            .call(&operation, call, || Request::new(Method::POST, &to).json(&body).fresh())
            .await?;
        if !(200..300).contains(&reply.status) {
            return Err(operation.refused(&reply, &[access.token.expose()]));
        }
        let minted = operation.minted(&reply, request)?;
        if answers::id_in(&minted.value).as_ref() != Some(&minted.token.id) {
            tracing::warn!(
                provider = %self.settings.name,
                connection_id = %call.connection,
                token_id = %minted.token.id,
                "the value of the new token {} does not begin with its id",
                minted.token.id
            );
        }
        Ok(minted)
    }

    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault> {
        let operation =
            self.operation(Kind::Revoke, format!("revoke token {id} of {}", call.connection));
        let to = self.tokens(call.connection, Some(id), &operation)?;
        let (reply, access) =
            self.call(&operation, call, || Request::new(Method::DELETE, &to).fresh()).await?;
        operation.revoked(&reply, &[access.token.expose()])
    }

    async fn prove(&self, connections: &[ConnectionId]) -> Result<Vec<Right>, Fault> {
        let access = self.login.fresh().await?;
        let mut lists = Vec::new();
        for connection in connections {
            let call = Call { connection, urgency: Urgency::Routine, not_after: None };
            let missing = match self.list(call).await {
                Ok(_) => None,
                Err(fault) if fault.class == Class::Terminal => Some(fault.to_string()),
                Err(fault) => return Err(fault),
            };
            lists.push(Right { name: format!("list the tokens of {connection}"), missing });
        }
        let listed = lists.iter().any(|right| right.missing.is_none());
        let granted = RIGHTS.map(|kind| granted(kind, &access, listed));
        Ok(granted.into_iter().chain(lists).collect())
    }
}

/// Whether a scope is granted. Where the log-in does not say, a list that was answered proves the
/// right to read; the others could only be proven by using them.
fn granted(kind: Kind, access: &Access, listed: bool) -> Right {
    let scope = scope(kind);
    match &access.scope {
        Some(scopes) => Right {
            name: scope.to_owned(),
            missing: (!scopes.contains(scope)).then(|| how_to_grant(scope)),
        },
        None if kind == Kind::List && listed => Right { name: scope.to_owned(), missing: None },
        None => Right {
            name: format!("{scope} (unknown: the log-in's answer does not say what is granted)"),
            missing: None,
        },
    }
}

/// The scopes that a rotation needs and the log-in does not grant; none where it does not say.
fn missing_rights(access: &Access) -> Vec<&'static str> {
    let Some(granted) = &access.scope else { return Vec::new() };
    RIGHTS.map(scope).into_iter().filter(|scope| !granted.contains(*scope)).collect()
}

impl Auth0 {
    fn operation(&self, kind: Kind, words: String) -> Operation {
        Operation { kind, words, host: self.settings.base_url.host() }
    }

    fn tokens(
        &self,
        connection: &ConnectionId,
        id: Option<&TokenId>,
        operation: &Operation,
    ) -> Result<Endpoint, Fault> {
        let mut path =
            vec!["api", "v2", "connections", connection.as_str(), "scim-configuration", "tokens"];
        path.extend(id.map(TokenId::as_str));
        self.settings.base_url.join(&path).map_err(|error| {
            let words = operation.words.clone();
            Fault::new(words, Class::Terminal, Code::Invalid, error.to_string())
        })
    }

    /// Sends a call when it is its turn; again after one fresh log-in when it was answered 401,
    /// after a short pause when it was answered 429, and, where it changes nothing, once when
    /// its connection was lost. Returns any other answer, and what it was asked with.
    ///
    /// A 429 says that nothing was done: a create is sent again under the same intent. All waits
    /// together take no longer than one request may, and end at the call's `not_after`; each of them
    /// ends when the call is dropped.
    async fn call<'a>(
        &self,
        operation: &Operation,
        Call { urgency, not_after, .. }: Call<'_>,
        request: impl Fn() -> Request<'a>,
    ) -> Result<(Reply, Arc<Access>), Fault> {
        let kind = operation.kind;
        let timeout = TimeDelta::from_std(self.settings.request_timeout).unwrap_or_default();
        let patience = self.clock.now() + timeout;
        let deadline = not_after.map_or(patience, |end| end.min(patience));
        let (mut refused, mut pauses, mut lost): (Option<Arc<Access>>, u32, bool) =
            (None, 0, false);
        // Before it queues, so that all who come at the same time share one log-in and its outcome,
        // also where only one of them may ask first how things stand.
        self.login.access().await?;
        loop {
            let permit = self.permit(operation, urgency, deadline).await?;
            let access = match &refused {
                Some(refused) => self.login.replace(refused).await?,
                None => self.login.access().await?,
            };
            let access = if kind == Kind::Create {
                self.allowed_to_rotate(operation, access).await?
            } else {
                access
            };
            if self.clock.now() > deadline {
                return Err(self.too_late(operation));
            }
            let authorized =
                request().bearer(access.token.expose()).within(self.settings.request_timeout);
            let answer = self.http.send(authorized).await;
            let reply = match answer {
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
            self.login.see_clock(&reply);
            self.count(kind, &reply.status.to_string());
            if reply.status == 429 {
                let pause = self.throttled(permit, &reply);
                pauses += 1;
                let over = self.clock.now() + TimeDelta::from_std(pause).unwrap_or_default();
                if pauses > PAUSES || pause > LONGEST_WAIT || over > deadline {
                    let fault = operation.refused(&reply, &[access.token.expose()]);
                    return Err(fault.retry_after(Some(pause)));
                }
                continue;
            }
            self.answered(permit, &reply);
            if reply.status == 401 && refused.is_none() {
                refused = Some(access);
                continue;
            }
            return Ok((reply, access));
        }
    }

    /// An access token with every right of a rotation, as far as the log-in says what is granted: a
    /// token that could not be revoked later is not made.
    async fn allowed_to_rotate(
        &self,
        operation: &Operation,
        access: Arc<Access>,
    ) -> Result<Arc<Access>, Fault> {
        let access = if missing_rights(&access).is_empty() || !access.is_old(self.clock.now()) {
            access
        } else {
            self.login.replace(&access).await.unwrap_or(access)
        };
        let missing = missing_rights(&access).join(" ");
        if missing.is_empty() {
            return Ok(access);
        }
        let detail = format!(
            "the log-in does not grant {missing}, which a rotation needs; nothing was sent; {}",
            how_to_grant(&missing)
        );
        let words = operation.words.clone();
        Err(Fault::new(words, Class::Terminal, Code::Forbidden, detail))
    }

    async fn permit(
        &self,
        operation: &Operation,
        urgency: Urgency,
        deadline: Timestamp,
    ) -> Result<Permit<'_>, Fault> {
        tokio::select! {
            biased;
            permit = self.budget.take_unless_closed(urgency, LONGEST_WAIT) => {
                permit.map_err(|Closed { pause }| {
                    let detail = format!(
                        "{} asked for a pause, of which {} s are left; nothing was sent",
                        self.settings.domain,
                        pause.as_secs_f64().ceil()
                    );
                    operation
                        .fault(Class::Transient, Code::Throttled, detail)
                        .retry_after(Some(pause))
                })
            }
            () = self.clock.sleep_until(deadline) => Err(self.too_late(operation)),
        }
    }

    /// A change that is sent long after it was decided on would act on old knowledge, and nobody waits
    /// for a list without knowing how long.
    fn too_late(&self, operation: &Operation) -> Fault {
        let detail = format!(
            "the request budget of {} had no room for it in time; nothing was sent",
            self.settings.domain
        );
        operation.fault(Class::Transient, Code::Throttled, detail)
    }

    fn count(&self, kind: Kind, code: &str) {
        let name = &self.settings.name;
        self.metrics.provider_request(name, kind.label(), code);
        tracing::debug!(provider = %name, operation = kind.label(), code, "asked the provider");
    }

    fn answered(&self, permit: Permit<'_>, reply: &Reply) {
        let seen = Seen {
            limit: reply.number("x-ratelimit-limit"),
            remaining: reply.number("x-ratelimit-remaining"),
            resets_in: answers::resets_in(reply, self.clock.now()),
        };
        if let Some(remaining) = seen.remaining {
            self.metrics.rate_limit_remaining(&self.settings.name, remaining);
        }
        // A server in trouble does not show whether there is a limit.
        if seen.remaining.is_some() || reply.status < 500 {
            permit.answered(seen);
        }
    }

    /// Notes a 429 and returns how long everybody pauses.
    fn throttled(&self, permit: Permit<'_>, reply: &Reply) -> Duration {
        self.metrics.provider_throttled(&self.settings.name);
        if let Some(remaining) = reply.number("x-ratelimit-remaining") {
            self.metrics.rate_limit_remaining(&self.settings.name, remaining);
        }
        let asked = answers::pause(reply, self.clock.now());
        let throttled = permit.throttled(asked);
        say(&self.settings.name, throttled, self.settings.rate_limit);
        throttled.pause
    }
}
