//! What comes back: tokens that seemed gone, places that were emptied, marks that were restored.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::world::{Content, World, days, id, place};
use crate::{
    place::Marks,
    rotation::{
        decide::{CheckWrites, Decision, Ending, Promote, Status, Step},
        event::Event,
        fixture,
        forecast::{Planned, forecast},
        policy::{Mode, OnDrift},
        record::{Cause, Decided},
        request::RotationRequest,
        why::Reason,
    },
    token::{LedgerId, TokenId},
};

/// `new-1` seemed gone and was replaced by `new-2`; now it is there again.
fn back() -> World {
    let mut world = World::settled(&["a"]);
    world.unlisted.insert(id("new-1"));
    world.broken.insert(id("new-1"));
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    world.unlisted.clear();
    world.broken.clear();
    world
}

#[test]
fn what_seemed_gone_and_returns_is_retired_like_any_older_one() {
    let mut world = back();
    world.live(TimeDelta::hours(20));
    assert!(world.is_listed("new-1"), "somebody may still use it: {:?}", world.log);
    world.live(TimeDelta::hours(8));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn what_had_leaked_goes_at_once_when_it_comes_back() {
    let mut world = World::settled(&["a"]);
    world.unlisted.insert(id("new-1"));
    world.apply(Event::Condemned(world.record.leaked(world.now, world.now)));
    world.broken.insert(id("new-1"));
    world.live(TimeDelta::hours(2));
    world.unlisted.clear();
    world.live(TimeDelta::hours(2));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

/// `gone` left the policy and was emptied, and a rotation replaced `new-1`, which it held.
fn emptied() -> World {
    let mut world = World::settled(&["a", "gone"]);
    world.configure(&["a"]);
    world.places.insert(place("gone"), Content::Nothing);
    world.live(TimeDelta::hours(1));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world
}

#[test]
fn an_emptied_place_that_left_is_asked_while_a_token_may_return() {
    let mut world = emptied();
    world.configure(&["a"]);
    world.live(TimeDelta::hours(2));
    let marks = world.marks(&id("new-1"), 1);
    world.places.insert(place("gone"), Content::Token(id("new-1"), Some(marks)));
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("new-1"), "its clients would be cut off: {:?}", world.log);
    world.places.insert(place("gone"), Content::Nothing);
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    world.configure(&["a"]);
    assert!(!world.record.sinks.contains_key(&place("gone")), "then it is forgotten");
}

#[test]
fn an_empty_place_whose_sink_left_as_well_holds_nothing_up() {
    let mut world = emptied();
    let (name, _, provider) = fixture::connection();
    let (_, state) = fixture::sink("disk", "a", None);
    let configured = crate::rotation::event::ConfiguredPlace {
        place: state.place,
        readable: true,
        write_check: Default::default(),
        lingers: std::time::Duration::ZERO,
        keeps_earlier: false,
        overwrite: false,
        uptake: Default::default(),
    };
    let unreachable = [place("gone")].into();
    world.apply(Event::Configured {
        name,
        provider,
        places: vec![configured],
        unreachable,
        hooks: BTreeMap::new(),
        scim_config: false,
    });
    assert!(!world.record.sinks.contains_key(&place("gone")));
    // What it is known to hold is not forgotten: nobody can say that it does not.
    let mut world = World::settled(&["a", "gone"]);
    let (name, _, provider) = fixture::connection();
    let unreachable = [place("gone")].into();
    world.apply(Event::Configured {
        name,
        provider,
        places: Vec::new(),
        unreachable,
        hooks: BTreeMap::new(),
        scim_config: false,
    });
    assert!(world.record.sinks.contains_key(&place("gone")));
}

/// A server that was given up: nothing leads to the place any more.
fn leave_for_good(world: &mut World) {
    let (name, _, provider) = fixture::connection();
    let (_, state) = fixture::sink("disk", "a", None);
    let configured = crate::rotation::event::ConfiguredPlace {
        place: state.place,
        readable: true,
        write_check: Default::default(),
        lingers: std::time::Duration::ZERO,
        keeps_earlier: false,
        overwrite: false,
        uptake: Default::default(),
    };
    let unreachable = [place("gone")].into();
    world.unreadable.insert(place("gone"));
    world.apply(Event::Configured {
        name,
        provider,
        places: vec![configured],
        unreachable,
        hooks: BTreeMap::new(),
        scim_config: false,
    });
    world.restart();
}

#[test]
fn a_place_out_of_reach_holds_up_only_what_it_was_seen_with() {
    let mut world = World::settled(&["a", "gone"]);
    leave_for_good(&mut world);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.live(TimeDelta::days(3));
    assert!(world.is_listed("new-1"), "it may be in use there: {:?}", world.log);
    let said = world.record.retiring[0].token.clone();
    world.apply(Event::Retired {
        token: said,
        cause: Cause::Forced,
        retire: world.policy.terms.retire.clone(),
        at: world.provider_now(),
    });
    world.run();
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    for next in ["new-3", "new-4"] {
        leave_for_good(&mut world);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        world.live(TimeDelta::days(2));
        assert_eq!(world.current(), Some(next.to_owned()), "{:?}", world.log);
        assert_eq!(world.tokens.len(), 1, "{:?}", world.log);
    }
}

#[test]
fn an_operators_request_shows_neither_use_nor_rest_of_a_token() {
    let mut world = World::settled(&["a"]);
    let probed = world.record.current.as_ref().unwrap().probe.clone();
    assert!(probed.is_some(), "it was proven before it was delivered");
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.record.retiring[0].on_evidence = true;
    let token = world.record.retiring[0].token.clone();
    assert_eq!(world.record.retiring[0].probe, probed);
    for cause in [Cause::Superseded, Cause::Asked] {
        world.apply(Event::Retired {
            token: token.clone(),
            cause,
            retire: world.policy.terms.retire.clone(),
            at: world.provider_now(),
        });
        let retiring = &world.record.retiring[0];
        assert_eq!((retiring.cause, &retiring.probe), (cause, &probed), "our own probe stays that");
        assert!(retiring.on_evidence, "what has to be shown stays so");
    }
}

/// As a command does that only looks.
fn look(world: &mut World) {
    let places = world.record.sinks.keys().cloned().collect();
    let writes = CheckWrites::default();
    world.play(Step::Look { list: true, places, writes }, "somebody asks");
}

fn others_marks(world: &World, token: &TokenId) -> Marks {
    Marks { ledger: LedgerId::try_new("led_other").unwrap(), ..world.marks(token, 9) }
}

#[test]
fn another_ledgers_restored_mark_on_a_dead_token_stops_nothing() {
    let mut world = World::settled(&["a", "b"]);
    let marks = others_marks(&world, &id("dead"));
    world.places.insert(place("a"), Content::Token(id("dead"), Some(marks)));
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::ForeignOwner), "it may be newer than the list: {why}");
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.reason, None, "{why}");
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "it is filled: {:?}", world.log);
    world.pass_time(TimeDelta::minutes(5));
    world.request = RotationRequest::Rotate { since: world.now };
    world.live(TimeDelta::minutes(10));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert!(world.record.generation > 9, "ours is the later one wherever they are compared");
}

#[test]
fn another_ledgers_token_that_works_is_left_alone() {
    let mut world = World::settled(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    let marks = others_marks(&world, &theirs);
    world.places.insert(place("a"), Content::Token(theirs, Some(marks)));
    let (rest, why) = world.live(TimeDelta::days(25));
    assert_eq!(rest.reason, Some(Reason::ForeignOwner), "{why}");
    assert_eq!(world.log, ["theirs is accepted"], "asked once, and nothing else");
}

/// The worker dies right after it announced a promote.
fn dies_before_promoting(world: &mut World) {
    loop {
        let Decision { step, why } = world.decide();
        if let Step::Promote(promote) = step {
            let promote = Promote { container: None, ..*promote };
            world.apply(promote.begun(world.now));
            world.pass_time(TimeDelta::minutes(3));
            return;
        }
        world.play(step, &why);
    }
}

#[test]
fn a_write_that_may_have_arrived_is_not_called_a_delivery() {
    let mut world = World::new(&["a"]);
    dies_before_promoting(&mut world);
    world.unreadable.insert(place("a"));
    while let Decision { step: step @ Step::Look { .. }, why } = world.decide() {
        world.play(step, &why);
    }
    // It is alive after all, and has the value.
    world.values.insert(id("new-1"));
    world.ending = Some(Ending::Timeout);
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Troubled, Some(Reason::Timeout)), "{why}");
    assert!(why.contains("new-1 may already be in a sink"), "{why}");
    world.unreadable.clear();
    world.ending = None;
    world.live(TimeDelta::hours(1));
    assert!(world.all_work(), "{:?}", world.log);
}

#[test]
fn what_is_unreadable_and_unchanged_is_not_the_intended_token() {
    let mut world = World::new(&["a"]);
    // Somebody's token in somebody's form, in the place and in the other slot.
    world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Unknown);
    dies_before_promoting(&mut world);
    world.live(TimeDelta::hours(1));
    assert!(!world.is_listed("new-1"), "an orphan in the only slot: {:?}", world.log);
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn what_is_unreadable_and_changed_may_be_the_intended_token() {
    let mut world = World::new(&["a"]);
    world.unmanaged("theirs", days(30));
    dies_before_promoting(&mut world);
    world.places.insert(place("a"), Content::Unknown);
    let (rest, why) = world.live(TimeDelta::hours(1));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    assert_eq!(rest.reason, Some(Reason::PreviousInUse), "{why}");
    assert!(why.contains("--token-id new-1 --force"), "{why}");
}

#[test]
fn a_token_that_no_list_shows_is_asked_about_ever_less_often() {
    let mut world = World::settled(&["a"]);
    world.unlisted.insert(id("new-1"));
    let asked = |world: &World| world.log.iter().filter(|it| *it == "ask new-1").count();
    world.live(TimeDelta::minutes(5));
    let soon = asked(&world);
    assert!((2..=6).contains(&soon), "a deleted one may be accepted for a while: {:?}", world.log);
    // By then once in each survey.
    world.live(TimeDelta::days(2));
    assert!(asked(&world) < soon + 60, "{} times", asked(&world));
    assert_eq!(world.current(), Some("new-1".to_owned()), "it works");
}

#[test]
fn unless_braked_a_loss_speaks_against_the_tenant_only_briefly() {
    let mut world = World::settled(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    world.unlisted.insert(id("new-1"));
    world.live(TimeDelta::days(3));
    let lost_at = world.record.lost_at().unwrap();
    assert!(world.now - lost_at > TimeDelta::days(2), "somebody rotated by hand, long ago");
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::DeadToken)), "{why}");
    assert!(why.starts_with("new-1 has not been in the provider's list since "), "{why}");
    assert_eq!(world.log, Vec::<String>::new(), "nobody is asked, and nothing is changed");
    // Somebody put another one there.
    let mut mended = world.clone();
    let theirs = mended.unmanaged("theirs", days(30));
    mended.places.insert(place("a"), Content::Token(theirs, None));
    mended.pass_time(TimeDelta::hours(1));
    let (rest, why) = mended.run();
    assert_eq!((rest.status, rest.reason), (Status::Idle, Some(Reason::Observe)), "{why}");
    // What the brake holds is lost anew with each look, until an operator or a look decides.
    world.record.decided = Some(Decided {
        status: Status::Refused,
        reason: Some(Reason::Brake),
        words: String::new(),
        since: world.now,
        until: None,
    });
    let survey = world.record.survey.as_ref().unwrap().at;
    assert_eq!(world.record.lost_at(), Some(survey));
    // What expired died by itself.
    world.live(TimeDelta::days(40));
    let mut expired = World::settled(&["a"]);
    expired.policy.terms.mode = Mode::Observe;
    expired.pass_time(TimeDelta::days(31));
    expired.unlisted.insert(id("new-1"));
    expired.live(TimeDelta::days(1));
    assert!(expired.record.has_lost_current() && expired.record.lost_at().is_none());
    let (rest, why) = expired.run();
    assert_eq!((rest.status, rest.reason), (Status::Idle, Some(Reason::Observe)), "{why}");
}

#[test]
fn a_delete_of_a_listed_token_answered_404_is_tried_less_often() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.revoke_unknown.insert(id("new-1"));
    let (rest, _) = world.live(TimeDelta::hours(48));
    let tries = world.log.iter().filter(|line| *line == "new-1 is not known").count();
    assert!((20..=60).contains(&tries), "{tries} in a day: once an hour in the end");
    assert_eq!(rest.status, Status::Troubled);
    assert!(world.is_listed("new-1") && world.all_work());
    world.revoke_unknown.clear();
    world.live(TimeDelta::hours(2));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn a_forged_mark_makes_a_ledger_stand_down_only_until_refused() {
    for reason in [None, Some(Reason::ForeignOwner)] {
        let mut world = World::settled(&["a", "b"]);
        world.policy.terms.on_drift = OnDrift::Restore;
        let theirs = world.unmanaged("theirs", days(30));
        world.broken.extend(reason.is_none().then(|| theirs.clone()));
        let marks = others_marks(&world, &theirs);
        world.places.insert(place("a"), Content::Token(theirs, Some(marks)));
        let (rest, why) = world.run();
        assert_eq!(rest.reason, Some(Reason::ForeignOwner), "it may have come just now: {why}");
        world.pass_time(TimeDelta::minutes(2));
        let (rest, why) = world.live(TimeDelta::hours(5));
        assert_eq!(rest.reason == Some(Reason::ForeignOwner), reason.is_some(), "{why}");
        let asked = world.log.iter().filter(|line| *line == "theirs is accepted").count();
        assert_eq!(asked, usize::from(reason.is_some()), "once: {:?}", world.log);
        let ours = world.holds("a") == world.current();
        assert_eq!(ours, reason.is_none(), "filled, or left alone: {:?}", world.log);
    }
}

#[test]
fn any_mark_of_another_ledger_is_asked_about_once_even_in_plans() {
    let mut world = World::settled(&["a", "b"]);
    let current = world.record.current.as_ref().unwrap().token.id.clone();
    let marks = others_marks(&world, &current);
    world.places.insert(place("a"), Content::Token(current, Some(marks)));
    world.run();
    world.pass_time(TimeDelta::minutes(2));
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::ForeignOwner), "{why}");

    let mut world = World::settled(&["a", "b"]);
    let theirs = world.unmanaged("theirs", days(30));
    let marks = others_marks(&world, &theirs);
    world.places.insert(place("a"), Content::Token(theirs, Some(marks)));
    world.run();
    world.pass_time(TimeDelta::minutes(2));
    look(&mut world);
    let until = world.now + TimeDelta::days(3);
    let planned = forecast(&world.situation(), until);
    let asked = |step: &&Planned| step.call.contains("GET the SCIM endpoint");
    assert_eq!(planned.steps.iter().filter(asked).count(), 1, "{:?}", planned.steps);
    // What is only looked at is said, and a connection that only watches asks nobody.
    let [(reason, _)] = &*world.situation().obstacles() else { panic!("one obstacle") };
    assert_eq!(*reason, Reason::ForeignOwner);
    world.policy.terms.mode = Mode::Observe;
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::ForeignOwner), "{why}");
    assert_eq!(world.log, Vec::<String>::new(), "asked while watching");
}

/// `new-1` is almost through its overlap when `new-2`, which replaced it, is gone.
#[test]
fn what_comes_back_during_a_rotation_keeps_its_whole_overlap() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    world.live(TimeDelta::hours(23));
    world.tokens.retain(|token| token.id != id("new-2"));
    let mut restored = false;
    for _ in 0..500 {
        let Decision { step, why } = world.decide();
        if let Step::Rest(rest) = step {
            if restored {
                break;
            }
            world.now = rest.until.unwrap_or(world.now + TimeDelta::minutes(1));
            world.restart();
        } else if matches!(step, Step::Promote(_)) && !restored {
            // Somebody restores a backup right before the new token is written: whoever reads the
            // place now gets the old one.
            restored = true;
            let marks = world.marks(&id("new-1"), 1);
            world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
            world.observed.sinks.clear();
        } else {
            world.play(step, &why);
        }
    }
    assert_eq!(world.holds("a"), Some("new-3".to_owned()), "{:?}", world.log);
    world.live(TimeDelta::hours(23));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}
