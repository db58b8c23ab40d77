//! What somebody else put into a sink and nobody has proven, and places that come, go and are lost.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    super::{CheckWrites, Decision, Ending, Status, Step},
    world::{Answer, Content, World, days, id, place},
};
use crate::{
    place::{Container, Version},
    rotation::{
        event::{Event, PlaceEvent},
        fixture,
        observe::{Held, Loss, SeenSink},
        operate,
        policy::ScopePolicy,
        record::Begun,
        request::RotationRequest,
        schedule::Schedule,
        why::Reason,
    },
    token::{Scope, TokenId},
};

fn container(id: &str, strict: bool) -> Container {
    Container { id: id.to_owned(), words: format!("the box {id}"), strict }
}

/// As an operator's command does first.
fn look(world: &mut World) {
    let places = world.record.sinks.keys().cloned().collect();
    let writes = CheckWrites::default();
    world.play(Step::Look { list: true, places, writes }, "an operator asks");
}

/// A token that is newer than ours by its mark.
fn put(world: &mut World, name: &str, text: &str) -> TokenId {
    let token = world.unmanaged(text, days(30));
    let marks = world.marks(&token, 99);
    world.places.insert(place(name), Content::Token(token.clone(), Some(marks)));
    token
}

#[test]
fn a_found_token_whose_place_is_now_unreadable_is_waited_for() {
    let mut world = World::settled(&["a"]);
    world.answer = Answer::Silent;
    put(&mut world, "a", "theirs");
    let (rest, why) = world.live(TimeDelta::minutes(10));
    assert_eq!(rest.reason, Some(Reason::ProviderUnavailable), "{why}");
    world.restart();
    world.values.clear();
    world.unreadable.insert(place("a"));
    let (rest, why) = world.live(TimeDelta::minutes(10));
    assert_eq!(rest.reason, Some(Reason::SinkUnavailable), "{why}");
}

#[test]
fn what_nobody_has_proven_goes_nowhere_and_holds_no_rotation_up() {
    let mut world = World::settled(&["a", "b"]);
    world.live(TimeDelta::days(2));
    world.answer = Answer::Silent;
    let theirs = put(&mut world, "a", "theirs");
    world.broken.insert(theirs.clone());
    for _ in 0..30 * 8 {
        world.live(TimeDelta::hours(3));
        assert_ne!(world.holds("b"), Some(theirs.to_string()), "{:?}", world.log);
    }
    assert!(world.made > 1, "{:?}", world.log);
    world.answer = Answer::Accepts;
    for name in ["a", "b"] {
        assert!(world.all_held_work(name), "{name}: {:?}", world.log);
        assert!(world.holds(name).is_some_and(|held| held.starts_with("new-")), "{:?}", world.log);
    }
}

#[test]
fn a_forged_mark_does_not_take_a_delivery_away() {
    for answer in [Answer::Accepts, Answer::Silent] {
        // One of them keeps the value.
        let mut world = World::settled(&["a", "b", "c"]);
        world.unwritable.insert(place("b"));
        world.request = RotationRequest::Rotate { since: world.now };
        world.live(TimeDelta::minutes(2));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
        // The endpoint refuses what was written into the one sink, or says nothing.
        world.answer = answer;
        let theirs = put(&mut world, "a", "theirs");
        world.broken.insert(theirs);
        world.live(TimeDelta::minutes(2));
        world.unwritable.clear();
        world.live(TimeDelta::hours(2));
        world.answer = Answer::Accepts;
        world.live(TimeDelta::hours(2));
        for name in ["a", "b", "c"] {
            assert_eq!(world.holds(name), Some("new-2".to_owned()), "{:?}", world.log);
        }
        assert!(world.is_listed("new-2"));
    }
}

#[test]
fn a_delivery_removed_with_its_folder_keeps_no_later_token() {
    let mut world = World::new(&["a", "b"]);
    for name in ["a", "b"] {
        world.containers.insert(place(name), container("8:1", false));
    }
    world.run();
    world.configure(&["a"]);
    world.places.insert(place("b"), Content::Nothing);
    world.live(TimeDelta::hours(1));
    world.containers.insert(place("b"), container(Container::MISSING, true));
    world.request = RotationRequest::Rotate { since: world.now };
    let (_, why) = world.live(TimeDelta::hours(30));
    // It had this one, and may have it again; what came later it never had.
    assert!(world.is_listed("new-1") && why.contains("--force"), "{why}: {:?}", world.log);
    look(&mut world);
    let forced = operate::revoke(&world.situation(), &id("new-1"), true);
    for event in forced.unwrap().0 {
        world.apply(event);
    }
    for _ in 0..2 {
        world.request = RotationRequest::Rotate { since: world.now };
        world.live(TimeDelta::hours(30));
    }
    assert_eq!(world.holds("a"), Some("new-4".to_owned()), "{:?}", world.log);
    assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
}

#[test]
fn a_write_with_a_lost_answer_is_known_on_a_renumbered_device() {
    let mut world = World::settled(&["a"]);
    let sink = world.record.sinks.get_mut(&place("a")).unwrap();
    sink.container = Some(container("8:1", false));
    sink.begun = Some(Begun { id: id("new-2"), at: world.now, replaces: None, spends: false });
    let seen = |text: &str| SeenSink {
        container: Some(container("8:17", false)),
        ..SeenSink::new(
            world.now,
            Held::Token { id: id(text), marks: None, version: Version("1".to_owned()) },
        )
    };
    let believed = |text: &str| {
        !matches!(world.record.believed(&place("a"), seen(text)).held, Held::Unreadable(_))
    };
    assert_eq!(["new-1", "new-2", "theirs"].map(believed), [true, true, false]);
}

#[test]
fn a_place_accepted_as_missing_is_made_and_stays_accepted() {
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), container("8:1", false));
    world.run();
    world.places.insert(place("a"), Content::Nothing);
    world.containers.insert(place("a"), container(Container::MISSING, true));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::PlaceChanged)), "{why}");
    look(&mut world);
    let location = world.record.sinks[&place("a")].place.location.clone();
    let refused = operate::accept_place(&world.situation(), "elsewhere").unwrap_err().to_string();
    assert!(
        refused.contains("no sink location is called elsewhere") && refused.contains(&location)
    );
    let (events, words) = operate::accept_place(&world.situation(), &location).unwrap();
    assert!(words.contains("the box missing"), "{words}");
    let [event @ Event::Place { what: PlaceEvent::Accepted { .. }, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    world.apply(event.clone());
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{why}: {:?}", world.log);
    assert_ne!(rest.reason, Some(Reason::PlaceChanged), "{why}");
    look(&mut world);
    let refused = operate::accept_place(&world.situation(), &location).unwrap_err().to_string();
    assert!(refused.contains("nothing to accept"), "{refused}");
}

#[test]
fn an_empty_place_that_may_not_be_filled_is_no_peace() {
    let mut world = World::settled(&["a", "b"]);
    world.broken.insert(id("new-1"));
    world.places.insert(place("b"), Content::Nothing);
    let (rest, why) = world.live(TimeDelta::minutes(1));
    assert_eq!((rest.status, rest.reason), (Status::Troubled, Some(Reason::TokenRefused)), "{why}");
    assert_eq!(world.holds("b"), None);
    // What was said of the one token is not said of the next.
    world.request = RotationRequest::Rotate { since: world.now };
    world.live(TimeDelta::minutes(1));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.record.troubles.probe, None);
}

#[test]
fn at_the_end_of_a_life_nothing_is_minted_that_no_sink_may_take() {
    let mut world = World::settled(&["a"]);
    world.losses.insert(place("a"), Loss::Unparsed("line 3".to_owned()));
    world.places.insert(place("a"), Content::Unknown);
    world.live(TimeDelta::days(29) + TimeDelta::minutes(23 * 60 + 30));
    let (rest, why) = world.live(TimeDelta::minutes(10));
    assert_eq!(rest.reason, Some(Reason::ForeignContent), "{why}");
    assert_eq!(world.made, 1, "{:?}", world.log);
}

#[test]
fn a_mount_that_is_away_is_said_before_what_waits_for_it() {
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), container("8:1", false));
    world.run();
    world.live(TimeDelta::hours(1));
    world.request = RotationRequest::Rotate { since: world.now };
    world.live(TimeDelta::hours(1));
    world.places.insert(place("a"), Content::Nothing);
    world.containers.insert(place("a"), container("8:2", false));
    let (rest, why) = world.live(TimeDelta::hours(30));
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::PlaceChanged)), "{why}");
    assert!(why.contains("the box 8:1") && why.contains("the box 8:2"), "{why}");
}

#[test]
fn a_lost_answer_still_uses_up_the_overwrite_allowed_once() {
    let mut world = World::settled(&["a"]);
    world.overwrite.insert(place("a"));
    let at = world.now;
    let sink = world.record.sinks.get_mut(&place("a")).unwrap();
    (sink.overwrite, sink.overwritten) = (true, false);
    sink.begun = Some(Begun { id: id("new-1"), at, replaces: None, spends: false });
    world.live(TimeDelta::minutes(5));
    let sink = &world.record.sinks[&place("a")];
    assert!(sink.begun.is_none() && sink.overwritten, "{sink:?}");
}

#[test]
fn a_policy_that_changes_puts_nothing_off_that_was_due_already() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.schedule = Some(Schedule::parse("0 3 * * Sun", "UTC").unwrap());
    world.policy.terms.retire.overlap = Duration::from_secs(60);
    world.unwritable.insert(place("a"));
    world.live(TimeDelta::days(24));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    world.policy.terms.scopes = ScopePolicy::Exactly(
        [Scope::try_new("get:users").unwrap(), Scope::try_new("post:users").unwrap()].into(),
    );
    world.unwritable.clear();
    world.live(TimeDelta::hours(2));
    assert_ne!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
}

#[test]
fn a_call_that_ends_says_the_endpoint_refused_the_new_token() {
    let mut world = World::settled(&["a"]);
    world.live(TimeDelta::hours(1));
    world.answer = Answer::Refuses;
    world.request = RotationRequest::Rotate { since: world.now };
    for _ in 0..100 {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Pause(_)) {
            break;
        }
        world.play(step, &why);
    }
    world.ending = Some(Ending::Timeout);
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Troubled, Some(Reason::Timeout)), "{why}");
    assert!(why.contains("answered with 401") && why.starts_with("timed out"), "{why}");
    assert!(!world.is_listed("new-2"), "{:?}", world.log);
}

#[test]
fn a_call_that_timed_out_says_first_what_it_waited_for() {
    let mut world = World::settled(&["a"]);
    // It failed long ago, and has nothing to do with this call.
    world.record.troubles.mint = Some(fixture::trouble(3));
    world.unreadable.insert(place("a"));
    world.request = RotationRequest::Rotate { since: world.now };
    world.ending = Some(Ending::Timeout);
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Troubled, Some(Reason::Timeout)), "{why}");
    assert!(why.starts_with("timed out"), "{why}");
    assert!(!why.contains(&fixture::fault().to_string()), "{why}");
    // Nothing is on record that would go on by itself, as the word for a leaked token is.
    let words = "; the rotation did not start: run the command again once that is mended";
    assert!(why.ends_with(words), "{why}");
    world.request = RotationRequest::Compromised { since: world.now };
    let (_, why) = world.run();
    assert!(why.ends_with("; the next run continues from here"), "{why}");
}
