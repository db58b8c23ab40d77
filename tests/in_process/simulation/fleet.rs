//! Replicas: daemons on several hosts that share one ledger. Each host has a clock, crashes, freezes and
//! partitions of its own; leases go by the ledger's clock, and a claim outlives who held it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{
    conn::Conn,
    executor::Executor,
    life::{draw, settle},
    process::Job,
    rng::Rng,
    seeds::{attempt_in_fleet, number},
    world::{Action, DAWN, Event, HOUR, MINUTE, Ms, Outage, Pid, SECOND, Service, Sim, World},
};

/// How long a claim outlives a process that cannot give it back.
pub(crate) const CLAIM: Ms = 2 * MINUTE + 10 * SECOND;

/// How many lives with replicas the normal test run lives.
const LIVES: u64 = 1_000;

/// Draws the replicas of a life, and what becomes of each.
pub(crate) fn draw_fleet(seed: u64, world: &mut World, life: Ms, faults_end: Ms) {
    let mut rng = Rng::new(seed.rotate_left(29) ^ 0xf1ee_7bed);
    let replicas = rng.pick(&[2, 2, 3]);
    fleet(&mut rng, world, replicas, life, faults_end);
}

/// Lives with replicas, as `seeds` are those with one. Their hosts' clocks differ by up to two hours.
#[test]
fn replicas_keep_the_promises_on_one_ledger() {
    if let Some(seed) = number("SCIMITAR_FLEET") {
        attempt_in_fleet(seed, true).unwrap_or_else(|how| panic!("fleet {seed}: {how}"));
        return;
    }
    let lives = number("SCIMITAR_FLEETS").unwrap_or(LIVES);
    let (next, failed) = (AtomicU64::new(1), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > lives {
                        return;
                    }
                    if let Err(how) = attempt_in_fleet(seed, false) {
                        failed.lock().unwrap().push(format!("SCIMITAR_FLEET={seed}: {how}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {lives} broke a promise: {failed:#?}", failed.len());
}

fn fleet(rng: &mut Rng, world: &mut World, replicas: usize, life: Ms, faults_end: Ms) {
    let skews =
        [0, 0, SECOND, -SECOND, 40 * SECOND, -40 * SECOND, 7 * MINUTE, -7 * MINUTE, 2 * HOUR];
    world.skews = (0..replicas).map(|_| rng.pick(&skews)).collect();
    world.shelf.share();
    if rng.one_in(2) {
        world.rates.freeze = world.rates.freeze.max(rng.pick(&[500, 2_000, 10_000]));
    }
    let any = |rng: &mut Rng| DAWN + rng.below(faults_end - DAWN);
    for node in 1..replicas {
        let latest = rng.pick(&[1, SECOND, HOUR]);
        let at = DAWN + 1 + rng.below(latest);
        world.schedule(at, Event::Act(Action::Start(Job::Daemon(node))));
    }
    for node in 0..replicas {
        for _ in 0..rng.pick(&[0, 0, 1, 2]) {
            let at = any(rng);
            world.schedule(at, Event::Act(Action::Kill(node)));
        }
        for _ in 0..rng.pick(&[0, 0, 1, 2]) {
            let bound = rng.pick(&[MINUTE, 10 * MINUTE, 2 * HOUR]);
            let (at, span) = (any(rng), rng.below(bound));
            world.schedule(at, Event::Freeze { node, span });
        }
        for _ in 0..rng.pick(&[0, 0, 1, 2]) {
            let sink = Service::Sink(rng.index(world.conns[0].sinks.len()));
            let what = rng.pick(&[Service::Ledger, Service::Provider, Service::Endpoint, sink]);
            let (from, longest) = (any(rng), life / rng.pick(&[2, 10, 100]));
            let to = from + rng.below(longest);
            world.outages.push(Outage { conn: Some(0), node: Some(node), what, from, to });
        }
    }
}

impl World {
    /// The host that a process is to run on. One-shots are called on any of them.
    pub(crate) fn node_of(&self, pid: Pid, job: Job) -> usize {
        match job {
            Job::Daemon(node) => node,
            Job::Once { .. } | Job::Script { .. } => {
                usize::try_from(pid.0).unwrap_or(0) % self.skews.len().max(1)
            }
        }
    }

    /// The host that a process runs on.
    pub(crate) fn node(&self, pid: Pid) -> usize {
        self.processes.get(&pid).map_or(0, |process| process.node)
    }

    /// What the clock of a process's host is ahead of what it would be alone.
    pub(crate) fn skew(&self, pid: Pid) -> Ms {
        let skew =
            if self.skews.is_empty() { None } else { self.skews.get(self.node(pid)).copied() };
        skew.unwrap_or(0)
    }

    /// The clock that a process goes by, less true time.
    pub(crate) fn offset(&self, pid: Pid) -> Ms {
        let agreed = self.processes.get(&pid).and_then(|process| process.clock.as_ref());
        let ahead = agreed.map_or(0, |clock| clock.ahead().num_milliseconds());
        self.host_offset + self.skew(pid) + ahead
    }

    pub(crate) fn living_on(&self, node: usize) -> Vec<Pid> {
        self.living().into_iter().filter(|pid| self.node(*pid) == node).collect()
    }

    /// Whether another replica goes on with the work of this one.
    pub(crate) fn others_run(&self, pid: Pid) -> bool {
        let node = self.node(pid);
        self.processes.iter().any(|(other, process)| {
            process.alive
                && process.node != node
                && matches!(process.job, Job::Daemon(_))
                && self.frozen_until(*other) <= self.now
        })
    }

    /// A write to a sink sets out, or has arrived.
    pub(crate) fn writes(&mut self, pid: Pid, by: isize) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.writing = process.writing.saturating_add_signed(by);
        }
    }

    pub(crate) fn freeze_node(&mut self, node: usize, span: Ms) {
        for pid in self.living_on(node) {
            self.freeze(pid, span);
        }
    }

    /// A process stands still, wherever it is.
    pub(crate) fn freeze(&mut self, pid: Pid, span: Ms) {
        let Some(process) = self.processes.get(&pid).filter(|process| process.alive) else {
            return;
        };
        // A worker that stands still between its last check and a write for longer than sinks are said
        // to linger is beyond any protocol where the sink asks no fence.
        let begun = |conn: &Conn| {
            let record = conn.record.as_ref();
            record.is_some_and(|record| record.sinks.values().any(|sink| sink.begun.is_some()))
        };
        let writes = process.writing > 0 || self.conns.iter().any(begun);
        let span = if writes { span.min(MINUTE) } else { span };
        self.note(|| format!("{pid:?} freezes for {span} ms"));
        self.frozen.insert(pid, self.now + span);
        let away = if self.others_run(pid) { span.min(CLAIM) } else { span };
        for conn in &mut self.conns {
            conn.cut_off.muddled = true;
            conn.disturb(self.now, self.now + away, "the process was frozen");
        }
    }
}

/// A life with replicas whose processes are frozen often; `forgets`: their ledger fences nobody.
fn frozen_often(seed: u64, forgets: bool) -> Result<(), String> {
    let (mut world, faults_end, life) = draw(seed);
    let mut rng = Rng::new(seed ^ 0xf1ee_7000);
    if world.skews.is_empty() {
        fleet(&mut rng, &mut world, 3, life, faults_end);
    }
    world.rates.freeze = 10_000;
    if forgets {
        world.shelf.forget_fences();
    }
    let mut executor = Executor::new(Sim::new(world));
    let ended = executor.run(faults_end + (life * 3 / 2).max(6 * HOUR));
    settle(&mut executor, ended, life)
}

/// Checks that never fail check nothing: a ledger that takes every write is found out by the promises,
/// in lives that keep them where the ledger fences.
#[test]
fn a_ledger_that_forgets_to_fence_is_caught() {
    let (caught, failed) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let seeds = 1..=24_u64;
    let next = std::sync::Mutex::new(seeds.clone());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().unwrap().next() else { return };
                    if let Err(how) = frozen_often(seed, false) {
                        failed.lock().unwrap().push(format!("seed {seed} with fences: {how}"));
                    }
                    if let Err(how) = frozen_often(seed, true) {
                        assert!(how.starts_with("promise "), "seed {seed}: {how}");
                        caught.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (caught, failed) = (caught.into_inner(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{failed:#?}");
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{caught} of {} lives without fences were found out", seeds.clone().count());
    }
    assert!(caught >= 2, "{caught} of {} lives found it out", seeds.count());
}
