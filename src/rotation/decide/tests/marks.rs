//! What somebody who can write one place writes into its marks, and readers who take the token from
//! where nothing is delivered: neither cuts anybody off.

use chrono::TimeDelta;

use super::{
    super::{Decision, Status, Step, work_at},
    world::{Content, World, days, id, place},
};
use crate::{
    error::{Class, Code, Fault},
    place::{Container, Marks, Version},
    rotation::{
        event::{Event, PlaceEvent},
        observe::{Held, OtherKey, SeenSink},
        operate,
        request::RotationRequest,
        why::Reason,
    },
    token::{ConnectionId, Digest, LedgerId, TokenId},
};

fn other_connection(marks: Marks) -> Marks {
    Marks { connection_id: ConnectionId::try_new("con_another").unwrap(), ..marks }
}

fn other_ledger(marks: Marks, generation: u64) -> Marks {
    Marks { ledger: LedgerId::try_new("led_another").unwrap(), generation, ..marks }
}

/// Two places, and what a forger puts beside the value of one.
fn marked(change: impl FnOnce(Marks) -> Marks) -> World {
    let mut world = World::settled(&["a", "b"]);
    let digest = Digest::of(b"the value of new-1");
    world.record.digests.insert(id("new-1"), digest);
    let marks = change(world.marks(&id("new-1"), 1));
    world.places.insert(place("b"), Content::Token(id("new-1"), Some(marks)));
    world
}

#[test]
fn another_connections_mark_beside_our_own_value_stops_nothing() {
    let mut world = marked(other_connection);
    world.live(TimeDelta::days(25));
    for name in ["a", "b"] {
        assert_eq!(world.holds(name), Some("new-2".to_owned()), "{:?}", world.log);
    }
}

#[test]
fn another_ledgers_mark_beside_our_own_value_stops_nothing() {
    let mut world = marked(|marks| other_ledger(marks, 99));
    world.live(TimeDelta::days(25));
    for name in ["a", "b"] {
        assert_eq!(world.holds(name), Some("new-2".to_owned()), "{:?}", world.log);
    }
}

#[test]
fn a_place_of_another_connection_stops_no_other_at_the_end() {
    let mut world = World::settled(&["a", "b"]);
    let marks = other_connection(world.marks(&id("theirs"), 1));
    let theirs = Content::Token(id("theirs"), Some(marks));
    world.places.insert(place("b"), theirs.clone());
    world.pass_time(TimeDelta::days(20));
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::ForeignOwner)));
    assert!(why.contains("con_another"), "{why}");
    world.pass_time(TimeDelta::days(9) + TimeDelta::hours(23) + TimeDelta::minutes(20));
    world.run();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.places[&place("b")], theirs, "{:?}", world.log);
}

#[test]
fn changing_the_mark_again_and_again_puts_no_rotation_off() {
    let mut world = World::settled(&["a", "b"]);
    world.pass_time(TimeDelta::days(21));
    for number in 0..10 {
        let forged = id(&format!("forged-{number}"));
        let marks = other_ledger(world.marks(&forged, 99 + number), 99 + number);
        world.places.insert(place("b"), Content::Token(forged, Some(marks)));
        world.restart();
        world.live(TimeDelta::seconds(45));
    }
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn what_was_refused_is_asked_about_once_before_the_lists_tell() {
    let mut world = World::settled(&["a", "b"]);
    world.tokens.clear();
    world.broken.insert(id("new-1"));
    world.places.insert(place("b"), Content::Nothing);
    world.live(TimeDelta::minutes(2));
    assert!(world.all_work(), "{:?}", world.log);
    // And however long no list comes.
    let mut world = World::settled(&["a", "b"]);
    world.tokens.clear();
    world.broken.insert(id("new-1"));
    world.run();
    world.provider_down = true;
    world.places.insert(place("b"), Content::Nothing);
    world.restart();
    world.log.clear();
    world.live(TimeDelta::minutes(10));
    let asked = world.log.iter().filter(|line| line.starts_with("ask new-1")).count();
    assert!(asked <= 2, "{:?}", world.log);
}

#[test]
fn readers_who_are_cut_off_are_said_before_a_changed_place() {
    let container = |id: &str| Container { id: id.to_owned(), words: id.to_owned(), strict: true };
    let mut world = World::new(&["a", "b"]);
    world.containers.insert(place("b"), container("box-1"));
    world.run();
    world.containers.insert(place("b"), container("box-2"));
    let marks = world.marks(&id("long-dead"), 1);
    world.places.insert(place("a"), Content::Token(id("long-dead"), Some(marks)));
    world.live(TimeDelta::minutes(3));
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Troubled, Some(Reason::DeadToken)), "{why}");
    assert!(why.contains("long-dead") && why.contains("box-2"), "{why}");
}

#[test]
fn what_may_be_overwritten_once_is_spent_by_the_announcement() {
    let mut world = World::settled(&["a"]);
    world.overwrite.insert(place("a"));
    world.configure(&["a"]);
    world.record.sinks.get_mut(&place("a")).unwrap().overwritten = false;
    let spent = |world: &World| world.record.sinks[&place("a")].overwritten;
    let announce = |world: &mut World| {
        let (place, at) = (place("a"), world.now);
        let replaces = Some(Version("theirs".to_owned()));
        let id = id("new-1");
        let what = PlaceEvent::PromoteBegun { id, at, replaces, container: None };
        world.apply(Event::Place { place, what });
    };
    announce(&mut world);
    assert!(spent(&world), "who dies now never writes down that it was made use of");
    // It certainly changed nothing.
    let fault = Fault::new("write it", Class::Transient, Code::Io, "no");
    let trouble = world.trouble(None, fault);
    let what = PlaceEvent::PromoteFailed { trouble, certain: true };
    world.apply(Event::Place { place: place("a"), what });
    assert!(!spent(&world));
    // Seen untouched, or with something else.
    for (version, is_spent) in [("theirs", false), ("others", true)] {
        announce(&mut world);
        let held = Held::Unknown(Version(version.to_owned()));
        let seen = SeenSink::new(world.now + TimeDelta::minutes(5), held);
        let sinks = [(place("a"), seen)].into();
        world.apply(Event::Looked { list: None, sinks, troubles: [].into() });
        assert_eq!(spent(&world), is_spent, "{version}");
        if version == "others" {
            let sink = &world.record.sinks[&place("a")];
            assert!(sink.begun.is_some() || sink.overwritten);
        }
    }
}

fn beside(key: &str, token: &TokenId) -> OtherKey {
    OtherKey { key: key.to_owned(), before: Some(""), id: token.clone() }
}

#[test]
fn what_readers_may_take_from_another_key_is_not_revoked() {
    for by_hand in [false, true] {
        let mut world = World::settled(&["a"]);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        world.elsewhere.insert(place("a"), beside("OKTA_TOKEN", &id("new-1")));
        world.pass_time(TimeDelta::minutes(1));
        if by_hand {
            let Decision { step, why } = world.decide();
            world.play(step, &why);
            let (events, _) = operate::revoke(&world.situation(), &id("new-1"), false).unwrap();
            events.into_iter().for_each(|event| world.apply(event));
        }
        let used = |world: &mut World| {
            let now = world.provider_now();
            world.tokens.iter_mut().find(|it| it.id == id("new-1")).unwrap().last_used_at =
                Some(now);
        };
        world.live(TimeDelta::hours(23));
        used(&mut world);
        let (rest, why) = world.live(TimeDelta::hours(23));
        assert!(world.is_listed("new-1"), "{:?}", world.log);
        assert_eq!(rest.reason, Some(Reason::TokenElsewhere), "{why}");
        assert!(why.contains("under the key OKTA_TOKEN") && why.contains("--force"), "{why}");
        // Removed there, or used by nobody for long: a copy that no reader takes blocks no slot.
        if by_hand {
            world.elsewhere.clear();
            world.pass_time(TimeDelta::minutes(1));
            world.run();
        } else {
            world.live(TimeDelta::hours(3));
        }
        assert!(!world.is_listed("new-1"), "{:?}", world.log);
    }
}

#[test]
fn a_second_key_with_the_token_is_warned_of_before_a_rotation() {
    let mut world = World::settled(&["a"]);
    world.elsewhere.insert(place("a"), beside("OKTA_TOKEN", &id("new-1")));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.status, Status::Idle, "{why}");
    let said = rest.warnings.iter().find(|it| it.contains("OKTA_TOKEN")).unwrap();
    // Another payload would only move the problem to the key that is written now.
    assert!(said.contains("Change all readers to the key that this delivery writes"), "{said}");
    assert!(!said.contains("payload"), "{said}");
}

/// It may be the only copy of another connection's token.
#[test]
fn a_first_delivery_does_not_overwrite_a_token_unknown_here() {
    let mut world = World::new(&["a"]);
    world.places.insert(place("a"), Content::Token(id("theirs"), None));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::ForeignContent)));
    assert!(why.contains("connection_id") && why.contains("overwrite = true"), "{why}");
    assert_eq!(world.made, 0, "{:?}", world.log);
    world.overwrite.insert(place("a"));
    world.configure(&["a"]);
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    // The same where a place is new to a connection that has others.
    let mut world = World::settled(&["a"]);
    world.places.insert(place("b"), Content::Token(id("theirs"), None));
    world.configure(&["a", "b"]);
    let (rest, why) = world.live(TimeDelta::days(2));
    assert_eq!(world.holds("b"), Some("theirs".to_owned()), "{:?}", world.log);
    assert_eq!(rest.reason, Some(Reason::DeadToken), "{why}");
    assert!(why.contains("overwrite = true"), "the way out is said: {why}");
}

#[test]
fn without_a_current_token_nothing_is_retired_as_the_previous() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.unmanaged("others", days(30));
    let (_, why) = world.run();
    assert!(!why.contains("--retire"), "{why}");
    let refused = operate::retire(&world.situation(), &theirs).unwrap_err().to_string();
    assert!(refused.contains("scimitar revoke initech-okta --token-id theirs"), "{refused}");
    // Nor is one that readers may take from a place.
    let mut world = World::settled(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.elsewhere.insert(place("a"), beside("OKTA_TOKEN", &theirs));
    world.pass_time(TimeDelta::minutes(1));
    world.run();
    let refused = operate::retire(&world.situation(), &theirs).unwrap_err().to_string();
    assert!(refused.contains("under the key OKTA_TOKEN"), "{refused}");
}

/// What keeps a rotation waiting gives way at the end of a life: nobody sleeps through that.
#[test]
fn a_refused_rotation_is_looked_at_again_when_the_end_is_near() {
    let mut world = World::settled(&["a", "b"]);
    world.policy.survey_interval = days(3);
    let marks = other_connection(world.marks(&id("theirs"), 1));
    world.places.insert(place("b"), Content::Token(id("theirs"), Some(marks)));
    world.pass_time(TimeDelta::days(29));
    let Decision { step, .. } = loop {
        let decision = world.decide();
        if matches!(decision.step, Step::Rest(_)) {
            break decision;
        }
        world.play(decision.step, &decision.why);
    };
    let Step::Rest(rest) = step else { panic!("a rest") };
    assert_eq!(rest.reason, Some(Reason::ForeignOwner));
    let wake = work_at(&world.situation(), &rest);
    assert!(wake - world.now <= TimeDelta::hours(23), "{wake}");
}

/// Met with the current token, and restored to a dead one before the next look.
#[test]
fn a_place_that_was_met_with_the_current_token_is_no_strangers() {
    let mut world = World::new(&["a"]);
    let theirs = world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Token(theirs, None));
    world.run();
    assert_eq!(world.current(), Some("theirs".to_owned()), "{:?}", world.log);
    world.places.insert(place("a"), Content::Token(id("long-dead"), None));
    world.pass_time(TimeDelta::minutes(1));
    world.live(TimeDelta::hours(2));
    assert!(world.all_work(), "{:?}", world.log);
}

/// Somebody raises the mark beside the token that is being replaced, in the middle of that.
#[test]
fn a_raised_mark_on_the_current_token_stops_no_replacement() {
    let mut world = marked(|marks| marks);
    world.request = RotationRequest::Rotate { since: world.now };
    loop {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Promote(_)) {
            break;
        }
        world.play(step, &why);
    }
    let raised = other_ledger(world.marks(&id("new-1"), 1), 99);
    world.places.insert(place("b"), Content::Token(id("new-1"), Some(raised)));
    world.observed.sinks.clear();
    world.run();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
}
