//! A rotation cut short after every step of it, and what then is asked for.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::world::{Content, World, days, id, place};
use crate::rotation::{
    decide::{Decision, Ending, Status, Step},
    event::Event,
    fixture,
    policy::{Mode, Retire},
    record::{Cause, Phase},
    request::RotationRequest,
    why::Reason,
};

/// Two readable places and one that cannot be asked, after a first rotation.
fn before() -> World {
    let mut world = World::new(&[]);
    world.hand_offs.insert(place("hand-off"));
    world.configure(&["a", "b", "hand-off"]);
    world.run();
    world.pass_time(TimeDelta::minutes(5));
    world.log.clear();
    world
}

/// A rotation by hand that dies after so many steps; `None` when it was over before.
fn cut(steps: u32) -> Option<World> {
    let mut world = before();
    world.request = RotationRequest::Rotate { since: world.now };
    for _ in 0..steps {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Rest(_)) {
            return None;
        }
        world.play(step, &why);
    }
    world.pass_time(TimeDelta::seconds(20));
    world.request = RotationRequest::Due;
    Some(world)
}

fn all_cuts() -> Vec<(u32, World)> {
    let cuts: Vec<(u32, World)> = (0..100).map_while(|nth| Some((nth, cut(nth)?))).collect();
    assert!(cuts.len() > 8, "a rotation of {} steps", cuts.len());
    cuts
}

fn same_everywhere(world: &World) -> bool {
    let names = ["a", "b", "hand-off"];
    names.iter().all(|name| world.holds(name) == world.current())
}

#[test]
fn wherever_it_died_all_have_one_current_token_and_no_orphan() {
    for (nth, mut world) in all_cuts() {
        world.live(TimeDelta::hours(2));
        assert!(same_everywhere(&world) && world.all_work(), "{nth}: {:?}", world.log);
        assert!(matches!(world.record.phase, Phase::Steady));
        let orphan =
            world.record.retiring.iter().any(|retiring| retiring.cause != Cause::Superseded);
        assert!(!orphan && world.tokens.len() <= 2, "{nth}: {:?}", world.record.retiring);
        world.live(TimeDelta::hours(30));
        assert_eq!(world.tokens.len(), 1, "{nth}: {:?}", world.log);
    }
}

#[test]
fn wherever_it_stood_leaked_tokens_are_replaced_and_revoked() {
    for (nth, mut world) in all_cuts() {
        world.request = RotationRequest::Compromised { since: world.now };
        let leaked = world.record.leaked(world.now, world.now);
        assert!(leaked.contains(&id("new-1")), "{nth}");
        world.live(TimeDelta::minutes(10));
        assert!(same_everywhere(&world) && world.all_work(), "{nth}: {:?}", world.log);
        let left: Vec<_> = world.tokens.iter().filter(|token| leaked.contains(&token.id)).collect();
        assert!(left.is_empty(), "{nth}: {left:?} {:?}", world.log);
        assert!(world.record.condemned.is_empty(), "{nth}: {:?}", world.record.condemned);
    }
}

#[test]
fn watching_finishes_a_delivery_at_any_point_and_revokes_none() {
    for (nth, mut world) in all_cuts() {
        world.policy.terms.mode = Mode::Observe;
        world.live(TimeDelta::hours(30));
        let revoked = world.log.iter().any(|line| line.starts_with("revoke"));
        assert!(!revoked && world.is_listed("new-1"), "{nth}: {:?}", world.log);
        assert!(world.all_work(), "{nth}: {:?}", world.log);
        let minted = world.log.iter().filter(|line| line.starts_with("mint")).count();
        assert!(minted <= 1, "{nth}: {:?}", world.log);
    }
}

#[test]
fn places_that_join_or_leave_in_mid_delivery_end_as_configured() {
    for (nth, mut world) in all_cuts() {
        world.configure(&["a", "c", "hand-off"]);
        world.live(TimeDelta::hours(2));
        assert_eq!(world.holds("c"), world.current(), "{nth}: {:?}", world.log);
        assert!(world.all_work(), "{nth}: what left still works: {:?}", world.log);
    }
}

#[test]
fn a_call_that_ends_leaves_no_token_that_no_place_may_hold() {
    for (nth, mut world) in all_cuts() {
        for ending in [Ending::Timeout, Ending::Interrupted] {
            world.ending = Some(ending);
            let (rest, why) = world.run();
            assert_eq!(rest.status, Status::Troubled, "{nth}: {why}");
            let held: BTreeSet<_> = ["a", "b", "hand-off"].map(|name| world.holds(name)).into();
            for token in &world.tokens {
                let name = Some(token.id.to_string());
                let ours = world.current() == name || held.contains(&name);
                let previous =
                    world.record.retiring.iter().any(|retiring| retiring.token.id == token.id);
                assert!(ours || previous, "{nth}: {name:?} is left behind: {:?}", world.log);
            }
        }
        world.ending = None;
        world.live(TimeDelta::hours(2));
        assert!(same_everywhere(&world), "{nth}: {:?}", world.log);
    }
}

#[test]
fn the_policy_a_rotation_began_with_decides_on_what_it_replaced() {
    let mut world = before();
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    let none = Retire {
        overlap: std::time::Duration::ZERO,
        after_use: false,
        when_idle: None,
        at_latest: None,
    };
    world.policy.terms.retire = none;
    world.live(TimeDelta::hours(23));
    assert!(world.is_listed("new-1"), "its overlap is a day: {:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"));
}

#[test]
fn too_many_losses_at_once_hold_every_mint_but_a_persons() {
    for (losses, braked) in [((40, 5), true), ((40, 4), false), ((100, 5), false), ((3, 3), false)]
    {
        let mut world = World::settled(&["a"]);
        world.pass_time(TimeDelta::days(21));
        let Decision { step, why } = world.decide();
        world.play(step, &why);
        world.observed.losses = losses;
        world.record.writes_checked = Some(world.now);
        let Decision { step, why } = world.decide();
        let refused = matches!(&step, Step::Rest(rest) if rest.reason == Some(Reason::Brake));
        assert_eq!(refused, braked, "{losses:?}: {why}");
        world.request = RotationRequest::Rotate { since: world.now };
        assert!(!matches!(world.decide().step, Step::Rest(_)), "a person says so");
    }
}

#[test]
fn an_unreadable_place_keeps_all_but_an_orphan_never_sent_there() {
    let mut world = World::settled(&["a", "b"]);
    let orphan = world.unmanaged("lost", days(30));
    let listed = world.tokens.last().unwrap().clone();
    world.record.retiring.push(fixture::retiring(listed, Cause::Orphan));
    world.unreadable.insert(place("b"));
    world.pass_time(TimeDelta::days(21));
    world.live(TimeDelta::hours(3));
    assert_eq!(world.log, [format!("revoke {orphan}")], "nothing is minted");
    world.unreadable.clear();
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn what_cannot_be_told_may_be_a_previous_token_but_no_orphan() {
    for (cause, dies) in [(Cause::Superseded, false), (Cause::Orphan, true), (Cause::Bad, true)] {
        let mut world = World::settled(&["a", "b"]);
        world.policy.capabilities.cap = None;
        world.unmanaged("older", days(30));
        let mut retiring = fixture::retiring(world.tokens.last().unwrap().clone(), cause);
        retiring.superseded_at = Some(world.provider_now() - TimeDelta::days(3));
        world.record.retiring.push(retiring);
        world.places.insert(place("b"), Content::Unknown);
        world.live(TimeDelta::hours(2));
        assert_eq!(!world.is_listed("older"), dies, "{cause:?}: {:?}", world.log);
    }
}

#[test]
fn what_expired_in_a_slot_goes_only_when_a_create_was_refused() {
    let mut world = World::settled(&["a"]);
    world.pass_time(TimeDelta::days(31));
    world.unmanaged("theirs", days(30));
    world.run();
    assert!(world.is_listed("new-1"), "it counts in no slot, and harms nobody: {:?}", world.log);
    let mut world = World::settled(&["a"]);
    world.dead_count = true;
    world.pass_time(TimeDelta::days(31));
    world.unmanaged("theirs", days(30));
    world.live(TimeDelta::hours(1));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    assert_eq!(world.holds("a"), world.current(), "{:?}", world.log);
    assert!(world.all_work() && world.is_listed("theirs"), "{:?}", world.log);
}

#[test]
fn what_cannot_happen_is_an_error() {
    let steady = before();
    let minted = Event::Minted {
        token: fixture::token("new", 0),
        retire: fixture::retire(),
        verify: steady.policy.terms.verify,
        digest: None,
    };
    let settled = Event::Settled { at: steady.provider_now(), host: steady.now };
    for event in [minted, settled, Event::IntentOpened] {
        let name = event.name();
        let error = steady.record.clone().apply(event).unwrap_err();
        assert_eq!(error.to_string(), format!("{name} cannot happen while steady"));
    }
    let (_, delivering) = all_cuts()
        .into_iter()
        .find(|(_, world)| matches!(world.record.phase, Phase::Delivering(_)))
        .unwrap();
    let error = delivering.record.apply(Event::IntentOpened).unwrap_err();
    assert_eq!(error.to_string(), "intent_opened cannot happen while delivering");
}
