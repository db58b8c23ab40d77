//! Delivering: what sinks and the endpoint can do to a token on its way.

use chrono::TimeDelta;

use super::world::{Answer, Content, World, id, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::{Decision, Status, Step},
        event::{Event, PlaceEvent},
        record::Phase,
        request::RotationRequest,
        view,
        why::Reason,
    },
};

#[test]
fn the_first_meeting_mints_proves_and_delivers() {
    let mut world = World::new(&["a", "b"]);
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Idle, None), "{why}");
    assert_eq!((world.holds("a"), world.holds("b")), (world.current(), world.current()));
    assert_eq!(world.tokens.len(), 1);
}

#[test]
fn a_place_that_only_reads_is_tried_less_often_and_given_up() {
    let mut world = World::settled(&["a"]);
    world.unwritable.insert(place("a"));
    world.request = RotationRequest::Rotate { since: world.now };
    let began = world.now;
    let (rest, why) = world.run();
    assert_eq!(rest.status, Status::Troubled, "{why}");
    assert!(world.now - began <= TimeDelta::minutes(10), "held for {}", world.now - began);
    let tries = world.log.iter().filter(|line| line.contains("could not be written")).count();
    assert!(tries <= 15, "{tries} tries in {}", world.now - began);
    assert!(!world.is_listed("new-2"), "given up and revoked: {:?}", world.log);

    // A day of it is not a day of minting.
    world.request = RotationRequest::Due;
    world.log.clear();
    world.pass_time(TimeDelta::days(20));
    world.live(TimeDelta::hours(24));
    let minted = world.log.iter().filter(|line| line.starts_with("mint")).count();
    assert!(minted <= 40, "{minted} tokens in a day: {:?}", world.log);
    // And it ends well as soon as the place is.
    world.unwritable.clear();
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), world.current());
    assert_ne!(world.current(), Some("new-1".to_owned()));
}

#[test]
fn nothing_unproven_is_delivered_where_nothing_ever_was() {
    let mut world = World::new(&["a"]);
    world.places.insert(place("a"), Content::Unknown);
    world.answer = Answer::Silent;
    world.run();
    assert_eq!(world.places[&place("a")], Content::Unknown, "{:?}", world.log);
    assert!(world.tokens.is_empty(), "what was not delivered is revoked: {:?}", world.log);
    world.answer = Answer::Accepts;
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), world.current());
}

#[test]
fn a_first_delivery_that_no_sink_takes_frees_its_worker() {
    let mut world = World::new(&["a"]);
    world.unwritable.insert(place("a"));
    let (rest, why) = world.run();
    assert_eq!(
        (rest.status, rest.reason),
        (Status::Troubled, Some(Reason::SinkUnavailable)),
        "{why}"
    );
    assert!(world.tokens.is_empty(), "{:?}", world.log);
    // The provider did its part.
    let mint = world.record.troubles.mint.as_ref().unwrap();
    assert_eq!(view::blame(&world.record, mint), Reason::SinkUnavailable, "{mint:?}");
}

#[test]
fn an_unreadable_place_that_left_hides_no_other_with_the_value() {
    let mut world = World::settled(&["a_removed", "b", "c"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.unwritable.extend([place("a_removed"), place("c")]);
    // The new token reaches b only, then the process dies.
    loop {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Rest(_)) {
            break;
        }
        world.play(step, &why);
    }
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
    world.configure(&["b", "c"]);
    world.unreadable.extend([place("a_removed"), place("b")]);
    world.restart();
    world.request = RotationRequest::Due;
    let (rest, why) = world.run();
    assert!(matches!(world.record.phase, Phase::Delivering(_)), "given up although {why}");
    assert_eq!(rest.reason, Some(Reason::SinkUnavailable));
}

#[test]
fn what_vanished_from_the_provider_goes_to_no_further_place() {
    let mut world = World::settled(&["a", "b"]);
    world.unwritable.insert(place("b"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    assert_eq!(world.holds("a"), Some("new-2".to_owned()));
    // Somebody deletes it while b is away; then b is back.
    world.tokens.retain(|token| token.id != id("new-2"));
    world.pass_time(TimeDelta::minutes(10));
    world.unwritable.clear();
    let (_, why) = world.live(TimeDelta::minutes(30));
    assert!(world.all_work(), "{why}: {:?}", world.log);
    assert!(!world.log.iter().any(|line| line == "promote new-2 to file:b"), "{:?}", world.log);
    assert_eq!((world.holds("a"), world.holds("b")), (world.current(), world.current()));
    assert!(world.all_work() && world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn a_list_that_lags_does_not_stop_a_delivery() {
    let mut world = World::settled(&["a", "b"]);
    world.unwritable.insert(place("b"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.unlisted.insert(id("new-2"));
    world.pass_time(TimeDelta::minutes(10));
    world.unwritable.clear();
    world.run();
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_place_away_in_mid_delivery_is_read_again_after_its_pause() {
    let mut world = World::settled(&["a", "b"]);
    world.request = RotationRequest::Rotate { since: world.now };
    loop {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Promote(_)) {
            break;
        }
        world.play(step, &why);
    }
    // Both are away for a moment, and what was seen of them is too old to act on.
    world.unreadable.extend([place("a"), place("b")]);
    world.now += TimeDelta::seconds(31);
    let away = world.now;
    for _ in 0..100 {
        let Decision { step, why } = world.decide();
        assert!(!matches!(step, Step::Rest(_)), "{why}");
        if matches!(step, Step::Promote(_)) {
            break;
        }
        world.play(step, &why);
        if world.now > away {
            world.unreadable.clear();
        }
    }
    assert!(world.unreadable.is_empty());
    let waited = world.now - away;
    assert!(waited <= TimeDelta::seconds(15), "read again after {waited}");
    world.run();
    assert_eq!(world.holds("b"), Some("new-2".to_owned()));
}

#[test]
fn a_write_in_doubt_at_a_place_that_is_away_frees_the_worker() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    loop {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Promote(_)) {
            break;
        }
        world.play(step, &why);
    }
    let began = world.now;
    let a = place("a");
    let begun =
        PlaceEvent::PromoteBegun { id: id("new-2"), at: began, replaces: None, container: None };
    world.apply(Event::Place { place: a.clone(), what: begun });
    let fault = Fault::new("write it", Class::Ambiguous, Code::Timeout, "no answer");
    let trouble = world.trouble(None, fault);
    let failed = PlaceEvent::PromoteFailed { trouble, certain: false };
    world.apply(Event::Place { place: a.clone(), what: failed });
    world.observed.sinks.clear();
    world.unreadable.insert(a.clone());
    let (rest, why) = world.run();
    assert_eq!(rest.status, Status::Troubled, "{why}");
    assert!(world.now - began <= TimeDelta::minutes(7), "held for {}", world.now - began);
    assert!(world.is_listed("new-2"), "it may be there: {:?}", world.log);
    // It was: the next look settles the write, and nothing is wrong there any more.
    let marks = world.marks(&id("new-2"), world.record.generation);
    world.places.insert(a.clone(), Content::Token(id("new-2"), Some(marks)));
    world.unreadable.clear();
    world.request = RotationRequest::Due;
    world.live(TimeDelta::hours(1));
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.record.sinks[&a].trouble, None);
    assert_eq!(world.made, 2);
}

#[test]
fn a_mark_that_calls_the_current_token_newer_stops_no_delivery() {
    let mut world = World::settled(&["a", "b"]);
    world.unwritable.insert(place("b"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    assert!(matches!(world.record.phase, Phase::Delivering(_)), "{:?}", world.log);
    // Somebody writes the older token back to a place, as the newest of all.
    let marks = world.marks(&id("new-1"), 99);
    world.places.insert(place("b"), Content::Token(id("new-1"), Some(marks)));
    world.unwritable.clear();
    world.live(TimeDelta::hours(1));
    assert_eq!(world.record.phase, Phase::Steady, "{:?}", world.log);
    assert!(world.all_work(), "{:?}", world.log);
    // The next rotation brings them together.
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    assert_eq!((world.holds("a"), world.holds("b")), (world.current(), world.current()));
    assert!(world.all_work(), "{:?}", world.log);
}
