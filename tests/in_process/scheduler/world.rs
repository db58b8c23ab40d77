//! A clock that jumps to the next moment at which anything happens, and a provider that says who
//! was attended to, when, and beside how many others.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::Url;
use scimitar::{
    clock::{Clock, Entropy, ProviderTime, Timestamp, parse_timestamp},
    engine::{
        daemon::{self, Change},
        live::Live,
        progress::Silent,
        pulse::{Doing, Pulse},
        report::Report,
        worker::{Connection, Engine, LEASE, Operation, Patience, Reopen, RotationRequest},
    },
    error::{Class, Code, Fault},
    hook::Hooks,
    ledger::{Claimed, Entry, Ledger, format},
    place::Place,
    probe::{ProbeAnswer, ScimProbe, UserAct, UserAnswer},
    provider::{Call, Provider, Revoked, Right, kind::Needs},
    rotation::{
        operate::NotDone,
        policy::{Capabilities, Lead, Policy, ScopePolicy, Terms},
        record::Record,
    },
    sink::Sink,
    telemetry::metrics::Metrics,
    token::{
        ConnectionId, ConnectionKey, ConnectionName, LedgerId, Listed, Listing, MintRequest,
        Minted, ProviderName, Scopes, Tenant, TokenId, TokenValue,
    },
};
use scimitar_test_support::memory_ledger::MemoryLedger;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const STEADY: &str = include_str!("../golden/record-v1-steady.json");

/// When every test begins.
pub(crate) fn noon() -> Timestamp {
    parse_timestamp("2026-11-22T12:00:00Z").unwrap()
}

/// The host's clock: it stands still while anything can go on.
#[derive(Debug)]
pub(crate) struct Jumping(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    now: Timestamp,
    /// What the wall clock shows is off by this.
    off: TimeDelta,
    sleepers: Vec<(Timestamp, Waker)>,
    /// How often the clock had to jump: a wake-up of the process.
    jumps: usize,
}

impl Jumping {
    fn new() -> Self {
        let hands = Hands { now: noon(), off: TimeDelta::zero(), sleepers: Vec::new(), jumps: 0 };
        Self(Mutex::new(hands))
    }

    /// True time since the beginning.
    pub(crate) fn since(&self) -> TimeDelta {
        self.0.lock().unwrap().now - noon()
    }

    pub(crate) fn jumps(&self) -> usize {
        self.0.lock().unwrap().jumps
    }

    pub(crate) fn set_off(&self, by: TimeDelta) {
        self.0.lock().unwrap().off = by;
    }

    /// Goes on to the next sleeper's moment, at most to `end` of true time.
    fn jump(&self, end: Timestamp) {
        let mut hands = self.0.lock().unwrap();
        let next = hands.sleepers.iter().map(|(at, _)| *at).min();
        hands.now = next.map_or(end, |at| at.clamp(hands.now, end));
        hands.jumps += 1;
        let now = hands.now;
        for (_, waker) in hands.sleepers.extract_if(.., |(at, _)| *at <= now) {
            waker.wake();
        }
    }
}

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let hands = self.0.lock().unwrap();
        hands.now + hands.off
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        // As the real one: a clock that is set back makes nobody sleep longer.
        let left = (deadline - self.now()).max(TimeDelta::zero());
        Sleep(self, deadline, noon() + self.since() + left).await;
    }
}

/// Until the wall clock shows the one, or true time has come to the other.
struct Sleep<'a>(&'a Jumping, Timestamp, Timestamp);

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut hands = self.0.0.lock().unwrap();
        if hands.now + hands.off >= self.1 || hands.now >= self.2 {
            return Poll::Ready(());
        }
        // As the real one does, it looks at the wall clock again after a minute.
        let until = self.1 - hands.off;
        let look = until.min(self.2).min(hands.now + TimeDelta::minutes(1));
        hands.sleepers.push((look, context.waker().clone()));
        Poll::Pending
    }
}

/// Who was attended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) name: String,
    /// Seconds since the beginning, in true time.
    pub(crate) at: i64,
}

#[derive(Debug)]
pub(crate) struct Watched {
    clock: Arc<Jumping>,
    visits: Mutex<Vec<Visit>>,
    takes: TimeDelta,
    pub(crate) tokens: Mutex<BTreeMap<ConnectionId, Listed>>,
    running: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

#[async_trait]
impl Provider for Watched {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cap: Some(2),
            shortest_life: None,
            life_step: Duration::from_secs(1),
            last_used: true,
            scopes: true,
            user_scopes: None,
            read_scope: None,
            names: false,
            id_in_value: false,
            default_scopes: std::collections::BTreeSet::new(),
        }
    }

    fn scim_endpoint(&self, _connection: &ConnectionId) -> Url {
        Url::parse("https://acme.example/scim").unwrap()
    }

    fn id_in(&self, _value: &TokenValue) -> Option<TokenId> {
        None
    }

    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault> {
        let visit =
            Visit { name: call.connection.to_string(), at: self.clock.since().num_seconds() };
        self.visits.lock().unwrap().push(visit);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.clock.sleep_until(self.clock.now() + self.takes).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        assert!(!call.connection.as_str().starts_with("con_panics"), "a defect in one");
        let token = self.tokens.lock().unwrap().get(call.connection).cloned().ok_or_else(away)?;
        Ok(Listing {
            tokens: vec![token],
            provider_time: Some(ProviderTime::told(self.clock.now())),
        })
    }

    async fn create(&self, _call: Call<'_>, _request: &MintRequest) -> Result<Minted, Fault> {
        Err(away())
    }

    async fn revoke(&self, _call: Call<'_>, _id: &TokenId) -> Result<Revoked, Fault> {
        Err(away())
    }

    async fn prove(
        &self,
        _connections: &[ConnectionId],
        _needs: Needs,
    ) -> Result<Vec<Right>, Fault> {
        Err(away())
    }
}

fn away() -> Fault {
    Fault::new("list the tokens", Class::Transient, Code::Unavailable, "503")
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl ScimProbe for Nobody {
    fn longest(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn anonymous(&self, _endpoint: &Url) -> Result<(), Fault> {
        Err(away())
    }

    async fn read(&self, _endpoint: &Url, _token: &TokenValue) -> ProbeAnswer {
        ProbeAnswer::Inconclusive(away())
    }

    async fn user(&self, _endpoint: &Url, _token: &TokenValue, _act: &UserAct) -> UserAnswer {
        UserAnswer::Inconclusive(away())
    }
}

impl Reopen for Nobody {
    fn reopen(&self, _place: &Place) -> Option<Arc<dyn Sink>> {
        None
    }
}

#[derive(Debug)]
struct Always(u64);

impl Entropy for Always {
    fn bits(&self) -> u64 {
        self.0
    }
}

/// What the supervisor was told last.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<Doing>>);

impl Told {
    /// How often the scheduler went round.
    pub(crate) fn rounds(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Doing {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

impl Pulse for Told {
    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn beat(&self, doing: &Doing, _now: Timestamp) {
        self.0.lock().unwrap().push(doing.clone());
    }
}

/// A daemon in a world that stands still between events.
pub(crate) struct World {
    pub(crate) clock: Arc<Jumping>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) provider: Arc<Watched>,
    pub(crate) live: Arc<Live>,
    pub(crate) told: Arc<Told>,
    pub(crate) stop: CancellationToken,
    pub(crate) engine: Engine,
    changes: Option<mpsc::Sender<Change>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// Looking at a connection takes this long.
    pub(crate) fn new(takes: TimeDelta) -> Self {
        let clock = Arc::new(Jumping::new());
        let boot = Arc::clone(&clock);
        let boot = Arc::new(move || boot.since().to_std().unwrap());
        let id = LedgerId::try_new("00112233445566778899aabbccddeeff").unwrap();
        let ledger = MemoryLedger::shared(&id, boot, 1).remove(0);
        let ledger = Arc::new(ledger);
        let provider = Arc::new(Watched {
            clock: Arc::clone(&clock),
            visits: Mutex::default(),
            takes,
            tokens: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let engine = Engine {
            person: None,
            clock: clock.clone(),
            entropy: Arc::new(Always(7)),
            ledger: ledger.clone(),
            metrics: Metrics::try_new().unwrap(),
            audit: Arc::new(scimitar::telemetry::audit::Off),
            progress: Arc::new(Silent),
            pool: Default::default(),
            services: Default::default(),
            request_timeout: Duration::from_secs(30),
        };
        Self {
            clock,
            ledger,
            provider,
            live: Arc::new(Live::starting(Vec::new(), noon())),
            told: Arc::default(),
            stop: CancellationToken::new(),
            engine,
            changes: None,
        }
    }

    /// A connection of that name, with nothing on record.
    pub(crate) fn connection(&self, name: &str) -> Arc<Connection> {
        self.connection_with(name, Arc::default())
    }

    /// The same, with hooks.
    pub(crate) fn connection_with(&self, name: &str, hooks: Arc<Hooks>) -> Arc<Connection> {
        let policy = Policy {
            name: ConnectionName::try_new(name).unwrap(),
            provider: ProviderName::try_new("acme").unwrap(),
            key: key(name),
            capabilities: self.provider.capabilities().into(),
            survey_interval: Duration::from_secs(3_600),
            terms: Terms {
                scopes: ScopePolicy::Exactly(Scopes::default()),
                token_lifetime: Some(Duration::from_secs(30 * 86_400)),
                rotate_before: Some(Lead::Fixed(Duration::from_secs(10 * 86_400))),
                ..Terms::default()
            }
            .into(),
        };
        Arc::new(Connection {
            policy: Arc::new(policy),
            provider: self.provider.clone(),
            probe: Arc::new(Nobody),
            places: Arc::new(Vec::new()),
            reopen: Arc::new(Nobody),
            hooks,
        })
    }

    /// Puts a record of it into the ledger: to be woken then, its token expires then.
    pub(crate) async fn record(&self, name: &str, wake_at: TimeDelta, expires_at: TimeDelta) {
        self.record_with(name, wake_at, expires_at, |_| {}).await;
    }

    /// The same, changed.
    pub(crate) async fn record_with(
        &self,
        name: &str,
        wake_at: TimeDelta,
        expires_at: TimeDelta,
        change: impl FnOnce(&mut Record),
    ) {
        let mut record = format::decode(STEADY).unwrap();
        record.key = key(name);
        record.name = ConnectionName::try_new(name).unwrap();
        record.retiring.clear();
        record.intents.clear();
        record.sinks = BTreeMap::new();
        record.decided = None;
        record.wake_at = Some(noon() + wake_at);
        record.next_rotation = Some(noon() + expires_at - TimeDelta::days(10));
        record.current.as_mut().unwrap().token.valid_until =
            Some(ProviderTime::told(noon()) + expires_at);
        change(&mut record);
        let token = record.current.as_ref().unwrap().token.clone();
        let id = record.key.connection.clone();
        self.provider.tokens.lock().unwrap().insert(id, token);
        let Claimed::Yes(claim, _) = self.ledger.claim(&record.key, LEASE).await.unwrap() else {
            panic!("somebody has it")
        };
        let entry = Entry { at: noon(), event: "made".to_owned(), words: String::new() };
        self.ledger.store(&claim, 0, &record, &entry).await.unwrap();
        self.ledger.release(&claim).await.unwrap();
    }

    /// Starts the daemon with these connections.
    pub(crate) fn start(&mut self, connections: Vec<Arc<Connection>>, limit: usize) {
        let limit = NonZeroUsize::new(limit).unwrap();
        let (changes, changed) = mpsc::channel(1);
        self.changes = Some(changes);
        self.live = Arc::new(Live::starting(connections, self.clock.now()));
        tokio::spawn(daemon::run(
            self.engine.clone(),
            Arc::clone(&self.live),
            limit,
            changed,
            self.told.clone(),
            self.stop.clone(),
        ));
    }

    /// `--once` with so much patience, from a process of its own.
    pub(crate) fn once(
        &self,
        connection: Arc<Connection>,
        patience: TimeDelta,
    ) -> JoinHandle<Report> {
        let ledger = Arc::new(self.ledger.another());
        let engine = Engine { ledger, ..self.engine.clone() };
        let until = Some(self.clock.now() + patience);
        let patience = Patience { wait: false, until, stop: self.stop.clone() };
        tokio::spawn(
            async move { engine.attend(&connection, &RotationRequest::Due, &patience).await },
        )
    }

    /// An operator revokes a token, from a process of its own, and has two minutes' patience.
    pub(crate) fn revoke(
        &self,
        connection: Arc<Connection>,
    ) -> JoinHandle<Result<Report, NotDone>> {
        let ledger = Arc::new(self.ledger.another());
        let engine = Engine { ledger, ..self.engine.clone() };
        let until = Some(self.clock.now() + TimeDelta::minutes(2));
        let patience = Patience { wait: false, until, stop: self.stop.clone() };
        let id = TokenId::try_new("tok_2").unwrap();
        tokio::spawn(async move {
            let revoke = Operation::Revoke { id, force: false };
            engine.operate(&connection, &revoke, &patience).await
        })
    }

    /// The configuration is another one now.
    pub(crate) async fn change(&self, connections: Vec<Arc<Connection>>, changed: &[&str]) {
        let change = Change {
            engine: self.engine.clone(),
            connections,
            limit: NonZeroUsize::new(4).unwrap(),
            changed: changed.iter().map(|name| key(name)).collect(),
        };
        self.changes.as_ref().unwrap().send(change).await.unwrap();
    }

    /// Lets so much time pass.
    pub(crate) async fn pass(&self, time: TimeDelta) {
        let end = noon() + self.clock.since() + time;
        loop {
            // Everything that can go on does so within a few rounds: nothing here waits for the
            // outside world.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            if noon() + self.clock.since() >= end {
                return;
            }
            self.clock.jump(end);
        }
    }

    /// Who was attended to since this was last asked.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        std::mem::take(&mut *self.provider.visits.lock().unwrap())
    }

    /// The same, names only.
    pub(crate) fn visited(&self) -> Vec<String> {
        self.visits().into_iter().map(|visit| visit.name).collect()
    }
}

pub(crate) fn key(name: &str) -> ConnectionKey {
    ConnectionKey {
        tenant: Tenant::try_new("acme.example").unwrap(),
        connection: ConnectionId::try_new(format!("con_{name}")).unwrap(),
    }
}
