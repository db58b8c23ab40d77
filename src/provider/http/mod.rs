//! `type = "http"`: an issuer of tokens that the configuration declares. What it is asked, and where
//! in its answers everything is, stands in its tables; what an answer means for a rotation is the same
//! as for every provider.
//!
//! - A list is one only when it is complete to its last page and each token in it can be read.
//! - A create without a readable value and id may have made a token: it is ambiguous.
//! - A body is composed as data and a path by segments, so that no value can change their shape.
//! - The token's value is moved out of the answer, and the rest of the answer is wiped.

mod answers;
mod auth;
mod config;
mod requests;
mod schema;
mod spec;
mod template;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::Url;
use serde_json::Value as Json;
use zeroize::Zeroizing;

pub(super) use self::config::KIND;
use self::{
    answers::{Next, Wiped},
    auth::{Credentials, Proof},
    spec::{CallSpec, Paging, Spec},
    template::{Filling, Path},
};
use super::{
    Call, Provider, Revoked, Right,
    budget::Seen,
    caller::{Caller, Dialect},
    can_list,
    kind::Needs,
    newest::NewestClock,
    operation::{Kind, Operation},
    pages::Gathered,
};
use crate::{
    clock::{ProviderClock, ProviderTime, Told},
    error::{Class, Code, Fault},
    http::{Endpoint, Reply, Request},
    rotation::policy::{Capabilities, Mode},
    token::{ConnectionId, Listed, Listing, MintRequest, Minted, TokenId, TokenValue},
};

/// After how many pages a list is none.
const MOST_PAGES: usize = 100;

/// A reset later than this, in seconds, is a moment and not a distance: services write both.
const MOMENT: i64 = 1_000_000_000;

/// A declared issuer.
struct Issuer {
    spec: Spec,
    /// The one connection that there is, where a list names none.
    only: Option<ConnectionId>,
    base: Endpoint,
    credentials: Credentials,
    caller: Caller,
    clock: NewestClock,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.caller.name.as_str())
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Issuer {
    fn capabilities(&self) -> Capabilities {
        self.spec.capabilities()
    }

    fn scim_endpoint(&self, connection: &ConnectionId) -> Url {
        let origin = &self.spec.scim.origin;
        let filling = self.filling(connection);
        let joined = Endpoint::try_new(origin.clone())
            .map_err(|error| error.to_string())
            .and_then(|origin| join(&origin, &self.spec.scim.path, &filling));
        // An id that cannot be a path segment names no connection; every call refuses it.
        joined.map_or_else(|_| origin.clone(), |joined| joined.url().clone())
    }

    /// A declaration does not say it.
    fn id_in(&self, _value: &TokenValue) -> Option<TokenId> {
        None
    }

    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault> {
        let words = format!("list the tokens of {}", call.connection);
        let operation = self.operation(Kind::List, call, words)?;
        let list = &self.spec.list;
        let filling = self.filling(call.connection);
        let first = self.endpoint(&list.call, &filling, &operation)?;
        let (mut gathered, mut others) = (Gathered::default(), Vec::new());
        let mut to = self.numbered(&first, 0);
        for nth in 1..=MOST_PAGES {
            let (reply, proof) = self.send(&operation, call, &list.call, &to, None).await?;
            if !list.call.success.contains(&reply.status) {
                return Err(self.refused(&operation, &reply, &proof));
            }
            let kept = |item: &Json| {
                list.only.iter().all(|(at, is)| at.find(item).and_then(Json::as_str) == Some(is))
            };
            let (page, not_meant, next) = operation.issuer_page(
                &reply,
                &self.spec.members,
                &list.items,
                &list.paging,
                kept,
            )?;
            others.extend(not_meant);
            gathered.add(page).map_err(|why| operation.unreadable(&reply, why))?;
            if gathered.is_complete() {
                let mut listing = gathered.listing();
                listing.tokens.retain(|token| !others.contains(&token.id));
                return Ok(listing);
            }
            to = match (&list.paging, next) {
                (Paging::Mark { parameter, .. }, Next::Mark(mark)) => {
                    first.clone().query(parameter, &mark)
                }
                (_, Next::Link(link)) => self.followed(&to, &link).ok_or_else(|| {
                    operation.unreadable(&reply, "its next page is on another host than base_url")
                })?,
                _ => self.numbered(&first, nth),
            };
        }
        let detail = format!("its list does not end after {MOST_PAGES} pages");
        Err(operation.fault(Class::Transient, Code::Unreadable, detail))
    }

    async fn create(&self, call: Call<'_>, request: &MintRequest) -> Result<Minted, Fault> {
        let words = format!("create a token for {}", call.connection);
        let operation = self.operation(Kind::Create, call, words)?;
        if let Some(why) = self.impossible(request) {
            let detail = format!("{why} at `{}`; nothing was sent", self.caller.name);
            return Err(operation.fault(Class::Terminal, Code::Invalid, detail));
        }
        let create = &self.spec.create;
        let name = request.name.as_ref().map(|name| name.as_str());
        let filling = Filling {
            name,
            life: request.life,
            scopes: Some(&request.scopes),
            ..self.filling(call.connection)
        };
        let to = self.endpoint(&create.call, &filling, &operation)?;
        let body = match &create.body {
            Some(body) => body.fill(&filling).map_err(|var| missing(&operation, var))?,
            None => None,
        };
        let (reply, proof) = self.send(&operation, call, &create.call, &to, body.as_ref()).await?;
        if !create.call.success.contains(&reply.status) {
            return Err(self.refused(&operation, &reply, &proof));
        }
        let (value, id, token) = self.made(&operation, &reply)?;
        let token = match token {
            Some(token) => token,
            // The answer leaves out what only a list shows.
            None => self.looked_up(call, &reply, id, request).await,
        };
        let asked = request.name.clone().filter(|_| token.name.is_none());
        let token = Listed { name: asked.or(token.name), ..token };
        let scopes = if token.scopes.is_empty() { request.scopes.clone() } else { token.scopes };
        operation.made(&reply, Minted { token: Listed { scopes, ..token }, value })
    }

    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault> {
        let words = format!("revoke token {id} of {}", call.connection);
        let operation = self.operation(Kind::Revoke, call, words)?;
        // Its id alone would lead to a token of any connection.
        if self.spec.deletes_by_id_alone() && self.list(call).await?.get(id).is_none() {
            return Ok(Revoked::NotFound);
        }
        let delete = &self.spec.delete;
        let filling = Filling { token_id: Some(id.as_str()), ..self.filling(call.connection) };
        let to = self.endpoint(delete, &filling, &operation)?;
        let (reply, proof) = self.send(&operation, call, delete, &to, None).await?;
        match reply.status {
            status if delete.success.contains(&status) => Ok(Revoked::Deleted),
            // Whether it was there or may not be seen is not known: a complete list tells.
            404 => Ok(Revoked::NotFound),
            _ => Err(self.refused(&operation, &reply, &proof)),
        }
    }

    async fn prove(&self, connections: &[ConnectionId], needs: Needs) -> Result<Vec<Right>, Fault> {
        self.credentials.afresh().await?;
        let mut rights = Vec::new();
        for connection in connections {
            let name = format!("list the tokens of {connection}");
            rights.push(can_list(self, connection, name).await?);
            if needs.mode == Mode::Observe {
                continue;
            }
            rights.push(Right {
                name: format!(
                    "create and delete tokens of {connection} (not checked: only using it would show it)"
                ),
                missing: None,
            });
        }
        Ok(rights)
    }
}

#[async_trait]
impl Dialect for Issuer {
    type Proof = Proof;

    async fn prepare(&self) -> Result<(), Fault> {
        self.credentials.prepare().await
    }

    async fn proof(&self, operation: &Operation, refused: Option<&Proof>) -> Result<Proof, Fault> {
        self.credentials.proof(operation, refused).await
    }

    async fn has_another(&self, operation: &Operation, refused: &Proof) -> Result<bool, Fault> {
        self.credentials.has_another(operation, refused).await
    }

    fn authorize<'a>(&self, request: Request<'a>, proof: &'a Proof) -> Request<'a> {
        proof.authorize(request)
    }

    fn seen(&self, reply: &Reply) -> Option<Seen> {
        let seen = Seen {
            limit: reply.number("x-ratelimit-limit"),
            remaining: self.remaining(reply),
            resets_in: self.resets_in(reply),
        };
        (seen.remaining.is_some() || reply.status < 500).then_some(seen)
    }

    fn remaining(&self, reply: &Reply) -> Option<i64> {
        reply.number("x-ratelimit-remaining")
    }

    fn pause(&self, reply: &Reply) -> Option<Duration> {
        reply.retry_after().or_else(|| self.resets_in(reply))
    }

    fn learn(&self, reply: &Reply) {
        self.clock.see(reply, self.caller.clock.now());
    }

    fn refused(&self, operation: &Operation, reply: &Reply, proof: &Proof) -> Fault {
        operation.issuer_refused(reply, &[proof.secret()])
    }
}

impl Issuer {
    fn operation(&self, kind: Kind, call: Call<'_>, words: String) -> Result<Operation, Fault> {
        let operation = Operation { kind, words, host: self.base.host() };
        match &self.only {
            Some(only) if only != call.connection => {
                let detail = format!(
                    "`{}` has one connection, which is {only}; nothing was sent",
                    self.caller.name
                );
                Err(operation.fault(Class::Terminal, Code::NoConnection, detail))
            }
            Some(_) | None => Ok(operation),
        }
    }

    fn filling<'a>(&self, connection: &'a ConnectionId) -> Filling<'a> {
        Filling {
            connection: connection.as_str(),
            token_id: None,
            name: None,
            life: None,
            scopes: None,
            now: self.now(),
        }
    }

    fn now(&self) -> ProviderTime {
        self.clock.get().to_provider(self.caller.clock.now())
    }

    fn resets_in(&self, reply: &Reply) -> Option<Duration> {
        let reset = reply.number("x-ratelimit-reset")?;
        let unsaid = || ProviderClock::default().to_provider(self.caller.clock.now());
        let now = reply.date().unwrap_or_else(unsaid).as_told().timestamp();
        let seconds = if reset > MOMENT { reset.saturating_sub(now) } else { reset };
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    fn endpoint(
        &self,
        call: &CallSpec,
        filling: &Filling<'_>,
        operation: &Operation,
    ) -> Result<Endpoint, Fault> {
        let invalid = |why: String| operation.fault(Class::Terminal, Code::Invalid, why);
        let mut to = join(&self.base, &call.path, filling).map_err(invalid)?;
        for (name, text) in &call.query {
            let value = text.fill(filling).map_err(|var| missing(operation, var))?;
            to = to.query(name, &value);
        }
        Ok(to)
    }

    /// The page with this number, counted from 0, where pages have numbers.
    fn numbered(&self, first: &Endpoint, nth: usize) -> Endpoint {
        match &self.spec.list.paging {
            Paging::Number { parameter, first: number, .. } => {
                let number = usize::try_from(*number).unwrap_or(1) + nth;
                first.clone().query(parameter, &number.to_string())
            }
            Paging::None | Paging::Link { .. } | Paging::Mark { .. } => first.clone(),
        }
    }

    /// Where a link leads to; nowhere but to the issuer itself, since credentials go along.
    fn followed(&self, from: &Endpoint, link: &str) -> Option<Endpoint> {
        let to = Endpoint::try_new(from.url().join(link).ok()?).ok()?;
        (to.url().origin() == self.base.url().origin()).then_some(to)
    }

    async fn send(
        &self,
        operation: &Operation,
        call: Call<'_>,
        spec: &CallSpec,
        to: &Endpoint,
        body: Option<&Json>,
    ) -> Result<(Reply, Proof), Fault> {
        let bytes = body.map(|body| Zeroizing::new(serde_json::to_vec(body).unwrap_or_default()));
        let request = || {
            let request = Request::new(spec.method.clone(), to);
            let request = match &bytes {
                Some(bytes) => request.body(self.spec.media_type, bytes.clone()),
                None => request,
            };
            if operation.kind.changes_something() { request.fresh() } else { request }
        };
        self.caller.call(self, operation, call, request).await
    }

    /// Why a token like this cannot be asked for.
    fn impossible(&self, request: &MintRequest) -> Option<String> {
        let (name, scopes) = (self.spec.asks_name(), self.spec.asks_scopes());
        match (self.spec.shortest_life(), request.life) {
            (None, Some(_)) => return Some("tokens cannot have a chosen lifetime".to_owned()),
            (Some(shortest), Some(life)) if life < shortest => {
                return Some(format!("a token lives at least {} s", shortest.as_secs()));
            }
            (_, Some(life)) if self.spec.longest.is_some_and(|longest| life > longest) => {
                return Some("a token does not live that long".to_owned());
            }
            _ => {}
        }
        if name != request.name.is_some() {
            let why = if name { "a token needs a name" } else { "a token has no name" };
            return Some(why.to_owned());
        }
        (!scopes && !request.scopes.is_empty()).then(|| "a token has no scopes".to_owned())
    }

    /// The value and the id in a create's answer, and the token where the answer shows all of it. What
    /// cannot be read may have been made all the same.
    fn made(
        &self,
        operation: &Operation,
        reply: &Reply,
    ) -> Result<(TokenValue, TokenId, Option<Listed>), Fault> {
        let (members, create) = (&self.spec.members, &self.spec.create);
        let mut json = Wiped(reply.json().map_err(|why| operation.unreadable(reply, &why))?);
        let value = create
            .value
            .take_text(&mut json.0)
            .ok_or_else(|| operation.unreadable(reply, "there is no value at `create.value`"))?;
        let value = TokenValue::try_new(value)
            .map_err(|_| operation.unreadable(reply, "the token in the answer is not valid"))?;
        let item = create
            .item
            .find(&json.0)
            .ok_or_else(|| operation.unreadable(reply, "there is no token at `create.item`"))?;
        let id = members.id(item);
        let id =
            id.ok_or_else(|| operation.unreadable(reply, "the new token has no readable id"))?;
        if !members.has_created(item) {
            return Ok((value, id, None));
        }
        let token = members.listed(item).ok_or_else(|| {
            operation.unreadable(reply, "the new token has times that cannot be read")
        })?;
        Ok((value, id, Some(token)))
    }

    /// The new token as a list shows it; where that fails, as it was asked for.
    async fn looked_up(
        &self,
        call: Call<'_>,
        reply: &Reply,
        id: TokenId,
        request: &MintRequest,
    ) -> Listed {
        let listed = self.list(call).await.ok().and_then(|list| list.get(&id).cloned());
        listed.unwrap_or_else(|| {
            let created_at = reply.date().unwrap_or_else(|| self.now());
            let life = request.life.and_then(|life| TimeDelta::from_std(life).ok());
            Listed {
                id,
                created_at,
                valid_until: life.map(|life| created_at + life),
                last_used_at: None,
                scopes: request.scopes.clone(),
                name: request.name.clone(),
            }
        })
    }
}

/// The fault of a template that names what there is not.
fn missing(operation: &Operation, var: &str) -> Fault {
    let detail = format!("its request needs {var}, which is missing; nothing was sent");
    operation.fault(Class::Terminal, Code::Invalid, detail)
}

/// A path below an endpoint, each segment encoded.
fn join(base: &Endpoint, path: &Path, filling: &Filling<'_>) -> Result<Endpoint, String> {
    let segments: Result<Vec<String>, _> =
        path.segments.iter().map(|segment| segment.fill(filling)).collect();
    let segments = segments.map_err(|var| format!("its path needs {var}, which is missing"))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let joined = base.join(&segments).map_err(|error| error.to_string())?;
    Ok(if path.slash { joined.with_slash() } else { joined })
}
