//! Recognising late and lost creates, and leaving alone what was not ours.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;

use super::world::{Answer, World, id, scopes};
use crate::{
    rotation::{
        event::Event, policy::ScopePolicy, record::Intent, request::RotationRequest, why::Reason,
    },
    token::{Listed, Scope, TokenId, TokenName},
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
        name: None,
        value_was_lost: false,
        because: "due".to_owned(),
        asked_at: None,
    }));
    world.apply(Event::IntentOpened);
    world.pass_time(since);
    world
}

/// The name that [`lost_by_name`] asked for.
const NAME: &str = "scimitar/initech-okta/00000000000000aa";

/// The same at a provider with names, without expiry, scopes and limit.
fn lost_by_name(since: TimeDelta) -> World {
    let mut world = World::new(&["a"]);
    assert!(NAME.contains(world.policy.name.as_str()));
    name_tokens(&mut world);
    world.run();
    world.pass_time(TimeDelta::minutes(5));
    let at = world.provider_now();
    world.apply(Event::Intended(Intent {
        at: world.now,
        listed_at: at,
        answered_by: at + TimeDelta::seconds(90),
        known: BTreeSet::from([id("new-1")]),
        scopes: BTreeSet::new(),
        life: None,
        unprinted: false,
        name: Some(name(NAME)),
        value_was_lost: false,
        because: "due".to_owned(),
        asked_at: None,
    }));
    world.apply(Event::IntentOpened);
    world.pass_time(since);
    world
}

fn name_tokens(world: &mut World) {
    let capabilities = &mut world.policy.capabilities;
    capabilities.cap = None;
    capabilities.shortest_life = None;
    capabilities.scopes = false;
    capabilities.read_scope = None;
    capabilities.names = true;
    world.policy.terms.scopes = ScopePolicy::Inherit;
    world.policy.terms.token_lifetime = None;
    world.policy.terms.rotate_before = None;
    world.policy.terms.max_age = Some(Duration::from_secs(30 * 86_400));
}

fn name(text: &str) -> TokenName {
    TokenName::try_new(text).unwrap()
}

/// A token of that name turns up now.
fn named_turns_up(world: &mut World, text: &str, called: Option<&str>) -> TokenId {
    let made = turns_up(world, text, None);
    last(world).scopes.clear();
    last(world).name = called.map(name);
    made
}

/// A token that turns up now.
fn turns_up(world: &mut World, name: &str, life: Option<u64>) -> TokenId {
    let at = world.provider_now();
    let valid_until = life.map(|life| at + TimeDelta::seconds(i64::try_from(life).unwrap()));
    let token = Listed {
        id: id(name),
        created_at: at,
        valid_until,
        last_used_at: None,
        scopes: scopes(),
        name: None,
    };
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
    assert!(world.is_listed("late") && world.record.unmanaged.contains_key(&late));
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
            let token = last(world);
            token.created_at = token.created_at - back;
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
    assert!([one, other].iter().all(|id| world.record.unmanaged[id].probably_ours));
    let said = |words: &&String| words.contains("probably an orphan of this Scimitar");
    assert_eq!(rest.warnings.iter().filter(said).count(), 2, "{:?}", rest.warnings);
}

#[test]
fn where_the_print_is_not_trusted_no_guess_revokes_a_token() {
    let mut world = lost(Some(LIFE), TimeDelta::seconds(30));
    world.record.life_error = Some(40);
    let soon = turns_up(&mut world, "soon", Some(LIFE + 40));
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("soon"), "a colleague may have made it: {:?}", world.log);
    assert!(world.record.unmanaged[&soon].probably_ours);
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
    assert!(world.record.unmanaged[&late].probably_ours);
}

#[test]
fn without_expiry_there_is_no_print_and_intents_last_a_day() {
    let mut world = lost(None, TimeDelta::seconds(30));
    let soon = turns_up(&mut world, "soon", None);
    let (rest, _) = world.live(TimeDelta::hours(20));
    assert!(world.is_listed("soon"), "a colleague may have made it: {:?}", world.log);
    assert!(world.record.unmanaged[&soon].probably_ours);
    let said = |words: &String| words.contains("scimitar revoke initech-okta --token-id soon");
    assert!(rest.warnings.iter().any(said), "{:?}", rest.warnings);
    let mut world = lost(None, TimeDelta::hours(2));
    turns_up(&mut world, "late", None);
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("late"), "{:?}", world.log);
    assert!(world.record.intents.is_empty());
}

#[test]
fn a_rotation_asks_for_a_name_where_tokens_have_no_scopes() {
    let mut world = World::new(&["a"]);
    name_tokens(&mut world);
    world.run();
    assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
    let first = world.record.current.clone().unwrap().token;
    assert!(first.scopes.is_empty() && first.valid_until.is_none());
    let called = |token: &Listed| token.name.as_ref().unwrap().as_str().to_owned();
    assert!(called(&first).starts_with("scimitar/initech-okta/"), "{}", called(&first));
    world.live(TimeDelta::days(40));
    assert_eq!(world.current(), Some("new-2".to_owned()), "by max_age: {:?}", world.log);
    let second = world.record.current.clone().unwrap().token;
    assert_ne!(called(&first), called(&second));
    assert!(!world.is_listed("new-1"), "after its overlap: {:?}", world.log);
    assert!(world.record.unmanaged.is_empty() && !world.record.names_changed);
}

#[test]
fn an_orphan_is_known_by_its_name_whenever_it_was_made_or_seen() {
    for late in [TimeDelta::zero(), TimeDelta::hours(2), TimeDelta::days(6)] {
        for made in [TimeDelta::zero(), TimeDelta::hours(-3)] {
            let mut world = lost_by_name(late);
            named_turns_up(&mut world, "late", Some(NAME));
            let token = last(&mut world);
            token.created_at = token.created_at + made;
            world.run();
            assert!(!world.is_listed("late"), "{late} {made}: {:?}", world.log);
            assert!(world.record.intents.is_empty() && world.is_listed("new-1"));
        }
    }
}

#[test]
fn whatever_has_not_that_very_name_is_left_alone() {
    for called in [
        None,
        Some("okta-scim"),
        Some("scimitar/initech-okta/00000000000000ab"),
        Some("scimitar/initech-okta/00000000000000a"),
        Some("scimitar/other/00000000000000aa"),
    ] {
        let mut world = lost_by_name(TimeDelta::seconds(30));
        named_turns_up(&mut world, "theirs", called);
        world.live(TimeDelta::days(8));
        assert!(world.is_listed("theirs"), "{called:?}: {:?}", world.log);
    }
}

#[test]
fn a_name_that_two_tokens_have_or_that_is_in_use_proves_nothing() {
    let mut world = lost_by_name(TimeDelta::minutes(1));
    named_turns_up(&mut world, "one", Some(NAME));
    named_turns_up(&mut world, "other", Some(NAME));
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("one") && world.is_listed("other"), "{:?}", world.log);

    let mut world = lost_by_name(TimeDelta::minutes(1));
    let used = named_turns_up(&mut world, "used", Some(NAME));
    last(&mut world).last_used_at = Some(last(&mut world).created_at);
    let (rest, _) = world.live(TimeDelta::days(2));
    assert!(world.is_listed("used") && world.record.unmanaged[&used].probably_ours);
    // Nobody is told to revoke what somebody uses as if it were nobody's.
    let said: Vec<&String> = rest.warnings.iter().filter(|said| said.contains("used")).collect();
    assert!(said.len() == 1 && said[0].contains("somebody has it: find out who"), "{said:?}");
    assert!(!said[0].contains("orphan"), "{said:?}");
}

#[test]
fn a_name_of_ours_without_intent_is_shown_with_a_revoke_command() {
    let mut world = lost_by_name(TimeDelta::days(8));
    let ours = named_turns_up(&mut world, "ours", Some("scimitar/initech-okta/00000000000000cc"));
    let theirs = named_turns_up(&mut world, "theirs", Some("okta-scim"));
    let (rest, _) = world.live(TimeDelta::days(2));
    assert!(world.is_listed("ours") && world.is_listed("theirs"));
    assert!(world.record.unmanaged[&ours].probably_ours);
    assert!(!world.record.unmanaged[&theirs].probably_ours);
    let said: Vec<&String> = rest.warnings.iter().collect();
    assert_eq!(
        said,
        [
            "ours (called scimitar/initech-okta/00000000000000cc) is an unmanaged \
             token (probably an orphan of this Scimitar, which cannot be proven; `scimitar revoke \
             initech-okta --token-id ours` revokes it)",
            "theirs (called okta-scim) is an unmanaged token",
        ]
    );
}

#[test]
fn where_names_are_changed_they_prove_nothing_and_that_is_said() {
    let mut world = lost_by_name(TimeDelta::seconds(30));
    world.record.names_changed = true;
    let cut = named_turns_up(&mut world, "cut", Some("scimitar/initech"));
    let (rest, _) = world.live(TimeDelta::hours(2));
    assert!(world.is_listed("cut") && world.record.unmanaged[&cut].probably_ours);
    let said = rest.warnings.iter().any(|words| words.contains("does not keep token names"));
    assert!(said, "{:?}", rest.warnings);
}

/// Where no number of tokens is too many for the provider, nothing but us stops at one.
#[test]
fn tokens_that_cannot_be_taken_back_are_not_made_for_ever() {
    let mut world = World::new(&["a"]);
    name_tokens(&mut world);
    world.run();
    world.answer = Answer::Silent;
    world.revoke_fails = (2..1000).map(|n| id(&format!("new-{n}"))).collect();
    let (rest, why) = world.live(TimeDelta::days(37));
    assert_eq!(world.made, 4, "{why}");
    assert_eq!(rest.reason, Some(Reason::ProviderUnavailable), "{why}");
    assert!(why.contains("new-2, new-3, new-4 were created"), "{why}");
    // Whoever asks for one gets it, and once they can be taken back all is as ever.
    world.request = RotationRequest::Rotate { since: world.now };
    world.live(TimeDelta::hours(2));
    assert!(world.made > 4);
    world.request = RotationRequest::Due;
    world.answer = Answer::Accepts;
    world.revoke_fails.clear();
    world.live(TimeDelta::days(2));
    assert_eq!(world.tokens.len(), 1, "{:?}", world.tokens);
    assert_eq!(world.current(), Some(format!("new-{}", world.made)));
}
