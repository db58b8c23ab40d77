//! When a rotation is due.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::world::{World, days, place, policy, scopes};
use crate::rotation::{
    decide::Status,
    due,
    fixture::{self, id, there},
    policy::{Lead, Mode, Policy, ScopePolicy, Share},
    record::{Current, Missing, Record},
    schedule::{Jitter, Schedule},
    why::Reason,
};
use crate::{
    token::{ConnectionId, Listed, Scope},
    words::date,
};

fn share(share: f64) -> Option<Lead> {
    Share::try_new(share).map(Lead::Share)
}

/// A token made now, delivered a minute later.
fn record(life: Option<Duration>) -> Record {
    let mut record = fixture::empty();
    let valid_until = life.map(|life| there() + TimeDelta::from_std(life).unwrap());
    let token = Listed {
        id: id("t"),
        created_at: there(),
        valid_until,
        last_used_at: None,
        scopes: scopes(),
        name: None,
    };
    record.current = Some(Current {
        token,
        delivered_at: Some(there() + TimeDelta::minutes(1)),
        first_use: None,
        probe: None,
        began: fixture::now(),
        retire: fixture::retire(),
        asked: None,
    });
    record
}

fn at(policy: &Policy, record: &Record) -> TimeDelta {
    due::next(policy, record).at.unwrap() - there()
}

fn scheduled(expression: &str) -> Option<Schedule> {
    Some(Schedule::parse(expression, "UTC").unwrap())
}

#[test]
fn a_share_is_of_the_life_that_was_granted() {
    let mut policy = policy();
    policy.terms.rotate_before = share(0.33);
    for life in [30, 3, 300] {
        policy.terms.token_lifetime = Some(days(life));
        let due = at(&policy, &record(Some(days(life))));
        let exact = TimeDelta::days(i64::try_from(life).unwrap()) * 67 / 100;
        assert!(due <= exact && exact - due <= exact / 10, "{life}: {due}");
    }
}

#[test]
fn a_fixed_lead_is_held_to_half_of_the_life_with_a_warning() {
    let mut policy = policy();
    policy.terms.rotate_before = Some(Lead::Fixed(days(10)));
    let fits = due::next(&policy, &record(Some(days(30))));
    assert_eq!(fits.warning, None);
    let held = due::next(&policy, &record(Some(days(4))));
    assert!(held.warning.is_some());
    let due = held.at.unwrap() - there();
    assert!(due <= TimeDelta::days(2) && due > TimeDelta::hours(42), "{due}");
}

#[test]
fn a_token_without_expiry_is_due_by_age_only() {
    let mut policy = policy();
    policy.terms.token_lifetime = None;
    let forever = due::next(&policy, &record(None));
    assert_eq!((forever.at, forever.urgent), (None, false));
    policy.terms.max_age = Some(days(90));
    let due = at(&policy, &record(None));
    assert!(due <= TimeDelta::days(90) && due > TimeDelta::days(89), "{due}");
}

#[test]
fn the_earlier_of_age_and_expiry_counts() {
    let mut policy = policy();
    policy.terms.max_age = Some(days(5));
    assert!(at(&policy, &record(Some(days(30)))) <= TimeDelta::days(5));
    policy.terms.max_age = Some(days(29));
    assert!(at(&policy, &record(Some(days(30)))) < TimeDelta::days(21));
}

#[test]
fn what_never_was_is_leaked_or_gone_is_urgent() {
    let policy = policy();
    assert!(due::next(&policy, &fixture::empty()).urgent);
    let mut leaked = record(Some(days(30)));
    leaked.condemned.insert(id("t"));
    assert!(due::next(&policy, &leaked).urgent);
    let mut gone = record(Some(days(30)));
    let first = there();
    gone.missing = Some(Missing { first, last: first + TimeDelta::seconds(4), refused: true });
    assert!(!due::next(&policy, &gone).urgent, "two lists 4 s apart prove nothing");
    gone.missing = Some(Missing { first, last: first + TimeDelta::seconds(5), refused: false });
    assert!(!due::next(&policy, &gone).urgent, "lists alone prove nothing");
    gone.missing = Some(Missing { first, last: first + TimeDelta::seconds(5), refused: true });
    assert!(due::next(&policy, &gone).urgent);
}

#[test]
fn a_schedule_says_when_what_is_due_may_start() {
    let mut policy = policy();
    policy.terms.schedule = scheduled("0 3 * * *");
    // "Now" is 04:00; a third of 30 days is left at 2.4 h past 20 days.
    let due = at(&policy, &record(Some(days(30))));
    assert_eq!(due, TimeDelta::days(20) + TimeDelta::hours(23));
}

#[test]
fn with_a_schedule_alone_every_tick_is_due_but_not_before_it() {
    let mut policy = policy();
    policy.terms.rotate_before = None;
    policy.terms.schedule = scheduled("0 3 * * *");
    assert_eq!(at(&policy, &record(Some(days(30)))), TimeDelta::hours(23));
    assert_eq!(at(&policy, &record(None)), TimeDelta::hours(23));
}

#[test]
fn with_only_a_schedule_a_changed_policy_is_said_and_waits() {
    let mut policy = policy();
    policy.terms.rotate_before = None;
    policy.terms.schedule = scheduled("0 3 * * *");
    let mut record = record(Some(days(30)));
    record.unsatisfied_since = Some(there() + TimeDelta::days(2));
    assert!(!due::next(&policy, &record).policy_changed);
    policy.terms.scopes =
        ScopePolicy::Exactly(BTreeSet::from([Scope::try_new("post:users").unwrap()]));
    let due = due::next(&policy, &record);
    assert!(due.policy_changed && due.because.contains("post:users"), "{due:?}");
    assert_eq!(at(&policy, &record), TimeDelta::days(2) + TimeDelta::hours(23));
}

#[test]
fn what_breaks_the_policy_is_due_although_a_date_steps_back() {
    let mut world = World::settled(&["a"]);
    world.live(TimeDelta::days(1));
    let made = world.made;
    world.policy.terms.mode = Mode::Observe;
    world.policy.terms.scopes =
        ScopePolicy::Exactly(BTreeSet::from([Scope::try_new("post:users").unwrap()]));
    world.run();
    assert!(world.record.unsatisfied_since.is_some() && world.made == made);
    // A `Date` says whole seconds: the first one had just begun, this one is nearly over.
    world.pass_time(TimeDelta::milliseconds(300));
    world.wrong_date = TimeDelta::milliseconds(-999);
    world.restart();
    world.policy.terms.mode = Mode::Rotate;
    world.run();
    assert_eq!(world.made, made + 1, "{:?}", world.log);
}

#[test]
fn a_lone_schedule_with_a_late_tick_is_not_due_all_the_time() {
    let mut policy = policy();
    policy.terms.rotate_before = None;
    policy.terms.schedule = scheduled("0 3 1 1 *");
    let due = due::next(&policy, &record(Some(days(30))));
    let after = due.at.unwrap() - there();
    assert!(after >= TimeDelta::days(15), "due again {after} after it was made");
    assert!(after <= TimeDelta::days(29), "{after}");
    assert!(due.warning.is_some());
    let mut world = World::new(&["a"]);
    world.policy = policy;
    world.live(TimeDelta::days(15));
    assert_eq!(world.made, 1, "{:?}", world.log);
}

#[test]
fn a_window_that_comes_too_late_is_not_waited_for() {
    let mut policy = policy();
    policy.terms.schedule = scheduled("0 3 1 1 *");
    let due = due::next(&policy, &record(Some(days(30))));
    assert!(due.at.unwrap() - there() <= TimeDelta::days(20) + TimeDelta::hours(3), "{due:?}");
    assert!(due.because.contains("too late"), "{}", due.because);
    assert!(due.warning.is_some());
}

#[test]
fn a_schedule_that_has_ended_lets_no_token_expire() {
    let mut policy = policy();
    policy.terms.schedule = scheduled("0 0 3 * * * 2026");
    policy.terms.token_lifetime = Some(days(90));
    let mut record = record(Some(days(90)));
    let due = due::next(&policy, &record);
    assert!(due.at.is_some_and(|at| at < there() + TimeDelta::days(62)), "{due:?}");
    assert!(due.warning.is_some());
    // One that does not expire has no such end: what was asked for is kept to.
    policy.terms.rotate_before = None;
    record.current.as_mut().unwrap().token.valid_until = None;
    record.current.as_mut().unwrap().delivered_at = Some(there() + TimeDelta::days(60));
    assert_eq!(due::next(&policy, &record).at, None);
}

#[test]
fn an_age_beyond_the_expiry_lets_no_token_expire() {
    let mut policy = policy();
    policy.terms.rotate_before = None;
    policy.terms.max_age = Some(days(90));
    let due = at(&policy, &record(Some(days(30))));
    assert!(due < TimeDelta::days(30), "due {due} after it was made for 30 days");
}

proptest! {
    #[test]
    fn under_any_policy_a_token_is_due_between_its_making_and_end(
        life in 902_u64..200_000_000,
        lead in prop_oneof![
            (1_u64..100_000_000).prop_map(|secs| Some(Lead::Fixed(Duration::from_secs(secs)))),
            (0.001_f64..0.5).prop_map(share),
            Just(None),
        ],
        age in proptest::option::of(1_000_u64..100_000_000),
        asked in 902_u64..200_000_000,
        connection in "con_[a-z0-9]{4,12}",
        schedule in proptest::option::of(prop_oneof![
            Just("0 3 * * *"), Just("*/15 * * * *"), Just("0 3 * * Mon-Fri"), Just("0 3 1 1 *"),
        ]),
    ) {
        let mut policy = policy();
        policy.terms.token_lifetime = Some(Duration::from_secs(asked));
        policy.terms.rotate_before = lead;
        policy.terms.max_age = age.map(Duration::from_secs);
        policy.terms.schedule = schedule.and_then(scheduled);
        if lead.is_none() && age.is_none() && schedule.is_none() {
            return Ok(());
        }
        let mut record = record(Some(Duration::from_secs(life)));
        record.key.connection = ConnectionId::try_new(connection).unwrap();
        let life = TimeDelta::from_std(Duration::from_secs(life)).unwrap();
        let due = at(&policy, &record);
        prop_assert!(due >= TimeDelta::zero(), "due {due} before it was made");
        prop_assert!(due < life, "due {due} after it was made for {life}");
        prop_assert_eq!(at(&policy, &record), due, "it moves");
    }

    #[test]
    fn jitter_takes_at_most_a_tenth_of_the_lead_and_at_most_an_hour(
        life in 902_u64..200_000_000, part in 0.01_f64..0.5, asked in 902_u64..200_000_000,
        connection in "con_[a-z0-9]{4,12}",
    ) {
        let mut policy = policy();
        policy.terms.rotate_before = share(part);
        policy.terms.token_lifetime = Some(Duration::from_secs(asked.max(life)));
        let mut record = record(Some(Duration::from_secs(life)));
        record.key.connection = ConnectionId::try_new(connection).unwrap();
        let lead = Lead::Share(Share::try_new(part).unwrap()).of(Duration::from_secs(life));
        let exact = TimeDelta::from_std(Duration::from_secs(life) - lead).unwrap();
        let jitter = exact - at(&policy, &record);
        prop_assert!(jitter >= TimeDelta::seconds(-1), "{jitter}");
        prop_assert!(jitter <= TimeDelta::from_std(lead / 10).unwrap() + TimeDelta::seconds(1), "{jitter}");
        prop_assert!(jitter <= TimeDelta::hours(1) + TimeDelta::seconds(1), "{jitter}");
    }
}

#[test]
fn connections_of_one_policy_do_not_all_start_at_once() {
    let policy = policy();
    let starts: BTreeSet<TimeDelta> = (0..50)
        .map(|number| {
            let mut record = record(Some(days(30)));
            record.key.connection = ConnectionId::try_new(format!("con_{number}")).unwrap();
            at(&policy, &record)
        })
        .collect();
    assert!(starts.len() > 40, "{} different starts of 50", starts.len());
}

#[test]
fn ticks_are_spread_and_never_so_far_that_the_token_ends_first() {
    let minutes = |minutes: u64| Some(Jitter::Fixed(Duration::from_secs(60 * minutes)));
    let due_at = |jitter: Option<Jitter>, life: TimeDelta| {
        let mut policy = policy();
        let schedule = Schedule::parse("0 3 * * *", "UTC").unwrap();
        policy.terms.schedule = Some(match jitter {
            Some(jitter) => schedule.with_jitter(jitter),
            None => schedule,
        });
        due::next(&policy, &record(Some(life.to_std().unwrap())))
    };
    let month = TimeDelta::days(30);
    let tick = due_at(None, month).at.unwrap();
    assert_eq!(due_at(Some(Jitter::Fixed(Duration::ZERO)), month).at, Some(tick));
    let spread = due_at(Some(Jitter::Share), month).at.unwrap();
    assert!(spread > tick && spread <= tick + TimeDelta::minutes(15), "{spread:?}");
    // The same each time: what is shown is what is done.
    assert_eq!(due_at(Some(Jitter::Share), month).at, Some(spread));
    let wide = due_at(minutes(240), month).at.unwrap();
    assert!(wide > tick + TimeDelta::minutes(15), "{wide:?}");
    // The tick comes 23 h after the token was made. Ten minutes before its end it is replaced,
    // however far ticks are spread …
    let hours = TimeDelta::hours(23);
    let near = due_at(minutes(240), hours + TimeDelta::minutes(12));
    assert_eq!(near.at, Some(there() + hours + TimeDelta::minutes(2)), "{near:?}");
    // … and a tick that comes too late is none that is waited for.
    let late = due_at(minutes(240), hours + TimeDelta::minutes(9));
    assert!(late.warning.is_some() && late.at < Some(there() + hours), "{late:?}");
}

#[test]
fn the_next_rotation_is_as_far_off_as_the_last_one_keeps_it() {
    let mut world = World::new(&["a"]);
    world.policy.terms.rotate_before = None;
    world.policy.terms.token_lifetime = None;
    world.policy.terms.max_age = Some(Duration::from_secs(600));
    world.policy.terms.retire.overlap = Duration::from_secs(120);
    world.run();
    let began = world.record.last_rotation.as_ref().unwrap().began;
    let (rest, why) = world.run();
    assert_eq!(rest.next_rotation, Some(began + due::FLOOR), "{why}");
    let before = format!("nothing is due before {}: ", date(began + due::FLOOR));
    assert!(why.starts_with(&before), "one time, not two: {why}");
    // What fails meanwhile is not hidden behind the wait, whether or not it is due already.
    let mut fails = world.clone();
    for minutes in [1, 10] {
        fails.unreadable.clear();
        fails.live(TimeDelta::minutes(minutes));
        fails.unreadable.insert(place("a"));
        let (rest, why) = fails.live(TimeDelta::minutes(1));
        let stands = (rest.status, rest.reason);
        assert_eq!(stands, (Status::Troubled, Some(Reason::SinkUnavailable)), "{why}");
    }
    fails.unreadable.clear();
    let (rest, why) = fails.live(TimeDelta::minutes(1));
    assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(Reason::Overlap)), "{why}");
    // What is said then is so.
    world.live(TimeDelta::minutes(14));
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    world.live(TimeDelta::minutes(2));
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
}
