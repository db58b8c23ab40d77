//! The provider and its SCIM endpoint: a cap, late and coarse marks of use, lagging lists.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    error::{Class, Code, Fault},
    probe::{ProbeAnswer, ScimProbe, UserAct, UserAnswer},
    provider::{Call, Provider, Revoked, Right, kind::Needs},
    rotation::{
        policy::Capabilities,
        scim_config::{ConfigChange, FoundConfig, ScimConfig},
    },
    sink::Delivery,
    token::{ConnectionId, Listed, Listing, MintRequest, Minted, TokenId, TokenValue},
};

use super::{
    clock::told,
    conn::{CANARY, Tok},
    faults::Op,
    observe::Change,
    world::{DAY, Event, Ms, Pid, SECOND, Sim, World},
};

/// An effect that comes after its caller gave up.
#[derive(Clone, Debug)]
pub(crate) enum Late {
    Create { conn: usize, pid: Pid, request: MintRequest },
    Revoke { conn: usize, pid: Pid, id: TokenId },
    Stage { conn: usize, sink: usize, pid: Pid, delivery: Box<Delivery> },
    Promote { conn: usize, sink: usize, pid: Pid, delivery: Box<Delivery>, expected: String },
    Use { conn: usize, value: Arc<str> },
    User { conn: usize, value: Arc<str>, act: UserAct },
    Configure { conn: usize, change: Box<ConfigChange> },
}

/// What the endpoint says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    Yes,
    NotScoped,
    No,
}

impl World {
    pub(crate) fn late(&mut self, late: Late) {
        self.note(|| format!("a late effect comes: {}", late.words()));
        match late {
            Late::Create { conn, pid, request } => {
                // Nobody gets the answer.
                let _ = self.make(conn, Some(pid), &request);
            }
            Late::Configure { conn, change } => {
                let _ = self.configure(conn, &change);
            }
            Late::Revoke { conn, pid, id } => {
                let _ = self.delete(conn, Some(pid), &id);
            }
            Late::Stage { conn, sink, pid, delivery } => self.stage_in(conn, sink, pid, &delivery),
            Late::Promote { conn, sink, pid, delivery, expected } => {
                let _ = self.write_sink(conn, sink, pid, &delivery, &expected);
            }
            Late::Use { conn, value } => {
                self.use_token(conn, &value, false);
            }
            Late::User { conn, value, act } => {
                self.act_on_user(conn, &value, &act);
            }
        }
    }

    /// Makes a token: the effect of a create.
    pub(crate) fn make(
        &mut self,
        index: usize,
        maker: Option<Pid>,
        request: &MintRequest,
    ) -> Result<Minted, Fault> {
        self.has_config(index, "create a token")?;
        let now = self.now;
        let created = self.provider_now();
        let conn = &mut self.conns[index];
        let manners = &conn.manners;
        let used = conn
            .tokens
            .values()
            .filter(|tok| {
                tok.deleted.is_none()
                    && (manners.expired_hold || tok.until.is_none_or(|until| created < until))
            })
            .count();
        if manners.cap.is_some_and(|cap| used >= cap) {
            conn.refused_slot = Some(now);
            return Err(Fault::new(
                "create a token",
                Class::Terminal,
                Code::NoSlot,
                "409 Maximum of 2 tokens already issued for this connection",
            ));
        }
        conn.next_id += 1;
        let id = TokenId::try_new(format!("tok_{:016}", conn.next_id)).expect("a plain id");
        let value: Arc<str> = format!("{id}.{CANARY}{:050x}", conn.next_id).into();
        let life = request
            .life
            .map(|life| Ms::try_from(life.as_millis()).unwrap_or(0) + manners.grant_error);
        let until = life.map(|life| created + life.max(SECOND));
        conn.tokens.insert(
            id.clone(),
            Tok {
                value: Arc::clone(&value),
                made: now,
                created,
                until,
                scopes: request.scopes.clone(),
                name: request.name.clone(),
                maker,
                deleted: None,
                deleted_by_person: false,
                condemned: false,
                left_a_sink: None,
                in_a_sink: false,
                delivered: None,
                proven: false,
                waived: false,
                expired_fairly: false,
                last_client_use: None,
                marks: Vec::new(),
                recorded: maker.is_none(),
                policy: conn.policies.len() - 1,
            },
        );
        if let Some(pid) = maker {
            conn.mints += 1;
            conn.attempts.entry(pid).or_default().minted.insert(id.clone());
        }
        let token = Listed {
            id: id.clone(),
            created_at: told(created),
            valid_until: until.map(told),
            last_used_at: None,
            scopes: request.scopes.clone(),
            name: request.name.clone(),
        };
        if let Some(until) = until {
            let at = until - self.provider_offset;
            self.schedule(at, Event::Expiry { conn: index });
        }
        self.note(|| format!("made: {id} of [{index}] for {maker:?}, life {life:?}"));
        let value = TokenValue::try_new(value.to_string()).expect("a bearer token");
        Ok(Minted { token, value })
    }

    /// Deletes a token: the effect of a revoke.
    pub(crate) fn delete(&mut self, index: usize, by: Option<Pid>, id: &TokenId) -> Revoked {
        let now = self.now;
        let Some(tok) = self.conns[index].tokens.get_mut(id) else {
            return Revoked::NotFound;
        };
        if tok.deleted.is_some() {
            return Revoked::NotFound;
        }
        tok.deleted = Some(now);
        tok.deleted_by_person = by.is_none();
        self.note(|| format!("deleted: {id} of [{index}] by {by:?}"));
        self.promise_1(index, "a token was deleted");
        Revoked::Deleted
    }

    fn show(&mut self, index: usize) -> Listing {
        let lag = self.conns[index].manners.list_lag;
        let lag = if lag > 0 && self.rng.one_in(2) { self.rng.below(lag) } else { 0 };
        let turn = self.rng.next();
        let (now, provider_now) = (self.now, self.provider_now());
        let wild = self.conns[index].manners.wild_date;
        // One bad answer among good ones: never two in a row.
        let wild = wild != 0 && now - self.conns[index].misdated > DAY && self.rng.one_in(20);
        if wild {
            self.conns[index].misdated = now;
            self.note(|| "this list's Date is wrong".to_owned());
        }
        let conn = &self.conns[index];
        let date = provider_now + if wild { conn.manners.wild_date } else { 0 };
        let seen = now - lag;
        self.outage_list(index, seen);
        let conn = &self.conns[index];
        let mut tokens: Vec<Listed> = conn
            .tokens
            .iter()
            .filter(|(_, tok)| {
                tok.made <= seen
                    && tok.deleted.is_none_or(|at| at > seen)
                    && (conn.manners.expired_listed
                        || tok.until.is_none_or(|until| until > provider_now))
            })
            .map(|(id, tok)| Listed {
                id: id.clone(),
                created_at: told(tok.created),
                valid_until: tok.until.map(told),
                last_used_at: conn.manners.last_used.then(|| tok.shown_use(now)).flatten(),
                scopes: tok.scopes.clone(),
                name: tok.name.clone(),
            })
            .collect();
        if turn & 1 == 1 {
            tokens.reverse();
        }
        let dated = conn.manners.dated;
        Listing { tokens, provider_time: dated.then(|| told(date - date.rem_euclid(SECOND))) }
    }

    /// A token is shown to the SCIM endpoint.
    pub(crate) fn use_token(&mut self, index: usize, value: &str, by_client: bool) -> Accepts {
        let (now, provider_now) = (self.now, self.provider_now());
        let conn = &mut self.conns[index];
        let Some(id) = conn.id_of(value) else {
            return Accepts::No;
        };
        let (delay, grain) = (conn.manners.mark_delay, conn.manners.mark_grain.max(1));
        let (accept, reject) = (conn.manners.accept_delay, conn.manners.reject_delay);
        let scoped = conn.policy().capabilities.scopes;
        let Some(tok) = conn.tokens.get_mut(&id) else {
            return Accepts::No;
        };
        let expired = tok.until.is_some_and(|until| provider_now >= until);
        let deleted = tok.deleted.is_some_and(|at| now >= at + reject);
        if expired || deleted || now < tok.made + accept {
            return Accepts::No;
        }
        let shown = provider_now - provider_now.rem_euclid(grain);
        // What is shown already is kept as its last mark only; a flood of uses is thinned.
        if let Some(last) = tok.marks.iter().rposition(|(from, _)| *from <= now) {
            tok.marks.drain(..last);
        }
        if tok.marks.len() < 64 {
            tok.marks.push((now + delay, shown));
        }
        if by_client {
            tok.last_client_use = Some(now);
        }
        if !scoped || tok.scopes.iter().any(|scope| scope.as_str() == "get:users") {
            Accepts::Yes
        } else {
            Accepts::NotScoped
        }
    }
}

impl Tok {
    /// The last use that a list shows at this time.
    pub(crate) fn shown_use(&self, now: Ms) -> Option<scimitar::clock::ProviderTime> {
        self.marks.iter().filter(|(from, _)| *from <= now).map(|(_, shown)| *shown).max().map(told)
    }
}

impl Late {
    fn words(&self) -> String {
        match self {
            Self::Create { conn, pid, .. } => format!("create of {pid:?} for [{conn}]"),
            Self::Revoke { conn, id, .. } => format!("delete of {id} of [{conn}]"),
            Self::Stage { conn, sink, delivery, .. } => {
                format!("stage of {} in [{conn}.{sink}]", delivery.marks.token_id)
            }
            Self::Promote { conn, sink, delivery, .. } => {
                format!("promote of {} to [{conn}.{sink}]", delivery.marks.token_id)
            }
            Self::Use { conn, .. } => format!("probe at [{conn}]"),
            Self::User { conn, act, .. } => format!("{act:?} at [{conn}]"),
            Self::Configure { conn, .. } => format!("a SCIM configuration for [{conn}]"),
        }
    }
}

/// One process's client of the provider, for one connection.
pub(crate) struct SimProvider {
    pub(crate) sim: Sim,
    pub(crate) pid: Pid,
    pub(crate) conn: usize,
}

impl fmt::Debug for SimProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimProvider")
    }
}

#[async_trait]
impl Provider for SimProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities::clone(&self.sim.lock().conns[self.conn].policy().capabilities)
    }

    fn scim_endpoint(&self, connection: &ConnectionId) -> Url {
        Url::parse(&format!("https://acme.example/scim/{connection}")).expect("a plain URL")
    }

    fn id_in(&self, value: &TokenValue) -> Option<TokenId> {
        if !self.sim.lock().conns[self.conn].manners.id_in_value {
            return None;
        }
        let (id, secret) = value.expose().split_once('.')?;
        if !id.starts_with("tok_") || secret.len() != 64 {
            return None;
        }
        TokenId::try_new(id).ok()
    }

    async fn list(&self, _call: Call<'_>) -> Result<Listing, Fault> {
        let (pid, conn) = (self.pid, self.conn);
        self.sim
            .call(pid, conn, Op::List, None, |world| {
                world.has_config(conn, "list")?;
                let listing = world.show(conn);
                world.listed(pid, conn, &listing);
                Ok(listing)
            })
            .await
    }

    async fn create(&self, _call: Call<'_>, request: &MintRequest) -> Result<Minted, Fault> {
        let (pid, conn) = (self.pid, self.conn);
        self.sim.lock().promise_3(pid, conn, request);
        let late = Late::Create { conn, pid, request: request.clone() };
        self.sim
            .call(pid, conn, Op::Create, Some(late), |world| world.make(conn, Some(pid), request))
            .await
    }

    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault> {
        let (pid, conn) = (self.pid, self.conn);
        let wall = self.sim.lock().wall(pid);
        if call.not_after.is_some_and(|end| end.timestamp_millis() < wall) {
            // As the client of each provider does where its turn came too late.
            let words = "it was not sent: the look that it rests on is too old";
            return Err(Fault::new("revoke", Class::Transient, Code::Throttled, words));
        }
        self.sim.lock().promise_2(pid, conn, id);
        let late = Late::Revoke { conn, pid, id: id.clone() };
        self.sim
            .call(pid, conn, Op::Revoke, Some(late), |world| Ok(world.delete(conn, Some(pid), id)))
            .await
    }

    async fn scim_config(
        &self,
        _call: Call<'_>,
        _with_default: bool,
    ) -> Result<Option<FoundConfig>, Fault> {
        let (pid, conn) = (self.pid, self.conn);
        self.sim.call(pid, conn, Op::Inspect, None, |world| Ok(world.found_config(conn))).await
    }

    async fn configure(&self, _call: Call<'_>, change: &ConfigChange) -> Result<ScimConfig, Fault> {
        let (pid, conn) = (self.pid, self.conn);
        {
            let mut world = self.sim.lock();
            world.promise_observe(pid, conn, Change::Configure);
            world.promise_6(conn, change);
        }
        let late = Late::Configure { conn, change: Box::new(change.clone()) };
        self.sim
            .call(pid, conn, Op::Configure, Some(late), |world| world.configure(conn, change))
            .await
    }

    async fn prove(
        &self,
        _connections: &[ConnectionId],
        _needs: Needs,
    ) -> Result<Vec<Right>, Fault> {
        Ok(Vec::new())
    }
}

/// One process's client of the SCIM endpoint, for one connection.
pub(crate) struct SimProbe {
    pub(crate) sim: Sim,
    pub(crate) pid: Pid,
    pub(crate) conn: usize,
}

impl fmt::Debug for SimProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimProbe")
    }
}

#[async_trait]
impl ScimProbe for SimProbe {
    fn longest(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn anonymous(&self, _endpoint: &Url) -> Result<(), Fault> {
        let (pid, conn) = (self.pid, self.conn);
        self.sim
            .call(pid, conn, Op::Anonymous, None, |world| {
                world.attempt(pid, conn).anonymous = true;
                Ok(())
            })
            .await
    }

    async fn read(&self, _endpoint: &Url, token: &TokenValue) -> ProbeAnswer {
        let (pid, conn) = (self.pid, self.conn);
        let value: Arc<str> = token.expose().into();
        let late = Late::Use { conn, value: Arc::clone(&value) };
        let answer = self
            .sim
            .call(pid, conn, Op::Probe, Some(late), |world| {
                let accepts = world.use_token(conn, &value, false);
                if accepts != Accepts::No {
                    world.proven(conn, &value);
                }
                Ok(accepts)
            })
            .await;
        match answer {
            Ok(Accepts::Yes) => ProbeAnswer::Accepted,
            Ok(Accepts::NotScoped) => ProbeAnswer::NotScoped,
            Ok(Accepts::No) => ProbeAnswer::Unauthorized,
            Err(fault) => ProbeAnswer::Inconclusive(fault),
        }
    }

    async fn user(&self, _endpoint: &Url, token: &TokenValue, act: &UserAct) -> UserAnswer {
        let (pid, conn) = (self.pid, self.conn);
        let value: Arc<str> = token.expose().into();
        let late = Late::User { conn, value: Arc::clone(&value), act: act.clone() };
        self.sim
            .call(pid, conn, Op::User, Some(late), |world| Ok(world.act_on_user(conn, &value, act)))
            .await
            .unwrap_or_else(UserAnswer::Inconclusive)
    }
}
