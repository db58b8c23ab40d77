//! Who holds the slots, what an operator is told, and whether what he is told works.

use chrono::TimeDelta;

use super::world::{Content, World, days, hours, id, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::Status,
        operate,
        policy::{Lead, Mode, Unmanaged},
        record::{Cause, Trouble},
        request::RotationRequest,
        why::Reason,
    },
    token::TokenId,
};

fn operator_revokes(world: &mut World, token: &TokenId, force: bool) -> Result<String, String> {
    world.restart();
    // The command looks first, then says what it does.
    let decision = world.decide();
    world.play(decision.step, &decision.why);
    let (events, words) = operate::revoke(&world.situation(), token, force)
        .map_err(|not_done| not_done.to_string())?;
    for event in events {
        world.apply(event);
    }
    Ok(words)
}

#[test]
fn an_unmanaged_token_in_a_slot_is_refused_and_a_way_out_works() {
    let mut world = World::settled(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.pass_time(TimeDelta::minutes(1));
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::UnmanagedToken)));
    assert!(why.contains("scimitar revoke initech-okta --token-id theirs"), "{why}");
    operator_revokes(&mut world, &theirs, false).unwrap();
    let (rest, why) = world.run();
    assert_eq!((rest.status, world.is_listed("theirs")), (Status::Idle, false), "{why}");
}

#[test]
fn with_unmanaged_tokens_in_both_slots_the_way_out_works() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.unmanaged("others", days(30));
    let (rest, _) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::UnmanagedToken)));
    operator_revokes(&mut world, &theirs, false).unwrap();
    let (_, why) = world.run();
    assert!(!world.is_listed("theirs"), "{why}");
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{why}");
}

#[test]
fn a_lost_current_token_is_told_before_what_blocks_the_next() {
    let mut world = World::settled(&["a"]);
    world.unmanaged("theirs", days(30));
    world.pass_time(TimeDelta::minutes(1));
    let (_, why) = world.run();
    assert!(why.starts_with("unmanaged token theirs "), "{why}");
    world.tokens.retain(|token| token.id != id("new-1"));
    world.unmanaged("others", days(30));
    for _ in 0..3 {
        world.pass_time(TimeDelta::hours(1));
        world.run();
    }
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::UnmanagedToken)));
    let lost = "new-1 no longer exists at the provider: clients that use it are locked out; unmanaged token ";
    assert!(why.starts_with(lost), "{why}");
    world.policy.terms.mode = Mode::Observe;
    world.pass_time(TimeDelta::hours(1));
    let (rest, why) = world.run();
    assert!(
        rest.warnings.iter().any(|words| lost.starts_with(words)),
        "{why}: {:?}",
        rest.warnings
    );
}

#[test]
fn a_failure_of_a_rotation_by_hand_is_no_claim_about_now() {
    let mut world = World::settled(&["a"]);
    let fault = Fault::new("create a token", Class::Terminal, Code::Forbidden, "no");
    let at = world.now;
    let retry_at = at + TimeDelta::minutes(1);
    let trouble = Trouble { count: 1, since: at, fault, at, retry_at, of_sink: false };
    world.record.troubles.mint = Some(trouble);
    world.pass_time(TimeDelta::hours(1));
    let (rest, why) = world.run();
    assert_eq!(rest.status, Status::Idle, "{why}");
    let of_it = |words: &&String| words.contains("could not create a token");
    let words = rest.warnings.iter().find(of_it).unwrap();
    assert!(words.starts_with("the last rotation failed at "), "{words}");
    assert!(words.ends_with("`scimitar rotate initech-okta` tries again"), "{words}");
}

#[test]
fn an_operator_can_revoke_an_unmanaged_token_despite_drift() {
    let mut world = World::settled(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    let dead = id("long-dead");
    world.places.insert(place("b"), Content::Token(dead, None));
    world.pass_time(TimeDelta::minutes(1));
    world.run();
    operator_revokes(&mut world, &theirs, false).unwrap();
    let (_, why) = world.run();
    assert!(!world.is_listed("theirs"), "{why}");
}

#[test]
fn revoking_a_previous_token_waits_until_all_have_the_newer_one() {
    let mut world = World::settled(&["a", "b"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.places.insert(place("b"), Content::Token(id("long-dead"), None));
    operator_revokes(&mut world, &id("new-1"), false).unwrap();
    let (_, why) = world.run();
    assert!(world.is_listed("new-1"), "{why}");
    operator_revokes(&mut world, &id("new-1"), true).unwrap();
    world.run();
    assert!(!world.is_listed("new-1"), "--force skips that");
}

#[test]
fn what_may_be_the_last_one_leaves_no_wish_behind() {
    // Whatever else is away at that moment.
    for is_away in [false, true] {
        let mut world = World::settled(&["a", "b"]);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        world.tokens.retain(|token| token.id != id("new-2"));
        world.pass_time(TimeDelta::minutes(1));
        if is_away {
            world.unreadable.insert(place("b"));
        }
        let refused = operator_revokes(&mut world, &id("new-1"), false).unwrap_err();
        assert!(refused.contains("may be the only token that works"), "{refused}");
        assert!(refused.contains("--token-id new-1 --force`"), "{refused}");
        let left = world.record.retiring.iter().find(|left| left.token.id == id("new-1")).unwrap();
        assert_eq!(left.cause, Cause::Superseded, "it keeps its overlap: {:?}", world.log);
        operator_revokes(&mut world, &id("new-1"), true).unwrap();
    }
}

#[test]
fn a_wish_from_before_the_current_token_leaves_it_its_overlap() {
    let mut world = World::settled(&["a", "b"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.unreadable.insert(place("b"));
    operator_revokes(&mut world, &id("new-1"), false).unwrap();
    world.run();
    assert!(world.is_listed("new-1"), "b cannot be read: {:?}", world.log);
    // What replaced it is deleted, and its clients have the older one alone.
    world.tokens.retain(|token| token.id != id("new-2"));
    world.unreadable.clear();
    world.live(TimeDelta::hours(1));
    assert_eq!(world.holds("b"), Some("new-3".to_owned()), "{:?}", world.log);
    assert!(world.is_listed("new-1"), "its clients may not have that yet: {:?}", world.log);
    let mut said_again = world.clone();
    operator_revokes(&mut said_again, &id("new-1"), false).unwrap();
    said_again.run();
    assert!(!said_again.is_listed("new-1"), "now that is known: {:?}", said_again.log);
    let mut watched = world.clone();
    watched.policy.terms.mode = Mode::Observe;
    let (rest, why) = watched.run();
    assert!(watched.is_listed("new-1"), "{:?}", watched.log);
    assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(Reason::Overlap)), "{why}");
    assert!(rest.until.is_some() && why.contains("is kept until "), "{why}");
    world.live(TimeDelta::days(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn only_force_revokes_what_sinks_hold_which_is_replaced_at_once() {
    let mut world = World::settled(&["a"]);
    let refused = operator_revokes(&mut world, &id("new-1"), false).unwrap_err();
    assert!(refused.contains("--force"), "{refused}");
    operator_revokes(&mut world, &id("new-1"), true).unwrap();
    world.run();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert!(!world.is_listed("new-1"));
}

#[test]
fn a_rotation_by_hand_never_cuts_the_overlap_of_the_older_token() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.pass_time(TimeDelta::minutes(1));
    world.request = RotationRequest::Rotate { since: world.now };
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::PreviousInUse)));
    assert!(rest.until.is_some_and(|until| until > world.now), "{why}");
    assert!(why.contains("` revokes it now"), "{why}");
    assert!(world.is_listed("new-1"));
    // When the overlap is over the same call revokes first, then rotates.
    world.pass_time(TimeDelta::hours(25));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
    assert!(!world.is_listed("new-1"));
}

#[test]
fn one_token_whose_delete_always_fails_keeps_no_other_alive() {
    let mut world = World::settled(&["a"]);
    world.policy.capabilities.cap = None;
    for _ in 0..2 {
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.pass_time(TimeDelta::minutes(30));
    }
    world.request = RotationRequest::Due;
    world.revoke_fails.insert(id("new-1"));
    world.live(TimeDelta::hours(50));
    assert!(!world.is_listed("new-2"), "{:?}", world.log);
    world.revoke_fails.clear();
    world.live(TimeDelta::hours(3));
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
}

#[test]
fn leaked_tokens_are_replaced_then_revoked_and_then_forgotten() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.pass_time(TimeDelta::minutes(1));
    world.request = RotationRequest::Compromised { since: world.now };
    world.run();
    assert_eq!(world.holds("a"), Some("new-3".to_owned()), "{:?}", world.log);
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
    assert!(world.record.condemned.is_empty());
}

#[test]
fn a_leaked_token_that_died_by_itself_is_not_waited_for() {
    let mut world = World::settled(&["a"]);
    world.revoke_fails.insert(id("new-1"));
    world
        .apply(crate::rotation::event::Event::Condemned(world.record.leaked(world.now, world.now)));
    world.live(TimeDelta::hours(1));
    assert!(world.record.condemned.contains(&id("new-1")), "{:?}", world.log);
    world.live(TimeDelta::days(31));
    assert!(world.record.condemned.is_empty(), "{:?}", world.record.condemned);
}

#[test]
fn an_unmanaged_token_that_is_used_again_is_not_retired() {
    let mut world = World::settled(&["a"]);
    world.policy.capabilities.cap = Some(3);
    world.policy.terms.unmanaged = Unmanaged::Retire;
    let theirs = world.unmanaged("theirs", days(300));
    world.tokens[1].created_at = world.tokens[1].created_at - TimeDelta::days(30);
    world.live(TimeDelta::hours(25));
    assert!(
        world.record.retiring.iter().any(|retiring| retiring.cause == Cause::Unmanaged),
        "{:?}",
        world.log
    );
    let now = world.provider_now();
    world.tokens.iter_mut().find(|token| token.id == theirs).unwrap().last_used_at = Some(now);
    world.live(TimeDelta::hours(48));
    assert!(world.is_listed("theirs"), "{:?}", world.log);
    world.live(TimeDelta::days(8));
    assert!(!world.is_listed("theirs"), "unused again for a week: {:?}", world.log);
}

#[test]
fn the_floor_between_two_rotations_lets_no_token_expire() {
    let mut world = World::settled(&["a"]);
    // Much less was granted than was asked for.
    world.policy.terms.rotate_before = Some(Lead::Fixed(hours(1)));
    let now = world.provider_now();
    world.tokens[0].valid_until = Some(now + TimeDelta::minutes(30));
    world.live(TimeDelta::minutes(29));
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
}

/// `new-2` replaced `new-1`, which waits for evidence of disuse and expires in 40 minutes.
fn waits_for_evidence() -> World {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.record.retiring[0].on_evidence = true;
    world.tokens[0].valid_until = Some(world.provider_now() + TimeDelta::minutes(40));
    world
}

#[test]
fn an_older_token_that_dies_waiting_for_evidence_frees_its_slot() {
    let mut world = waits_for_evidence();
    let now = world.provider_now();
    let here = world.now;
    world.policy.survey_interval = hours(2);
    world.tokens[1].valid_until = Some(now + TimeDelta::minutes(60));
    world.tokens[1].created_at = world.tokens[1].created_at - TimeDelta::days(29);
    world.record.last_rotation = None;
    world.pass_time(TimeDelta::minutes(1));
    let (rest, why) = world.live(TimeDelta::minutes(30));
    assert_eq!(rest.reason, Some(Reason::PreviousInUse), "{why}");
    assert!(rest.until.is_some_and(|at| at <= here + TimeDelta::minutes(46)), "{:?}", rest.until);
    world.live(TimeDelta::minutes(20));
    assert_eq!(world.holds("a"), Some("new-3".to_owned()), "{:?}", world.log);
}

#[test]
fn with_a_lost_value_the_moment_of_a_free_slot_is_said_and_kept() {
    let mut world = waits_for_evidence();
    let here = world.now;
    world.places.insert(place("a"), Content::Nothing);
    world.pass_time(TimeDelta::minutes(1));
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::PreviousInUse)));
    assert_eq!(rest.until, Some(here + TimeDelta::minutes(45)), "{why}");
    assert!(why.contains("when new-1 has expired"), "{why}");
    world.live(TimeDelta::minutes(46));
    assert_eq!(world.holds("a"), Some("new-3".to_owned()), "{:?}", world.log);
}

#[test]
fn without_a_slot_and_its_one_place_a_rotation_says_the_way_out() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.places.insert(place("a"), Content::Unknown);
    world.pass_time(TimeDelta::minutes(1));
    world.request = RotationRequest::Rotate { since: world.now };
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::PreviousInUse)));
    assert!(why.contains("no sink holds the current token any more"), "{why}");
    assert!(why.contains("revoke initech-okta --token-id new-1 --force"), "{why}");
    operator_revokes(&mut world, &id("new-1"), true).unwrap();
    world.run();
    assert_eq!(world.holds("a"), Some("new-3".to_owned()), "{:?}", world.log);
}
