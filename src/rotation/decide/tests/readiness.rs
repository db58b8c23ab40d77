//! Whether the next rotation could be delivered is known before it is due.

use chrono::TimeDelta;

use super::{
    super::{Rest, Status, is_hopeless},
    act::read_only,
    world::{Content, World, hours, place},
};
use crate::rotation::{
    pause::Pause,
    policy::{Mode, OnDrift},
    record::{Work, WriteCheck},
    request::RotationRequest,
    why::Reason,
};

fn says(rest: &Rest) -> (Status, Option<Reason>) {
    (rest.status, rest.reason)
}

const FAILS: (Status, Option<Reason>) = (Status::Troubled, Some(Reason::SinkUnavailable));
const IDLE: (Status, Option<Reason>) = (Status::Idle, None);

#[test]
fn a_lost_right_to_write_is_found_long_before_the_rotation() {
    let mut world = World::settled(&["a", "b"]);
    let (before, _) = world.run();
    assert_eq!(world.checks, [] as [usize; 0], "the rotation that just ended has shown it");
    world.read_only.insert(place("b"));
    // Every twelve checks, each an hour here.
    let (rest, _) = world.live(TimeDelta::hours(11));
    assert_eq!((says(&rest), &world.checks[..]), (IDLE, &[][..]));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(says(&rest), FAILS, "{why}");
    assert_eq!(world.checks[0], 2);
    assert!(why.contains(&read_only(&place("b")).to_string()), "{why}");
    assert!(
        why.contains("it still holds new-1, and the next rotation cannot start before"),
        "{why}"
    );
    assert!(rest.until.unwrap() - world.now <= TimeDelta::hours(1));
    assert_eq!(rest.next_rotation, before.next_rotation);

    // It is asked about with each check from then on, alone, and seen mended.
    world.checks.clear();
    world.live(TimeDelta::hours(3));
    assert!((3..=5).contains(&world.checks.len()), "{:?}", world.checks);
    assert!(world.checks.iter().all(|places| *places == 1), "{:?}", world.checks);
    world.read_only.clear();
    let (rest, why) = world.live(TimeDelta::hours(1));
    assert_eq!(says(&rest), IDLE, "{why}");
    assert!(world.record.troubles().next().is_none());
    assert_eq!(world.current(), Some("new-1".to_owned()));
}

#[test]
fn what_is_on_this_host_is_asked_with_each_check() {
    let mut world = World::new(&["a", "b"]);
    world.write_checks.insert(place("a"), WriteCheck::Each);
    world.write_checks.insert(place("b"), WriteCheck::Refused);
    world.configure(&["a", "b"]);
    world.run();
    world.pass_time(TimeDelta::minutes(5));
    world.checks.clear();
    world.live(TimeDelta::hours(4));
    assert!((4..=6).contains(&world.checks.len()), "{:?}", world.checks);
    assert!(world.checks.iter().all(|places| *places == 1), "{:?}", world.checks);
    world.read_only.insert(place("a"));
    let (rest, why) = world.live(TimeDelta::minutes(61));
    assert_eq!(says(&rest), FAILS, "{why}");

    // What only a write shows is not asked before there is one to be made, however long that takes.
    world.read_only = [place("b")].into();
    let (rest, why) = world.live(TimeDelta::days(3));
    assert_eq!(says(&rest), IDLE, "{why}");
    assert!(world.checks.iter().all(|places| *places == 1), "{:?}", world.checks);
}

#[test]
fn a_place_that_is_asked_only_by_writes_is_asked_once_it_failed() {
    let mut world = World::new(&["a"]);
    world.write_checks.insert(place("a"), WriteCheck::Refused);
    world.configure(&["a"]);
    world.run();
    world.pass_time(TimeDelta::minutes(5));
    world.read_only.insert(place("a"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.pass_time(TimeDelta::seconds(1));
    world.run();
    world.request = RotationRequest::Due;
    let (rest, why) = world.live(TimeDelta::hours(3));
    assert_eq!(says(&rest), FAILS, "{why}");
    world.read_only.clear();
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(says(&rest), IDLE, "{why}");
    assert!(world.record.troubles().next().is_none());
}

#[test]
fn a_call_that_failed_at_a_place_is_over_once_it_takes_a_write() {
    let mut world = World::settled(&["a"]);
    world.read_only.insert(place("a"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.pass_time(TimeDelta::seconds(1));
    let (rest, _) = world.run();
    assert_eq!(says(&rest), FAILS);
    let mint = |world: &World| world.record.troubles.iter().any(|(work, _)| work == Work::Mint);
    assert!(mint(&world));

    // Nobody repeats that call: the place is asked instead, and says the same.
    world.request = RotationRequest::Due;
    let (rest, why) = world.live(TimeDelta::hours(1));
    assert_eq!(says(&rest), FAILS, "{why}");
    assert!(!mint(&world), "it is known of the place");
    assert!(rest.warnings.is_empty(), "{:?}", rest.warnings);
    world.read_only.clear();
    let (rest, why) = world.live(TimeDelta::hours(1));
    assert_eq!(says(&rest), IDLE, "{why}");
    assert!(rest.warnings.is_empty(), "{:?}", rest.warnings);
    assert_eq!(world.current(), Some("new-1".to_owned()), "the rotation was not asked for again");
}

#[test]
fn a_rotation_by_hand_does_not_wait_for_what_was_refused_before() {
    let mut world = World::new(&["a"]);
    world.write_checks.insert(place("a"), WriteCheck::Each);
    world.configure(&["a"]);
    world.run();
    world.pass_time(TimeDelta::minutes(5));
    world.read_only.insert(place("a"));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(says(&rest), FAILS, "{why}");
    let since = world.now;
    world.request = RotationRequest::Rotate { since };
    world.pass_time(TimeDelta::seconds(1));
    let (rest, why) = world.run();
    assert_eq!(says(&rest), FAILS, "{why}");
    assert!(is_hopeless(&world.situation(), since), "only a person mends it");
    assert!(why.ends_with("run the command again once that is mended"), "{why}");
    assert_eq!(why.matches("run the command again").count(), 1, "{why}");
    // Another place that may come back is worth waiting for.
    world.record.sinks.get_mut(&place("a")).unwrap().unwritable = false;
    assert!(!is_hopeless(&world.situation(), since), "it was not asked again");
}

#[test]
fn a_person_who_asks_is_told_at_once() {
    let mut world = World::settled(&["a"]);
    world.live(TimeDelta::hours(2));
    world.read_only.insert(place("a"));
    world.pass_time(TimeDelta::minutes(1));
    world.observed.tries_since = Some(world.now);
    let (rest, why) = world.run();
    assert_eq!(says(&rest), FAILS, "{why}");
    assert_eq!(world.checks, [1]);
}

#[test]
fn nobody_is_asked_where_nothing_is_to_be_delivered() {
    let asked = |change: fn(&mut World)| {
        let mut world = World::settled(&["a"]);
        change(&mut world);
        world.live(TimeDelta::hours(14));
        world.checks.len()
    };
    assert_eq!(asked(|_| ()), 1);
    assert_eq!(asked(|world| world.policy.terms.mode = Mode::Observe), 0);
    assert_eq!(
        asked(|world| {
            let (since, until) = (world.now, world.now + TimeDelta::days(1));
            let (by, reason) = ("uid 0".to_owned(), "a move".to_owned());
            world.record.pause = Some(Pause { since, until, by, reason });
        }),
        0
    );
    // What it holds is a matter of its own.
    assert_eq!(asked(|world| world.unreadable.extend([place("a")])), 0);
    let scribbled = |world: &mut World| {
        world.policy.terms.on_drift = OnDrift::Report;
        world.places.insert(place("a"), Content::Unknown);
    };
    assert_eq!(asked(scribbled), 0);
}

#[test]
fn a_clock_that_was_set_back_asks_once() {
    let mut world = World::settled(&["a"]);
    let hour = TimeDelta::from_std(hours(1)).unwrap();
    world.record.writes_checked = Some(world.now + hour * 1000);
    world.live(hour);
    assert_eq!(world.checks, [1]);
}
