//! Recognising late and lost creates, and leaving alone what was not ours.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;

use super::world::{World, id, scopes};
use crate::{
    rotation::{event::Event, record::Intent},
    token::{Listed, Scope, TokenId},
};

const LIFE: u64 = 2_591_000;

/// A create was sent and its answer lost; time has passed since.
fn lost(life: Option<u64>, since: TimeDelta) -> World {
    let mut world = World::settled(&["a"]);
    world.policy.capabilities.cap = None;
    let at = world.provider_now();
    world.apply(Event::Intended(Intent {
        at: world.now,
        listed_at: at,
        answered_by: at + TimeDelta::seconds(90),
        known: BTreeSet::from([id("new-1")]),
        scopes: scopes(),
        life: life.map(Duration::from_secs),
        unprinted: false,
        because: "due".to_owned(),
        asked_at: None,
    }));
    world.apply(Event::IntentOpened);
    world.pass_time(since);
    world
}

/// A token that turns up now.
fn turns_up(world: &mut World, name: &str, life: Option<u64>) -> TokenId {
    let at = world.provider_now();
    let valid_until = life.map(|life| at + TimeDelta::seconds(i64::try_from(life).unwrap()));
    let token =
        Listed { id: id(name), created_at: at, valid_until, last_used_at: None, scopes: scopes() };
    world.tokens.push(token);
    id(name)
}

/// What is changed about a token that would fit.
type Misfit = (&'static str, fn(&mut World));

fn last(world: &mut World) -> &mut Listed {
    world.tokens.last_mut().unwrap()
}

#[test]
fn an_effect_that_comes_days_late_is_still_known_and_revoked() {
    for late in [TimeDelta::zero(), TimeDelta::hours(1), TimeDelta::days(6)] {
        let mut world = lost(Some(LIFE), late);
        turns_up(&mut world, "late", Some(LIFE));
        world.run();
        assert!(!world.is_listed("late"), "{late}: {:?}", world.log);
    }
}

#[test]
fn after_a_week_it_is_somebodys() {
    let mut world = lost(Some(LIFE), TimeDelta::days(7));
    let late = turns_up(&mut world, "late", Some(LIFE));
    world.live(TimeDelta::days(1));
    assert!(world.is_listed("late") && world.record.strangers.contains_key(&late));
    assert!(world.record.intents.is_empty());
}

#[test]
fn whatever_does_not_fit_in_every_point_is_left_alone() {
    let misfits: [Misfit; 5] = [
        ("another life", |world| last(world).valid_until = None),
        ("a life that is 3 s off", |world| {
            let until = last(world).valid_until.unwrap();
            last(world).valid_until = Some(until + TimeDelta::seconds(3));
        }),
        ("used", |world| last(world).last_used_at = Some(last(world).created_at)),
        ("other scopes", |world| {
            last(world).scopes.insert(Scope::try_new("post:users").unwrap());
        }),
        ("made before", |world| {
            let back = TimeDelta::hours(2);
            last(world).created_at -= back;
            let until = last(world).valid_until.unwrap();
            last(world).valid_until = Some(until - back);
        }),
    ];
    for (what, change) in misfits {
        let mut world = lost(Some(LIFE), TimeDelta::hours(1));
        turns_up(&mut world, "theirs", Some(LIFE));
        change(&mut world);
        world.live(TimeDelta::days(2));
        assert!(world.is_listed("theirs"), "{what}: {:?}", world.log);
    }
}

#[test]
fn of_two_that_fit_none_is_touched_and_both_are_shown() {
    let mut world = lost(Some(LIFE), TimeDelta::minutes(1));
    let one = turns_up(&mut world, "one", Some(LIFE));
    let other = turns_up(&mut world, "other", Some(LIFE + 1));
    let (rest, _) = world.live(TimeDelta::days(2));
    assert!(world.is_listed("one") && world.is_listed("other"), "{:?}", world.log);
    assert!([one, other].iter().all(|id| world.record.strangers[id].probably_ours));
    let said = |words: &&String| words.contains("probably an orphan of ours");
    assert_eq!(rest.warnings.iter().filter(said).count(), 2, "{:?}", rest.warnings);
}

#[test]
fn where_the_print_is_not_trusted_only_the_moment_of_the_create_speaks_for_a_token() {
    let mut world = lost(Some(LIFE), TimeDelta::seconds(30));
    world.record.life_error = Some(40);
    turns_up(&mut world, "soon", Some(LIFE + 40));
    world.run();
    assert!(!world.is_listed("soon"), "{:?}", world.log);
    // Nor where its life is further off than any of ours ever was.
    let mut world = lost(Some(LIFE), TimeDelta::seconds(30));
    world.record.life_error = Some(40);
    turns_up(&mut world, "theirs", Some(LIFE + 100));
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("theirs"), "{:?}", world.log);
    let mut world = lost(Some(LIFE), TimeDelta::seconds(100));
    world.record.life_error = Some(3);
    let late = turns_up(&mut world, "late", Some(LIFE));
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("late"), "{:?}", world.log);
    assert!(world.record.strangers[&late].probably_ours);
}

#[test]
fn without_expiry_there_is_no_print_and_an_intent_is_kept_for_a_day() {
    let mut world = lost(None, TimeDelta::seconds(30));
    turns_up(&mut world, "soon", None);
    world.run();
    assert!(!world.is_listed("soon"), "{:?}", world.log);
    let mut world = lost(None, TimeDelta::hours(2));
    turns_up(&mut world, "late", None);
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("late"), "{:?}", world.log);
    assert!(world.record.intents.is_empty());
}
