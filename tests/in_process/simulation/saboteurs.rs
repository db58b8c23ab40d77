//! Checks that never fail check nothing: each wrong process is caught, and by the right promise.

use std::sync::Arc;

use scimitar::{rotation::policy::Mode, token::MintRequest};

use super::{
    conn::{Author, Conn, Held, Manners},
    executor::Executor,
    life::{plain_policy, scopes, sink},
    naive::Script,
    process::Job,
    world::{DAWN, DAY, MINUTE, Sim, World},
};

/// A world in which a person put a token into the one sink, and another nowhere.
fn begun(unmanaged: bool) -> Sim {
    let manners = Manners::plain();
    let policy = plain_policy("a", &manners);
    let conn = Conn::new(policy, manners, vec![sink("a", 0, true, false)], 0);
    let mut world = World::new(7, vec![conn]);
    let request = MintRequest {
        scopes: scopes(5),
        life: world.conns[0].policy().terms.token_lifetime,
        name: None,
    };
    let made = world.make(0, None, &request).unwrap();
    let value: Arc<str> = made.value.expose().into();
    let held = Held { value, marks: None, author: Author::Person };
    world.conns[0].put(0, Some(held), DAWN);
    if unmanaged {
        world.make(0, None, &request).unwrap();
    }
    Sim::new(world)
}

fn caught(script: Script, unmanaged: bool) -> String {
    caught_in(&begun(unmanaged), script)
}

fn caught_in(sim: &Sim, script: Script) -> String {
    let mut executor = Executor::new(sim.clone());
    executor.run(DAWN + MINUTE);
    executor.start(Job::Script { conn: 0, run: script });
    executor.run(DAWN + DAY);
    let broken = sim.lock().broken.clone();
    broken.unwrap_or_else(|| panic!("{script:?} was not caught"))
}

#[test]
fn each_wrong_process_is_caught() {
    let cases = [
        (Script::Naive, false, "promise 3 nothing is started"),
        (Script::Hasty, false, "the overlap is"),
        (Script::DeletesCurrent, false, "sink 0 holds it"),
        (Script::DeletesStranger, true, "a person made it"),
        (Script::Leaks, false, "promise 4 no value"),
        (Script::Unproven, false, "promise 2"),
    ];
    for (script, unmanaged, promise) in cases {
        let how = caught(script, unmanaged);
        assert!(how.contains(promise), "{script:?}: {how}");
    }
}

/// Whatever it is that is done while only watching.
#[test]
fn what_writes_while_only_watching_is_caught() {
    for (script, what) in [
        (Script::Naive, "Create"),
        (Script::DeletesCurrent, "Revoke"),
        (Script::Unproven, "Deliver"),
    ] {
        let sim = begun(false);
        sim.lock().new_policy(0, |policy| policy.terms.mode = Mode::Observe);
        let how = caught_in(&sim, script);
        let promise = format!("promise observe changes nothing: {what}");
        assert!(how.contains(&promise), "{script:?}: {how}");
    }
}

/// What is deleted under a sink, what expires there, and what never ends well, is seen.
#[test]
fn a_world_that_does_nothing_is_caught() {
    let sim = begun(false);
    let mut executor = Executor::new(sim.clone());
    {
        // As if the product itself had delivered it, and then looked away.
        let mut world = sim.lock();
        let held = world.conns[0].sinks[0].held.clone();
        let by_worker =
            held.map(|held| Held { author: Author::Worker(super::world::Pid(0)), ..held });
        world.conns[0].sinks[0].held = by_worker;
        // A person's token in the slot is an excuse; here there is none.
        for tok in world.conns[0].tokens.values_mut() {
            tok.maker = Some(super::world::Pid(0));
        }
    }
    executor.run(DAWN + 40 * DAY);
    let mut world = sim.lock();
    let how = world.broken.take().unwrap();
    assert!(how.contains("promise 1") && how.contains("expired unhindered"), "{how}");
    world.promise_5(0);
    assert!(world.broken.take().unwrap().contains("promise 5"));
}
