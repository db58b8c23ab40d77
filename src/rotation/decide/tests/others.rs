//! What others have in the way of a rotation: endpoints that answer nonsense, their own content,
//! readers elsewhere.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    super::{Status, Veto},
    world::{Content, World, days, id, place},
};
use crate::rotation::{
    decide::{Decision, Step},
    observe::{Loss, OtherKey},
    policy::Verify,
    request::RotationRequest,
    why::Reason,
};

fn preflight(world: &mut World) -> Veto {
    for _ in 0..50 {
        let Decision { step, why } = world.decide();
        match step {
            Step::Preflight { endpoint, .. } => return endpoint,
            Step::Rest(_) => panic!("it rests: {why}"),
            Step::Look { .. }
            | Step::Inspect
            | Step::Configure(_)
            | Step::Note(_)
            | Step::Mint(_)
            | Step::Probe(_)
            | Step::Stage(_)
            | Step::Promote(_)
            | Step::Forget(_)
            | Step::AskClient(_)
            | Step::RemoveUser { .. }
            | Step::Revoke(_)
            | Step::Notify { .. }
            | Step::Pause(_) => world.play(step, &why),
        }
    }
    panic!("no preflight");
}

#[test]
fn the_scim_endpoint_holds_a_mint_up_only_while_there_is_time() {
    let veto = |left: TimeDelta, verify: Verify| {
        let mut world = World::settled(&["a"]);
        world.policy.terms.verify = verify;
        world.pass_time(TimeDelta::days(30) - left - TimeDelta::minutes(5));
        preflight(&mut world)
    };
    assert_eq!(veto(TimeDelta::days(9), Verify::Off), Veto::None);
    assert_eq!(veto(TimeDelta::days(9), Verify::Read), Veto::Silence);
    assert_eq!(veto(TimeDelta::hours(23), Verify::Read), Veto::Refusal);
    assert_eq!(veto(TimeDelta::minutes(50), Verify::Read), Veto::None);
    let mut world = World::new(&["a"]);
    assert_eq!(preflight(&mut world), Veto::Silence);
}

#[test]
fn what_others_put_there_is_destroyed_only_when_told_and_once() {
    for loss in [Loss::Value, Loss::Unparsed("line 3: trailing comma".to_owned())] {
        let mut world = World::new(&["a"]);
        world.places.insert(place("a"), Content::Unknown);
        world.losses.insert(place("a"), loss.clone());
        let (rest, why) = world.live(TimeDelta::hours(1));
        assert_eq!(rest.reason, Some(Reason::ForeignContent), "{why}");
        assert_eq!((rest.status, world.made), (Status::Refused, 0), "{why}");
        assert!(why.contains("overwrite = true"), "{why}");
        world.overwrite.insert(place("a"));
        world.configure(&["a"]);
        world.live(TimeDelta::hours(1));
        assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{loss:?}: {:?}", world.log);
        // Once: what is damaged later is somebody's again.
        world.places.insert(place("a"), Content::Unknown);
        world.losses.insert(place("a"), Loss::Unparsed("line 1".to_owned()));
        world.live(TimeDelta::hours(1));
        world.request = RotationRequest::Rotate { since: world.now };
        let (rest, why) = world.run();
        assert_eq!(rest.reason, Some(Reason::ForeignContent), "{why}");
    }
    // What stands beside our own keys is kept, and needs no word.
    let mut world = World::new(&["a"]);
    world.places.insert(place("a"), Content::Unknown);
    world.run();
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
}

#[test]
fn readers_of_the_token_under_another_key_are_not_left_behind() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Unknown);
    for (key, before, advice) in [
        ("OKTA_TOKEN", Some(""), "Write payload = { OKTA_TOKEN = \"{{ token }}\" } on"),
        ("header", Some("Bearer "), "Write payload = { header = \"Bearer {{ token }}\" } on"),
        ("okta.token", Some(""), "Write payload = { \"okta.token\" = \"{{ token }}\" } on"),
        ("app.auth.1", None, "under the key app.auth.1, which this delivery does not write"),
        (
            "app.auth.1",
            None,
            "No payload can write there. Copy the token to a key that this delivery",
        ),
    ] {
        let other = OtherKey { key: key.to_owned(), before, id: theirs.clone() };
        world.elsewhere.insert(place("a"), other);
        let (rest, why) = world.live(TimeDelta::hours(2));
        assert_eq!(rest.reason, Some(Reason::TokenElsewhere), "{why}");
        assert!(why.contains(advice), "{why}");
        assert_eq!(why.contains("payload ="), before.is_some(), "{why}");
        assert_eq!(world.made, 0);
    }
}

#[test]
fn an_unused_new_token_keeps_the_older_and_says_where_to_look() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.retire.after_use = true;
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    let (rest, _) = world.live(TimeDelta::hours(2));
    assert!(rest.warnings.iter().all(|it| !it.contains("delivered_not_used")), "{rest:?}");
    let (rest, _) = world.live(TimeDelta::hours(1));
    let said = |it: &String| {
        it.starts_with("delivered_not_used: new-2") && it.ends_with("check the clients that read a")
    };
    assert!(rest.warnings.iter().any(said), "{:?}", rest.warnings);
    let (rest, why) = world.live(TimeDelta::days(5));
    assert_eq!(rest.reason, Some(Reason::NotUsed), "{why}");
    assert!(world.is_listed("new-1"));
    world.clients = true;
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn without_overlap_and_when_leaked_a_last_look_precedes_deletes() {
    // The world asserts it at each DELETE.
    let mut world = World::settled(&["a", "b"]);
    world.policy.terms.retire.overlap = Duration::ZERO;
    world.request = RotationRequest::Rotate { since: world.now };
    world.live(TimeDelta::minutes(1));
    world.request = RotationRequest::Compromised { since: world.now };
    world.live(TimeDelta::minutes(1));
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
}

#[test]
fn cut_off_readers_get_a_new_token_although_a_hand_off_has_one() {
    let mut world = World::new(&["a"]);
    world.hand_offs.insert(place("person"));
    world.configure(&["a", "person"]);
    world.run();
    assert_eq!(world.holds("person"), Some("new-1".to_owned()), "{:?}", world.log);
    world.pass_time(TimeDelta::minutes(5));
    let marks = world.marks(&id("dead"), 1);
    world.record.deleted.insert(id("dead"), world.now);
    world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
    world.live(TimeDelta::minutes(3));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.holds("person"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_token_that_is_met_first_counts_once_it_is_proven() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.broken.insert(theirs.clone());
    world.places.insert(place("a"), Content::Token(theirs, None));
    world.live(TimeDelta::hours(2));
    assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
    assert!(world.is_listed("theirs") && world.record.retiring.is_empty(), "{:?}", world.log);
}
