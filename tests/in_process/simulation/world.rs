//! The world: true time, what is scheduled, who runs, and the way every call takes through it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use scimitar::{clock::AgreedClock, engine::report::Outcome};
use tokio_util::sync::CancellationToken;

use super::{
    conn::Conn,
    faults::{Act, Op, Rates},
    fleet::CLAIM,
    ledger::Shelf,
    people::Deed,
    process::Job,
    provider::Late,
    rng::Rng,
};

/// Milliseconds: of true time since 1970, or a span.
pub(crate) type Ms = i64;

pub(crate) const SECOND: Ms = 1_000;
pub(crate) const MINUTE: Ms = 60 * SECOND;
pub(crate) const HOUR: Ms = 60 * MINUTE;
pub(crate) const DAY: Ms = 24 * HOUR;

/// When every life begins: 2026-01-05T00:00:00Z.
pub(crate) const DAWN: Ms = 1_767_571_200_000;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pid(pub(crate) u32);

/// What the executor has to do about an event.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Start(Job),
    /// Ask a process to end, as SIGTERM does.
    Stop,
    /// What runs on one host is killed.
    Kill(usize),
    KillAll,
}

/// What happens by itself at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Act(Action),
    Late(Late),
    /// An identity provider reads its sink and uses what it has.
    Client {
        conn: usize,
        sink: usize,
    },
    /// A token that a sink may hold expires.
    Expiry {
        conn: usize,
    },
    People {
        conn: usize,
        deed: Deed,
    },
    /// What runs on a host stands still for so long, wherever it is.
    Freeze {
        node: usize,
        span: Ms,
    },
    /// The same for one process.
    FreezeOne {
        pid: Pid,
        span: Ms,
    },
}

/// A time in which a service does not answer.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) conn: Option<usize>,
    /// The one host that cannot reach it; `None`: none can.
    pub(crate) node: Option<usize>,
    pub(crate) what: Service,
    pub(crate) from: Ms,
    pub(crate) to: Ms,
}

/// Who does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Provider,
    Endpoint,
    /// The SCIM endpoint answers something that no SCIM endpoint answers.
    Nonsense,
    Sink(usize),
    Ledger,
}

/// One act at one call of one process: what the enumeration uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection {
    pub(crate) pid: Pid,
    /// Counted from 0 over that process's calls.
    pub(crate) call: usize,
    pub(crate) act: Act,
    /// For so long the ledger cannot be reached after that.
    pub(crate) away: Ms,
}

#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) alive: bool,
    pub(crate) job: Job,
    /// The host that it runs on.
    pub(crate) node: usize,
    pub(crate) calls: usize,
    /// Writes to sinks that are on their way.
    pub(crate) writing: usize,
    pub(crate) stop: CancellationToken,
    /// What it goes by, where replicas share a ledger.
    pub(crate) clock: Option<Arc<AgreedClock>>,
}

/// All of it.
pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) host_offset: Ms,
    /// By how much the clock of each host of a fleet is wrong beside that; none where there is no fleet.
    pub(crate) skews: Vec<Ms>,
    pub(crate) provider_offset: Ms,
    /// Draws the fates of calls.
    pub(crate) rng: Rng,
    /// Draws who goes next.
    pub(crate) order: Rng,
    /// Draws what people do.
    pub(crate) people: Rng,
    pub(crate) conns: Vec<Conn>,
    pub(crate) rates: Rates,
    pub(crate) outages: Vec<Outage>,
    pub(crate) shelf: Shelf,
    pub(crate) processes: BTreeMap<Pid, Proc>,
    pub(crate) frozen: BTreeMap<Pid, Ms>,
    /// How soon a dead daemon is started again, at most.
    pub(crate) downtime: Ms,
    events: BTreeMap<(Ms, u64), Event>,
    sequence: u64,
    pub(crate) injection: Option<Injection>,
    /// The calls of the process that is enumerated.
    pub(crate) recorded: Vec<Op>,
    /// How the worker's last calls ended.
    pub(crate) outcomes: Vec<(Pid, Outcome)>,
    /// Every record that is written is searched for values, not only some.
    pub(crate) thorough: bool,
    pub(crate) parked: Option<Ms>,
    pub(crate) doomed: Option<Pid>,
    pub(crate) wake_all: bool,
    pub(crate) broken: Option<String>,
    pub(crate) deaths: u64,
    pub(crate) calls: u64,
    /// The calls of the hour that began then.
    pub(crate) of_this_hour: (Ms, u64),
    pub(crate) digest: u64,
    pub(crate) tracing: bool,
}

/// A handle to the world; clones share it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sim")
    }
}

impl Sim {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn new(seed: u64, conns: Vec<Conn>) -> Self {
        let mut rng = Rng::new(seed);
        let (order, people) = (rng.fork(), rng.fork());
        Self {
            now: DAWN,
            host_offset: 0,
            skews: Vec::new(),
            provider_offset: 0,
            order,
            people,
            conns,
            rates: Rates { slowest: 300, ..Rates::default() },
            outages: Vec::new(),
            shelf: Shelf::new(seed),
            processes: BTreeMap::new(),
            frozen: BTreeMap::new(),
            downtime: MINUTE,
            events: BTreeMap::new(),
            sequence: 0,
            injection: None,
            recorded: Vec::new(),
            outcomes: Vec::new(),
            thorough: false,
            parked: None,
            doomed: None,
            wake_all: false,
            broken: None,
            deaths: 0,
            calls: 0,
            of_this_hour: (DAWN, 0),
            digest: seed,
            tracing: false,
            rng,
        }
    }

    /// Moves true time forward; never back.
    pub(crate) fn advance(&mut self, to: Ms) {
        self.now = self.now.max(to);
        self.shelf.tick(self.now - DAWN);
    }

    /// The wall clock of the host that a process runs on.
    pub(crate) fn host_wall(&self, pid: Pid) -> Ms {
        self.now + self.host_offset + self.skew(pid)
    }

    /// The clock that a process goes by.
    pub(crate) fn wall(&self, pid: Pid) -> Ms {
        self.now + self.offset(pid)
    }

    /// The provider's clock.
    pub(crate) fn provider_now(&self) -> Ms {
        self.now + self.provider_offset
    }

    /// Called by a pending leaf: when it wants to be polled again.
    pub(crate) fn park(&mut self, at: Ms) {
        self.parked = Some(self.parked.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) fn schedule(&mut self, at: Ms, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    pub(crate) fn next_event(&self) -> Option<Ms> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what happens by itself now out of the calendar and lets it happen.
    pub(crate) fn due_events(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Event::Act(action) => actions.push(action),
                Event::Late(late) => self.late(late),
                Event::Client { conn, sink } => self.client(conn, sink),
                Event::Expiry { conn } => self.promise_1(conn, "a token expired"),
                Event::People { conn, deed } => actions.extend(self.deed(conn, deed)),
                Event::Freeze { node, span } => self.freeze_node(node, span),
                Event::FreezeOne { pid, span } => self.freeze(pid, span),
            }
        }
        actions
    }

    /// Whether a process cannot reach a sink now.
    pub(crate) fn sink_is_out(&self, pid: Pid, conn: usize, sink: usize) -> bool {
        let node = self.node(pid);
        self.outages.iter().any(|outage| {
            outage.what == Service::Sink(sink)
                && outage.conn == Some(conn)
                && outage.node.is_none_or(|one| one == node)
                && outage.from <= self.now
                && self.now < outage.to
        })
    }

    pub(crate) fn frozen_until(&self, pid: Pid) -> Ms {
        if self.frozen.is_empty() {
            return 0;
        }
        self.frozen.get(&pid).copied().unwrap_or(0)
    }

    pub(crate) fn living(&self) -> Vec<Pid> {
        self.processes.iter().filter(|(_, process)| process.alive).map(|(pid, _)| *pid).collect()
    }

    /// A process was killed: its futures are gone, its calls on their way may still arrive.
    pub(crate) fn process_died(&mut self, pid: Pid) {
        self.note(|| format!("{pid:?} dies"));
        self.deaths += 1;
        let Some(job) = self.retire(pid) else { return };
        if let Job::Daemon(_) = job {
            let bound = self.downtime;
            let down = self.rng.below(bound) + 1;
            let away = if self.others_run(pid) { down.min(CLAIM) } else { down };
            for conn in &mut self.conns {
                conn.disturb(self.now, self.now + away, "no daemon ran");
            }
            let at = self.now + down;
            self.schedule(at, Event::Act(Action::Start(job)));
        }
    }

    /// A process came to its end by itself; a daemon that was told to stop is started again.
    pub(crate) fn process_ended(&mut self, pid: Pid) {
        self.note(|| format!("{pid:?} ends"));
        let Some(job) = self.retire(pid) else { return };
        if let Job::Daemon(_) = job {
            for conn in &mut self.conns {
                conn.cut_off.muddled = true;
            }
            let at = self.now + self.rng.below(MINUTE) + 1;
            self.schedule(at, Event::Act(Action::Start(job)));
        }
    }

    fn retire(&mut self, pid: Pid) -> Option<Job> {
        self.frozen.remove(&pid);
        self.shelf.close(pid);
        let process = self.processes.get_mut(&pid)?;
        if !std::mem::take(&mut process.alive) {
            return None;
        }
        Some(process.job)
    }

    /// Notes an event: printed when replaying, else forgotten without being put into words.
    pub(crate) fn note(&mut self, words: impl FnOnce() -> String) {
        if self.tracing {
            let at = self.now - DAWN;
            let line = format!(
                "{:>4}d {:02}:{:02}:{:02}.{:03} {}",
                at / DAY,
                at % DAY / HOUR,
                at % HOUR / MINUTE,
                at % MINUTE / SECOND,
                at % SECOND,
                words()
            );
            #[expect(clippy::print_stdout, reason = "a replay is read by a person")]
            {
                println!("{line}");
            }
        }
    }

    /// Records that a promise was broken; the first one counts.
    pub(crate) fn violate(&mut self, promise: &str, how: impl fmt::Display) {
        let at = self.now - DAWN;
        let words =
            format!("promise {promise}: {how} (day {} + {} s)", at / DAY, at % DAY / SECOND);
        self.note(|| format!("BROKEN {words}"));
        if self.broken.is_none() {
            self.broken = Some(words);
        }
    }
}
