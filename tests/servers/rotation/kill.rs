//! kill -9 at any moment, then `--once`: one current token, the same in the sink, no orphan; and
//! what takes effect later is known as ours.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, LateAnswer, Rule};

use super::world::{TOKENS, World, side_by_side};

/// How often each way to die is tried, beside the moments at the requests.
const TIMES: u64 = 20;

/// A drawn number below `end`, the same in every run (SplitMix64).
fn drawn(seed: u64, end: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x5ca1_ab1e);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) % end
}

/// Whatever the crash left, one `--once` with its default time-out mends.
fn mend(world: &World, when: &str) {
    let row = world.run(&["--once"]).exits(0).row();
    assert_ne!(row["outcome"], "failed", "{when}: {row}");
    world.assert_sound(when);
}

/// An older token whose time to go has come: the next rotation begins by revoking it.
fn prepare(world: &World) {
    if world.listed().len() < 2 {
        world.pass(TimeDelta::seconds(61));
        world.run(&["--rotate-now"]).exits(0);
    }
    world.pass(TimeDelta::seconds(61));
    world.faults.forget_requests();
}

/// How many requests and how many bytes of the most talkative log a whole rotation has, its own
/// revocation of the older token included.
fn rehearsal(world: &World) -> (u32, u64) {
    world.run(&["--rotate-now"]).exits(0);
    prepare(world);
    let ended = world.call(&["--rotate-now", "-vvv"]).run().exits(0);
    let requests = u32::try_from(world.faults.requests().len()).unwrap();
    assert_eq!((world.creates(), world.deletes()), (1, 1), "a whole rotation");
    prepare(world);
    (requests, u64::try_from(ended.stderr.len()).unwrap())
}

#[test]
fn killed_at_each_request_before_and_after_its_effect() {
    side_by_side([(false, false), (false, true), (true, false)], |(after, late)| {
        let world = World::new();
        let (requests, _) = rehearsal(&world);
        for nth in 1..=requests {
            let when = format!("request {nth}, after its effect: {after}, late: {late}");
            let act = if after { Act::HoldAfter } else { Act::HoldBefore };
            world.fault(Rule::new("", "", act).nth(nth));
            let running = world.start(&["--rotate-now"]);
            world.until_held(1);
            assert_eq!(running.kill_9().signal, Some(9), "{when}");
            world.faults.clear();
            if late {
                mend(&world, &when);
            }
            // The held request takes effect now, long after its caller died.
            world.release();
            mend(&world, &when);
            prepare(&world);
        }
    });
}

#[test]
fn killed_after_any_number_of_bytes_of_its_log() {
    let killed = AtomicU64::new(0);
    side_by_side([0, TIMES / 2], |first| {
        let world = World::new();
        let (_, bytes) = rehearsal(&world);
        for seed in first..first + TIMES / 2 {
            let count = drawn(seed, bytes);
            let running = world.start(&["--rotate-now", "-vvv"]);
            running.err.until_bytes(usize::try_from(count).unwrap());
            let died = running.kill_9().signal == Some(9);
            killed.fetch_add(u64::from(died), Ordering::SeqCst);
            mend(&world, &format!("seed {seed}: after {count} of {bytes} bytes"));
            prepare(&world);
        }
    });
    let killed = killed.into_inner();
    assert!(killed > TIMES / 4, "{killed} of {TIMES} died in the middle");
}

#[test]
fn killed_at_any_time_from_its_very_first_rotation_on() {
    side_by_side(0..4, |life| {
        let world = World::new();
        for round in 0..TIMES / 4 {
            let seed = 1_000 + life * 100 + round;
            let time = Duration::from_micros(drawn(seed, 80_000));
            let running = world.start(&["--rotate-now"]);
            running.out.closed_within(time);
            running.kill_9();
            mend(&world, &format!("seed {seed}: after {time:?}"));
            prepare(&world);
        }
    });
}

#[test]
fn a_create_that_takes_effect_after_the_crash_is_revoked() {
    let world = World::rotated();
    let current = world.held();
    world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1));
    let running = world.start(&["--rotate-now"]);
    world.until_held(1);
    running.kill_9();

    // Nothing is there yet, and nothing else is held up by that.
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "unchanged", "{row}");
    assert_eq!(world.listed(), BTreeSet::from([current.clone()]));

    world.release();
    assert_eq!(world.listed().len(), 2, "it took effect after all");
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["token_id"], current);
    assert_eq!(row["warnings"].as_array().unwrap().len(), 0, "nobody else's token: {row}");
    assert_eq!(world.listed(), BTreeSet::from([current]));
    world.assert_sound("after the late effect");
}

#[test]
fn a_create_that_takes_effect_hours_late_is_still_known_as_ours() {
    let world = World::rotated();
    let current = world.held();
    let late = Act::Late { answer: LateAnswer::Dropped, after: None };
    world.fault(Rule::new("POST", "", late).ending(TOKENS).nth(1));
    // The answer is lost; the call tries again by itself and succeeds.
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!(row["previous_token_id"], current);
    world.pass(TimeDelta::hours(6));
    world.run(&["--once"]).exits(0);
    world.release();
    assert_eq!(world.listed().len(), 2, "the first create took effect after all");
    world.run(&["--once"]).exits(0);
    assert_eq!(world.listed().len(), 1);
    world.assert_sound("six hours later");
}
