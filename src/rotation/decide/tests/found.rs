//! Tokens that sinks hold and the record does not have as current.

use chrono::TimeDelta;

use super::world::{Content, World, days, id, place};
use crate::rotation::{
    decide::Status, policy::Mode, policy::OnDrift, record::Cause, request::RotationRequest,
    why::Reason,
};

#[test]
fn a_live_token_in_every_place_is_taken_over_without_a_rotation() {
    let mut world = World::new(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    for name in ["a", "b"] {
        world.places.insert(place(name), Content::Token(theirs.clone(), None));
    }
    let (rest, why) = world.run();
    assert_eq!((world.current(), rest.status), (Some("theirs".to_owned()), Status::Idle), "{why}");
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
}

#[test]
fn observe_changes_no_place_whatever_it_finds() {
    let mut world = World::new(&["a", "b"]);
    world.policy.terms.mode = Mode::Observe;
    let theirs = world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Token(theirs, None));
    let (rest, why) = world.run();
    assert_eq!(world.places[&place("b")], Content::Nothing, "{:?}", world.log);
    assert_eq!(rest.reason, Some(Reason::Observe), "{why}");
    assert_eq!(world.current(), Some("theirs".to_owned()));
    // Set back to rotating, the other place is filled.
    world.policy.terms.mode = Mode::Rotate;
    world.pass_time(TimeDelta::minutes(5));
    world.run();
    assert_eq!(world.holds("b"), Some("theirs".to_owned()), "{:?}", world.log);
}

#[test]
fn what_somebody_pasted_is_proven_before_it_goes_anywhere_else() {
    let mut world = World::settled(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.broken.insert(theirs.clone());
    world.places.insert(place("a"), Content::Token(theirs, None));
    world.live(TimeDelta::days(3));
    assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{:?}", world.log);
    assert!(world.is_listed("new-1"), "the one that works lives: {:?}", world.log);
    assert!(world.is_listed("theirs"), "nobody's is not ours to revoke: {:?}", world.log);
    assert_eq!(world.current(), Some("new-1".to_owned()));
    // It holds the slot: that is said at once, with the way out.
    world.pass_time(TimeDelta::minutes(1));
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::UnmanagedToken), "{why}");
}

#[test]
fn what_is_broken_in_every_place_supersedes_nothing() {
    let mut world = World::settled(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.broken.insert(theirs.clone());
    world.places.insert(place("a"), Content::Token(theirs, None));
    world.live(TimeDelta::days(3));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn what_somebody_rotated_by_hand_is_proven_and_spread() {
    let mut world = World::settled(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Token(theirs, None));
    world.run();
    assert_eq!(world.holds("b"), Some("theirs".to_owned()), "{:?}", world.log);
    assert_eq!(world.record.retiring[0].cause, Cause::Superseded);
    world.live(TimeDelta::hours(30));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn a_place_restored_to_the_previous_token_stops_no_rotation() {
    let mut world = World::settled(&["a", "b"]);
    world.policy.terms.token_lifetime = None;
    world.policy.terms.rotate_before = None;
    world.policy.terms.max_age = Some(days(90));
    for token in &mut world.tokens {
        token.valid_until = None;
    }
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    // Restored from a backup, within the overlap.
    let marks = world.marks(&id("new-1"), 1);
    world.places.insert(place("b"), Content::Token(id("new-1"), Some(marks)));
    world.pass_time(TimeDelta::minutes(5));
    world.live(TimeDelta::days(100));
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
    assert_eq!((world.holds("a"), world.holds("b")), (world.current(), world.current()));
    world.live(TimeDelta::days(3));
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
}

#[test]
fn an_only_place_restored_to_the_previous_token_stops_nothing() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.token_lifetime = None;
    world.policy.terms.rotate_before = None;
    world.policy.terms.max_age = Some(days(90));
    for token in &mut world.tokens {
        token.valid_until = None;
    }
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    let marks = world.marks(&id("new-1"), 1);
    world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
    world.pass_time(TimeDelta::minutes(5));
    world.live(TimeDelta::days(100));
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
    assert_eq!(world.holds("a"), world.current());
}

#[test]
fn restored_places_are_repaired_at_once_if_the_policy_says_so() {
    let mut world = World::settled(&["a", "b"]);
    world.policy.terms.on_drift = OnDrift::Restore;
    world.places.insert(place("b"), Content::Unknown);
    world.run();
    assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{:?}", world.log);
    world.policy.terms.on_drift = OnDrift::Report;
    world.places.insert(place("b"), Content::Unknown);
    world.pass_time(TimeDelta::minutes(1));
    let (rest, why) = world.run();
    assert_eq!((rest.reason, world.holds("b")), (Some(Reason::Drift), None), "{why}");
}

#[test]
fn a_place_that_cannot_be_asked_is_never_given_an_older_token() {
    let mut world = World::new(&[]);
    world.hand_offs.insert(place("hand-off"));
    world.configure(&["a", "hand-off"]);
    world.run();
    world.pass_time(TimeDelta::minutes(1));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    let marks = world.marks(&id("new-1"), 1);
    world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
    world.pass_time(TimeDelta::minutes(5));
    world.live(TimeDelta::hours(3));
    assert_eq!(world.holds("hand-off"), Some("new-2".to_owned()), "{:?}", world.log);
    // Whoever asks for a rotation is told which place it is, and what it would cost.
    world.request = RotationRequest::Rotate { since: world.now };
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::PreviousInUse), "{why}");
    assert!(why.contains("a held new-1 at the last check") && why.contains("--force"), "{why}");
}

#[test]
fn what_a_removed_place_still_holds_is_said_with_the_way_out() {
    let mut world = World::settled(&["a", "gone"]);
    world.configure(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.pass_time(TimeDelta::hours(30));
    world.request = RotationRequest::Rotate { since: world.now };
    let (_, why) = world.run();
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    assert!(
        why.contains("gone, which is no longer in the configuration, still holds it; remove"),
        "{why}"
    );
    world.places.insert(place("gone"), Content::Nothing);
    world.pass_time(TimeDelta::minutes(5));
    world.run();
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}
