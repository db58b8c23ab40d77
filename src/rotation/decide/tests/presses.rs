//! One place that is away, and a current token that comes to its end: who waits for whom.

use chrono::TimeDelta;

use super::world::{Content, World, days, id, place};
use crate::rotation::{
    decide::{Decision, Step},
    fixture, operate,
    policy::{Mode, Verify},
    record::Cause,
    request::RotationRequest,
    schedule::Schedule,
};

#[test]
fn a_place_that_is_away_locks_no_other_out() {
    for writes in [false, true] {
        let mut world = World::settled(&["a", "b"]);
        if writes {
            world.unwritable.insert(place("b"));
            world.pass_time(TimeDelta::days(20));
            world.live(TimeDelta::days(1));
        } else {
            world.unreadable.insert(place("b"));
            world.live(TimeDelta::days(21));
            world.live(TimeDelta::days(8) + TimeDelta::hours(22));
            assert!(world.log.is_empty(), "nothing that cannot be finished: {:?}", world.log);
        }
        let end = world.tokens[0].valid_until.unwrap();
        world.live(end - world.provider_now() - TimeDelta::minutes(1));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
        assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{:?}", world.log);
        world.live(TimeDelta::days(1));
        world.unreadable.clear();
        world.unwritable.clear();
        world.live(TimeDelta::hours(3));
        assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
        assert!(world.all_work());
    }
}

#[test]
fn rotations_go_on_and_on_without_the_place_that_stays_away() {
    let mut world = World::settled(&["a", "b"]);
    world.unreadable.insert(place("b"));
    for month in 1..4 {
        // It is asked for once a minute: its readers are cut off.
        for _ in 0..3 {
            world.live(TimeDelta::days(10));
        }
        let held = world.holds("a").unwrap();
        assert!(world.is_listed(&held), "month {month}: {:?}", world.log);
    }
    let dead = |held: &str| world.tokens.iter().all(|token| token.id.as_str() != held);
    assert!(!dead(&world.holds("a").unwrap()));
}

#[test]
fn a_place_nobody_can_ask_gets_the_token_while_another_is_away() {
    let mut world = World::new(&[]);
    world.hand_offs.insert(place("hand-off"));
    world.configure(&["a", "b", "hand-off"]);
    world.run();
    world.unreadable.insert(place("b"));
    let end = world.tokens[0].valid_until.unwrap();
    world.pass_time(TimeDelta::days(29));
    world.live(end - world.provider_now() - TimeDelta::minutes(1));
    assert_eq!(world.holds("hand-off"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn where_no_place_can_be_written_to_nothing_is_minted() {
    let mut world = World::settled(&["a", "b"]);
    for name in ["a", "b"] {
        world.unreadable.insert(place(name));
    }
    world.live(TimeDelta::days(40));
    assert!(world.log.is_empty(), "{:?}", world.log);
}

#[test]
fn what_a_call_itself_rotated_is_not_leaked() {
    let mut world = World::settled(&["a", "b"]);
    world.unwritable.insert(place("b"));
    let since = world.now;
    world.request = RotationRequest::Compromised { since };
    world.run();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    // The claim was lost, or the machine slept: the same call goes on.
    world.pass_time(TimeDelta::minutes(4));
    world.unwritable.clear();
    world.live(TimeDelta::minutes(10));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
    assert!(world.record.condemned.is_empty());
}

#[test]
fn what_the_sinks_hold_has_leaked_although_no_ledger_knows_it() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    let marks = world.marks(&theirs, 3);
    world.places.insert(place("a"), Content::Token(theirs, Some(marks)));
    world.pass_time(TimeDelta::minutes(1));
    world.request = RotationRequest::Compromised { since: world.now };
    let Step::Look { .. } = world.decide().step else { panic!("it looks first") };
    world.run();
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    assert!(!world.is_listed("theirs") && world.is_listed("new-1"), "{:?}", world.log);
    assert!(!world.record.condemned.contains(&id("new-1")));
}

/// `b` is away while `new-2` is delivered: `a` has it, and the older one works still.
fn held_up() -> World {
    let mut world = World::settled(&["a", "b"]);
    world.unwritable.insert(place("b"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    world.pass_time(TimeDelta::minutes(5));
    world
}

fn force(world: &mut World, token: &str) {
    world.run();
    let (events, _) = operate::revoke(&world.situation(), &id(token), true).unwrap();
    events.into_iter().for_each(|event| world.apply(event));
}

#[test]
fn what_an_operator_forces_goes_at_once_in_a_held_up_delivery() {
    let mut world = held_up();
    force(&mut world, "new-1");
    world.run();
    assert!(!world.is_listed("new-1"), "the price was known: {:?}", world.log);
    world.unwritable.clear();
    world.live(TimeDelta::hours(1));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn what_an_operator_asks_goes_while_only_watching_too() {
    let mut world = World::settled(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.policy.terms.mode = Mode::Observe;
    world.live(TimeDelta::hours(1));
    world.run();
    let (events, _) = operate::revoke(&world.situation(), &theirs, false).unwrap();
    events.into_iter().for_each(|event| world.apply(event));
    world.run();
    assert!(!world.is_listed("theirs") && world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn an_orphan_goes_while_a_delivery_is_held_up() {
    let mut world = held_up();
    world.policy.capabilities.cap = None;
    world.unmanaged("lost", days(30));
    let orphan = world.tokens.last().unwrap().clone();
    world.record.retiring.push(fixture::retiring(orphan, Cause::Orphan));
    world.run();
    assert!(!world.is_listed("lost"), "{:?}", world.log);
}

#[test]
fn an_orphan_never_sent_to_a_place_goes_while_that_is_away() {
    let mut world = World::settled(&["a", "b"]);
    world.unmanaged("lost", days(30));
    let orphan = world.tokens.last().unwrap().clone();
    world.record.retiring.push(fixture::retiring(orphan, Cause::Orphan));
    world.unreadable.insert(place("b"));
    let end = world.tokens[0].valid_until.unwrap();
    world.live(end - world.provider_now() - TimeDelta::minutes(1));
    assert!(!world.is_listed("lost"), "{:?}", world.log);
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_lone_schedule_leaves_no_half_delivered_token_to_its_end() {
    let mut world = World::new(&["a", "b"]);
    world.policy.terms.rotate_before = None;
    world.policy.terms.schedule = Schedule::parse("0 3 * * Mon", "UTC").ok();
    world.unwritable.insert(place("b"));
    world.run();
    for month in 1..4 {
        world.live(TimeDelta::days(30));
        let held = world.holds("a").unwrap();
        assert!(world.is_listed(&held) && world.all_held_work("a"), "{month}: {:?}", world.log);
    }
}

#[test]
fn without_a_list_a_place_is_not_given_what_died_meanwhile() {
    let mut world = held_up();
    world.unwritable.clear();
    world.tokens.retain(|token| token.id.as_str() != "new-2");
    world.provider_down = true;
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("b"), Some("new-1".to_owned()), "it works: {:?}", world.log);
}

#[test]
fn without_a_list_a_place_is_given_what_still_works() {
    let mut world = held_up();
    world.unwritable.clear();
    world.provider_down = true;
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_clock_by_which_all_has_expired_causes_no_flood_of_creates() {
    let mut world = World::settled(&["a"]);
    world.policy.capabilities.cap = None;
    // Its answers tell one time, its tokens are made at another, and both for good.
    world.always_wrong = TimeDelta::days(40);
    world.live(TimeDelta::hours(1));
    assert!(world.made < 20, "{} made: {:?}", world.made, world.log);
}

#[test]
fn a_list_that_fails_in_mid_delivery_is_retried_without_a_spin() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.verify = Verify::Off;
    world.unwritable.insert(place("a"));
    world.request = RotationRequest::Rotate { since: world.now };
    // It is minted, and the place does not take it; then the provider is away for two minutes.
    while world.made < 2 {
        let Decision { step, why } = world.decide();
        world.play(step, &why);
    }
    world.unwritable.clear();
    world.provider_down = true;
    let minted = world.now;
    world.now += TimeDelta::seconds(40);
    for _ in 0..500 {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Rest(_)) {
            break;
        }
        world.play(step, &why);
        world.provider_down = world.now - minted < TimeDelta::minutes(2);
    }
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
}
