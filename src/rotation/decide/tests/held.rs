//! A pause, a freeze, a window that is over: what they hold back, and what does not wait for them.

use std::time::Duration;

use chrono::TimeDelta;

use super::world::{Content, World, days, hours, id, place, policy};
use crate::{
    clock::Timestamp,
    rotation::{
        decide::{Rest, Status, held, sinks, work_at},
        due,
        event::Event,
        fixture,
        freeze::{Freeze, LocalSpan},
        hold,
        pause::Pause,
        policy::{OnDrift, Policy},
        record::{Cause, Record},
        request::RotationRequest,
        schedule::{Jitter, Schedule},
        status::ConnectionStatus,
        why::Reason,
    },
};

impl World {
    fn pause(&mut self, length: TimeDelta) {
        let pause = Pause {
            since: self.now,
            until: self.now + length,
            by: "alice".to_owned(),
            reason: "migration".to_owned(),
        };
        self.apply(Event::Paused(pause));
    }

    /// Nothing but the calendar says so, from now on.
    fn freeze(&mut self, length: TimeDelta) {
        self.policy.terms.freeze = freeze(&[(self.now, self.now + length)]);
    }

    fn rotations(&self) -> usize {
        self.log.iter().filter(|step| step.starts_with("mint")).count()
    }

    fn revocations(&self) -> usize {
        self.log.iter().filter(|step| step.starts_with("revoke")).count()
    }
}

fn freeze(spans: &[(Timestamp, Timestamp)]) -> Freeze {
    let local = |at: &Timestamp| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let spans: Vec<LocalSpan> = spans
        .iter()
        .map(|(from, until)| {
            LocalSpan::parse(&format!("{}/{}", local(from), local(until))).unwrap()
        })
        .collect();
    Freeze::new(&spans, chrono_tz::Tz::UTC)
}

type Hold = fn(&mut World, TimeDelta);

/// Each way of holding everything back, by the same name and length.
const HOLDS: [(Reason, Hold); 2] =
    [(Reason::Paused, World::pause), (Reason::Freeze, World::freeze)];

#[test]
fn what_is_due_waits_for_the_end_and_starts_then() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        world.pass_time(TimeDelta::days(18));
        hold(&mut world, TimeDelta::days(5));
        // Until it is due there is nothing to hold back, and it is shown all the same.
        let (rest, why) = world.run();
        assert_eq!((rest.status, rest.reason), (Status::Idle, Some(reason)), "{why}");
        let (rest, why) = world.live(TimeDelta::days(4));
        assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(reason)), "{why}");
        assert_eq!(world.rotations(), 0, "{reason:?}: {:?}", world.log);
        let end = rest.until.unwrap();
        assert_eq!(rest.next_rotation, Some(end));
        assert!((end - world.now - TimeDelta::days(1)).abs() < TimeDelta::minutes(1), "{end}");
        world.live(TimeDelta::days(1) + TimeDelta::minutes(1));
        assert_eq!(world.current(), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
        assert_eq!(world.record.pause, None, "it ends by itself");
        assert!(world.all_work());
    }
}

#[test]
fn a_token_about_to_expire_waits_for_nothing() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        world.pass_time(TimeDelta::days(18));
        // It would end 10 min before the token does.
        let end = world.tokens[0].valid_until.unwrap();
        let length = end - world.provider_now() - TimeDelta::minutes(10);
        hold(&mut world, length);
        let (rest, _) = world.run();
        let said = rest.warnings.iter().any(|words| words.contains("too soon after 20"));
        assert!(said, "{reason:?}: {:?}", rest.warnings);
        world.live(TimeDelta::days(3));
        assert_eq!(world.current(), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
        let minted = world.log.iter().find(|step| step.starts_with("mint")).unwrap();
        assert!(minted.contains("too soon after 20"), "it says so: {minted}");
        // What it replaced has to wait.
        world.live(TimeDelta::days(4));
        assert_eq!(world.revocations(), 0, "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn no_older_token_is_revoked_before_the_end() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
        world.request = RotationRequest::Due;
        hold(&mut world, TimeDelta::days(5));
        world.pass_time(TimeDelta::days(2));
        let (rest, why) = world.run();
        assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(reason)), "{why}");
        assert!(why.contains("no token is revoked now"), "{why}");
        world.live(TimeDelta::days(2));
        assert_eq!(world.revocations(), 0, "{reason:?}: {:?}", world.log);
        world.live(TimeDelta::days(1) + TimeDelta::minutes(5));
        assert!(!world.is_listed("new-1"), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn a_slot_that_a_token_at_its_end_needs_is_made_free() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        // Both slots are taken, and the hold outlasts the token in use.
        hold(&mut world, TimeDelta::days(40));
        world.live(TimeDelta::days(29));
        assert_eq!(world.current(), Some("new-3".to_owned()), "{reason:?}: {:?}", world.log);
        assert!(world.all_work());
    }
}

#[test]
fn a_rotation_in_flight_is_finished() {
    let mut world = World::settled(&["a", "b"]);
    world.request = RotationRequest::Rotate { since: world.now };
    world.unwritable.insert(place("b"));
    // It was shown writable a moment before, and then was not.
    for _ in 0..100 {
        if world.holds("a") == Some("new-2".to_owned()) {
            break;
        }
        let decision = world.decide();
        if matches!(decision.step, crate::rotation::decide::Step::Preflight { .. }) {
            world.unwritable.clear();
        }
        world.play(decision.step, &decision.why);
    }
    assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{:?}", world.log);
    world.request = RotationRequest::Due;
    world.pause(TimeDelta::days(5));
    world.freeze(TimeDelta::days(5));
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("b"), Some("new-2".to_owned()), "never half-delivered: {:?}", world.log);
    assert_eq!(world.revocations(), 0, "{:?}", world.log);
}

#[test]
fn readers_without_a_token_wait_for_no_hold() {
    for (reason, hold) in HOLDS {
        // Gone at the provider.
        let mut world = World::settled(&["a"]);
        hold(&mut world, TimeDelta::days(5));
        world.tokens.clear();
        world.live(TimeDelta::hours(2));
        assert_eq!(world.current(), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
        assert!(world.all_work(), "{reason:?}");
        // Gone from one of two sinks: filled from the other.
        let mut world = World::settled(&["a", "b"]);
        hold(&mut world, TimeDelta::days(5));
        world.places.insert(place("b"), Content::Nothing);
        world.values.insert(id("new-1"));
        world.live(TimeDelta::hours(2));
        assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{reason:?}: {:?}", world.log);
        // A first token is nobody's yet.
        let mut world = World::new(&["a"]);
        hold(&mut world, TimeDelta::days(5));
        let (rest, why) = world.run();
        assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(reason)), "{why}");
    }
}

#[test]
fn what_others_wrote_is_left_to_them_while_it_is_held() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a", "b"]);
        world.policy.terms.on_drift = OnDrift::Restore;
        hold(&mut world, TimeDelta::days(2));
        world.places.insert(place("b"), Content::Unknown);
        world.live(TimeDelta::hours(3));
        assert_eq!(world.places[&place("b")], Content::Unknown, "{reason:?}: {:?}", world.log);
        world.live(TimeDelta::days(2));
        assert_eq!(world.holds("b"), Some("new-1".to_owned()), "{reason:?}: {:?}", world.log);
        // Nor is a new token made for the only place, which a person may be writing to.
        let mut world = World::settled(&["a"]);
        world.policy.terms.on_drift = OnDrift::Restore;
        hold(&mut world, TimeDelta::days(2));
        world.places.insert(place("a"), Content::Unknown);
        world.live(TimeDelta::hours(3));
        assert_eq!(world.places[&place("a")], Content::Unknown, "{reason:?}: {:?}", world.log);
        world.live(TimeDelta::days(2));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn what_others_put_into_a_place_is_not_left_to_expire_there() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        world.policy.terms.on_drift = OnDrift::Restore;
        // With a slot left, what a place went back to is not simply taken over.
        world.policy.capabilities.cap = None;
        let older = world.unmanaged("tok_older", days(3));
        let made = world.tokens.iter_mut().find(|token| token.id == older).unwrap();
        made.created_at = made.created_at - TimeDelta::days(1);
        made.valid_until = made.valid_until.map(|until| until - TimeDelta::days(1));
        world.places.insert(place("a"), Content::Token(older, None));
        hold(&mut world, TimeDelta::days(1));
        world.live(TimeDelta::hours(3));
        assert_eq!(world.rotations(), 0, "{reason:?}: {:?}", world.log);
        hold(&mut world, TimeDelta::days(5));
        world.live(TimeDelta::hours(3));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn a_leak_waits_for_no_hold() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        hold(&mut world, TimeDelta::days(5));
        world.pass_time(TimeDelta::hours(1));
        world.request = RotationRequest::Compromised { since: world.now };
        world.run();
        assert_eq!(world.current(), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
        assert!(!world.is_listed("new-1"), "{reason:?}: {:?}", world.log);
        // Nor does an operator's word about one token.
        let mut world = World::settled(&["a"]);
        hold(&mut world, TimeDelta::days(5));
        let theirs = world.unmanaged("tok_theirs", days(30));
        let token = world.tokens.iter().find(|token| token.id == theirs).unwrap().clone();
        let at = world.provider_now();
        world.run();
        let retire = fixture::retire();
        world.apply(Event::Retired { token, cause: Cause::Asked, retire, at });
        world.restart();
        world.run();
        assert!(!world.is_listed("tok_theirs"), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn what_a_leak_on_record_needs_gone_is_not_held() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a"]);
        hold(&mut world, TimeDelta::days(5));
        world.run();
        assert!(change(&world).is_some(), "{reason:?}");
        // By an earlier call: what holds its slot, such as a dead token, has to make way.
        world.apply(Event::Condemned([id("new-1")].into()));
        assert!(change(&world).is_none(), "{reason:?}");
        world.restart();
        world.run();
        assert_eq!(world.current(), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
        assert!(!world.is_listed("new-1"), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn a_person_is_refused_by_a_pause_and_not_by_a_freeze() {
    let mut world = World::settled(&["a"]);
    world.pause(TimeDelta::days(5));
    world.pass_time(TimeDelta::hours(1));
    world.request = RotationRequest::Rotate { since: world.now };
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Refused, Some(Reason::Paused)), "{why}");
    assert!(why.contains("alice") && why.contains("migration"), "{why}");
    assert!(why.contains("`scimitar resume "), "the way out: {why}");
    let rested = crate::rotation::decide::rested(&world.situation(), &rest, &why);
    world.apply(rested);
    assert_eq!(world.record.refusal(), None, "the schedule is not refused by that");

    let mut world = World::settled(&["a"]);
    world.freeze(TimeDelta::days(5));
    world.pass_time(TimeDelta::hours(1));
    world.request = RotationRequest::Rotate { since: world.now };
    world.run();
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_pause_ends_when_an_operator_says_so() {
    let mut world = World::settled(&["a"]);
    world.pass_time(TimeDelta::days(20));
    world.pause(TimeDelta::days(5));
    world.live(TimeDelta::days(1));
    assert_eq!(world.rotations(), 0, "{:?}", world.log);
    world.apply(Event::Resumed { at: world.now });
    assert_eq!(world.record.wake_at, Some(world.now), "whoever waits looks at once");
    world.restart();
    world.run();
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn with_the_provider_away_a_pause_ends_all_the_same() {
    let mut world = World::settled(&["a"]);
    world.pause(TimeDelta::hours(1));
    world.provider_down = true;
    world.pass_time(TimeDelta::hours(1));
    world.run();
    assert_eq!(world.record.pause, None);
}

fn windows(expression: &str, window: Duration) -> Policy {
    let mut policy = policy();
    let schedule = Schedule::parse(expression, "UTC").unwrap();
    let schedule = schedule.with_jitter(Jitter::Fixed(Duration::ZERO));
    policy.terms.schedule = Some(schedule.with_window(Some(window)));
    policy
}

#[test]
fn a_rotation_that_missed_its_window_waits_for_the_next() {
    let mut world = World::settled(&["a"]);
    world.policy = windows("0 3 * * *", hours(4));
    world.pass_time(TimeDelta::days(19));
    world.provider_down = true;
    // "Now" is 04:00 at the beginning; due within the day after the 20th.
    world.live(TimeDelta::days(2) + TimeDelta::hours(6));
    world.provider_down = false;
    assert_eq!(world.rotations(), 0, "{:?}", world.log);
    let hour = |at: Timestamp| (at - fixture::now()).num_hours() % 24;
    assert!((4..20).contains(&hour(world.now)), "outside of the window: {}", world.now);
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(Reason::Window)), "{why}");
    assert_eq!(rest.until.map(|at| at.format("%H:%M").to_string()), Some("03:00".to_owned()));
    world.live(TimeDelta::days(1));
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
}

#[test]
fn a_window_is_open_from_its_tick_for_its_length() {
    let schedule = windows("0 3 * * *", hours(4)).terms.schedule.clone().unwrap();
    let at = |text: &str| crate::clock::parse_timestamp(text).unwrap();
    let opens = |text: &str| schedule.opens(at(text));
    assert_eq!(opens("2026-11-22T02:59:59Z"), Some(at("2026-11-22T03:00:00Z")));
    assert_eq!(opens("2026-11-22T03:00:00Z"), None);
    assert_eq!(opens("2026-11-22T06:59:59Z"), None);
    assert_eq!(opens("2026-11-22T07:00:00Z"), Some(at("2026-11-23T03:00:00Z")));
    // Without a length a tick is made up for at any time; nor is anything waited for after the last.
    assert_eq!(schedule.clone().with_window(None).opens(at("2026-11-22T07:00:00Z")), None);
    let last = Schedule::parse("0 0 3 1 1 * 2027", "UTC").unwrap().with_window(Some(hours(4)));
    assert_eq!(last.opens(at("2027-06-01T00:00:00Z")), None);
    // Each connection's own moment lies within it.
    let spread = schedule.with_jitter(Jitter::Fixed(hours(6)));
    let tick = at("2026-11-22T03:00:00Z");
    for salt in 0..500 {
        let start = spread.start(tick, crate::rotation::backoff::mix(salt));
        assert!(start - tick <= TimeDelta::hours(2), "{start}");
    }
}

/// When a rotation that is due at once starts.
fn starts(policy: &Policy, record: &Record) -> (TimeDelta, Option<Reason>, bool) {
    let now = fixture::there();
    let due = due::Due { at: Some(now), ..due::next(policy, record) };
    let start = hold::start(policy, record, &due, now).unwrap();
    (start.at - now, start.hold.map(|hold| hold.reason), start.overruled.is_some())
}

#[test]
fn one_hold_after_another_is_waited_for() {
    let (now, hour) = (fixture::now(), TimeDelta::hours(1));
    let mut record = fixture::rotated();
    record.survey = None;
    let current = record.current.as_mut().unwrap();
    (current.token.created_at, current.token.valid_until) =
        (fixture::there(), Some(fixture::there() + TimeDelta::days(30)));
    let plain = policy();
    assert_eq!(starts(&plain, &record), (TimeDelta::zero(), None, false));
    // "Now" is 04:00. A pause of an hour runs into a freeze of two, that one into a closed window.
    let pause = |length| {
        let (by, reason) = ("alice".to_owned(), "migration".to_owned());
        Some(Pause { since: now, until: now + length, by, reason })
    };
    record.pause = pause(hour);
    assert_eq!(starts(&plain, &record), (hour, Some(Reason::Paused), false));
    let mut all = windows("0 12 * * *", hours(1));
    all.terms.freeze = freeze(&[(now, now + hour * 3), (now + hour * 8, now + hour * 10)]);
    // 12:00 is frozen until 14:00, and then the window is over: noon of the next day.
    assert_eq!(starts(&all, &record), (hour * 32, Some(Reason::Paused), false));
    // A day of the life is kept for the rotation behind it, and not less.
    record.pause = pause(TimeDelta::days(29));
    assert_eq!(starts(&plain, &record), (TimeDelta::days(29), Some(Reason::Paused), false));
    record.pause = pause(TimeDelta::days(29) + hour);
    assert_eq!(starts(&plain, &record), (TimeDelta::zero(), None, true));
    // What does not expire can wait for ever.
    record.current.as_mut().unwrap().token.valid_until = None;
    record.pause = pause(TimeDelta::days(400));
    assert_eq!(starts(&plain, &record), (TimeDelta::days(400), Some(Reason::Paused), false));
}

fn change(world: &World) -> Option<hold::Hold> {
    let situation = world.situation();
    held::change(&situation, &sinks::due(&situation))
}

#[test]
fn a_hold_counts_for_the_moment_and_not_for_a_call_that_ends() {
    let mut world = World::settled(&["a"]);
    world.pause(TimeDelta::days(1));
    world.run();
    assert!(change(&world).is_some());
    world.request = RotationRequest::Compromised { since: world.now };
    assert!(change(&world).is_none());
}

/// Readers of a place that was restored from a backup are not cut off until the pause or the next look.
#[test]
fn a_dead_token_is_taken_out_while_a_rotation_is_held() {
    for (reason, hold) in HOLDS {
        let mut world = World::settled(&["a", "b"]);
        world.policy.terms.retire.overlap = hours(1);
        world.request = RotationRequest::Rotate { since: world.now };
        world.run();
        world.request = RotationRequest::Due;
        world.live(TimeDelta::hours(3));
        assert!(!world.is_listed("new-1"), "{:?}", world.log);
        world.pass_time(TimeDelta::days(18));
        hold(&mut world, TimeDelta::days(6));
        let (rest, why) = world.live(TimeDelta::days(3));
        assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(reason)), "{why}");
        let marks = world.marks(&id("new-1"), 1);
        world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
        // The next survey finds it; from then on it takes minutes.
        let seen = world.record.survey.as_ref().unwrap().at + TimeDelta::hours(1);
        world.live(seen - world.now + TimeDelta::minutes(5));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{reason:?}: {:?}", world.log);
    }
}

#[test]
fn what_was_resumed_is_not_shown_as_paused() {
    let mut world = World::settled(&["a"]);
    world.pause(TimeDelta::days(5));
    world.run();
    let shown =
        |world: &World, at: Timestamp| ConnectionStatus::of(&world.record, Some(&world.policy), at);
    assert_eq!(shown(&world, world.now).reason, Some(Reason::Paused));
    // It ended by itself, and the next pass is yet to come.
    let ended = shown(&world, world.now + TimeDelta::days(6));
    assert_eq!((ended.reason, ended.why.contains("alice")), (None, false), "{}", ended.why);
    world.apply(Event::Resumed { at: world.now });
    let resumed = shown(&world, world.now);
    assert_eq!((resumed.reason, resumed.why.contains("alice")), (None, false), "{}", resumed.why);
}

#[test]
fn a_call_whose_time_is_up_puts_no_look_off() {
    let mut world = World::settled(&["a"]);
    let (rest, _) = world.run();
    // Waits for the end of a freeze, and for nothing sooner.
    let until = Some(world.now + TimeDelta::days(5));
    let rest = Rest { reason: Some(Reason::Timeout), until, next_rotation: None, ..rest };
    let wake = work_at(&world.situation(), &rest);
    assert_eq!(wake, world.situation().next_survey());
    // What is left in the middle is gone on with.
    let soon = world.now + TimeDelta::seconds(1);
    for until in [None, Some(world.now)] {
        assert_eq!(work_at(&world.situation(), &Rest { until, ..rest.clone() }), soon);
    }
}
