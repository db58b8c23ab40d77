//! What hooks are told of once for as long as it stands: `expiring`, `unmanaged`, `drift` and
//! `revocation_blocked`, and `handoff`, daily.

use std::time::Duration;

use chrono::TimeDelta;

use super::world::{Content, World, days, id, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::{Ending, rested},
        notice::{Happening, Notice, OCCASIONS, Occasion},
        operate,
        policy::{Mode, OnDrift, Terms},
        uptake::Uptake,
        why::Reason,
    },
    token::HookName,
};

fn hook() -> HookName {
    HookName::try_new("h").unwrap()
}

/// A world, and what its hook was to be told.
struct Story {
    world: World,
    told: Vec<Happening>,
    number: u64,
}

impl std::ops::Deref for Story {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl std::ops::DerefMut for Story {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

/// The same before its first rotation.
fn new(places: &[&str]) -> Story {
    let mut world = World::new(places);
    world.hooks.insert(hook(), OCCASIONS.into());
    // What it is to be told stays in the record, to be looked at.
    let fault = Fault::new("run the hook h", Class::Transient, Code::Unavailable, "it fails");
    world.broken_hooks.insert(hook(), fault);
    world.configure(places);
    Story { world, told: Vec::new(), number: 0 }
}

fn settled(places: &[&str]) -> Story {
    let mut story = new(places);
    rest(&mut story);
    assert!(story.told.is_empty(), "{:?}", story.told);
    story.pass_time(TimeDelta::minutes(5));
    story
}

/// A pass, and its rest written down as the shell does.
fn rest(story: &mut Story) {
    let (rest, why) = story.run();
    let event = rested(&story.situation(), &rest, &why);
    story.apply(event);
    let waiting = &story.world.record.notices.hooks[&hook()].waiting;
    let four = |happening: &Happening| {
        use Occasion::{Delivered, Failed, Refused, Revoked};
        ![Delivered, Failed, Refused, Revoked].contains(&happening.occasion)
    };
    for notice in waiting.iter().filter(|notice| notice.number > story.number) {
        story.told.extend(Some(notice.happening.clone()).filter(four));
    }
    story.number = story.world.record.notices.count;
}

/// From rest to rest, as the daemon goes.
fn live(story: &mut Story, time: TimeDelta) {
    let until = story.now + time;
    while story.now < until {
        rest(story);
        let wake = story.record.wake_at.unwrap();
        story.now = wake.min(until).max(story.now + TimeDelta::seconds(1));
        story.restart();
    }
}

/// What there was to tell of the four.
fn told(story: &Story) -> Vec<&Happening> {
    story.told.iter().collect()
}

fn count(story: &Story, occasion: Occasion) -> usize {
    story.told.iter().filter(|happening| happening.occasion == occasion).count()
}

/// The thresholds that were told, each at its moment.
fn thresholds(world: &Story) -> Vec<u64> {
    let at_its_moment = |happening: &&Happening| {
        let threshold = TimeDelta::from_std(happening.threshold.unwrap()).unwrap();
        let left =
            happening.expires_at.unwrap() - world.record.believed_clock().to_provider(happening.at);
        assert!(left <= threshold && threshold - left < TimeDelta::seconds(5), "{happening:?}");
        threshold.num_days().unsigned_abs()
    };
    told(world).iter().map(at_its_moment).collect()
}

#[test]
fn each_threshold_of_a_token_is_told_once_and_at_its_moment() {
    let mut world = settled(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    live(&mut world, TimeDelta::days(40));
    assert_eq!(thresholds(&world), [14, 3, 1], "{:?}", told(&world));
    let first = told(&world)[0];
    assert_eq!((first.occasion, first.token.clone()), (Occasion::Expiring, Some(id("new-1"))));
    assert!(first.words.starts_with("new-1 stops working at "), "{}", first.words);
}

#[test]
fn a_token_that_is_rotated_in_time_tells_nothing() {
    for asked in [None, Some([days(3), days(9)].into())] {
        let mut world = settled(&["a"]);
        world.policy.terms.notify_before = asked;
        live(&mut world, TimeDelta::days(70));
        assert_eq!(count(&world, Occasion::Expiring), 0, "{:?}", told(&world));
    }
}

#[test]
fn one_that_is_held_up_is_told_although_it_is_to_be_rotated() {
    let mut world = settled(&["a"]);
    world.unmanaged("stranger", days(90));
    live(&mut world, TimeDelta::days(29) + TimeDelta::hours(12));
    let expiring = told(&world).into_iter().filter(|it| it.occasion == Occasion::Expiring);
    let days: Vec<u64> = expiring.map(|it| it.threshold.unwrap().as_secs() / 86_400).collect();
    assert_eq!(days, [3, 1], "{:?}", told(&world));
}

#[test]
fn of_several_that_are_past_the_nearest_is_told() {
    let mut world = settled(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    world.policy.terms.notify_before = Some([days(20), days(14), days(7), days(1)].into());
    rest(&mut world);
    // The daemon was off.
    world.pass_time(TimeDelta::days(24));
    rest(&mut world);
    let threshold = |world: &Story, nth: usize| told(world)[nth].threshold;
    assert_eq!((told(&world).len(), threshold(&world, 0)), (1, Some(days(7))));
    live(&mut world, TimeDelta::days(10));
    assert_eq!((told(&world).len(), threshold(&world, 1)), (2, Some(days(1))));
    // One that is asked for later and is past as well is no news.
    world.policy.terms.notify_before = Some([days(2), days(1)].into());
    rest(&mut world);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn the_usual_thresholds_are_those_of_a_rotation_that_is_late() {
    let of = |terms: &Terms, life| terms.thresholds(life).collect::<Vec<_>>();
    let mut terms = Terms { rotate_before: None, ..(*super::world::policy().terms).clone() };
    assert_eq!(of(&terms, days(90)), [days(3), days(1)]);
    terms.rotate_before = super::world::policy().terms.rotate_before;
    assert_eq!(of(&terms, days(30)), [days(3), days(1)]);
    assert_eq!(of(&terms, days(90)), [days(14), days(3), days(1)]);
    assert_eq!(of(&terms, Duration::from_secs(3_600)), [Duration::ZERO; 0]);
    terms.mode = Mode::Observe;
    assert_eq!(of(&terms, days(7)), [days(3), days(1)]);
    terms.notify_before = Some([days(5), days(30)].into());
    assert_eq!(of(&terms, days(7)), [days(5)], "more than the whole life is no threshold");
    terms.notify_before = Some([].into());
    assert_eq!(of(&terms, days(7)), [Duration::ZERO; 0]);
}

#[test]
fn an_unmanaged_token_is_told_once_also_while_only_observed() {
    for mode in [Mode::Observe, Mode::Rotate] {
        let mut world = settled(&["a"]);
        world.policy.terms.mode = mode;
        world.unmanaged("stranger", days(90));
        live(&mut world, TimeDelta::hours(5));
        assert_eq!(count(&world, Occasion::Unmanaged), 1, "{:?}", told(&world));
        let first = told(&world)[0].clone();
        assert_eq!(first.token, Some(id("stranger")));
        assert!(first.expires_at.is_some() && first.words.contains("not created by Scimitar"));
        // A list that lags says nothing.
        world.unlisted.insert(id("stranger"));
        live(&mut world, TimeDelta::hours(5));
        world.unlisted.clear();
        live(&mut world, TimeDelta::hours(5));
        assert_eq!(count(&world, Occasion::Unmanaged), 1, "{:?}", told(&world));
        world.unmanaged("another", days(90));
        live(&mut world, TimeDelta::hours(5));
        assert_eq!(count(&world, Occasion::Unmanaged), 2, "{:?}", told(&world));
    }
}

#[test]
fn many_unmanaged_tokens_at_once_are_one_event() {
    let mut world = settled(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    for number in 0..30 {
        world.unmanaged(&format!("stranger-{number:02}"), days(90));
    }
    live(&mut world, TimeDelta::hours(5));
    assert_eq!(count(&world, Occasion::Unmanaged), 1, "{:?}", told(&world));
    let words = &told(&world)[0].words;
    assert!(words.starts_with("30 tokens were not created by Scimitar: stranger-00, "), "{words}");
    assert!(words.ends_with(", stranger-19 and 10 more"), "{words}");
    assert_eq!((&told(&world)[0].token, told(&world)[0].expires_at), (&None, None));
}

#[test]
fn what_a_sink_holds_at_the_first_meeting_is_not_unmanaged() {
    let mut world = new(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    let token = world.unmanaged("there", days(30));
    world.places.insert(place("a"), Content::Token(token, None));
    world.unreadable.insert(place("a"));
    live(&mut world, TimeDelta::hours(1));
    world.unreadable.clear();
    live(&mut world, TimeDelta::hours(5));
    assert_eq!(world.current().as_deref(), Some("there"));
    assert_eq!(count(&world, Occasion::Unmanaged), 0, "{:?}", told(&world));
}

#[test]
fn drift_is_told_once_also_if_it_is_restored_at_once() {
    let mut world = settled(&["a", "b"]);
    let ours = world.holds("a").unwrap();
    world.places.insert(place("a"), Content::Unknown);
    live(&mut world, TimeDelta::hours(5));
    assert_eq!(count(&world, Occasion::Drift), 1, "{:?}", told(&world));
    assert!(told(&world)[0].words.contains("changed outside Scimitar"), "{:?}", told(&world));
    // What cannot be read for a while is as it was.
    world.unreadable.insert(place("a"));
    live(&mut world, TimeDelta::hours(2));
    world.unreadable.clear();
    live(&mut world, TimeDelta::hours(2));
    assert_eq!(count(&world, Occasion::Drift), 1, "{:?}", told(&world));
    world.places.insert(place("a"), Content::Token(id(&ours), None));
    live(&mut world, TimeDelta::hours(5));
    world.places.insert(place("a"), Content::Unknown);
    live(&mut world, TimeDelta::hours(5));
    assert_eq!(count(&world, Occasion::Drift), 2, "{:?}", told(&world));

    let mut world = settled(&["a", "b"]);
    world.policy.terms.on_drift = OnDrift::Restore;
    for times in 1..3 {
        world.places.insert(place("a"), Content::Unknown);
        live(&mut world, TimeDelta::hours(5));
        assert_eq!(world.holds("a"), Some(ours.clone()));
        assert_eq!(count(&world, Occasion::Drift), times, "{:?}", told(&world));
    }
    // What is new in the policy is filled, and was changed by nobody.
    world.configure(&["a", "b", "c"]);
    live(&mut world, TimeDelta::hours(5));
    assert_eq!(world.holds("c"), Some(ours));
    assert_eq!(count(&world, Occasion::Drift), 2, "{:?}", told(&world));
}

#[test]
fn a_revocation_that_is_stuck_is_told_once_after_three_days() {
    let mut world = settled(&["a"]);
    world.revoke_fails.insert(id("new-1"));
    live(&mut world, TimeDelta::days(24));
    assert_eq!(world.current().as_deref(), Some("new-2"));
    assert_eq!(count(&world, Occasion::RevocationBlocked), 0, "{:?}", told(&world));
    live(&mut world, TimeDelta::days(3));
    assert_eq!(count(&world, Occasion::RevocationBlocked), 1, "{:?}", told(&world));
    let happening = told(&world)[0].clone();
    assert_eq!(happening.token, Some(id("new-1")));
    assert_eq!(happening.reason.as_deref(), Some(Reason::ProviderUnavailable.as_str()));
    live(&mut world, TimeDelta::days(1));
    assert_eq!(count(&world, Occasion::RevocationBlocked), 1, "{:?}", told(&world));
}

#[test]
fn a_hand_off_is_told_and_told_again_each_day_until_it_is_done() {
    let mut world = new(&["a"]);
    world.hand_offs.insert(place("okta"));
    let instructions = "paste it into Okta".to_owned();
    world.uptakes.insert(place("okta"), Uptake::ByPerson { instructions });
    world.configure(&["a", "okta"]);
    rest(&mut world);
    assert_eq!(count(&world, Occasion::Handoff), 1, "{:?}", told(&world));
    let happening = told(&world).into_iter().find(|it| it.occasion == Occasion::Handoff).unwrap();
    assert_eq!(happening.token, Some(id("new-1")));
    assert!(happening.words.contains("copy it from a and paste it into Okta"), "{happening:?}");
    live(&mut world, TimeDelta::hours(23));
    assert_eq!(count(&world, Occasion::Handoff), 1, "{:?}", told(&world));
    live(&mut world, TimeDelta::hours(25));
    assert_eq!(count(&world, Occasion::Handoff), 2, "{:?}", told(&world));
    // The hook failed all the time: the reminder is enough.
    let waiting = &world.record.notices.hooks[&hook()].waiting;
    let untold = waiting.iter().filter(|it| it.happening.occasion == Occasion::Handoff).count();
    assert_eq!(untold, 1, "{waiting:?}");
    let done = operate::handed_over(&world.record, "alice", None, None, world.now, None).unwrap().0;
    world.apply(done);
    let waiting = &world.record.notices.hooks[&hook()].waiting;
    let stale = |it: &Notice| it.happening.occasion == Occasion::Handoff;
    assert!(!waiting.iter().any(stale), "it is done: {waiting:?}");
    live(&mut world, TimeDelta::days(3));
    assert_eq!(count(&world, Occasion::Handoff), 2, "{:?}", told(&world));
}

#[test]
fn a_pass_that_is_cut_off_tells_nothing_of_what_stands() {
    let mut world = settled(&["a"]);
    world.unmanaged("stranger", days(90));
    world.ending = Some(Ending::Interrupted);
    rest(&mut world);
    let cut_off = count(&world, Occasion::Unmanaged);
    world.ending = None;
    world.pass_time(TimeDelta::minutes(5));
    rest(&mut world);
    assert_eq!(count(&world, Occasion::Unmanaged), 1, "{cut_off} before: {:?}", told(&world));
}

#[test]
fn what_no_hook_wants_wakes_nobody_and_is_told_once_one_does() {
    let mut world = settled(&["a"]);
    world.policy.terms.mode = Mode::Observe;
    world.hooks.insert(hook(), [Occasion::Delivered].into());
    world.configure(&["a"]);
    world.unmanaged("stranger", days(90));
    live(&mut world, TimeDelta::days(17));
    assert!(told(&world).is_empty());
    world.hooks.insert(hook(), OCCASIONS.into());
    world.configure(&["a"]);
    rest(&mut world);
    let occasions: Vec<_> = told(&world).iter().map(|it| it.occasion).collect();
    assert_eq!(occasions, [Occasion::Expiring, Occasion::Unmanaged]);
}
