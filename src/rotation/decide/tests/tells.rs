//! Hooks: what they are told, when, how often, and that nothing else waits for them.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::world::{World, id, place};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        decide::{Decision, Ending, Status, Step, wake_at},
        event::{Event, RetiringEvent},
        fixture,
        notice::{MOST_WAITING, OCCASIONS, Occasion, Subscriber, Try},
        record::{Cause, Decided, Retiring, RetiringState, Trouble},
        request::RotationRequest,
        why::Reason,
    },
    token::HookName,
};

fn hook(name: &str) -> HookName {
    HookName::try_new(name).unwrap()
}

/// A world whose hook `h` wants to know everything.
fn told(places: &[&str]) -> World {
    let mut world = World::new(places);
    world.hooks.insert(hook("h"), OCCASIONS.into());
    world.configure(places);
    world
}

/// The same after its first rotation, with nothing left to be told.
fn settled(places: &[&str]) -> World {
    let mut world = told(places);
    world.run();
    assert_eq!(world.log.last().map(String::as_str), Some("h: delivered"), "{:?}", world.log);
    world.log.clear();
    world.pass_time(TimeDelta::minutes(5));
    world
}

fn fails(world: &mut World, class: Class, code: Code) {
    world.broken_hooks.insert(hook("h"), Fault::new("run the hook h", class, code, "it fails"));
}

fn subscriber(world: &World) -> &Subscriber {
    &world.record.notices.hooks[&hook("h")]
}

/// What happened, without what the hook was told.
fn deeds(world: &World) -> Vec<&String> {
    world.log.iter().filter(|line| !line.starts_with("h: ") && !line.contains("not")).collect()
}

fn count(world: &World, line: &str) -> usize {
    world.log.iter().filter(|told| *told == line).count()
}

/// A rest as the shell writes it down.
fn rested(world: &mut World, reason: Option<Reason>) {
    let since = world.now;
    let status = reason.map_or(Status::Idle, |_| Status::Refused);
    let words = "an operator decides, or nothing is due".to_owned();
    let decided = Some(Decided { status, reason, words, since, until: None });
    world.apply(Event::Rested {
        at: since,
        wake_at: None,
        work_at: None,
        next_rotation: None,
        decided,
        warnings: std::collections::BTreeSet::new(),
        noticed: None,
    });
}

/// A DELETE that was announced failed.
fn revoke_failed(world: &mut World, trouble: &Trouble) {
    let orphan = fixture::retiring(fixture::token("orphan", 9), Cause::Orphan);
    let (id, what) =
        (orphan.token.id.clone(), RetiringEvent::RevokeFailed { trouble: trouble.clone() });
    world.record.retiring =
        vec![Retiring { state: RetiringState::Announced { at: trouble.at }, ..orphan }];
    world.apply(Event::Retiring { id, what });
}

#[test]
fn what_happens_is_told_once_when_everything_else_is_done() {
    let mut world = settled(&["a", "b"]);
    world.live(TimeDelta::days(24));
    let told: Vec<_> = world.log.iter().filter(|line| line.starts_with("h: ")).collect();
    assert_eq!(told, ["h: delivered", "h: revoked"], "{:?}", world.log);
    let at = |line: &str| world.log.iter().position(|told| told.starts_with(line)).unwrap();
    assert!(at("settled") < at("h: delivered") && at("h: delivered") < at("revoke new-1"));
    let hook = subscriber(&world);
    assert!(hook.waiting.is_empty());
    let last = hook.last.as_ref().unwrap();
    assert_eq!((last.occasion, &last.fault), (Occasion::Revoked, &None));
}

#[test]
fn a_notice_names_the_tokens_and_has_one_id_for_all_hooks() {
    let mut world = settled(&["a"]);
    world.hooks.insert(hook("i"), [Occasion::Delivered].into());
    world.configure(&["a"]);
    fails(&mut world, Class::Transient, Code::Unavailable);
    world.broken_hooks.insert(hook("i"), world.broken_hooks[&hook("h")].clone());
    world.pass_time(TimeDelta::days(21));
    world.run();
    let notices = &world.record.notices;
    let of = |name: &str| notices.hooks[&hook(name)].waiting.first().unwrap();
    let (h, i) = (of("h"), of("i"));
    assert_eq!((&h.id, &h.happening), (&i.id, &i.happening));
    assert_eq!(h.happening.token, Some(id("new-2")));
    assert_eq!(h.happening.previous, Some(id("new-1")));
    assert_eq!(h.happening.generation, 2);
    let first = h.id.clone();
    world.live(TimeDelta::hours(2));
    assert_eq!(subscriber(&world).waiting[0].id, first, "every try has the same");
    world.live(TimeDelta::days(2));
    let waiting = &subscriber(&world).waiting;
    assert_eq!(waiting[1].happening.occasion, Occasion::Revoked);
    assert_ne!(waiting[1].id, first);
    assert!(waiting[0].number < waiting[1].number);
}

#[test]
fn a_hook_that_always_fails_changes_nothing_that_is_done() {
    for (class, code) in [
        (Class::Terminal, Code::Invalid),
        (Class::Transient, Code::Unavailable),
        (Class::Transient, Code::Timeout),
    ] {
        let mut with = settled(&["a", "b"]);
        fails(&mut with, class, code);
        let mut without = settled(&["a", "b"]);
        without.hooks.clear();
        without.configure(&["a", "b"]);
        with.live(TimeDelta::days(70));
        without.live(TimeDelta::days(70));
        assert!(count(&with, "h: delivered fails") > 3);
        assert_eq!(deeds(&with), deeds(&without));
        assert!(with.all_work() && with.holds("a") == without.holds("a"));
        assert_eq!(with.record.tally, without.record.tally);
        assert!(without.record.notices.hooks.is_empty());
    }
}

#[test]
fn a_failed_one_is_tried_ever_less_often_and_given_up_at_last() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Transient, Code::Unavailable);
    world.pass_time(TimeDelta::days(21));
    world.run();
    let began = world.now;
    let mut tries = vec![began];
    while world.now - began < TimeDelta::hours(10) {
        let wake = subscriber(&world).waiting[0].trouble.as_ref().unwrap().retry_at;
        world.live(wake - world.now);
        world.run();
        tries.push(wake);
    }
    let pauses: Vec<TimeDelta> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= TimeDelta::seconds(48) && pauses[0] <= TimeDelta::seconds(60));
    assert!(pauses.windows(2).take(5).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= TimeDelta::hours(1)), "{pauses:?}");
    let warned = |world: &World, words: &str| {
        world.record.notices.warnings().any(|text| text.contains(words))
    };
    assert!(warned(&world, "the hook h could not be told"), "{:?}", world.record.notices);
    world.live(TimeDelta::days(8));
    assert_eq!(count(&world, "h: revoked"), 0);
    assert!(world.log.iter().any(|line| line.starts_with("notice_dropped")), "{:?}", world.log);
    // The revocation a day later was given up a day later, too.
    assert!(subscriber(&world).waiting.is_empty());
    assert_eq!(subscriber(&world).missed, 2);
    assert!(warned(&world, "will not be told of 2"), "{:?}", world.record.notices);
    world.broken_hooks.clear();
    world.live(TimeDelta::days(20));
    assert_eq!(subscriber(&world).missed, 0);
    assert!(!warned(&world, "the hook"), "{:?}", world.record.notices);
}

#[test]
fn what_was_never_tried_does_not_wait_for_what_fails() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Terminal, Code::Invalid);
    world.live(TimeDelta::days(20) + TimeDelta::hours(3));
    assert_eq!(subscriber(&world).waiting.len(), 1, "{:?}", world.log);
    world.log.clear();
    rested(&mut world, Some(Reason::UnmanagedToken));
    world.run();
    assert_eq!(world.log, ["h: refused fails"]);
}

#[test]
fn one_that_hangs_is_not_begun_again_for_a_minute() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Transient, Code::Timeout);
    rested(&mut world, Some(Reason::UnmanagedToken));
    rested(&mut world, Some(Reason::Brake));
    let (rest, _) = world.run();
    assert_eq!(count(&world, "h: refused fails"), 1, "{:?}", world.log);
    assert_eq!(wake_at(&world.situation(), &rest), world.now + TimeDelta::minutes(1));
    world.pass_time(TimeDelta::seconds(61));
    world.run();
    assert_eq!(count(&world, "h: refused fails"), 2, "{:?}", world.log);
    // The one that was never tried came first.
    assert!(subscriber(&world).waiting.iter().all(|notice| notice.trouble.is_some()));
}

#[test]
fn a_try_cut_off_is_made_again_at_once_and_then_less_often() {
    let mut world = settled(&["a"]);
    rested(&mut world, Some(Reason::UnmanagedToken));
    let begun = |world: &mut World, free: bool| {
        for _ in 0..20 {
            let Decision { step, why } = world.decide();
            if matches!(step, Step::Rest(_)) {
                return None;
            }
            if let Step::Notify { hook, notice } = step {
                let at = world.now;
                let (id, number) = (notice.id.clone(), notice.number);
                let until = free.then(|| at + TimeDelta::seconds(90));
                let begun = Try { at, until };
                world.apply(Event::NoticeBegun { hook, number, begun });
                world.restart();
                return Some(id);
            }
            world.play(step, &why);
        }
        panic!("no end: {:?}", world.log);
    };
    let first = begun(&mut world, false);
    assert!(first.is_some());
    assert_eq!(begun(&mut world, false), first, "kill -9: at once, with the same id");
    let none = begun(&mut world, false);
    assert_eq!(none, None, "what ends Scimitar itself does so once a minute at most");
    world.pass_time(TimeDelta::minutes(2));
    assert_eq!(begun(&mut world, true), first);
    assert_eq!(begun(&mut world, true), None, "another process may still be at it");
    let until = world.now + TimeDelta::seconds(90);
    assert_eq!(subscriber(&world).wake_at(world.now), Some(until));
    world.pass_time(TimeDelta::minutes(5));
    assert_eq!(begun(&mut world, true), None, "it counts as a failure");
    world.pass_time(TimeDelta::minutes(5));
    assert_eq!(begun(&mut world, true), first);
    // Set back, the clock says nothing of how long a try lasts.
    world.set_clock(TimeDelta::hours(-1));
    world.run();
    assert!(subscriber(&world).waiting.iter().all(|notice| notice.begun.is_none()));
}

#[test]
fn a_failure_is_told_when_it_lasts_once_and_again_each_day() {
    let mut world = settled(&["a"]);
    world.unwritable.insert(place("a"));
    world.live(TimeDelta::days(20));
    world.log.clear();
    world.live(TimeDelta::days(3));
    let told = count(&world, "h: failed");
    assert!((3..=4).contains(&told), "{told}: {:?}", world.log);
    world.unwritable.clear();
    world.live(TimeDelta::hours(2));
    assert!(world.record.notices.failures.is_empty(), "{:?}", world.record.notices);
}

#[test]
fn what_mends_itself_soon_is_no_news_but_what_needs_a_person_is() {
    let now = fixture::now();
    let trouble = |class, since: Timestamp, at: Timestamp| Trouble {
        count: 1,
        since,
        fault: Fault::new("revoke new-1", class, Code::Unavailable, "503"),
        at,
        retry_at: at,
        of_sink: false,
    };
    let waiting = |events: &[Trouble]| {
        let mut world = settled(&["a"]);
        for trouble in events {
            revoke_failed(&mut world, trouble);
        }
        subscriber(&world)
            .waiting
            .iter()
            .map(|n| n.happening.reason.clone().unwrap())
            .collect::<Vec<_>>()
    };
    let later = |seconds| now + TimeDelta::seconds(seconds);
    let transient = |at| trouble(Class::Transient, now, at);
    let terminal = |at| trouble(Class::Terminal, now, at);
    assert!(waiting(&[transient(now), transient(later(29))]).is_empty());
    assert_eq!(
        waiting(&[transient(now), transient(later(30)), transient(later(900))]),
        ["transient"]
    );
    assert_eq!(waiting(&[terminal(now), terminal(later(900))]), ["terminal"]);
    // That it will not mend by itself is news, that it might after all is not.
    let events =
        [transient(later(60)), terminal(later(90)), transient(later(120)), terminal(later(150))];
    assert_eq!(waiting(&events), ["transient", "terminal"]);
}

#[test]
fn a_provider_away_is_news_if_something_is_due_or_after_an_hour() {
    let mut world = settled(&["a"]);
    world.provider_down = true;
    world.live(TimeDelta::minutes(50));
    assert_eq!(count(&world, "h: failed"), 0, "{:?}", world.log);
    world.live(TimeDelta::hours(2));
    assert_eq!(count(&world, "h: failed"), 1, "{:?}", world.log);

    let mut world = told(&["a"]);
    world.provider_down = true;
    world.live(TimeDelta::minutes(2));
    assert_eq!(world.log, ["h: failed"]);
}

#[test]
fn a_refusal_is_told_when_it_begins_and_when_its_reason_changes() {
    let mut world = settled(&["a"]);
    rested(&mut world, Some(Reason::UnmanagedToken));
    world.run();
    rested(&mut world, Some(Reason::UnmanagedToken));
    world.run();
    assert_eq!(count(&world, "h: refused"), 1);
    rested(&mut world, Some(Reason::Brake));
    world.run();
    // By turns, with each look: known.
    rested(&mut world, Some(Reason::UnmanagedToken));
    rested(&mut world, Some(Reason::Brake));
    world.run();
    assert_eq!(count(&world, "h: refused"), 2);
    rested(&mut world, None);
    rested(&mut world, Some(Reason::Brake));
    world.run();
    assert_eq!(count(&world, "h: refused"), 3);
}

#[test]
fn a_refusal_that_a_failure_hides_for_a_while_is_no_news() {
    let mut world = settled(&["a"]);
    rested(&mut world, Some(Reason::Brake));
    let trouble = Trouble {
        count: 1,
        since: world.now,
        fault: Fault::new("revoke new-1", Class::Transient, Code::Unavailable, "503"),
        at: world.now,
        retry_at: world.now,
        of_sink: false,
    };
    revoke_failed(&mut world, &trouble);
    rested(&mut world, None);
    world.pass_time(TimeDelta::hours(23));
    rested(&mut world, Some(Reason::Brake));
    assert_eq!(subscriber(&world).waiting.len(), 1);
    rested(&mut world, None);
    world.pass_time(TimeDelta::hours(25));
    rested(&mut world, Some(Reason::Brake));
    assert_eq!(subscriber(&world).waiting.len(), 2, "it may have been over");
}

#[test]
fn a_pass_for_a_hook_asks_nobody_else_anything() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Transient, Code::Unavailable);
    rested(&mut world, Some(Reason::Brake));
    world.run();
    assert_eq!(world.log, ["h: refused fails"]);
    let work_at = world.now + TimeDelta::minutes(50);
    world.record.work_at = Some(work_at);
    world.request = RotationRequest::Woken;
    let lists = |world: &World| world.observed.list.is_some();
    for tries in 2..5 {
        world.now = subscriber(&world).wake_at(world.now).unwrap();
        world.restart();
        let (rest, _) = world.run();
        assert_eq!(count(&world, "h: refused fails"), tries);
        assert_eq!((rest.hooks_only, lists(&world)), (true, false));
        assert!(wake_at(&world.situation(), &rest) <= work_at);
    }
    // Its own time, a clock that was set back by much, a start or a person's call: all of it.
    let soon = work_at - TimeDelta::minutes(1);
    for (now, request) in [
        (work_at, RotationRequest::Woken),
        (work_at - TimeDelta::days(1), RotationRequest::Woken),
        (soon, RotationRequest::Due),
        (soon, RotationRequest::Rotate { since: soon }),
    ] {
        (world.now, world.request, world.record.work_at) = (now, request, Some(work_at));
        world.restart();
        let (rest, _) = world.run();
        assert!(!rest.hooks_only && lists(&world), "{now}");
    }
    // So does what another process wrote down and did not live to carry out.
    (world.now, world.request, world.record.work_at) =
        (soon, RotationRequest::Woken, Some(work_at));
    world.restart();
    world.configure(&["a"]);
    assert_eq!(world.record.work_at, Some(work_at), "nothing is new");
    world.apply(Event::Condemned([id("new-1")].into()));
    let (rest, _) = world.run();
    assert!(!rest.hooks_only && lists(&world));
}

#[test]
fn of_all_that_a_hook_failed_at_one_is_tried_every_ten_minutes() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Transient, Code::Unavailable);
    for reason in [Reason::Brake, Reason::UnmanagedToken, Reason::NoScopes] {
        rested(&mut world, Some(reason));
    }
    world.run();
    assert_eq!(count(&world, "h: refused fails"), 3, "each of them once, at once");
    world.live(TimeDelta::hours(5));
    let tries = count(&world, "h: refused fails") - 3;
    assert!((10..=30).contains(&tries), "{tries}");
    world.broken_hooks.clear();
    world.live(TimeDelta::minutes(61));
    assert!(subscriber(&world).waiting.is_empty(), "{:?}", world.log);
}

#[test]
fn a_place_that_gets_its_token_back_is_told_of() {
    let mut world = settled(&["a", "b"]);
    world.places.insert(place("b"), super::world::Content::Nothing);
    world.live(TimeDelta::hours(2));
    assert_eq!(world.holds("b"), Some("new-1".to_owned()));
    assert_eq!(count(&world, "h: delivered"), 1, "{:?}", world.log);
}

#[test]
fn nothing_is_begun_by_a_call_that_has_to_end() {
    let mut world = settled(&["a"]);
    rested(&mut world, Some(Reason::UnmanagedToken));
    for ending in [Ending::Interrupted, Ending::Timeout] {
        world.ending = Some(ending);
        world.run();
        assert!(world.log.is_empty(), "{:?}", world.log);
    }
    world.ending = None;
    world.run();
    assert_eq!(world.log, ["h: refused"]);
}

#[test]
fn what_a_hook_does_not_want_or_is_gone_for_is_not_kept() {
    let mut world = settled(&["a"]);
    fails(&mut world, Class::Transient, Code::Unavailable);
    rested(&mut world, Some(Reason::UnmanagedToken));
    world.run();
    assert_eq!(subscriber(&world).waiting.len(), 1);
    world.hooks = BTreeMap::from([(hook("h"), [Occasion::Delivered].into())]);
    world.configure(&["a"]);
    assert!(subscriber(&world).waiting.is_empty());
    rested(&mut world, Some(Reason::Brake));
    assert!(subscriber(&world).waiting.is_empty());
    world.hooks.clear();
    world.configure(&["a"]);
    assert!(world.record.notices.hooks.is_empty());
}

#[test]
fn so_much_waits_for_a_hook_and_no_more() {
    let mut world = settled(&["a"]);
    for nth in 0..MOST_WAITING + 5 {
        let reason = if nth % 2 == 0 { Reason::Brake } else { Reason::UnmanagedToken };
        rested(&mut world, None);
        rested(&mut world, Some(reason));
    }
    let hook = subscriber(&world);
    assert_eq!((hook.waiting.len(), hook.missed), (MOST_WAITING, 5));
    assert!(hook.waiting.is_sorted_by_key(|notice| notice.number));
}
