//! Places that can keep a token beside what their readers get.

use chrono::TimeDelta;

use super::{
    super::{Decision, Status, Step},
    world::{Answer, Content, World, id, place},
};
use crate::rotation::{fixture, forecast::forecast, request::RotationRequest};

/// Two places, one of which stages; a rotation is asked for.
fn asked(stagers: &[&str]) -> World {
    let mut world = World::settled_and_staging(&["a", "b"], stagers);
    world.request = RotationRequest::Rotate { since: world.now };
    world
}

fn ask_for_the_next(world: &mut World) {
    world.pass_time(TimeDelta::days(3));
    world.request = RotationRequest::Due;
    world.run();
    world.request = RotationRequest::Rotate { since: world.now };
}

/// Plays on until the decision is one of these.
fn until(world: &mut World, wanted: impl Fn(&Step) -> bool) {
    for _ in 0..50 {
        let Decision { step, why } = world.decide();
        if wanted(&step) {
            return;
        }
        assert!(!matches!(step, Step::Rest(_)), "{why}: {:?}", world.log);
        world.play(step, &why);
    }
    panic!("it never comes: {:?}", world.log);
}

fn written(world: &World) -> Vec<String> {
    let of_places = ["stage ", "promote ", "forget ", "revoke ", "mint "];
    let words = |line: &String| line.split(':').next().unwrap_or_default().to_owned();
    let lines = world.log.iter().filter(|line| of_places.iter().any(|of| line.starts_with(of)));
    lines.map(|line| if line.starts_with("mint") { words(line) } else { line.clone() }).collect()
}

#[test]
fn all_that_can_be_staged_is_staged_before_any_proof_or_promote() {
    let mut world = asked(&["a", "b"]);
    until(&mut world, |step| matches!(step, Step::Probe(_)));
    let a = place("a");
    let b = place("b");
    assert_eq!(
        written(&world),
        ["mint new-2".to_owned(), format!("stage new-2 in {a}"), format!("stage new-2 in {b}")]
    );
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "no reader has it");
    world.run();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()));
}

#[test]
fn the_first_version_of_a_place_is_live_at_once_and_not_staged() {
    let mut world = World::new(&["a"]);
    world.stages.insert(place("a"), None);
    world.configure(&["a"]);
    world.run();
    assert_eq!(
        written(&world),
        ["mint new-1".to_owned(), format!("promote new-1 to {}", place("a"))]
    );
}

#[test]
fn a_worker_that_dies_after_staging_has_lost_nothing() {
    for died_at in ["probe", "promote"] {
        let mut world = asked(&["b"]);
        until(&mut world, |step| {
            let at_promote = matches!(step, Step::Promote(_));
            at_promote && died_at == "promote"
                || matches!(step, Step::Probe(_)) && died_at == "probe"
        });
        world.restart();
        world.request = RotationRequest::Due;
        world.run();
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{died_at}: {:?}", world.log);
        assert_eq!(world.holds("b"), Some("new-2".to_owned()));
        assert_eq!(world.made, 2, "none was minted for it");
        assert!(world.is_listed("new-1") && world.is_listed("new-2"));
    }
}

#[test]
fn a_staged_place_that_takes_no_promote_holds_it_until_it_does() {
    let mut world = World::settled_and_staging(&["a"], &["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    until(&mut world, |step| matches!(step, Step::Promote(_)));
    world.unwritable.insert(place("a"));
    let (rest, why) = world.run();
    assert_eq!(rest.status, Status::Troubled, "{why}");
    world.request = RotationRequest::Due;
    world.live(TimeDelta::hours(5));
    assert!(world.is_listed("new-2") && world.is_listed("new-1"), "{:?}", world.log);
    assert_eq!(world.holds("a"), Some("new-1".to_owned()));
    world.unwritable.clear();
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()));
    assert_eq!(world.made, 2);
}

#[test]
fn a_place_that_cannot_stage_does_not_hold_the_delivery_up() {
    let mut world = asked(&["a"]);
    world.unwritable.insert(place("a"));
    world.run();
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_eq!(world.holds("a"), Some("new-1".to_owned()));
    world.unwritable.clear();
    world.request = RotationRequest::Due;
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()));
}

#[test]
fn what_was_staged_and_given_up_is_forgotten_once_it_is_revoked() {
    let mut world = asked(&["a"]);
    world.answer = Answer::Refuses;
    until(&mut world, |step| matches!(step, Step::Promote(_) | Step::Forget(_)));
    let a = place("a");
    let end: Vec<String> = written(&world).into_iter().skip(1).collect();
    assert_eq!(end, [format!("stage new-2 in {a}"), "revoke new-2".to_owned()]);
    world.run();
    assert_eq!(world.stages[&a], None, "{:?}", world.log);
    assert_eq!(world.holds("a"), Some("new-1".to_owned()));
    assert!(world.record.sinks[&a].residue.is_empty());
}

#[test]
fn nobody_is_led_back_to_a_token_that_was_revoked() {
    let mut world = asked(&["a"]);
    world.run();
    assert_eq!(world.earlier[&place("a")], id("new-1"), "for as long as it works");
    ask_for_the_next(&mut world);
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    assert!(world.earlier.is_empty(), "{:?}", world.log);
    assert!(world.record.sinks.values().all(|sink| sink.residue.is_empty()));
}

#[test]
fn what_still_leads_back_is_warned_of_retried_and_harmless() {
    let mut world = asked(&["a"]);
    world.run();
    world.request = RotationRequest::Due;
    world.live(TimeDelta::hours(23));
    world.unwritable.insert(place("a"));
    let (rest, _) = world.live(TimeDelta::hours(4));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    let warned = |text: &String| text.contains("still refers to new-1, which no longer works");
    assert!(rest.warnings.iter().any(warned), "{:?}", rest.warnings);
    world.unwritable.clear();
    let (rest, _) = world.live(TimeDelta::hours(2));
    assert!(world.earlier.is_empty() && !rest.warnings.iter().any(warned), "{:?}", world.log);
}

#[test]
fn a_plan_shows_what_is_staged_forgotten_and_true_in_between() {
    let mut world = asked(&["a"]);
    until(&mut world, |step| matches!(step, Step::Mint(_)));
    let planned = forecast(&world.situation(), world.now + TimeDelta::days(3));
    let calls: Vec<&str> = planned.steps.iter().map(|step| step.call.as_str()).collect();
    let at = |part: &str| calls.iter().position(|call| call.contains(part));
    let (stage, probe) =
        (at("stage the token in a beside").unwrap(), at("/Users?count=1").unwrap());
    let (promote, forget) = (at("write the token to a").unwrap(), at("remove the labels of new-1"));
    assert!(stage < probe && probe < promote && promote < forget.unwrap(), "{calls:#?}");
    assert!(planned.steps[stage].if_it_dies.contains("reads it back and continues"));
}

#[test]
fn with_a_lost_ledger_nobody_is_led_back_either() {
    let mut world = asked(&["a"]);
    world.run();
    assert_eq!(world.earlier[&place("a")], id("new-1"));
    world.record = fixture::empty();
    world.configure(&["a", "b"]);
    for name in ["a", "b"] {
        let mut marks = world.marks(&id("new-2"), 2);
        marks.previous_token_id = Some(id("new-1"));
        world.places.insert(place(name), Content::Token(id("new-2"), Some(marks)));
    }
    world.request = RotationRequest::Due;
    world.restart();
    world.live(TimeDelta::days(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    assert!(world.earlier.is_empty(), "{:?}", world.log);
}
