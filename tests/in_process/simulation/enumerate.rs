//! Every await of one rotation × before, after × each fault that fits the call; then a fresh
//! process finishes, and the promises must hold.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    conn::{Conn, Manners},
    executor::{Ended, Executor},
    faults::{Act, Op},
    life::{plain_policy, settle, sink, staging},
    process::{Job, What},
    world::{DAWN, DAY, HOUR, Injection, MINUTE, Ms, Pid, SECOND, Sim, World},
    writing::by_writing,
};

/// What the process that is cut into pieces is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Nothing was ever delivered.
    FirstMeeting,
    /// A plain rotation is due.
    Rotation,
    /// The older token's overlap is over.
    Revocation,
    /// The current token and the one before it have leaked.
    Compromised,
    /// A sink was emptied and is filled from another.
    Healing,
    /// A rotation with a proof by writing is due.
    Writing,
    /// The same at an endpoint that shows nobody who is inactive.
    Hiding,
}

impl Scene {
    fn writes(self) -> bool {
        matches!(self, Self::Writing | Self::Hiding)
    }
}

const SCENES: [Scene; 7] = [
    Scene::FirstMeeting,
    Scene::Rotation,
    Scene::Revocation,
    Scene::Compromised,
    Scene::Healing,
    Scene::Writing,
    Scene::Hiding,
];

/// Fewer cases than this mean that the enumeration has a hole.
const FLOOR: usize = 1_000;

/// A case: a scene, and what happens at which call of its process.
#[derive(Clone, Copy, Debug)]
struct Case {
    scene: Scene,
    call: usize,
    op: Option<Op>,
    act: Act,
    /// For so long the ledger cannot be reached after that call.
    away: Ms,
}

/// A process that nothing happens to.
fn undisturbed(scene: Scene) -> Case {
    Case { scene, call: usize::MAX, op: None, act: Act::Go, away: 0 }
}

/// What can happen at a call.
fn acts(op: Op) -> Vec<Act> {
    let mut acts = vec![Act::DieBefore, Act::DieAfter];
    acts.extend(op.refusals().iter().map(|fail| Act::Refuse(*fail)));
    for fail in op.losses() {
        acts.extend([Act::Vanish(*fail), Act::Lose(*fail)]);
    }
    if let Some(latest) = op.latest() {
        for late in [SECOND, latest / 2, latest - SECOND] {
            acts.push(Act::DieLate(late));
            acts.extend(op.losses().iter().map(|fail| Act::Late(late, *fail)));
        }
    }
    acts
}

/// Runs one-shots and time until the scene's process can be started.
fn prepare(scene: Scene) -> Executor {
    let manners = Manners::plain();
    let plain = plain_policy("a", &manners);
    let policy = if scene.writes() { by_writing(plain) } else { plain };
    let sinks = vec![sink("a", 0, true, true), staging("a", 1), sink("a", 2, false, false)];
    let mut world = World::new(11, vec![Conn::new(policy, manners, sinks, 0)]);
    world.thorough = true;
    if scene.writes() {
        world.populate(0);
        world.conns[0].hides_inactive = scene == Scene::Hiding;
    }
    let mut executor = Executor::new(Sim::new(world));
    let mut at = DAWN;
    let mut attend = |executor: &mut Executor, after: Ms, what: What| {
        at += after;
        executor.run(at);
        executor.start(once(what));
        at += HOUR;
        executor.run(at);
    };
    match scene {
        Scene::FirstMeeting => {}
        Scene::Rotation | Scene::Writing | Scene::Hiding => {
            attend(&mut executor, HOUR, What::Due);
            executor.run(DAWN + 21 * DAY);
        }
        Scene::Revocation => {
            attend(&mut executor, HOUR, What::Due);
            attend(&mut executor, DAY, What::Rotate);
            executor.run(DAWN + 3 * DAY);
        }
        Scene::Compromised => {
            attend(&mut executor, HOUR, What::Due);
            attend(&mut executor, DAY, What::Rotate);
        }
        Scene::Healing => {
            attend(&mut executor, HOUR, What::Due);
            executor.sim.lock().conns[0].put(1, None, DAWN + HOUR);
        }
    }
    executor
}

fn once(what: What) -> Job {
    Job::Once { conn: 0, what, wait: false, timeout: Some(10 * MINUTE) }
}

/// Plays a case; answers the calls of its process.
fn play(case: Case) -> Result<Vec<Op>, String> {
    let mut executor = prepare(case.scene);
    let sim = executor.sim.clone();
    let what = if case.scene == Scene::Compromised { What::Compromised } else { What::Due };
    let (begun, before, mints) = {
        let mut world = sim.lock();
        if let Some(broken) = world.broken.take() {
            return Err(format!("before it began: {broken}"));
        }
        world.tracing = std::env::var_os("SCIMITAR_CASE").is_some();
        let pid = Pid(u32::try_from(world.processes.len()).unwrap_or(0));
        world.injection = Some(Injection { pid, call: case.call, act: case.act, away: case.away });
        let held = world.conns[0].sinks[0].holds(&world.conns[0]);
        (world.now, held, world.conns[0].mints)
    };
    executor.start(once(what));
    executor.run(begun + HOUR);
    let unheard = {
        let world = sim.lock();
        let record = world.conns[0].record.as_ref();
        let condemned = record.is_some_and(|record| !record.condemned.is_empty());
        what == What::Compromised
            && !condemned
            && world.conns[0].sinks[0].holds(&world.conns[0]) == before
    };
    if unheard {
        // It ended before it had written down what leaked; who asked is told, and asks again.
        executor.start(once(what));
    }
    executor.start(Job::Daemon(0));
    // Late effects, the overlap, and what an hourly retry needs; twice.
    let ended = executor.run(begun + 3 * DAY);
    if ended != Ended::Broken {
        settle(&mut executor, ended, DAY)?;
    }
    let mut world = sim.lock();
    if let Some(broken) = world.broken.take() {
        return Err(broken);
    }
    let now = world.conns[0].sinks[0].holds(&world.conns[0]);
    let replaced = now != before;
    let wanted = match case.scene {
        Scene::FirstMeeting
        | Scene::Rotation
        | Scene::Compromised
        | Scene::Writing
        | Scene::Hiding => true,
        Scene::Revocation | Scene::Healing => false,
    };
    if replaced != wanted {
        return Err(format!("the sinks held {before:?} and hold {now:?}"));
    }
    let spare = if case.away > 0 { 1 } else { 3 };
    let most = if wanted { mints + spare } else { mints };
    if world.conns[0].mints > most {
        return Err(format!("it minted {} times", world.conns[0].mints - mints));
    }
    if let Some(how) = world.users_unwell(0).filter(|_| case.scene.writes()) {
        return Err(how);
    }
    let condemned = |tok: &super::conn::Tok| tok.condemned && tok.deleted.is_none();
    if world.conns[0].tokens.values().any(condemned) {
        return Err("a leaked token lives".to_owned());
    }
    Ok(std::mem::take(&mut world.recorded))
}

fn guarded(case: Case) -> Result<Vec<Op>, String> {
    catch_unwind(AssertUnwindSafe(|| play(case))).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// All cases: the calls of each scene's undisturbed process, and what can happen at each.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in SCENES {
        let ops = guarded(undisturbed(scene))
            .unwrap_or_else(|how| panic!("{scene:?} undisturbed: {how}"));
        for (call, op) in ops.into_iter().enumerate() {
            let case = |act| Case { scene, call, op: Some(op), act, away: 0 };
            cases.extend(acts(op).into_iter().map(case));
        }
    }
    cases
}

/// `SCIMITAR_CASE=n` plays one case with every event printed.
#[test]
fn every_await() {
    let cases = cases();
    let only = std::env::var("SCIMITAR_CASE").ok().and_then(|text| text.trim().parse().ok());
    let range = only.map_or(0..cases.len(), |nth: usize| nth..nth + 1);
    let next = AtomicUsize::new(range.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= range.end {
                return failed;
            }
            if let Err(how) = guarded(cases[nth]) {
                failed.push((nth, how));
            }
        }
    };
    let mut failed: Vec<(usize, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    failed.sort();
    let report = failed.iter().take(40).fold(String::new(), |text, (nth, how)| {
        let Case { scene, call, op, act, .. } = cases[*nth];
        format!("{text}\ncase {nth}: {scene:?}, call {call} {op:?}, {act:?}: {how}")
    });
    assert!(
        failed.is_empty(),
        "{} of {} cases broke a promise (SCIMITAR_CASE=n cargo test --test in_process every_await -- --nocapture):{report}",
        failed.len(),
        cases.len()
    );
    assert!(cases.len() > FLOOR, "only {} cases", cases.len());
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{} cases of {} scenes", cases.len(), SCENES.len());
    }
}

/// What was written and not answered is no lost claim, though the ledger is away right after it: the token
/// that was made under it is kept, and no second one made.
#[test]
fn a_write_that_was_not_answered_costs_no_token() {
    let scene = Scene::Rotation;
    let ops = guarded(undisturbed(scene)).unwrap();
    let mut tried = 0;
    for (call, op) in ops.into_iter().enumerate().filter(|(_, op)| *op == Op::Store) {
        for away in [500, 5 * SECOND, 40 * SECOND] {
            let act = Act::Lose(op.losses()[0]);
            let case = Case { scene, call, op: Some(op), act, away };
            guarded(case).unwrap_or_else(|how| panic!("{case:?}: {how}"));
            tried += 1;
        }
    }
    assert!(tried >= 9, "only {tried} cases");
}
