//! The daemon: which connection next.
//!
//! The ledger is the queue: what is due is asked of it, most urgent first, a bounded number at a
//! time. Beside it there is only an agenda of exceptions: connections without a record, and those
//! that were put off without anything having been written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use chrono::TimeDelta;
use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    lanes::{Lanes, Next, by_key, earlier},
    live::{Live, Obstacle},
    pulse::{Doing, Pulse},
    report::{Report, Scope},
    standstill::Standstill,
    telling::Telling,
    worker::{Connection, Engine, Patience, RotationRequest},
};
use crate::{
    clock::Timestamp,
    ledger::LedgerError,
    rotation::why::Reason,
    telemetry::audit::heads::Heads,
    token::{ConnectionKey, ConnectionName, Tenant},
};

/// How often the ledger is asked what is due, at most, where it did not say all of it …
const ASK_LEDGER: TimeDelta = TimeDelta::seconds(1);

/// … and where it did.
const ASK_AGAIN: TimeDelta = TimeDelta::milliseconds(20);

/// The same, where most of what is due is none of ours.
const ASK_AT_LEAST: TimeDelta = TimeDelta::seconds(30);

/// How soon a connection is asked for again that another process acts on.
const CLAIMED_ELSEWHERE: TimeDelta = TimeDelta::seconds(10);

/// How soon a connection is attended to again of which nothing could be written down.
const UNWRITTEN: TimeDelta = TimeDelta::seconds(60);

/// How soon a connection is asked for again that the ledger knows at another tenant.
const ELSEWHERE: TimeDelta = TimeDelta::minutes(5);

/// A clock set back by more than this is not mere discipline.
const SET_BACK: TimeDelta = TimeDelta::seconds(60);

/// How long the daemon waits for its work, once it was asked to end: a little longer than that
/// takes by itself.
const LAST: TimeDelta = TimeDelta::milliseconds(3_500);

/// What is due, and when something is next.
type DueAndNext = (Vec<ConnectionKey>, Option<Timestamp>);

/// What is different once the configuration was reloaded.
#[derive(Debug)]
pub struct Change {
    /// What the workers share from now on.
    pub engine: Engine,
    /// The connections, in the order of the files. One that is missing is not touched any more.
    pub connections: Vec<Arc<Connection>>,
    /// How many of a tenant are attended to at once.
    pub limit: NonZeroUsize,
    /// Those that are to be attended to at once: new ones, and those whose policy is another.
    pub changed: BTreeSet<ConnectionKey>,
}

/// Attends to every connection once, then to each when its time comes, at most `limit` of a tenant
/// at a time, until `stop`; then waits until every step in hand is finished or parked. The connections are
/// those of `live`, until a change says otherwise.
pub async fn run(
    engine: Engine,
    live: Arc<Live>,
    limit: NonZeroUsize,
    mut changes: mpsc::Receiver<Change>,
    pulse: Arc<dyn Pulse>,
    stop: CancellationToken,
) {
    let mut daemon = Daemon::new(engine, live, limit, pulse, stop);
    let mut last = Timestamp::UNIX_EPOCH;
    while !daemon.stop.is_cancelled() {
        let now = daemon.now();
        if now + SET_BACK < last {
            // Every moment noted before would come that much too late.
            tracing::warn!(back = %(last - now), "the host's clock was set back by {} s; checking every connection again", (last - now).num_seconds());
            let keys = daemon.connections.keys();
            keys.for_each(|key| daemon.lanes.put(key, now, RotationRequest::Due));
        }
        last = now;
        let stop = daemon.stop.clone();
        if stop.run_until_cancelled(daemon.ask_ledger()).await.is_none() {
            break;
        }
        daemon.live.cleared(Obstacle::Starting);
        daemon.start_due();
        daemon.beat().await;
        daemon.wait(&mut changes).await;
    }
    daemon.live.blocked(Obstacle::Stopping, daemon.now(), "it is stopping");
    let last = daemon.now() + LAST;
    daemon.beat().await;
    while !daemon.running.is_empty() && daemon.now() < last {
        daemon.finish(last).await;
    }
    let left = daemon.running.len();
    if left > 0 {
        tracing::warn!(
            left,
            "{left} connections were still being worked on at shutdown; the next start continues from the ledger"
        );
    }
}

struct Daemon {
    engine: Engine,
    live: Arc<Live>,
    limit: NonZeroUsize,
    pulse: Arc<dyn Pulse>,
    stop: CancellationToken,
    connections: BTreeMap<ConnectionKey, Arc<Connection>>,
    lanes: Lanes,
    /// When the ledger was last asked what is due.
    asked: Option<Timestamp>,
    /// The tenants of which more is due than was asked for.
    more: BTreeSet<Tenant>,
    /// When the next connection is due by the ledger.
    next_due: Option<Timestamp>,
    /// Connections that the ledger says are due and that are none of ours.
    foreign: BTreeSet<ConnectionKey>,
    standstill: Standstill,
    /// What is worked on, and how each is asked to park.
    running: BTreeMap<ConnectionKey, (task::Id, CancellationToken)>,
    tasks: JoinSet<(ConnectionKey, RotationRequest, Report)>,
    /// Connections to be attended to again as soon as what runs has ended.
    again: BTreeSet<ConnectionKey>,
    telling: Telling,
    heads: Heads,
    /// Whose rotation is next, and when that was asked.
    next_rotation: Option<(Timestamp, Option<(Timestamp, ConnectionName)>)>,
}

impl Daemon {
    fn new(
        engine: Engine,
        live: Arc<Live>,
        limit: NonZeroUsize,
        pulse: Arc<dyn Pulse>,
        stop: CancellationToken,
    ) -> Self {
        let mut daemon = Self {
            connections: by_key(&live.connections()),
            live,
            limit,
            pulse,
            stop,
            lanes: Lanes::default(),
            asked: None,
            more: BTreeSet::new(),
            next_due: None,
            foreign: BTreeSet::new(),
            standstill: Standstill::default(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            again: BTreeSet::new(),
            telling: Telling::default(),
            heads: Heads::since(engine.clock.now()),
            next_rotation: None,
            engine,
        };
        daemon.share_out();
        // A place may have been emptied while nobody looked.
        daemon.look_at_all();
        daemon
    }

    fn look_at_all(&mut self) {
        let (engine, since) = (&self.engine, self.engine.clock.now());
        let order = engine.ledger.is_shared().then(|| engine.entropy.bits());
        for key in self.connections.keys() {
            let at = since - order.map(|order| earlier(order, key)).unwrap_or_default();
            self.lanes.put(key, at, RotationRequest::First { since });
        }
    }

    fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    fn share_out(&mut self) {
        self.lanes.configure(&self.connections);
        self.engine.pool.share_out(self.limit, self.lanes.all());
    }

    /// What the ledger says is due, and when something is next.
    async fn ask_ledger(&mut self) {
        let now = self.now();
        // Whether a standstill is over is found out by asking, whatever is waiting.
        let pool = &self.engine.pool;
        let busy = self.lanes.has_due(pool) || self.lanes.with_room(pool).is_empty();
        let waiting = busy && self.standstill.is_over();
        let lately = self.asked.is_some_and(|asked| (now - asked).abs() < self.ask_every());
        if waiting || lately || self.standstill.lasts(now) {
            return;
        }
        self.asked = Some(now);
        match self.due_and_next(now).await {
            Ok((due, next)) => {
                self.standstill.ends(&self.live, now);
                self.next_due = next;
                self.lanes.take_due(due);
            }
            Err(error) => {
                self.standstill.goes_on(&self.live, now, &error.to_string());
                self.next_due = None;
            }
        }
    }

    /// The answer costs as much as there is due: not after each of thousands of connections, and
    /// the less often the more of it is none of ours.
    fn ask_every(&self) -> TimeDelta {
        let foreign = i64::try_from(self.foreign.len()).unwrap_or(i64::MAX);
        let all = self.more.is_empty() && self.standstill.is_over();
        let every = if all { ASK_AGAIN } else { ASK_LEDGER };
        every + TimeDelta::milliseconds((foreign / 4).min(ASK_AT_LEAST.num_milliseconds()))
    }

    async fn due_and_next(&mut self, now: Timestamp) -> Result<DueAndNext, LedgerError> {
        let ledger = Arc::clone(&self.engine.ledger);
        if !self.standstill.is_over() {
            ledger.writable().await?;
        }
        let mut most = self.limit.get() * 2 + self.running.len() + self.foreign.len();
        loop {
            let due = ledger.due_of_each(now, most).await?;
            let mut counts: BTreeMap<&Tenant, usize> = BTreeMap::new();
            for key in &due {
                *counts.entry(&key.tenant).or_default() += 1;
            }
            let cut: BTreeSet<Tenant> = counts
                .into_iter()
                .filter(|(_, count)| *count >= most)
                .map(|(tenant, _)| tenant.clone())
                .collect();
            let (ours, foreign): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|key| self.connections.contains_key(key));
            self.foreign = foreign.into_iter().collect();
            // Records that are no longer configured, and connections of a sink that hangs, stand in
            // front of everybody for as long as they are due.
            let may_begin = |key: &&ConnectionKey| !self.running.contains_key(*key);
            let found = self.lanes.admitted(&self.engine.pool, ours.iter().filter(may_begin));
            let room = self.lanes.with_room(&self.engine.pool);
            if cut.iter().any(|tenant| room.contains(tenant) && !found.contains(tenant)) {
                most = most.saturating_mul(8);
                continue;
            }
            self.more = cut;
            return Ok((ours, ledger.next_wake(now).await?));
        }
    }

    /// Starts what may begin, one of each tenant after the other.
    fn start_due(&mut self) {
        let now = self.now();
        if self.standstill.lasts(now) {
            return;
        }
        let mut tenants = self.lanes.tenants();
        while !tenants.is_empty() {
            self.lanes.tell_waiting(&self.engine.pool, now, |key| self.running.contains_key(key));
            tenants.retain(|tenant| {
                let running = |key: &ConnectionKey| self.running.contains_key(key);
                let pool = &self.engine.pool;
                let next = self.lanes.next(tenant, now, pool, running, &mut self.again);
                next.map(|next| self.start(next)).is_some()
            });
        }
    }

    fn start(&mut self, next: Next) {
        let Next { key, request, seat } = next;
        let Some(connection) = self.connections.get(&key).cloned() else { return };
        let (engine, stop) = (self.engine.clone(), self.stop.child_token());
        let (of, patience) = (key.clone(), Patience { wait: false, until: None, stop });
        let park = patience.stop.clone();
        let task = self.tasks.spawn(async move {
            // It is large, and handing it on copies it several times.
            let report = Box::pin(engine.attend_at(&seat, &connection, &request, &patience)).await;
            (of, request, report)
        });
        self.running.insert(key, (task.id(), park));
    }

    async fn beat(&mut self) {
        let now = self.now();
        self.live.note_beat(now);
        self.heads.tell(&self.engine.audit, now);
        if self.standstill.is_over() {
            let running = |key: &ConnectionKey| self.running.contains_key(key);
            let heard = self.telling.hear_of_others(&self.engine, &self.connections, running, now);
            self.stop.run_until_cancelled(heard).await;
        }
        Telling::of_services(&mut self.engine.services.lock(), now);
        let stopping = self.stop.is_cancelled();
        let next = if stopping { None } else { self.next_rotation(now).await };
        let doing = Doing {
            connections: self.connections.len(),
            running: self.running.len(),
            troubled: self.telling.troubled(),
            next,
            standstill: self.standstill.words().map(str::to_owned),
            stopping,
        };
        self.pulse.beat(&doing, now);
    }

    /// Whose rotation is next. A ledger that cannot say is told of elsewhere.
    async fn next_rotation(&mut self, now: Timestamp) -> Option<(Timestamp, ConnectionName)> {
        // Not after each of thousands of connections; what is said last is as it is.
        if let Some((asked, next)) = &self.next_rotation
            && !self.running.is_empty()
            && (now - *asked).abs() < ASK_LEDGER
        {
            return next.clone();
        }
        let next = self.ask_next_rotation().await;
        self.next_rotation = Some((now, next.clone()));
        next
    }

    async fn ask_next_rotation(&self) -> Option<(Timestamp, ConnectionName)> {
        let most = self.foreign.len() + 8;
        let asked = self.engine.ledger.next_rotations(most);
        let next = self.stop.run_until_cancelled(asked).await?.unwrap_or_default();
        let ours = |key: &ConnectionKey| self.connections.get(key);
        next.into_iter().find_map(|(at, key)| Some((at, ours(&key)?.policy.name.clone())))
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self, changes: &mut mpsc::Receiver<Change>) {
        let now = self.now();
        let until = self.wake_at(now);
        let clock = self.engine.clock.clone();
        let stop = self.stop.clone();
        let pool = self.engine.pool.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(change) = changes.recv() => self.change(change),
            () = pool.changed() => {}
            Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended),
            () = clock.sleep_until(until) => {}
        }
    }

    /// When to go round again if nothing happens before.
    fn wake_at(&self, now: Timestamp) -> Timestamp {
        let every = TimeDelta::from_std(self.pulse.every()).unwrap_or(TimeDelta::seconds(30));
        let told = self.engine.services.lock().next().map(|at| at.max(now));
        let at_latest = told.unwrap_or(now + every).min(now + every);
        // Never sooner than it may be asked again: in between nothing can be known.
        let request =
            self.asked.filter(|asked| *asked <= now).map(|asked| asked + self.ask_every());
        if let Some(until) = self.standstill.until(now) {
            return request.map_or(until, |request| until.max(request)).clamp(now, at_latest);
        }
        let due = self.next_due.map(|due| request.map_or(due, |request| due.max(request)));
        let pool = &self.engine.pool;
        let room = self.lanes.with_room(pool);
        if room.is_empty() {
            return at_latest;
        }
        let rest = request.filter(|_| !self.more.is_disjoint(&room));
        let exception = self.lanes.next_exception(pool);
        let next = [exception, due, rest].into_iter().flatten().min();
        next.map_or(at_latest, |next| next.clamp(now, at_latest))
    }

    async fn finish(&mut self, until: Timestamp) {
        let clock = self.engine.clock.clone();
        tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next() => self.ended(ended),
            () = clock.sleep_until(until) => {}
        }
        self.beat().await;
    }

    /// The configuration was reloaded.
    fn change(&mut self, change: Change) {
        let now = self.now();
        self.live.set_connections(change.connections.clone());
        self.connections = by_key(&change.connections);
        self.engine = change.engine;
        self.limit = change.limit;
        self.share_out();
        let connections = &self.connections;
        let named = |key: &ConnectionKey| connections.get(key).map(|connection| &**connection);
        self.telling.keep(&self.engine.services, named);
        // What was none of ours may be now, and the other way round.
        self.foreign.clear();
        self.asked = None;
        for (key, (_, stop)) in &self.running {
            if !self.connections.contains_key(key) {
                stop.cancel();
            }
        }
        for key in change.changed {
            if self.running.contains_key(&key) {
                self.again.insert(key);
            } else {
                self.lanes.set(&key, now);
            }
        }
    }

    fn ended(&mut self, ended: Result<(ConnectionKey, RotationRequest, Report), JoinError>) {
        let now = self.now();
        match ended {
            Ok((key, request, report)) => {
                self.running.remove(&key);
                self.judge(&key, request, &report, now);
            }
            Err(error) => {
                // A panic is a defect; the connection is attended to again all the same.
                tracing::error!(error = %error, "bug in Scimitar, please report it; checking the connection again in 60s: {error}");
                let found = self.running.iter().find(|(_, (task, _))| *task == error.id());
                if let Some(key) = found.map(|(key, _)| key.clone()) {
                    self.running.remove(&key);
                    self.lanes.set(&key, now + UNWRITTEN);
                }
            }
        }
    }

    /// What follows from how a connection's work ended.
    fn judge(
        &mut self,
        key: &ConnectionKey,
        request: RotationRequest,
        report: &Report,
        now: Timestamp,
    ) {
        let again = self.again.remove(key);
        let Some(connection) = self.connections.get(key).cloned() else { return };
        let elsewhere = report.reason == Some(Reason::ClaimedElsewhere);
        // Of the ledger it is told elsewhere.
        if report.scope == Scope::Connection && !elsewhere {
            self.telling.ended(&connection, report, &self.engine.services, now);
        }
        if report.scope == Scope::Ledger {
            self.standstill.goes_on(&self.live, now, &report.why);
            self.lanes.set(key, now + TimeDelta::seconds(1));
            return;
        }
        let at = match (&report.record, report.reason) {
            _ if again => Some(now),
            (_, Some(Reason::ClaimedElsewhere)) => {
                // What it was wanted for may be done by then.
                self.lanes.put(key, now + CLAIMED_ELSEWHERE, request);
                None
            }
            (None, _) => Some(now + UNWRITTEN),
            // Refused, because the ledger knows it at another tenant: that is that one's record.
            (Some(record), _) if record.key != *key => Some(now + ELSEWHERE),
            (Some(record), _) => {
                let wake = record.wake_at;
                self.next_due = [self.next_due, wake].into_iter().flatten().min();
                // Whatever goes wrong, one connection never takes all of the time.
                let soon = now + TimeDelta::seconds(1);
                if wake.is_none_or(|at| at < soon) {
                    self.lanes.put(key, soon, RotationRequest::Woken);
                } else if let Some(at) = report.left_to_others(&*self.engine.ledger, now) {
                    self.lanes.put(key, at, RotationRequest::Woken);
                }
                None
            }
        };
        if let Some(at) = at {
            self.lanes.set(key, at);
        }
    }
}
