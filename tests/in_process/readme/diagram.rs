//! The README's picture of the state machine, drawn by trying every event in every phase.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use scimitar::{
    clock::{ProviderTime, Timestamp, parse_timestamp},
    error::{Class, Code, Fault},
    place::{Container, Place, Version},
    rotation::{
        event::{ConfiguredPlace, Event, PlaceEvent},
        notice::{OCCASIONS, Try},
        observe::SeenList,
        policy::{Retire, Verify},
        record::{Cause, Intent, PHASES, Proof, Record, Trouble},
    },
    token::{
        ConnectionId, ConnectionKey, ConnectionName, Digest, HookName, Listed, PlaceKey,
        ProviderName, SinkName, Tenant, TokenId,
    },
};

use super::text;

#[test]
fn the_picture_shows_what_apply_does() {
    let drawn = diagram();
    let shown = text::blocks(&text::read("README.md"), "state machine");
    assert_eq!(shown.len(), 1);
    if text::updating() {
        text::update("state machine", &[drawn]);
    } else {
        assert_eq!(shown[0], drawn, "UPDATE_README=1 cargo test readme:: mends it");
    }
}

#[test]
fn every_event_is_tried() {
    let source = ["event.rs", "event/place.rs"]
        .map(|file| text::read(&format!("src/rotation/{file}")))
        .concat();
    let named: BTreeSet<&str> =
        source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")).collect();
    let tried: BTreeSet<&str> = events().iter().map(Event::name).collect();
    assert_eq!(tried, named);
}

#[test]
fn every_phase_is_drawn() {
    let begun: BTreeSet<&str> = records().iter().map(Record::phase_name).collect();
    assert_eq!(begun, BTreeSet::from(PHASES));
}

/// The edges between phases, in mermaid's words; what leaves the phase as it is is left out.
fn diagram() -> String {
    let mut edges: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for record in records() {
        for event in events() {
            let name = event.name();
            let Ok(after) = record.clone().apply(event) else { continue };
            let edge = (place(&record), place(&after));
            let names = edges.entry(edge).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut drawn = format!("stateDiagram-v2\n    [*] --> {}\n", PHASES[0]);
    for ((from, to), names) in edges.iter().filter(|((from, to), _)| from != to) {
        let (from, to) = (PHASES[*from], PHASES[*to]);
        writeln!(drawn, "    {from} --> {to} : {}", names.join(", ")).unwrap();
    }
    drawn
}

fn place(record: &Record) -> usize {
    PHASES.iter().position(|phase| *phase == record.phase_name()).unwrap()
}

/// One record or more in each phase, made by events alone.
fn records() -> Vec<Record> {
    let fresh = after(empty(), [configured()]);
    let minting = after(fresh.clone(), [intended()]);
    let first = after(minting, [minted("tok_a")]);
    let steady = after(first.clone(), [settled()]);
    let minting = after(steady.clone(), [intended()]);
    let delivering = after(minting.clone(), [minted("tok_b")]);
    let retiring = after(delivering.clone(), [settled()]);
    let revoking = after(retiring.clone(), [announced()]);
    vec![fresh, first, steady, minting, delivering, retiring, revoking]
}

fn after<const N: usize>(record: Record, events: [Event; N]) -> Record {
    events.into_iter().fold(record, |record, event| record.apply(event).unwrap())
}

/// One of each; `tok_a` is the older, `tok_b` the newer token, `tok_c` somebody else's.
fn events() -> Vec<Event> {
    let mut events = vec![
        configured(),
        Event::Looked {
            list: Some(SeenList {
                at: now(),
                provider_time: there(),
                tokens: vec![token("tok_a"), token("tok_b")],
            }),
            sinks: BTreeMap::new(),
            troubles: BTreeMap::new(),
        },
        Event::LookFailed(trouble()),
        Event::CurrentAskFailed(trouble()),
        Event::FoundRefused(id("tok_b")),
        Event::Condemned(BTreeSet::from([id("tok_a")])),
        intended(),
        minted("tok_b"),
        Event::MintFailed { trouble: trouble(), no_slot: false },
        Event::MintLost(trouble()),
        Event::IntentOpened,
        Event::IntentsExpired(there()),
        Event::OrphanFound { token: token("tok_c"), intent: now(), retire: retire() },
        Event::TakenOver {
            token: token("tok_c"),
            generation: 9,
            previous: Vec::new(),
            marked: None,
            rebuilt: false,
            retire: retire(),
            verify: Verify::Off,
            at: there(),
            made: now(),
        },
        Event::ProbeAnnounced { sent: there(), arrives_by: there() },
        Event::Proven(Proof::Good),
        Event::ValueKnown { id: id("tok_b"), digest: Digest::of(b"tok_b") },
        Event::Judged { unsatisfied_since: None },
        settled(),
        Event::SettledInPart { at: there() },
        Event::GivenUp { cause: Cause::Orphan, trouble: None },
        Event::CurrentAsked { refused: true },
        Event::Retired {
            token: token("tok_c"),
            cause: Cause::Stranger,
            retire: retire(),
            at: there(),
        },
        announced(),
        Event::Revoked { id: id("tok_a"), at: now() },
        Event::NotFound(id("tok_a")),
        Event::RevokeFailed(trouble()),
        Event::Expired(id("tok_a")),
        Event::NoticeBegun { hook: hook(), number: 1, begun: Try { at: now(), until: None } },
        Event::Notified { hook: hook(), number: 1, at: now() },
        Event::NotifyFailed { hook: hook(), number: 1, trouble: trouble() },
        Event::NoticeDropped { hook: hook(), number: 1 },
        Event::Rested {
            at: now(),
            wake_at: None,
            work_at: None,
            next_rotation: None,
            decided: None,
            warnings: BTreeSet::new(),
        },
    ];
    events.extend(place_events().into_iter().map(|what| Event::Place { place: place_key(), what }));
    events
}

fn place_events() -> Vec<PlaceEvent> {
    vec![
        PlaceEvent::Accepted {
            container: Container { id: "1".to_owned(), words: "1".to_owned(), strict: true },
        },
        PlaceEvent::StageBegun { id: id("tok_b") },
        PlaceEvent::Staged { id: id("tok_b") },
        PlaceEvent::StageFailed { trouble: trouble() },
        PlaceEvent::Forgotten { id: id("tok_a") },
        PlaceEvent::ForgetFailed { id: id("tok_a"), trouble: trouble() },
        PlaceEvent::PromoteBegun { id: id("tok_b"), at: now(), replaces: None, container: None },
        PlaceEvent::PromoteFailed { trouble: trouble(), certain: true },
        PlaceEvent::Delivered {
            id: id("tok_b"),
            version: Version("1".to_owned()),
            at: now(),
            provider: there(),
            container: None,
        },
    ]
}

fn empty() -> Record {
    let key = ConnectionKey {
        tenant: Tenant::try_new("acme.eu.auth0.com").unwrap(),
        connection: ConnectionId::try_new("con_0123456789abcdef").unwrap(),
    };
    Record::new(key, name(), provider())
}

fn configured() -> Event {
    let place = Place {
        key: place_key(),
        sink: SinkName::try_new("disk").unwrap(),
        location: "/run/scimitar/initech.token".to_owned(),
        delivery: serde_json::Value::Null,
    };
    let places = vec![ConfiguredPlace {
        place,
        readable: true,
        lingers: Duration::ZERO,
        keeps_earlier: false,
        overwrite: false,
    }];
    let unreachable = BTreeSet::new();
    let hooks = BTreeMap::from([(hook(), OCCASIONS.into())]);
    Event::Configured { name: name(), provider: provider(), places, unreachable, hooks }
}

fn intended() -> Event {
    Event::Intended(Intent {
        at: now(),
        listed_at: there(),
        answered_by: there(),
        known: BTreeSet::new(),
        scopes: BTreeSet::new(),
        life: None,
        unprinted: false,
        name: None,
        value_was_lost: false,
        because: "due".to_owned(),
        asked_at: None,
    })
}

fn minted(token_id: &str) -> Event {
    Event::Minted { token: token(token_id), retire: retire(), verify: Verify::Read, digest: None }
}

fn settled() -> Event {
    Event::Settled { at: there(), host: now() }
}

fn announced() -> Event {
    Event::RevokeAnnounced { id: id("tok_a"), at: now() }
}

fn there() -> ProviderTime {
    ProviderTime::told(now())
}

fn now() -> Timestamp {
    parse_timestamp("2026-11-22T04:00:00Z").unwrap()
}

fn name() -> ConnectionName {
    ConnectionName::try_new("initech-okta").unwrap()
}

fn hook() -> HookName {
    HookName::try_new("after-rotation").unwrap()
}

fn provider() -> ProviderName {
    ProviderName::try_new("acme").unwrap()
}

fn place_key() -> PlaceKey {
    PlaceKey::new("file", "/run/scimitar/initech.token")
}

fn id(text: &str) -> TokenId {
    TokenId::try_new(text).unwrap()
}

fn token(text: &str) -> Listed {
    Listed {
        id: id(text),
        created_at: there(),
        valid_until: None,
        last_used_at: None,
        scopes: BTreeSet::new(),
        name: None,
    }
}

fn retire() -> Retire {
    Retire { overlap: Duration::from_secs(60), after_use: false, when_idle: None, at_latest: None }
}

fn trouble() -> Trouble {
    Trouble {
        count: 1,
        since: now(),
        fault: Fault::new("list", Class::Transient, Code::Unavailable, "answered 503"),
        at: now(),
        retry_at: now(),
    }
}
