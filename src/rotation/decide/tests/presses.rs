//! One place that is away, and a current token that comes to its end: who waits for whom.

use chrono::TimeDelta;

use super::world::{World, days, id, place};
use crate::rotation::{ask::Ask, decide::Step};

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
        world.live(end - world.now - TimeDelta::minutes(1));
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
fn it_is_rotated_again_and_again_without_the_place_that_stays_away() {
    let mut world = World::settled(&["a", "b"]);
    world.unreadable.insert(place("b"));
    for month in 1..6 {
        world.live(TimeDelta::days(30));
        let held = world.holds("a").unwrap();
        assert!(world.is_listed(&held), "month {month}: {:?}", world.log);
    }
    let dead = |held: &str| world.tokens.iter().all(|token| token.id.as_str() != held);
    assert!(!dead(&world.holds("a").unwrap()));
}

#[test]
fn a_place_that_cannot_be_asked_gets_the_token_although_another_is_away() {
    let mut world = World::new(&[]);
    world.hand_offs.insert(place("hand-off"));
    world.configure(&["a", "b", "hand-off"]);
    world.run();
    world.unreadable.insert(place("b"));
    let end = world.tokens[0].valid_until.unwrap();
    world.pass_time(TimeDelta::days(29));
    world.live(end - world.now - TimeDelta::minutes(1));
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
    world.ask = Ask::Compromised { since };
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
    let theirs = world.stranger("theirs", days(30));
    let marks = world.marks(&theirs, 3);
    world.places.insert(place("a"), super::world::Content::Token(theirs, Some(marks)));
    world.pass_time(TimeDelta::minutes(1));
    world.ask = Ask::Compromised { since: world.now };
    let Step::Look { .. } = world.decide().step else { panic!("it looks first") };
    world.run();
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    assert!(!world.is_listed("theirs") && world.is_listed("new-1"), "{:?}", world.log);
    assert!(!world.record.condemned.contains(&id("new-1")));
}
