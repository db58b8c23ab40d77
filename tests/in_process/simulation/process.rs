//! Processes: the daemon's loop and the one-shots, around the real worker.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use scimitar::{
    engine::{
        order::Order,
        progress::Silent,
        report::Report,
        worker::{Connection, Engine, Operation, Patience, RotationRequest},
    },
    rotation::{policy::Mode, why::Reason},
    sink::Sink,
    telemetry::{audit, metrics::Metrics},
    token::TokenId,
};
use tokio_util::sync::CancellationToken;

use super::{
    clock::{Pause, SimClock, SimEntropy, timestamp},
    conn::Tok,
    executor::Task,
    hooks,
    ledger::SimLedger,
    promises::span,
    provider::{SimProbe, SimProvider},
    sinks::{SimReopen, SimSink},
    world::{HOUR, MINUTE, Ms, Pid, Proc, SECOND, Sim, World},
};

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// The daemon on one host: all connections, for ever.
    Daemon(usize),
    /// One call for one connection.
    Once {
        conn: usize,
        what: What,
        wait: bool,
        /// How long it may take; `None`: as long as it needs.
        timeout: Option<Ms>,
    },
    /// Something that is not the product: what the checks must catch.
    Script { conn: usize, run: super::naive::Script },
}

/// What a one-shot wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Due,
    Rotate,
    Compromised,
    /// `adopt` the token that a sink holds instead of the current one.
    Adopt,
    /// `revoke` a token that no sink holds.
    Revoke,
    /// `pause` for that long.
    Pause(Ms),
    /// `resume`.
    Resume,
    /// `handoff --done` for that sink.
    HandedOver(usize),
}

thread_local! {
    /// Registering metrics costs more than a day of a life: one registry a thread.
    static METRICS: RefCell<Option<Metrics>> = const { RefCell::new(None) };
}

fn metrics() -> Metrics {
    METRICS.with_borrow_mut(|metrics| {
        metrics.get_or_insert_with(|| Metrics::try_new().expect("names are unique")).clone()
    })
}

/// Makes a process and its tasks.
pub(crate) fn start(sim: &Sim, job: Job) -> (Pid, Vec<Task>) {
    let (pid, count, entropy) = {
        let mut world = sim.lock();
        let pid = Pid(u32::try_from(world.processes.len()).unwrap_or(u32::MAX));
        world.note(|| format!("{pid:?} starts: {job:?}"));
        let node = world.node_of(pid, job);
        let stop = CancellationToken::new();
        world
            .processes
            .insert(pid, Proc { alive: true, job, node, calls: 0, writing: 0, stop, clock: None });
        (pid, world.conns.len(), SimEntropy::new(&mut world.rng))
    };
    let clock = SimClock::agreed(sim, pid);
    let ledger = SimLedger::open(sim, pid, &clock);
    let engine = Arc::new(Engine {
        person: None,
        clock,
        entropy: Arc::new(entropy),
        ledger: Arc::new(ledger),
        metrics: metrics(),
        audit: Arc::new(audit::Off),
        progress: Arc::new(Silent),
        pool: Default::default(),
        services: Default::default(),
        request_timeout: Duration::from_secs(30),
    });
    let ready = sim.lock().now;
    let task = |future| Task { pid, future, ready };
    let tasks = match job {
        Job::Daemon(_) => (0..count)
            .map(|conn| task(Box::pin(tend(sim.clone(), Arc::clone(&engine), pid, conn)) as _))
            .collect(),
        Job::Once { conn, what, wait, timeout } => {
            vec![task(Box::pin(once(sim.clone(), engine, pid, conn, what, wait, timeout)) as _)]
        }
        Job::Script { conn, run } => {
            vec![task(
                Box::pin(run.play(sim.clone(), pid, conn)) as Pin<Box<dyn Future<Output = ()>>>
            )]
        }
    };
    (pid, tasks)
}

/// What the worker talks to for one connection, by the policy now in force.
pub(crate) fn connection(sim: &Sim, pid: Pid, conn: usize) -> Connection {
    let (policy, indices): (_, Vec<usize>) = {
        let mut world = sim.lock();
        let sinks = &world.conns[conn].sinks;
        let indices: Vec<usize> = (0..sinks.len()).filter(|nth| sinks[*nth].in_policy).collect();
        let policy = Arc::clone(world.conns[conn].policy());
        let attempt = world.attempt(pid, conn);
        attempt.sinks = indices.iter().copied().collect();
        attempt.observes = policy.terms.mode == Mode::Observe;
        (policy, indices)
    };
    let (a, b, c) = (sim.clone(), sim.clone(), sim.clone());
    Connection {
        policy,
        provider: Arc::new(SimProvider { sim: a, pid, conn }),
        probe: Arc::new(SimProbe { sim: b, pid, conn }),
        places: Arc::new(
            indices
                .into_iter()
                .map(|index| Arc::new(SimSink::open(sim, pid, conn, index)) as Arc<dyn Sink>)
                .collect::<Vec<_>>(),
        ),
        reopen: Arc::new(SimReopen { sim: c, pid, conn }),
        hooks: hooks::of(sim, conn),
    }
}

/// The daemon's loop for one connection.
async fn tend(sim: Sim, engine: Arc<Engine>, pid: Pid, conn: usize) {
    let mut last = None;
    let mut first = Some(engine.clock.now());
    loop {
        let connection = connection(&sim, pid, conn);
        // As the daemon: whole at first, after a reload, when nothing could be written down, and
        // when the clock was set back.
        let places = connection.places.open().unwrap();
        let places: Vec<_> = places.iter().map(|sink| sink.place().key.clone()).collect();
        let configured = (Arc::as_ptr(&connection.policy).addr(), places);
        let wall = sim.lock().wall(pid);
        let woken = last.as_ref().is_some_and(|(before, at)| *before == configured && *at <= wall);
        let request = match first {
            _ if woken => RotationRequest::Woken,
            Some(since) => RotationRequest::First { since },
            None => RotationRequest::Due,
        };
        let before = last.replace((configured, wall));
        let stop = sim.lock().stop(pid);
        let patience = Patience { wait: false, until: None, stop: stop.clone() };
        let report = engine.attend(&connection, &request, &patience).await;
        sim.lock().attended(pid, conn, &request, &report);
        if stop.is_cancelled() {
            return;
        }
        // As the daemon: from the report, or earlier when another process wrote so.
        let elsewhere = report.reason == Some(Reason::ClaimedElsewhere);
        Pause::new(&sim, if elsewhere { 10 * SECOND } else { SECOND }).await;
        if elsewhere {
            // The same is asked of it again.
            last = before.filter(|_| woken);
            continue;
        }
        first = None;
        if report.record.is_none() {
            last = None;
        }
        let asleep = sim.lock().wall(pid) + 30 * SECOND;
        let left = report.left_to_others(&*engine.ledger, engine.clock.now());
        WakeTime {
            sim: sim.clone(),
            pid,
            conn,
            told: report
                .record
                .as_ref()
                .and_then(|record| record.wake_at)
                .map_or(asleep, |wake| wake.timestamp_millis()),
            left: left.map_or(Ms::MIN, |until| until.timestamp_millis()),
            blind: report.record.is_none(),
            stop: stop.clone(),
        }
        .await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// A one-shot.
async fn once(
    sim: Sim,
    engine: Arc<Engine>,
    pid: Pid,
    conn: usize,
    what: What,
    wait: bool,
    timeout: Option<Ms>,
) {
    let connection = connection(&sim, pid, conn);
    let (since, stop) = {
        let mut world = sim.lock();
        let asked = matches!(what, What::Rotate | What::Compromised).then_some(world.now);
        world.conns[conn].asked = asked.or(world.conns[conn].asked);
        if what == What::Compromised {
            world.condemn(conn);
        }
        (world.wall(pid), world.stop(pid))
    };
    let patience =
        Patience { wait, until: timeout.map(|timeout| timestamp(since + timeout)), stop };
    let since = timestamp(since);
    let request = match what {
        What::Due => RotationRequest::Due,
        What::Rotate => RotationRequest::Rotate { since },
        What::Compromised => RotationRequest::Compromised { since },
        What::Pause(_) | What::Resume | What::HandedOver(_) => {
            let order = match what {
                What::Pause(length) => Order::Pause(sim.lock().pause(pid, length)),
                What::HandedOver(nth) => sim.lock().word(conn, nth),
                What::Due
                | What::Rotate
                | What::Compromised
                | What::Adopt
                | What::Revoke
                | What::Resume => Order::Resume { by: "alice".to_owned() },
            };
            let report = engine.order(&connection, &order, &patience).await;
            let mut world = sim.lock();
            return world.note(|| format!("{pid:?} {order:?}: {}", report.why));
        }
        What::Adopt | What::Revoke => {
            let Some(operation) = sim.lock().operation(conn, what) else { return };
            let done = engine.operate(&connection, &operation, &patience).await;
            let mut world = sim.lock();
            return match done {
                Ok(report) => world.attended(pid, conn, &RotationRequest::Due, &report),
                Err(words) => world.note(|| format!("{pid:?} may not: {words}")),
            };
        }
    };
    let report = engine.attend(&connection, &request, &patience).await;
    sim.lock().attended(pid, conn, &request, &report);
}

/// Ready when the record's `wake_at` has come by the host's clock.
struct WakeTime {
    sim: Sim,
    pid: Pid,
    conn: usize,
    /// The worker's own answer.
    told: Ms,
    /// Until then it is left to other replicas, whatever the record says.
    left: Ms,
    /// The ledger cannot be asked.
    blind: bool,
    stop: CancellationToken,
}

impl Future for WakeTime {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_cancelled() {
            return Poll::Ready(());
        }
        let mut world = self.sim.lock();
        let record = world.conns[self.conn].record.as_ref().filter(|_| !self.blind);
        let written = record.and_then(|record| record.wake_at);
        let wake = written.map_or(self.told, |wake| wake.timestamp_millis().min(self.told));
        let left = wake.max(self.left) - world.wall(self.pid);
        if left <= 0 {
            return Poll::Ready(());
        }
        let at = world.now + left;
        world.park(at);
        Poll::Pending
    }
}

impl World {
    /// What tells a process to end.
    pub(crate) fn stop(&self, pid: Pid) -> CancellationToken {
        self.processes.get(&pid).map(|process| process.stop.clone()).unwrap_or_default()
    }

    /// SIGTERM to everything.
    pub(crate) fn stop_all(&mut self) {
        for process in self.processes.values().filter(|process| process.alive) {
            process.stop.cancel();
        }
        self.wake_all = true;
    }

    /// What an operator decides about one token, if there is one to decide about.
    fn operation(&mut self, index: usize, what: What) -> Option<Operation> {
        if what == What::Adopt {
            return self.found_in_a_sink(index).map(Operation::Adopt);
        }
        let conn = &mut self.conns[index];
        let nowhere =
            |(id, tok): &(&TokenId, &Tok)| tok.deleted.is_none() && conn.holders(id).is_empty();
        let id = conn.tokens.iter().find(nowhere)?.0.clone();
        // Whatever becomes of it now, an operator said so.
        conn.tokens.get_mut(&id)?.condemned = true;
        Some(Operation::Revoke { id, force: false })
    }

    /// What a sink holds, live, instead of what the record has as current.
    fn found_in_a_sink(&self, conn: usize) -> Option<TokenId> {
        let provider_now = self.provider_now();
        let conn = &self.conns[conn];
        let current = conn.record.as_ref().and_then(|record| record.current.as_ref());
        conn.sinks
            .iter()
            .filter(|sink| sink.in_policy && sink.readable)
            .filter_map(|sink| sink.holds(conn))
            .find(|id| {
                current.is_none_or(|current| current.token.id != *id)
                    && conn.is_live(id, provider_now)
            })
    }

    /// An operator declares all that was ever ours or in a sink leaked.
    fn condemn(&mut self, conn: usize) {
        let now = self.now;
        for tok in self.conns[conn].tokens.values_mut() {
            let ours = tok.maker.is_some() || tok.in_a_sink;
            tok.condemned |= tok.made < now && ours;
        }
    }

    /// A call of the worker has returned.
    fn attended(&mut self, pid: Pid, conn: usize, request: &RotationRequest, report: &Report) {
        self.note(|| {
            format!(
                "{pid:?} {request:?} [{conn}] → {:?} {:?}: {}; wakes at {:?}",
                report.outcome,
                report.reason,
                report.why,
                report.record.as_ref().and_then(|record| record.wake_at)
            )
        });
        if request.since().is_some() {
            self.outcomes.push((pid, report.outcome));
        }
        self.no_value_in("the report", &report.why);
        if let Some(fault) = &report.fault {
            self.no_value_in("the report's fault", &fault.to_string());
        }
        let Some(record) = &report.record else { return };
        let policy = self.conns[conn].policy();
        let rotates = policy.terms.mode == Mode::Rotate;
        let survey = span(policy.survey_interval);
        // No token is current for which nothing ever becomes due.
        let never = record.current.is_some()
            && record.next_rotation.is_none()
            && record.refusal().is_none()
            && record.wake_at.is_some();
        if rotates && never && request.since().is_none() && self.conns[conn].policies.len() == 1 {
            self.violate("7 it never gives up", "a token is current that is never due");
        }
        let Some(wake) = record.wake_at else {
            return; // The daemon asks again soon.
        };
        let sleep = wake.timestamp_millis() - self.wall(pid);
        // A jump of the clock while the answer was made is no fault of the record.
        let longest = survey * 3 / 2 + HOUR + MINUTE;
        if sleep > longest && self.host_offset == 0 {
            self.violate("7 it never gives up", format!("it sleeps for {} s", sleep / SECOND));
        }
    }
}
