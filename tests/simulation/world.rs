//! The world: true time, what is scheduled, who runs, and the way every call takes through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use scimitar::{engine::report::Outcome, error::Fault};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Pause,
    conn::Conn,
    faults::{Act, Fail, Fate, Op, Rates},
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
}

/// A time in which a service does not answer.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) conn: Option<usize>,
    pub(crate) what: Service,
    pub(crate) from: Ms,
    pub(crate) to: Ms,
}

/// Who does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Provider,
    Endpoint,
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
}

#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) alive: bool,
    pub(crate) job: Job,
    pub(crate) calls: usize,
    pub(crate) stop: CancellationToken,
}

/// All of it.
pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) host_offset: Ms,
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
    /// Connections at which calls always work, whatever the rates say.
    pub(crate) spared: BTreeSet<usize>,
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
    pub(crate) budget: u64,
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

/// What a call does once its way there is over.
pub(crate) enum Step {
    /// Nothing happens; this is the answer.
    Answer(Fault),
    /// It happens now.
    Do(Rest),
    /// It happens this much later.
    Later(Ms, Rest),
}

/// The way back of a call.
pub(crate) struct Rest {
    pid: Pid,
    after: Ms,
    lost: Option<Fault>,
    dies: bool,
}

impl Sim {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of a call to its service: the first moment at which it can be cut off.
    pub(crate) async fn begin(&self, pid: Pid, conn: Option<usize>, op: Op) -> Step {
        let fate = self.lock().fate(pid, conn, op);
        if fate.act == Act::DieBefore {
            self.lock().doomed = Some(pid);
        }
        Pause::new(self, fate.before).await;
        let after = |fail: Fail| {
            if fail == Fail::Timeout { fate.after + 25 * SECOND } else { fate.after }
        };
        let rest = |after, lost, dies| Rest { pid, after, lost, dies };
        match fate.act {
            Act::Go | Act::DieBefore => Step::Do(rest(fate.after, None, false)),
            Act::Refuse(fail) => {
                Pause::new(self, after(fail)).await;
                Step::Answer(fail.fault(op, false))
            }
            Act::Vanish(fail) => {
                Pause::new(self, after(fail)).await;
                Step::Answer(fail.fault(op, true))
            }
            Act::Lose(fail) => Step::Do(rest(after(fail), Some(fail.fault(op, true)), false)),
            Act::Late(late, fail) => {
                let after = after(fail);
                Step::Later(after + late, rest(after, Some(fail.fault(op, true)), false))
            }
            Act::DieAfter => Step::Do(rest(fate.after, None, true)),
            Act::DieLate(late) => Step::Later(late, rest(fate.after, None, true)),
        }
    }

    /// The way back: the second moment at which a call can be cut off.
    pub(crate) async fn end(&self, rest: Rest) -> Result<(), Fault> {
        if rest.dies {
            self.lock().doomed = Some(rest.pid);
        }
        Pause::new(self, rest.after).await;
        rest.lost.map_or(Ok(()), Err)
    }

    /// A whole call whose effect is one look at or change of the world.
    pub(crate) async fn call<T>(
        &self,
        pid: Pid,
        conn: usize,
        op: Op,
        late: Option<Late>,
        effect: impl FnOnce(&mut World) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault>
    where
        T: Send,
    {
        match self.begin(pid, Some(conn), op).await {
            Step::Answer(fault) => {
                self.lock().note(|| format!("{pid:?} {op:?} [{conn}] → {fault}"));
                Err(fault)
            }
            Step::Do(rest) => {
                let result = effect(&mut self.lock());
                let answer = self.end(rest).await;
                answer.and(result)
            }
            Step::Later(by, rest) => {
                {
                    let mut world = self.lock();
                    world.note(|| format!("{pid:?} {op:?} [{conn}]: effect {by} ms later"));
                    if let Some(late) = late {
                        let at = world.now + by;
                        world.schedule(at, Event::Late(late));
                    }
                }
                match self.end(rest).await {
                    Err(fault) => Err(fault),
                    // Only a dying process gets here without a fault, and it never goes on.
                    Ok(()) => Err(Fail::Timeout.fault(op, true)),
                }
            }
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, conns: Vec<Conn>) -> Self {
        let mut rng = Rng::new(seed);
        let (order, people) = (rng.fork(), rng.fork());
        Self {
            now: DAWN,
            host_offset: 0,
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
            spared: BTreeSet::new(),
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
            budget: 200_000,
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

    /// The host's wall clock.
    pub(crate) fn wall(&self) -> Ms {
        self.now + self.host_offset
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
            }
        }
        actions
    }

    /// Draws what becomes of a call.
    fn fate(&mut self, pid: Pid, conn: Option<usize>, op: Op) -> Fate {
        self.calls += 1;
        if self.calls > self.budget {
            self.violate("7 it never gives up", "calls without end: a loop that waits for nothing");
        }
        self.digest = (self.digest ^ (op as u64) ^ (u64::from(pid.0) << 8))
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(17)
            ^ self.now.unsigned_abs();
        let call = self.processes.get_mut(&pid).map_or(0, |process| {
            process.calls += 1;
            process.calls - 1
        });
        let mut fate = self.rates.fate(&mut self.rng, op);
        if conn.is_some_and(|conn| self.spared.contains(&conn)) {
            fate.act = Act::Go;
        }
        if self.outage(conn, op) {
            fate.act = if op == Op::Create && self.rng.one_in(2) {
                Act::Vanish(Fail::Unavailable)
            } else if self.rng.one_in(2) && op.refusals().contains(&Fail::Timeout) {
                Act::Refuse(Fail::Timeout)
            } else if op.refusals().contains(&Fail::Unavailable) {
                Act::Refuse(Fail::Unavailable)
            } else if op == Op::Create {
                Act::Refuse(Fail::Unreachable)
            } else {
                Act::Refuse(Fail::Io)
            };
        }
        if self.rates.freeze > 0 && self.rng.chance(self.rates.freeze) {
            // A worker that stands still between its last check and a write for longer than sinks
            // are said to linger is beyond any protocol where the sink asks no fence.
            let bound = if op == Op::Promote {
                MINUTE
            } else {
                self.rng.pick(&[30 * SECOND, 10 * MINUTE, 2 * HOUR])
            };
            let span = self.rng.below(bound);
            self.note(|| format!("{pid:?} freezes for {span} ms at {op:?}"));
            self.frozen.insert(pid, self.now + span);
            for conn in &mut self.conns {
                conn.disturb(self.now, self.now + span, "the process was frozen");
            }
        }
        if let Some(injection) = self.injection
            && injection.pid == pid
        {
            if self.recorded.len() < 10_000 {
                self.recorded.push(op);
            }
            if injection.call == call {
                fate.act = injection.act;
                self.note(|| format!("{pid:?} call {call} {op:?}: {:?}", injection.act));
            }
        }
        if fate.act != Act::Go {
            self.note(|| format!("{pid:?} {op:?} {conn:?}: {:?}", fate.act));
        }
        fate
    }

    fn outage(&self, conn: Option<usize>, op: Op) -> bool {
        let now = self.now;
        self.outages.iter().any(|outage| {
            outage.from <= now
                && now < outage.to
                && (outage.conn.is_none() || outage.conn == conn)
                && match outage.what {
                    Service::Provider => matches!(op, Op::List | Op::Create | Op::Revoke),
                    Service::Endpoint => matches!(op, Op::Anonymous | Op::Probe),
                    // Sinks ask for themselves: the call does not say which one it is.
                    Service::Sink(_) => false,
                    Service::Ledger => op.is_ledger(),
                }
        })
    }

    /// Whether a sink is out now.
    pub(crate) fn sink_is_out(&self, conn: usize, sink: usize) -> bool {
        self.outages.iter().any(|outage| {
            outage.what == Service::Sink(sink)
                && outage.conn == Some(conn)
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
        if let Job::Daemon { .. } = job {
            let bound = self.downtime;
            let down = self.rng.below(bound) + 1;
            for conn in &mut self.conns {
                conn.disturb(self.now, self.now + down, "no daemon ran");
            }
            let at = self.now + down;
            self.schedule(at, Event::Act(Action::Start(job)));
        }
    }

    /// A process came to its end by itself; a daemon that was told to stop is started again.
    pub(crate) fn process_ended(&mut self, pid: Pid) {
        self.note(|| format!("{pid:?} ends"));
        let Some(job) = self.retire(pid) else { return };
        if let Job::Daemon { .. } = job {
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
        Some(process.job.clone())
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
