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
mod config;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{Method, Url};
use serde::Serialize;

pub use self::config::DbtCloudConfig;
pub(super) use self::config::KIND;
use super::{
    Call, Provider, Revoked, Right,
    budget::{Budget, RateLimit, Seen},
    caller::{Caller, Dialect},
    can_list,
    kind::Needs,
    operation::{Kind, Operation},
    pages::Gathered,
};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    http::{Endpoint, Http, Reply, Request},
    kind::Credential,
    rotation::policy::{Capabilities, Mode},
    secret::Secret,
    telemetry::metrics::Metrics,
    token::{ConnectionId, Listing, MintRequest, Minted, ProviderName, TokenId, TokenValue},
};

/// After a 429 the whole account is shut out for this long.
const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

/// The documented limit of an account, 5,000 requests a minute, and how many of them at once.
const USUAL_LIMIT: RateLimit = RateLimit { per_second: 5_000.0 / 60.0, burst: 100 };

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
    pub token: Credential,
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
    caller: Caller,
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
        let limit = settings.rate_limit.unwrap_or(USUAL_LIMIT);
        let budget = shared
            .unwrap_or_else(|| Arc::new(Budget::new(Some(limit), settings.share, clock.clone())));
        let caller = Caller {
            name: settings.name.clone(),
            account: format!("account {}", settings.account),
            http,
            clock,
            metrics,
            budget,
            rate_limit: settings.rate_limit,
            timeout: settings.request_timeout,
        };
        Arc::new(Self { settings, caller })
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
        life_step: Duration::from_secs(1),
        last_used: true,
        scopes: false,
        user_scopes: None,
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
                self.caller.call(self, &operation, call, || Request::new(Method::GET, &to)).await?;
            if reply.status != 200 {
                return Err(self.refused(&operation, &reply, &token));
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
        let words = format!("create a SCIM token for dbt Cloud account {}", call.connection);
        let operation = self.operation(Kind::Create, call, words)?;
        let impossible = match request {
            MintRequest { name: None, .. } => Some("a token needs a name"),
            MintRequest { life: Some(_), .. } => Some("tokens cannot have a chosen lifetime"),
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
            .caller
            .call(self, &operation, call, || Request::new(Method::POST, &to).json(&body).fresh())
            .await?;
        if !(200..300).contains(&reply.status) {
            return Err(self.refused(&operation, &reply, &token));
        }
        operation.dbt_minted(&reply, name)
    }

    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault> {
        let words = format!("revoke SCIM token {id} of dbt Cloud account {}", call.connection);
        let operation = self.operation(Kind::Revoke, call, words)?;
        let to = self.tokens(Some(id), &operation)?;
        let (reply, token) = self
            .caller
            .call(self, &operation, call, || Request::new(Method::DELETE, &to).fresh())
            .await?;
        operation.dbt_revoked(&reply, &[token.expose()])
    }

    async fn prove(&self, connections: &[ConnectionId], needs: Needs) -> Result<Vec<Right>, Fault> {
        let mut rights = Vec::new();
        for connection in connections {
            let name = format!("list the SCIM tokens of {connection}");
            rights.push(can_list(self, connection, name).await?);
            if needs.mode == Mode::Observe {
                continue;
            }
            rights.push(Right {
                name: format!(
                    "create and delete SCIM tokens of {connection} (not checked: only using it would \
                     show it)"
                ),
                missing: None,
            });
        }
        Ok(rights)
    }
}

#[async_trait]
impl Dialect for DbtCloud {
    type Proof = Secret;

    async fn proof(
        &self,
        operation: &Operation,
        _refused: Option<&Secret>,
    ) -> Result<Secret, Fault> {
        self.token(operation).await
    }

    async fn has_another(&self, operation: &Operation, refused: &Secret) -> Result<bool, Fault> {
        Ok(self.token(operation).await?.expose() != refused.expose())
    }

    fn authorize<'a>(&self, request: Request<'a>, token: &'a Secret) -> Request<'a> {
        request.credentials(self.settings.scheme.as_str(), token.expose())
    }

    fn seen(&self, _reply: &Reply) -> Option<Seen> {
        Some(Seen::default())
    }

    /// Five minutes at least: an account shuts everybody out for that long whatever else it says.
    fn pause(&self, reply: &Reply) -> Option<Duration> {
        Some(reply.retry_after().unwrap_or_default().max(COOL_DOWN))
    }

    fn refused(&self, operation: &Operation, reply: &Reply, token: &Secret) -> Fault {
        operation.dbt_refused(reply, &[token.expose()])
    }
}

impl DbtCloud {
    fn operation(&self, kind: Kind, call: Call<'_>, words: String) -> Result<Operation, Fault> {
        let operation = Operation { kind, words, host: self.settings.base_url.host() };
        if *call.connection == self.settings.account {
            return Ok(operation);
        }
        let detail = format!(
            "`{}` has one connection, which is its account {}; nothing was sent",
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

    /// The token as it is kept now, so that a changed file is seen without a restart.
    async fn token(&self, operation: &Operation) -> Result<Secret, Fault> {
        self.settings.token.read().await.map_err(|why| {
            let detail = format!("the token of `{}` cannot be read: {why}", self.settings.name);
            operation.fault(why.class, Code::Unauthorized, detail)
        })
    }
}
