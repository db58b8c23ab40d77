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
mod config;
mod connections;
mod login;
mod rights;
mod scim_config;
mod scim_table;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Method, Url};
use serde::Serialize;

pub(super) use self::config::{IDS, KIND, SCOPES, STRATEGIES};
use self::login::Login;
pub use self::{config::Auth0Config, login::ClientAuth};
use super::{
    Call, Provider, Revoked, Right, Urgency,
    budget::{Budget, RateLimit, Seen},
    caller::{Caller, Dialect},
    can_list,
    connections::{Found, Wanted},
    kind::Needs,
    newest::NewestClock,
    operation::{Kind, Operation},
    session::{Access, Session},
};
pub use crate::secret::SecretSource;
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request},
    rotation::{
        policy::{Capabilities, UserScopes},
        scim_config::{ConfigChange, FoundConfig, ScimConfig},
    },
    telemetry::metrics::Metrics,
    token::{ConnectionId, Listing, MintRequest, Minted, ProviderName, Scope, TokenId, TokenValue},
};

/// The shortest life in seconds: "must be greater than 900" (Auth0's API description).
const SHORTEST_LIFE: u64 = 901;

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
    caller: Caller,
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
            provider_clock: NewestClock::default(),
        };
        let budget = shared.unwrap_or_else(|| {
            Arc::new(Budget::new(settings.rate_limit, settings.share, clock.clone()))
        });
        let caller = Caller {
            name: settings.name.clone(),
            account: settings.domain.clone(),
            http,
            clock,
            metrics,
            budget,
            rate_limit: settings.rate_limit,
            timeout: settings.request_timeout,
        };
        Arc::new(Self { settings, caller, login })
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
        shortest_life: Some(Duration::from_secs(SHORTEST_LIFE)),
        life_step: Duration::from_secs(1),
        last_used: true,
        scopes: true,
        read_scope: Scope::try_new("get:users").ok(),
        user_scopes: UserScopes::named(DEFAULT_SCOPES),
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
            self.caller.call(self, &operation, call, || Request::new(Method::GET, &to)).await?;
        match reply.status {
            200 => operation.listing(&reply),
            _ => Err(self.refused(&operation, &reply, &access)),
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
            self.operation(Kind::Create, format!("create a token for {}", call.connection));
        let to = self.tokens(call.connection, None, &operation)?;
        let body = Body {
            scopes: request.scopes.iter().map(|scope| scope.as_str()).collect(),
            token_lifetime: request.life.map(|life| life.as_secs()),
        };
        let (reply, access) = self
            .caller
            .call(self, &operation, call, || Request::new(Method::POST, &to).json(&body).fresh())
            .await?;
        if !(200..300).contains(&reply.status) {
            return Err(self.refused(&operation, &reply, &access));
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
        let (reply, access) = self
            .caller
            .call(self, &operation, call, || Request::new(Method::DELETE, &to).fresh())
            .await?;
        operation.revoked(&reply, &[access.token.expose()])
    }

    async fn connections(&self, wanted: &Wanted<'_>) -> Result<Vec<Found>, Fault> {
        match self.with_scim().await? {
            Some(found) => Ok(found),
            None => self.one_by_one(wanted).await,
        }
    }

    async fn scim_config(
        &self,
        call: Call<'_>,
        with_default: bool,
    ) -> Result<Option<FoundConfig>, Fault> {
        self.read_config(call, with_default).await
    }

    async fn configure(&self, call: Call<'_>, change: &ConfigChange) -> Result<ScimConfig, Fault> {
        self.change_config(call, change).await
    }

    async fn prove(&self, connections: &[ConnectionId], needs: Needs) -> Result<Vec<Right>, Fault> {
        let access = self.login.fresh().await?;
        let (mut lists, mut listed) = (Vec::new(), false);
        for connection in connections {
            let name = format!("list the tokens of {connection}");
            let right = self.can_list(connection, name, needs.creates).await?;
            listed |= right.missing.is_none();
            lists.push(right);
        }
        Ok(rights::granted(&access, listed, needs).into_iter().chain(lists).collect())
    }
}

#[async_trait]
impl Dialect for Auth0 {
    type Proof = Arc<Access>;

    async fn prepare(&self) -> Result<(), Fault> {
        self.login.access().await.map(drop)
    }

    async fn proof(
        &self,
        operation: &Operation,
        refused: Option<&Arc<Access>>,
    ) -> Result<Arc<Access>, Fault> {
        let access = match refused {
            Some(refused) => self.login.replace(refused).await?,
            None => self.login.access().await?,
        };
        if operation.kind == Kind::Create {
            self.allowed_to_rotate(operation, access).await
        } else {
            Ok(access)
        }
    }

    async fn has_another(
        &self,
        _operation: &Operation,
        _refused: &Arc<Access>,
    ) -> Result<bool, Fault> {
        Ok(true)
    }

    fn authorize<'a>(&self, request: Request<'a>, access: &'a Arc<Access>) -> Request<'a> {
        request.bearer(access.token.expose())
    }

    fn seen(&self, reply: &Reply) -> Option<Seen> {
        let seen = Seen {
            limit: reply.number("x-ratelimit-limit"),
            remaining: self.remaining(reply),
            resets_in: answers::resets_in(reply, self.caller.clock.now()),
        };
        // A server in trouble does not show whether there is a limit.
        (seen.remaining.is_some() || reply.status < 500).then_some(seen)
    }

    fn remaining(&self, reply: &Reply) -> Option<i64> {
        reply.number("x-ratelimit-remaining")
    }

    fn pause(&self, reply: &Reply) -> Option<Duration> {
        answers::pause(reply, self.caller.clock.now())
    }

    fn learn(&self, reply: &Reply) {
        self.login.see_clock(reply);
    }

    fn refused(&self, operation: &Operation, reply: &Reply, access: &Arc<Access>) -> Fault {
        operation.refused(reply, &[access.token.expose()])
    }
}

impl Auth0 {
    /// Whether the tokens of a connection can be listed. Where what is missing is made, a connection
    /// without a SCIM configuration lacks nothing.
    async fn can_list(
        &self,
        connection: &ConnectionId,
        name: String,
        creates: bool,
    ) -> Result<Right, Fault> {
        let right = can_list(self, connection, name).await?;
        if right.missing.is_none() || !creates {
            return Ok(right);
        }
        let call = Call { connection, urgency: Urgency::Routine, not_after: None };
        let is_missing = self.read_config(call, false).await == Ok(None);
        Ok(Right { missing: right.missing.filter(|_| !is_missing), ..right })
    }

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
        self.endpoint(&path, operation)
    }

    fn endpoint(&self, path: &[&str], operation: &Operation) -> Result<Endpoint, Fault> {
        self.settings.base_url.join(path).map_err(|error| {
            let words = operation.words.clone();
            Fault::new(words, Class::Terminal, Code::Invalid, error.to_string())
        })
    }

    /// An access token with every right of a rotation, as far as the log-in says what is granted: a
    /// token that could not be revoked later is not made.
    async fn allowed_to_rotate(
        &self,
        operation: &Operation,
        access: Arc<Access>,
    ) -> Result<Arc<Access>, Fault> {
        let old = access.is_old(self.caller.clock.now());
        let access = if rights::missing(&access).is_empty() || !old {
            access
        } else {
            self.login.replace(&access).await.unwrap_or(access)
        };
        let missing = rights::missing(&access).join(" ");
        if missing.is_empty() {
            return Ok(access);
        }
        let detail = format!(
            "the log-in lacks {missing}, which a rotation needs; nothing was sent; {}",
            rights::how_to_grant(&missing)
        );
        let words = operation.words.clone();
        Err(Fault::new(words, Class::Terminal, Code::Forbidden, detail))
    }
}
