//! What the world does without anybody's plan: tokens that outlive the policy, places that are
//! elsewhere, restored, forged or somebody else's.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;

use super::{
    super::{Status, wake_at},
    world::{Answer, Content, World, days, id, place, scopes},
};
use crate::{
    rotation::{
        policy::{OnDrift, ScopePolicy, Unmanaged},
        request::RotationRequest,
        schedule::Schedule,
        why::Reason,
    },
    token::{Digest, Scope, TokenId},
};

fn pasted(world: &mut World, text: &str, life: Option<Duration>) -> TokenId {
    let token = world.unmanaged(text, life.unwrap_or_else(|| days(1)));
    if life.is_none() {
        world.tokens.last_mut().unwrap().valid_until = None;
    }
    token
}

/// A place holds a token that a person made and pasted.
fn met(life: Option<Duration>) -> World {
    let mut world = World::new(&["a"]);
    let token = pasted(&mut world, "theirs", life);
    world.places.insert(place("a"), Content::Token(token, None));
    world.run();
    assert_eq!(world.current(), Some("theirs".to_owned()), "{:?}", world.log);
    world
}

fn mints(world: &World) -> usize {
    world.log.iter().filter(|line| line.starts_with("mint")).count()
}

#[test]
fn a_token_that_outlives_the_policy_is_due_as_if_it_did_not() {
    for life in [None, Some(days(365))] {
        let mut world = met(life);
        world.live(TimeDelta::days(19));
        assert_eq!(mints(&world), 0, "{life:?}: {:?}", world.log);
        world.live(TimeDelta::days(2));
        assert_eq!(world.current(), Some("new-1".to_owned()), "{life:?}: {:?}", world.log);
    }
    // A minute more than the policy's is no reason.
    let mut world = met(Some(days(30) + Duration::from_secs(59)));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert!(!why.contains("treated as expiring"), "{why}");
    assert!(rest.next_rotation.is_some());
}

#[test]
fn a_never_ending_token_waits_for_its_window() {
    let mut world = met(None);
    world.policy.terms.schedule = Some(Schedule::parse("0 3 * * *", "UTC").unwrap());
    world.live(TimeDelta::days(20));
    assert_eq!(mints(&world), 0, "{:?}", world.log);
    let (rest, _) = world.live(TimeDelta::days(2));
    assert_eq!(mints(&world), 1, "{:?}", world.log);
    assert!(world.record.last_rotation.as_ref().unwrap().began.to_rfc3339().contains("T03:00"));
    assert!(rest.warnings.iter().all(|words| !words.contains("outside")), "{:?}", rest.warnings);
}

#[test]
fn fewer_scopes_are_announced_and_wait_for_the_next_window() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.schedule = Some(Schedule::parse("0 3 * * *", "UTC").unwrap());
    world.live(TimeDelta::days(2));
    world.policy.terms.scopes =
        ScopePolicy::Exactly(BTreeSet::from([Scope::try_new("get:groups").unwrap()]));
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::PolicyChanged), "{why}");
    assert!(why.contains("get:users") && why.contains("get:groups"), "{why}");
    assert_eq!(mints(&world), 0, "not before the window: {:?}", world.log);
    world.live(TimeDelta::days(1));
    assert_eq!(mints(&world), 1, "{:?}", world.log);
    assert!(world.record.last_rotation.as_ref().unwrap().began.to_rfc3339().contains("T03:00"));
    let (rest, why) = world.live(TimeDelta::days(3));
    assert_eq!((rest.reason, mints(&world)), (None, 1), "once: {why} {:?}", world.log);
}

#[test]
fn a_policy_with_a_shorter_life_is_obeyed_at_once_and_once() {
    let mut world = World::settled(&["a"]);
    world.live(TimeDelta::days(2));
    world.policy.terms.token_lifetime = Some(days(7));
    world.live(TimeDelta::hours(3));
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
    world.live(TimeDelta::days(2));
    assert_eq!(mints(&world), 1, "{:?}", world.log);
}

#[test]
fn a_provider_that_grants_something_else_is_said_without_a_loop() {
    let mut world = World::settled(&["a"]);
    let token = &mut world.tokens[0];
    token.scopes = BTreeSet::from([Scope::try_new("post:users").unwrap()]);
    token.valid_until = None;
    let (rest, why) = world.live(TimeDelta::days(5));
    assert_eq!((mints(&world), rest.reason), (0, None), "{why} {:?}", world.log);
    let said = |words: &String| words.contains("granted");
    assert!(rest.warnings.iter().any(said), "{:?}", rest.warnings);
}

#[test]
fn a_policy_that_makes_nothing_due_is_refused_at_run_time_too() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.token_lifetime = None;
    world.policy.terms.rotate_before = None;
    world.policy.terms.schedule = Some(Schedule::parse("0 0 3 * * * 2026", "UTC").unwrap());
    world.tokens[0].valid_until = None;
    world.live(TimeDelta::days(60));
    world.live(TimeDelta::days(2));
    world.tokens[0].valid_until = None;
    let (rest, why) = world.live(TimeDelta::days(2));
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::NeverDue)), "{why}");
}

#[test]
fn a_value_not_of_the_token_it_names_is_always_an_outage() {
    for places in [&["a"][..], &["a", "b"]] {
        let mut world = World::settled(places);
        let before = world.record.current.as_ref().unwrap().token.id.clone();
        world.places.insert(place("a"), Content::Value { is_false: true });
        world.live(TimeDelta::minutes(5));
        let current = world.record.current.as_ref().unwrap().token.id.clone();
        assert_eq!(world.holds("a"), Some(current.to_string()), "{:?}", world.log);
        // The other place has the value; else only a new token helps.
        assert_eq!(current == before, places.len() == 2, "{:?}", world.log);
    }
    // Anything else is drift, and the policy says what becomes of it.
    let mut world = World::settled(&["a"]);
    world.places.insert(place("a"), Content::Value { is_false: false });
    let (rest, why) = world.live(TimeDelta::minutes(5));
    assert_eq!(rest.reason, Some(Reason::Drift), "{why}");
}

#[test]
fn a_value_that_is_certainly_another_keeps_no_leaked_token() {
    for known in [true, false] {
        let mut world = World::settled(&["a"]);
        world.request = RotationRequest::Rotate { since: world.now };
        world.live(TimeDelta::minutes(1));
        let leaked: Vec<TokenId> = world.tokens.iter().map(|token| token.id.clone()).collect();
        assert_eq!(leaked.len(), 2, "{:?}", world.log);
        for id in leaked.iter().filter(|_| known) {
            world.record.digests.insert(id.clone(), Digest::of(id.as_str().as_bytes()));
        }
        world.places.insert(place("a"), Content::Value { is_false: false });
        world.request = RotationRequest::Compromised { since: world.now };
        let (rest, why) = world.live(TimeDelta::minutes(10));
        let left = world.tokens.iter().filter(|token| leaked.contains(&token.id)).count();
        if known {
            assert_eq!((left, rest.reason), (0, None), "{why}: {:?}", world.log);
        } else {
            assert_eq!(left, 2, "{:?}", world.log);
            assert!(why.contains("--force"), "{why}");
        }
    }
}

#[test]
fn a_token_whose_value_others_lost_goes_by_disuse_alone() {
    let mut world = World::settled(&["a"]);
    world.places.insert(place("a"), Content::Nothing);
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    // Its readers go on with what they have.
    for _ in 0..40 {
        let now = world.provider_now();
        let old = world.tokens.iter_mut().find(|token| token.id == id("new-1")).unwrap();
        old.last_used_at = Some(now);
        world.live(TimeDelta::hours(3));
        assert!(world.is_listed("new-1"), "{:?}", world.log);
    }
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::Evidence), "{why}");
    world.live(TimeDelta::hours(26));
    assert!(!world.is_listed("new-1"), "a day without use: {:?}", world.log);
}

#[test]
fn a_restored_dead_token_is_replaced_at_once_under_any_policy() {
    for kind in ["deleted", "unlisted"] {
        let mut world = World::settled(&["a"]);
        world.policy.terms.on_drift = OnDrift::Report;
        world.policy.terms.schedule = Some(Schedule::parse("0 3 1 * *", "UTC").unwrap());
        let dead = id("dead");
        if kind == "deleted" {
            world.record.deleted.insert(dead.clone(), world.now);
        }
        let marks = world.marks(&dead, 1);
        world.places.insert(place("a"), Content::Token(dead, Some(marks)));
        world.live(TimeDelta::minutes(3));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{kind}: {:?}", world.log);
        assert!(world.all_work());
    }
}

#[test]
fn another_place_mends_a_restored_dead_token_without_a_rotation() {
    let mut world = World::settled(&["a", "b"]);
    let marks = world.marks(&id("dead"), 1);
    world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
    world.live(TimeDelta::minutes(3));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    assert_eq!(world.made, 1);
}

#[test]
fn hooks_hear_of_an_outage_that_cannot_be_mended_as_a_failure() {
    let mut world = World::settled(&["a"]);
    let hook = crate::token::HookName::try_new("pager").unwrap();
    world.hooks.insert(hook, [crate::rotation::notice::Occasion::Failed].into());
    world.configure(&["a"]);
    let marks = world.marks(&id("dead"), 1);
    world.record.deleted.insert(id("dead"), world.now);
    world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
    world.unwritable.insert(place("a"));
    let (rest, why) = world.live(TimeDelta::minutes(1));
    assert_eq!(rest.status, Status::Troubled, "{why}");
    assert!(world.log.iter().any(|line| line == "pager: failed"), "{:?}", world.log);
}

#[test]
fn services_back_in_an_outage_are_asked_again_within_a_minute() {
    let cases: [(&[&str], &str); 2] = [(&["a"], "new-2"), (&["a", "b"], "new-1")];
    for (places, then) in cases {
        let mut world = World::settled(places);
        world.record.deleted.insert(id("dead"), world.now);
        let marks = world.marks(&id("dead"), 1);
        world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
        // What could fill it, or what could make another.
        world.unreadable.extend(places.contains(&"b").then(|| place("b")));
        world.provider_down = places.len() == 1;
        let (rest, why) = world.live(TimeDelta::hours(7));
        assert_eq!(rest.status, Status::Troubled, "{why}");
        let (rest, _) = world.run();
        let again = wake_at(&world.situation(), &rest) - world.now;
        assert!(again <= TimeDelta::minutes(1), "{then}: {again}");
        world.unreadable.clear();
        world.provider_down = false;
        world.live(TimeDelta::minutes(2));
        assert!(world.all_work(), "{:?}", world.log);
        assert_eq!(world.holds("a"), Some(then.to_owned()), "{:?}", world.log);
    }
}

#[test]
fn an_outage_that_a_place_prolongs_makes_ever_fewer_tokens() {
    let mut world = World::settled(&["a"]);
    world.record.deleted.insert(id("dead"), world.now);
    let marks = world.marks(&id("dead"), 1);
    world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
    world.unwritable.insert(place("a"));
    world.live(TimeDelta::hours(7));
    assert!(world.made < 60, "{} made", world.made);
    world.unwritable.clear();
    world.live(TimeDelta::minutes(16));
    assert!(world.all_work(), "{:?}", world.log);
}

#[test]
fn a_forged_mark_brings_no_value_anywhere_and_retires_nothing() {
    let mut world = World::settled(&["a", "b"]);
    let forged = world.unmanaged("forged", days(30));
    world.broken.insert(forged.clone());
    let mut marks = world.marks(&forged, 99);
    marks.previous_token_id = Some(id("new-1"));
    world.places.insert(place("a"), Content::Token(forged, Some(marks)));
    world.live(TimeDelta::days(3));
    assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{:?}", world.log);
    assert_eq!(world.current(), Some("new-1".to_owned()));
    assert!(
        world.is_listed("new-1") && world.record.retiring.is_empty(),
        "{:?}",
        world.record.retiring
    );
    // The next rotation goes beyond it.
    world.live(TimeDelta::days(20));
    assert!(world.all_held_work("b"), "{:?}", world.log);
}

#[test]
fn a_newer_mark_of_ours_rebuilds_the_record_once_it_is_proven() {
    let mut world = World::settled(&["a", "b"]);
    let newer = world.unmanaged("newer", days(30));
    world.policy.capabilities.cap = None;
    let before = world.unmanaged("before", days(30));
    let mut marks = world.marks(&newer, 9);
    marks.previous_token_id = Some(before);
    for name in ["a", "b"] {
        world.places.insert(place(name), Content::Token(newer.clone(), Some(marks.clone())));
    }
    world.answer = Answer::Silent;
    world.live(TimeDelta::hours(2));
    assert_eq!(world.current(), Some("new-1".to_owned()), "not before: {:?}", world.log);
    world.answer = Answer::Accepts;
    world.live(TimeDelta::hours(1));
    assert_eq!(world.current(), Some("newer".to_owned()), "{:?}", world.log);
    let retiring: Vec<_> =
        world.record.retiring.iter().map(|it| (it.token.id.as_str(), it.on_evidence)).collect();
    assert_eq!(retiring, [("before", true)], "known from a mark alone");
    assert!(world.is_listed("new-1"), "nothing is revoked on the old record's word");
    world.live(TimeDelta::hours(23));
    assert!(world.is_listed("before"), "{:?}", world.log);
}

#[test]
fn a_place_is_filled_only_with_a_value_that_works() {
    let mut world = World::settled(&["a", "b"]);
    world.places.insert(place("a"), Content::Nothing);
    world.broken.insert(id("new-1"));
    world.live(TimeDelta::minutes(20));
    assert_eq!(world.holds("a"), None, "{:?}", world.log);
    world.broken.clear();
    world.live(TimeDelta::hours(1));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    // Where nothing can be asked, the digest on record has to do.
    world.places.insert(place("a"), Content::Nothing);
    world.answer = Answer::Silent;
    world.live(TimeDelta::hours(1));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
}

#[test]
fn an_unproven_orphan_goes_by_disuse_where_the_policy_says_so() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.token_lifetime = None;
    world.policy.terms.max_age = Some(days(20));
    world.policy.terms.unmanaged = Unmanaged::Retire;
    let orphan = world.unmanaged("orphan", days(300));
    let at = world.now;
    world.record.intents.push(crate::rotation::record::Intent {
        at,
        listed_at: world.provider_now(),
        answered_by: world.provider_now() + TimeDelta::seconds(90),
        known: BTreeSet::new(),
        scopes: scopes(),
        life: None,
        unprinted: false,
        name: None,
        value_was_lost: false,
        because: "it was due".to_owned(),
        asked_at: None,
    });
    world.live(TimeDelta::days(6));
    assert!(world.is_listed(orphan.as_str()), "{:?}", world.log);
    world.live(TimeDelta::days(3));
    assert!(!world.is_listed(orphan.as_str()), "{:?}", world.log);
}

#[test]
fn trust_in_the_print_comes_back_with_the_answers() {
    let mut world = World::settled(&["a"]);
    world.record.life_error = Some(u64::MAX);
    world.record.life_errors = vec![u64::MAX];
    for _ in 0..9 {
        world.request = RotationRequest::Rotate { since: world.now };
        world.policy.terms.retire.overlap = Duration::from_secs(1);
        world.run();
        world.request = RotationRequest::Due;
        world.live(TimeDelta::hours(1));
        assert_eq!(world.record.life_error, Some(u64::MAX));
    }
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    assert_eq!(world.record.life_error, Some(0), "{:?}", world.record.life_errors);
}
