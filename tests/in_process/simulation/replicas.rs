//! Several processes at once, and connections side by side.

use scimitar::engine::report::Outcome;

use super::{
    conn::{Conn, Manners},
    executor::{Ended, Executor},
    life::{plain_policy, settle, sink, staging},
    people::seconds,
    process::{Job, What},
    world::{DAWN, DAY, HOUR, MINUTE, Outage, Service, Sim, World},
};

fn plain(name: &str, first_id: u64) -> Conn {
    let manners = Manners::plain();
    let policy = plain_policy(name, &manners);
    let sinks = vec![sink(name, 0, true, true), staging(name, 1)];
    Conn::new(policy, manners, sinks, first_id)
}

/// Two or three one-shots beside a daemon, all asked to rotate in the same moment, mint once.
#[test]
fn processes_at_once_mint_once() {
    for seed in 0..100 {
        let world = World::new(seed, vec![plain("a", 0)]);
        let sim = Sim::new(world);
        let mut executor = Executor::new(sim.clone());
        executor.start(Job::Daemon(0));
        assert_eq!(executor.run(DAWN + 2 * DAY), Ended::Time, "{:?}", sim.lock().broken);
        let before = sim.lock().conns[0].mints;
        assert_eq!(before, 1, "seed {seed}: the first meeting mints");
        for _ in 0..2 + seed % 2 {
            executor.start(Job::Once {
                conn: 0,
                what: What::Rotate,
                wait: false,
                timeout: Some(10 * MINUTE),
            });
        }
        executor.run(DAWN + 2 * DAY + 30 * MINUTE);
        let ended = executor.run(DAWN + 4 * DAY);
        settle(&mut executor, ended, DAY).unwrap_or_else(|how| panic!("seed {seed}: {how}"));
        let world = sim.lock();
        assert_eq!(world.conns[0].mints, before + 1, "seed {seed}: minted twice");
        // A rotation that finished since the call began is its answer, whoever carried it out.
        let answered = world.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Rotated);
        assert!(answered, "seed {seed}: {:?}", world.outcomes);
    }
}

/// 6. One connection's trouble stays its own.
#[test]
fn one_connections_trouble_stays_its_own() {
    let services = [Service::Provider, Service::Endpoint, Service::Sink(0), Service::Sink(1)];
    for (seed, what) in (0..).zip(services) {
        let mut world = World::new(seed, vec![plain("a", 0), plain("b", 1_000_000)]);
        let calm = DAWN + 70 * DAY;
        world.outages.push(Outage { conn: Some(1), node: None, what, from: DAWN, to: calm });
        let sim = Sim::new(world);
        let mut executor = Executor::new(sim.clone());
        executor.start(Job::Daemon(0));
        let ended = executor.run(calm);
        let mut world = sim.lock();
        assert_eq!(ended, Ended::Time, "{what:?}: {:?}", world.broken);
        // A month's life of which a third is left: due on the 21st day, again on the 41st, 61st.
        assert_eq!(world.conns[0].mints, 4, "{what:?}: rotated on time");
        world.promise_5(0);
        assert_eq!(world.broken, None, "{what:?}");
        assert!(world.unwell(1).is_some(), "{what:?} was no trouble");
    }
}

/// What one replica of three cannot reach, the others can: each rotation is in time.
#[test]
fn a_replica_that_is_cut_off_holds_nobody_up() {
    let services = [Service::Ledger, Service::Provider, Service::Endpoint, Service::Sink(1)];
    for (seed, what) in (0..).zip(services) {
        let mut world = World::new(seed, vec![plain("a", 0), plain("b", 1_000_000)]);
        let calm = DAWN + 70 * DAY;
        world.skews = vec![7 * MINUTE, 0, -7 * MINUTE];
        world.shelf.share();
        for conn in 0..2 {
            world.new_policy(conn, |policy| policy.survey_interval = seconds(6 * HOUR));
            let (conn, node) = (Some(conn), Some(0));
            world.outages.push(Outage { conn, node, what, from: DAWN, to: calm });
        }
        let sim = Sim::new(world);
        let mut executor = Executor::new(sim.clone());
        for node in 0..3 {
            executor.start(Job::Daemon(node));
        }
        let ended = executor.run(calm);
        let mut world = sim.lock();
        assert_eq!(ended, Ended::Time, "{what:?}: {:?}", world.broken);
        for conn in 0..2 {
            assert_eq!(world.conns[conn].mints, 4, "{what:?}: [{conn}] is rotated on time");
            world.promise_5(conn);
        }
        assert_eq!(world.broken, None, "{what:?}");
    }
}
