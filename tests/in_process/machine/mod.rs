//! The state machines: which event can happen in which state, one by one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

pub(crate) mod samples;

use std::collections::{BTreeMap, BTreeSet};

use scimitar::rotation::{
    event::{Event, RetiringEvent},
    record::{Cause, Phase, Record, Retiring, RetiringState},
    uptake::{Account, Uptake},
};
use scimitar_test_support::text;

use samples::{
    after, at_place, events, id, now, of_retiring, older_events, place_events, records, there,
};

/// The phases in which each event can happen, by the names that history and the audit log have.
const IN_PHASES: [(&str, [bool; 3]); 30] = {
    const ALWAYS: [bool; 3] = [true, true, true];
    const STEADY: [bool; 3] = [true, false, false];
    const MINTING: [bool; 3] = [false, true, false];
    const DELIVERING: [bool; 3] = [false, false, true];
    const NO_CREATE: [bool; 3] = [true, false, true];
    [
        ("configured", ALWAYS),
        ("looked", ALWAYS),
        ("look_failed", ALWAYS),
        ("condemned", ALWAYS),
        ("paused", ALWAYS),
        ("resumed", ALWAYS),
        ("intended", STEADY),
        ("minted", MINTING),
        ("mint_failed", [true, true, false]),
        ("writes_checked", STEADY),
        ("mint_lost", MINTING),
        ("intent_opened", MINTING),
        ("intents_expired", NO_CREATE),
        ("orphan_found", NO_CREATE),
        ("taken_over", STEADY),
        ("proven", DELIVERING),
        ("value_known", ALWAYS),
        ("judged", NO_CREATE),
        ("settled", DELIVERING),
        ("settled_in_part", DELIVERING),
        ("given_up", DELIVERING),
        ("current_asked", NO_CREATE),
        ("current_ask_failed", NO_CREATE),
        ("found_refused", NO_CREATE),
        ("retired", ALWAYS),
        ("notice_begun", ALWAYS),
        ("notified", ALWAYS),
        ("notify_failed", ALWAYS),
        ("notice_dropped", ALWAYS),
        ("rested", ALWAYS),
    ]
};

/// Can happen while no create is under way, to the replacement and to the current token.
const OF_A_TOKEN: &str = "probe_announced";

/// What each event makes of an older token that waits, whose DELETE was announced, and whose DELETE
/// was answered 404; `None`: it cannot happen.
const OF_OLDER: [(&str, [Option<&str>; 3]); 5] = [
    ("revoke_announced", [Some("announced"), Some("announced"), Some("not_found")]),
    ("revoked", [None, Some(GONE), Some(GONE)]),
    ("not_found", [None, Some("not_found"), Some("not_found")]),
    ("revoke_failed", [None, Some("announced"), Some("not_found")]),
    ("expired", [Some(GONE), Some(GONE), Some(GONE)]),
];

const GONE: &str = "gone";

/// Whether each event can happen at a place in each phase, before and after a write was announced.
const AT_PLACES: [(&str, [bool; 3], [bool; 3]); 12] = {
    const ALWAYS: [bool; 3] = [true, true, true];
    const NEVER: [bool; 3] = [false, false, false];
    const DELIVERING: [bool; 3] = [false, false, true];
    [
        ("place_accepted", ALWAYS, ALWAYS),
        ("stage_begun", DELIVERING, DELIVERING),
        ("staged", DELIVERING, DELIVERING),
        ("stage_failed", DELIVERING, DELIVERING),
        ("forgotten", ALWAYS, ALWAYS),
        ("forget_failed", ALWAYS, ALWAYS),
        ("promote_begun", ALWAYS, ALWAYS),
        ("promote_failed", NEVER, ALWAYS),
        ("delivered", NEVER, ALWAYS),
        // Readers of this place get what is delivered: nobody has to do anything.
        ("handed_over", NEVER, NEVER),
        ("client_asked", NEVER, NEVER),
        ("client_silent", NEVER, NEVER),
    ]
};

fn nth(record: &Record) -> usize {
    match record.phase {
        Phase::Steady => 0,
        Phase::Minting(_) => 1,
        Phase::Delivering(_) => 2,
    }
}

/// What a refusal says of a state.
fn refusal(record: &Record, event: Event) -> String {
    record.clone().apply(event).unwrap_err().to_string()
}

#[test]
fn every_event_is_tried_under_its_old_name() {
    let tried: BTreeSet<&str> = events().iter().map(Event::name).collect();
    let mut known: Vec<&str> = IN_PHASES.iter().map(|(name, _)| *name).collect();
    known.push(OF_A_TOKEN);
    known.extend(OF_OLDER.iter().map(|(name, _)| *name));
    known.extend(AT_PLACES.iter().map(|(name, ..)| *name));
    assert_eq!(known.len(), 48);
    assert_eq!(tried, known.into_iter().collect());
    let source = ["event.rs", "event/retiring.rs", "event/place.rs"]
        .map(|file| text::read(&format!("src/rotation/{file}")))
        .concat();
    let named: BTreeSet<&str> =
        source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")).collect();
    assert_eq!(tried, named);
}

#[test]
fn a_probe_is_announced_of_a_token_on_its_way_or_current() {
    let mut accepted = 0;
    for record in records() {
        for id in ["tok_a", "tok_b", "tok_c"].map(id) {
            let current = record.current.as_ref().map(|current| &current.token.id);
            let known = match &record.phase {
                Phase::Steady => current == Some(&id),
                Phase::Minting(_) => false,
                Phase::Delivering(replacement) => {
                    replacement.token.id == id || current == Some(&id)
                }
            };
            let event = Event::ProbeAnnounced { id, sent: there(), arrives_by: there() };
            assert_eq!(event.name(), OF_A_TOKEN);
            let after = record.clone().apply(event.clone());
            assert_eq!(after.is_ok(), known, "{event:?} while {}", record.phase_name());
            accepted += usize::from(known);
        }
    }
    assert!(accepted > 5, "{accepted}");
}

#[test]
fn each_phase_accepts_what_can_happen_in_it_and_no_more() {
    let table = BTreeMap::from(IN_PHASES);
    for record in records() {
        for event in events() {
            let Some(phases) = table.get(event.name()) else { continue };
            let what = format!("{} while {}", event.name(), record.phase_name());
            let name = event.name();
            match record.clone().apply(event.clone()) {
                Ok(_) => assert!(phases[nth(&record)], "{what}"),
                Err(error) => {
                    assert!(!phases[nth(&record)], "{what}: {error}");
                    let words = format!("{name} cannot happen while {}", record.phase_name());
                    assert_eq!(error.to_string(), words);
                }
            }
        }
    }
}

#[test]
fn each_state_of_an_older_token_accepts_what_can_happen() {
    let table = BTreeMap::from(OF_OLDER);
    let earlier = now() - chrono::TimeDelta::minutes(3);
    let states = [
        RetiringState::Waiting,
        RetiringState::Announced { at: earlier },
        RetiringState::NotFound { announced_at: earlier },
    ];
    // One phase is like another to it.
    for mut record in records() {
        for (nth, state) in states.into_iter().enumerate() {
            for what in older_events() {
                let retiring =
                    Retiring::new(samples::token("tok_a"), Cause::Superseded, samples::retire());
                record.retiring = vec![Retiring { state, ..retiring }];
                let name = what.name();
                let announced = matches!(what, RetiringEvent::RevokeAnnounced { .. });
                let after = record.clone().apply(of_retiring(what.clone()));
                let Some(expected) = table[name][nth] else {
                    let words = format!("{name} cannot happen while tok_a is {}", state.as_str());
                    assert_eq!(after.unwrap_err().to_string(), words);
                    continue;
                };
                let after = after.unwrap();
                let after = after.retiring.first().map(|older| older.state);
                assert_eq!(after.map_or(GONE, RetiringState::as_str), expected, "{name}");
                let at = after.and_then(RetiringState::announced_at);
                let since = if announced { Some(now()) } else { state.announced_at() };
                assert_eq!(at, after.and(since), "{name}");
                record.retiring.clear();
                let words = format!("{name} cannot happen while tok_a is not being retired");
                assert_eq!(refusal(&record, of_retiring(what)), words);
            }
        }
    }
}

#[test]
fn only_a_list_without_it_ends_a_token_that_was_answered_404() {
    let mut records = records();
    records.truncate(3);
    let [retiring, revoking, not_found] = records.try_into().unwrap();
    let without = samples::looked(&["tok_b"]);
    let shown = samples::looked(&["tok_a", "tok_b"]);
    for (record, left) in [(retiring, 1), (revoking, 1), (not_found.clone(), 0)] {
        assert_eq!(after(record, [without.clone()]).retiring.len(), left);
    }
    let listed = after(not_found, [shown]);
    assert!(matches!(listed.retiring[0].state, RetiringState::NotFound { .. }), "a list may lag");
}

#[test]
fn each_place_accepts_what_can_happen_there() {
    let table = BTreeMap::from(AT_PLACES.map(|(name, before, after)| (name, (before, after))));
    for record in records() {
        let begun = after(record.clone(), [at_place(samples::promote_begun("tok_b"))]);
        let other = after(record.clone(), [at_place(samples::promote_begun("tok_x"))]);
        for what in place_events() {
            let name = what.name();
            let (before, after) = table[name];
            let tried = |record: &Record| record.clone().apply(at_place(what.clone())).is_ok();
            let what_is = format!("{name} while {}", record.phase_name());
            assert_eq!(tried(&record), before[nth(&record)], "{what_is}");
            assert_eq!(tried(&begun), after[nth(&record)], "{what_is}, announced");
            // The outcome is that of the token that was announced.
            assert_eq!(tried(&other), name != "delivered" && after[nth(&record)], "{what_is}");
            let mut unknown = record.clone();
            unknown.sinks.clear();
            let words = refusal(&unknown, at_place(what.clone()));
            assert!(words.ends_with("is not a sink location of this connection"), "{words}");
        }
    }
}

#[test]
fn only_what_waits_at_a_place_is_handed_over_or_used() {
    let by_person = Uptake::ByPerson { instructions: "put it there".to_owned() };
    for mut record in records() {
        let place = record.sinks.values_mut().next().unwrap();
        (place.readable, place.holds) = (false, Some(id("tok_b")));
        place.uptake = by_person.clone();
        let told = |record: &Record, of| record.clone().apply(at_place(samples::handed_over(of)));
        assert!(told(&record, "tok_a").is_err(), "another one waits");
        let handed = told(&record, "tok_b").unwrap();
        assert!(told(&handed, "tok_b").is_err(), "it waits no more");
        let begun = after(record.clone(), [at_place(samples::promote_begun("tok_c"))]);
        assert!(told(&begun, "tok_c").is_err(), "nobody was told of it yet");
        assert!(told(&begun, "tok_b").is_ok(), "who was, may have it in hand");

        record.sinks.values_mut().next().unwrap().uptake = Uptake::ByClient;
        let said = |of| at_place(samples::client_asked(of, Account::Uses));
        assert!(record.clone().apply(said("tok_a")).is_err(), "the place has another one");
        let uses = after(record, [said("tok_b")]);
        assert!(uses.sinks.values().all(|place| place.is_taken(&id("tok_b"))));
    }
}

#[test]
fn what_leads_to_a_token_may_be_taken_away_twice() {
    let record = records().remove(0);
    let forgotten =
        || at_place(scimitar::rotation::event::PlaceEvent::Forgotten { id: id("tok_a") });
    assert_eq!(after(record.clone(), [forgotten(), forgotten()]).sinks, record.sinks);
}
