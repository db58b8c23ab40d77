//! Clocks that are wrong, and worlds in which nothing is.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::world::{World, days, hours, id, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::{Decision, Status, Step},
        due,
        event::{Event, RetiringEvent},
        fixture,
        observe::is_dead,
        policy::{Lead, Retire, Share, Verify},
        record::{Begun, Cause, Phase, RetiringState},
        request::RotationRequest,
        schedule::Schedule,
    },
};

/// The states of a connection in which a clock may be set.
fn states() -> Vec<(&'static str, World)> {
    let steady = World::settled(&["a", "b"]);
    let mut overlap = World::settled(&["a", "b"]);
    overlap.request = RotationRequest::Rotate { since: overlap.now };
    overlap.run();
    overlap.request = RotationRequest::Due;
    overlap.pass_time(TimeDelta::hours(1));
    overlap.run();
    overlap.log.clear();
    let mut evidence = overlap.clone();
    evidence.record.retiring[0].retire =
        Retire { overlap: hours(1), after_use: true, when_idle: Some(hours(5)), at_latest: None };
    evidence.run();
    let mut drifted = World::settled(&["a", "b"]);
    drifted.places.insert(place("b"), super::world::Content::Unknown);
    drifted.run();
    vec![("steady", steady), ("overlap", overlap), ("evidence", evidence), ("drifted", drifted)]
}

#[test]
fn no_setting_of_the_hosts_clock_mints_or_revokes_by_itself() {
    for (name, world) in states() {
        for offset in [-400, -10, -1, 1, 10, 400] {
            let mut world = world.clone();
            world.set_clock(TimeDelta::hours(offset));
            world.live(TimeDelta::minutes(10));
            assert!(world.log.is_empty(), "{name}, {offset} h: {:?}", world.log);
            // The same with the provider away: what it said last is all there is.
            world.provider_down = true;
            world.set_clock(TimeDelta::hours(-2 * offset));
            world.live(TimeDelta::minutes(10));
            assert!(world.log.is_empty(), "{name}, {offset} h, away: {:?}", world.log);
        }
    }
}

#[test]
fn a_clock_once_far_ahead_does_not_put_off_the_next_rotation() {
    let mut world = World::new(&["a"]);
    world.set_clock(TimeDelta::days(365));
    world.run();
    world.set_clock(TimeDelta::days(-365));
    world.live(TimeDelta::days(22));
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn the_skew_is_said_and_nothing_else_comes_of_it() {
    let mut world = World::settled(&["a"]);
    world.set_clock(TimeDelta::hours(3));
    let (rest, _) = world.run();
    let ahead = "the local clock is 10800 s ahead of the provider's clock: set it by NTP";
    assert!(rest.warnings.contains(ahead), "{:?}", rest.warnings);
    assert_eq!(rest.status, Status::Idle);
}

#[test]
fn no_clock_shortens_or_prolongs_the_wait_for_a_late_write() {
    let mut world = World::settled(&["a"]);
    let mut orphan = fixture::token("lost", 0);
    orphan.created_at = world.provider_now();
    world.tokens.push(orphan.clone());
    world.record.retiring.push(fixture::retiring(orphan, Cause::Orphan));
    let state = world.record.sinks.get_mut(&place("a")).unwrap();
    state.lingers = Duration::from_secs(60);
    state.begun = Some(Begun { id: id("lost"), at: world.now, replaces: None, spends: false });
    // The clock was ten hours ahead when that was written down.
    world.set_clock(TimeDelta::hours(-10));
    world.run();
    assert!(world.is_listed("lost"), "not before it can have arrived: {:?}", world.log);
    world.live(TimeDelta::minutes(5));
    assert!(!world.is_listed("lost"), "and not ten hours later: {:?}", world.log);
}

#[test]
fn a_delete_answered_404_is_repeated_whatever_the_clock_does() {
    let mut world = World::settled(&["a"]);
    let token = fixture::token("ghost", 0);
    world.tokens.push(token.clone());
    let mut retiring = fixture::retiring(token, Cause::Orphan);
    let announced_at = world.now + TimeDelta::hours(10);
    retiring.state = RetiringState::NotFound { announced_at };
    world.record.retiring.push(retiring);
    world.live(TimeDelta::minutes(5));
    assert!(!world.is_listed("ghost"), "{:?}", world.log);
}

#[test]
fn a_token_revoked_by_force_stays_due_although_a_list_shows_it() {
    let mut world = World::settled(&["a"]);
    let token = world.tokens[0].clone();
    let fault = Fault::new("create a token", Class::Transient, Code::Unavailable, "503");
    let (id, now) = (token.id.clone(), world.now);
    let retire = world.policy.terms.retire.clone();
    world.apply(Event::Retired {
        token,
        cause: Cause::Forced,
        retire,
        at: world.situation().provider_now(),
    });
    world.apply(Event::Retiring {
        id: id.clone(),
        what: RetiringEvent::RevokeAnnounced { at: now },
    });
    world.apply(Event::Retiring { id, what: RetiringEvent::Revoked { at: now } });
    let trouble = world.trouble(None, fault);
    world.apply(Event::MintFailed { trouble, no_slot: false });
    world.pass_time(TimeDelta::minutes(5));
    let decision = world.decide();
    world.play(decision.step, &decision.why);
    assert!(due::next(&world.policy, &world.record).urgent);
}

#[test]
fn the_mark_of_an_earlier_use_is_not_that_of_a_later_probe() {
    let mut world = World::settled(&["a"]);
    world.clients = true;
    world.pass_time(TimeDelta::hours(1));
    world.run();
    world.clients = false;
    world.pass_time(TimeDelta::hours(1));
    let sent = world.provider_now();
    let id = world.record.current.as_ref().unwrap().token.id.clone();
    world.apply(Event::ProbeAnnounced { id, sent, arrives_by: sent + TimeDelta::seconds(60) });
    world.run();
    let probe = world.record.current.as_ref().unwrap().probe.clone().unwrap();
    assert_eq!(probe.mark, None, "a use an hour before the probe says nothing of its delay");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn without_failures_places_always_work_and_no_token_is_left(
        life in prop_oneof![Just(None), (2_u64..400).prop_map(Some)],
        part in 0.05_f64..0.49,
        age in proptest::option::of(3_u64..60),
        overlap in 0_u64..30,
        after_use: bool,
        idle in proptest::option::of(1_u64..5),
        latest in proptest::option::of(30_u64..60),
        verify in prop_oneof![Just(Verify::Off), Just(Verify::Read)],
        cap in prop_oneof![Just(Some(2)), Just(None)],
        schedule in proptest::option::of(prop_oneof![
            Just("0 3 * * *"), Just("0 */6 * * *"), Just("0 3 * * Mon-Fri"),
        ]),
        hand_off: bool,
        skew in -50_000_i64..50_000,
    ) {
        let mut world = World::new(&[]);
        if hand_off {
            world.hand_offs.insert(place("c"));
            world.configure(&["a", "b", "c"]);
        } else {
            world.configure(&["a", "b"]);
        }
        let six_hourly = schedule.is_some_and(|text| text.contains("*/6"));
        let policy = &mut world.policy;
        policy.terms.token_lifetime = life.map(days);
        policy.terms.rotate_before = life.and_then(|_| Share::try_new(part).map(Lead::Share));
        policy.terms.max_age = age.map(days);
        // Shorter than any time between two rotations, as `check` asks.
        policy.terms.retire = Retire {
            overlap: hours(overlap.min(life.unwrap_or(400) * 24 / 25)),
            after_use,
            // The first two rotations are five hours apart there, and a first use takes one to be seen.
            when_idle: idle.map(|idle| hours(if six_hourly { idle.min(3) } else { idle })),
            at_latest: latest.map(hours),
        };
        policy.terms.verify = verify;
        policy.capabilities.cap = cap;
        policy.terms.schedule = schedule.map(|text| Schedule::parse(text, "Europe/Berlin").unwrap());
        let due_again = policy.terms.rotate_before.is_some() || age.is_some() || schedule.is_some();
        let soon = life.unwrap_or(400).min(age.unwrap_or(400));
        world.clients = true;
        world.set_clock(TimeDelta::seconds(skew));
        world.run();
        for _ in 0..120 {
            prop_assert!(world.all_work(), "{:?}", world.log);
            // One that expired before it was idle for long enough died by itself.
            let now = world.provider_now();
            let live = world.tokens.iter().filter(|token| !is_dead(token, now));
            prop_assert!(live.count() <= 2, "{:?}", world.tokens);
            world.live(TimeDelta::hours(12));
        }
        prop_assert!(matches!(world.record.phase, Phase::Steady));
        prop_assert_eq!(world.record.refusal(), None);
        if due_again && soon < 50 {
            prop_assert!(world.made >= 2, "{} made: {:?}", world.made, world.log);
        }
        // No more than one in each overlap, or in a quarter of an hour.
        prop_assert!(u64::from(world.made) <= 60 * 24 / overlap.clamp(1, 24) + 2, "{}", world.made);
    }
}

/// By how much one answer's `Date` is wrong.
const WRONG: [TimeDelta; 4] =
    [TimeDelta::days(-30), TimeDelta::hours(-2), TimeDelta::hours(2), TimeDelta::days(40)];

#[test]
fn a_date_wrong_for_a_moment_neither_cuts_nor_prolongs_overlaps() {
    for wrong in WRONG {
        let mut world = World::settled(&["a"]);
        world.clients = true;
        world.policy.terms.retire.when_idle = Some(Duration::from_secs(3600));
        world.live(TimeDelta::hours(3));
        // It is wrong while the rotation is carried out …
        world.wrong_date = wrong;
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        world.wrong_date = TimeDelta::zero();
        world.live(TimeDelta::hours(12));
        // … and once more in the middle of the overlap.
        world.wrong_date = wrong;
        world.pass_time(TimeDelta::minutes(5));
        world.run();
        world.wrong_date = TimeDelta::zero();
        world.pass_time(TimeDelta::minutes(5));
        world.live(TimeDelta::minutes(11 * 60 + 40));
        assert!(world.is_listed("new-1"), "{wrong}: {:?}", world.log);
        world.live(TimeDelta::hours(13));
        assert!(!world.is_listed("new-1"), "{wrong}: {:?}", world.log);
    }
}

#[test]
fn what_is_found_while_no_two_dates_agree_counts_from_now() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    world.request = RotationRequest::Due;
    // The ledger is lost, and the host's clock is behind.
    world.set_clock(TimeDelta::hours(-3));
    world.record = fixture::empty();
    world.configure(&["a"]);
    let mut wrong = [TimeDelta::zero(), TimeDelta::days(40), TimeDelta::zero()].into_iter();
    for _ in 0..20 {
        let Decision { step, why } = world.decide();
        if matches!(step, Step::Look { list: true, .. }) {
            world.wrong_date = wrong.next().unwrap();
        }
        if matches!(step, Step::Rest(_)) {
            break;
        }
        world.play(step, &why);
    }
    let since = world.record.current.as_ref().unwrap().delivered_at.unwrap();
    let left = world.provider_now() - since;
    assert!(left <= TimeDelta::minutes(1), "{left}: {:?}", world.log);
}

#[test]
fn a_date_that_is_wrong_for_a_moment_kills_nobody() {
    for wrong in WRONG {
        let mut world = World::settled(&["a"]);
        world.dead_count = true;
        world.unmanaged("theirs", days(30));
        world.live(TimeDelta::hours(3));
        world.wrong_date = wrong;
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.pass_time(TimeDelta::minutes(1));
        world.run();
        assert!(world.is_listed("theirs") && world.is_listed("new-1"), "{wrong}: {:?}", world.log);
        assert!(world.all_work(), "{wrong}: {:?}", world.log);
    }
}

#[test]
fn a_call_whose_clock_is_set_back_does_not_try_without_pause() {
    let mut world = World::settled(&["a"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.set_clock(TimeDelta::hours(-1));
    let fault = Fault::new("show it", Class::Terminal, Code::Forbidden, "403");
    let trouble = world.trouble(None, fault);
    world.apply(Event::MintFailed { trouble, no_slot: false });
    let (rest, why) = world.run();
    assert_eq!((rest.status, world.made), (Status::Troubled, 1), "{why}: {:?}", world.log);
}
