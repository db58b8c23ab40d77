//! The SCIM configuration: made where it is missing, compared, restored, and in nobody's way.

use chrono::TimeDelta;

use super::world::{World, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        forecast::forecast,
        pause::Pause,
        policy::{Mode, OnDrift},
        scim_config::{Mapped, ScimConfig, Standing, WantedConfig},
        status::{Concern, ConnectionStatus, needs_person},
        why::Reason,
    },
};

fn config(pairs: &[(&str, &str)]) -> ScimConfig {
    let mapped =
        |(scim, user): &(&str, &str)| Mapped { scim: (*scim).to_owned(), user: (*user).to_owned() };
    ScimConfig {
        user_id_attribute: "externalId".to_owned(),
        mapping: pairs.iter().map(mapped).collect(),
    }
}

fn asked() -> ScimConfig {
    config(&[("userName", "preferred_username"), ("active", "blocked")])
}

fn changed() -> ScimConfig {
    config(&[("userName", "email"), ("active", "blocked")])
}

fn fault(class: Class, code: Code) -> Fault {
    Fault::new("set the SCIM configuration", class, code, "it does not work")
}

/// The policy asks for a configuration, and there is this one.
fn looked_after(mut world: World, there: Option<ScimConfig>, on_drift: OnDrift) -> World {
    world.policy.terms.scim_config = Some(WantedConfig::Exactly(asked()));
    world.policy.terms.on_drift = on_drift;
    world.scim_config = there;
    world.restart();
    world
}

fn standing(world: &World) -> Option<Standing> {
    world.record.scim.as_ref().and_then(|scim| scim.standing.clone())
}

fn concerned(world: &World) -> Option<String> {
    let status = ConnectionStatus::of(&world.record, Some(&world.policy), world.now);
    let is = status.concerns.contains(&Concern::ScimConfigDrift);
    let warning = status.warnings().find(|warning| warning.starts_with("scim_config_drift: "));
    assert_eq!(is, warning.is_some());
    warning
}

fn changes(world: &World) -> Vec<&str> {
    let configure = |line: &&String| line.starts_with("configure: ");
    world.log.iter().filter(configure).map(String::as_str).collect()
}

#[test]
fn a_missing_one_is_made_before_the_first_token() {
    let mut world = looked_after(World::new(&["a"]), None, OnDrift::Report);
    let (rest, why) = world.run();
    assert_eq!(rest.reason, None, "{why}");
    assert_eq!(
        world.log[..2],
        [
            "inspect",
            "configure: the connection has no SCIM configuration: Scimitar creates one with the mapping of the policy"
        ]
    );
    assert!(world.log[2].starts_with("mint new-1"), "{:?}", world.log);
    assert_eq!((&world.scim_config, world.all_work()), (&Some(asked()), true));
    assert_eq!(standing(&world), Some(Standing::AsAsked));
    assert_eq!(concerned(&world), None);
}

#[test]
fn without_the_table_nothing_is_asked() {
    let mut world = World::settled(&["a"]);
    world.live(TimeDelta::days(1));
    assert!(!world.log.iter().any(|line| line == "inspect"), "{:?}", world.log);
    assert_eq!(world.record.scim, None);
}

#[test]
fn one_that_differs_is_reported_or_restored() {
    let mut world = looked_after(World::settled(&["a"]), Some(changed()), OnDrift::Report);
    world.live(TimeDelta::hours(3));
    let since = world.record.scim.as_ref().unwrap().since.unwrap();
    let words = concerned(&world).unwrap();
    assert!(
        words.contains("- userName → email, + userName → preferred_username since "),
        "{words}"
    );
    assert!(changes(&world).is_empty(), "{:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert_eq!(world.record.scim.as_ref().unwrap().since, Some(since), "it began only once");

    world.policy.terms.on_drift = OnDrift::Restore;
    world.live(TimeDelta::hours(3));
    assert_eq!(
        changes(&world),
        [
            "configure: restoring the SCIM configuration (on_drift = \"restore\"): - userName → email, + userName → preferred_username"
        ]
    );
    assert_eq!((&world.scim_config, concerned(&world)), (&Some(asked()), None));
}

#[test]
fn watching_a_pause_and_a_freeze_change_nothing() {
    let held: [fn(&mut World); 2] = [
        |world| world.policy.terms.mode = Mode::Observe,
        |world| {
            world.record.pause = Some(Pause {
                since: world.now,
                until: world.now + TimeDelta::days(3),
                by: "me".to_owned(),
                reason: "an audit".to_owned(),
            });
        },
    ];
    for hold in held {
        let mut world = looked_after(World::settled(&["a"]), Some(changed()), OnDrift::Restore);
        hold(&mut world);
        world.live(TimeDelta::hours(3));
        assert!(changes(&world).is_empty(), "{:?}", world.log);
        assert!(concerned(&world).is_some());
    }
}

#[test]
fn one_that_vanishes_is_made_again_and_readers_get_a_token() {
    let mut world = looked_after(World::settled(&["a"]), Some(asked()), OnDrift::Report);
    world.live(TimeDelta::hours(1));
    // Its tokens go with it.
    (world.scim_config, world.tokens) = (None, Vec::new());
    world.live(TimeDelta::hours(2));
    assert_eq!(changes(&world).len(), 1);
    assert!(world.all_work(), "{:?}", world.log);
}

#[test]
fn a_comparison_that_fails_holds_nothing_up_and_is_said() {
    let mut world = looked_after(World::new(&["a"]), Some(asked()), OnDrift::Restore);
    world.config_unread = Some(fault(Class::Transient, Code::Timeout));
    let (rest, _) = world.run();
    assert!(world.all_work(), "{:?}", world.log);
    let said = "the SCIM configuration could not be compared: ";
    assert!(rest.warnings.iter().any(|warning| warning.starts_with(said)), "{rest:?}");
    assert_eq!((rest.reason, standing(&world), concerned(&world)), (None, None, None));
    world.config_unread = None;
    let (rest, _) = world.live(TimeDelta::hours(3));
    assert!(!rest.warnings.iter().any(|warning| warning.starts_with(said)), "{rest:?}");
    assert_eq!(standing(&world), Some(Standing::AsAsked));
}

#[test]
fn a_sink_that_fails_keeps_nobody_from_comparing() {
    let mut world = looked_after(World::settled(&["a"]), Some(changed()), OnDrift::Restore);
    world.unreadable.insert(place("a"));
    world.run();
    assert_eq!(world.scim_config, Some(asked()), "{:?}", world.log);
}

#[test]
fn a_create_without_an_answer_is_looked_for_first() {
    let mut world = looked_after(World::new(&["a"]), None, OnDrift::Report);
    world.change_lost = true;
    // The world refuses a second create.
    world.live(TimeDelta::hours(1));
    assert_eq!(changes(&world).len(), 1, "{:?}", world.log);
    assert!(world.all_work());
    assert_eq!(concerned(&world), None);
}

#[test]
fn one_that_cannot_be_made_is_the_reason() {
    let mut world = looked_after(World::new(&["a"]), None, OnDrift::Report);
    world.config_unwritten = Some(fault(Class::Terminal, Code::Forbidden));
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::ScimNotConfigured), "{why}");
    assert!(needs_person(Reason::ScimNotConfigured) && why.contains("it does not work"), "{why}");
    assert!(concerned(&world).unwrap().contains("no SCIM configuration; "));
    let tries = changes(&world).len();
    assert_eq!(tries, 1, "once a pass");
    world.config_unwritten = Some(fault(Class::Transient, Code::Unavailable));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.reason, Some(Reason::ProviderUnavailable), "{why}");
    world.config_unwritten = None;
    world.live(TimeDelta::hours(2));
    assert!(world.all_work(), "{:?}", world.log);
}

#[test]
fn one_that_the_provider_keeps_otherwise_is_not_sent_for_ever() {
    let mut world = looked_after(World::settled(&["a"]), Some(changed()), OnDrift::Restore);
    world.config_unwritten = Some(fault(Class::Terminal, Code::Invalid));
    world.live(TimeDelta::hours(6));
    let tries = changes(&world).len();
    assert!((2..=14).contains(&tries), "{tries}");
    assert!(concerned(&world).unwrap().contains("it does not work"));
}

#[test]
fn a_mapping_without_active_is_warned_of() {
    let there = config(&[("userName", "email")]);
    let mut world = looked_after(World::settled(&["a"]), Some(there), OnDrift::Report);
    let (rest, _) = world.run();
    let said = "the SCIM configuration does not map `active`: deactivated users keep access; add it to the mapping";
    assert!(rest.warnings.contains(said), "{rest:?}");
}

#[test]
fn a_plan_says_what_is_made_and_what_is_changed() {
    let plan = |there, on_drift| {
        let mut world = looked_after(World::settled(&["a"]), Some(there), on_drift);
        for _ in 0..2 {
            let decision = world.decide();
            world.play(decision.step, &decision.why);
        }
        assert_eq!(world.log.last().unwrap(), "inspect");
        forecast(&world.situation(), world.now + TimeDelta::hours(1)).steps
    };
    let steps = plan(changed(), OnDrift::Restore);
    let calls: Vec<&str> = steps.iter().map(|step| step.call.as_str()).collect();
    assert_eq!(
        calls,
        [
            "replace the SCIM configuration of con_0123456789abcdef: - userName → email, + userName → preferred_username"
        ]
    );
    assert!(plan(changed(), OnDrift::Report).is_empty());

    let mut world = looked_after(World::new(&["a"]), None, OnDrift::Report);
    for _ in 0..2 {
        let decision = world.decide();
        world.play(decision.step, &decision.why);
    }
    let steps = forecast(&world.situation(), world.now + TimeDelta::hours(1)).steps;
    assert_eq!(
        steps[0].call,
        "create the SCIM configuration of con_0123456789abcdef with the 2 attributes of the policy"
    );
    assert!(steps.iter().any(|step| step.call.starts_with("record the intent")), "{steps:?}");
}

#[test]
fn a_table_that_is_gone_leaves_nothing_behind() {
    let mut world = looked_after(World::settled(&["a"]), Some(changed()), OnDrift::Report);
    world.run();
    assert!(concerned(&world).is_some());
    world.policy.terms.scim_config = None;
    world.configure(&["a"]);
    assert_eq!((concerned(&world), world.record.scim.is_none()), (None, true));
}
