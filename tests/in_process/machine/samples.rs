//! One of each event, and records in each state, made by events alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use scimitar::{
    clock::{ProviderTime, Timestamp, parse_timestamp},
    error::{Class, Code, Fault},
    place::{Container, Place, Version},
    rotation::{
        event::{ConfiguredPlace, Event, PlaceEvent, RetiringEvent, TakenOver},
        notice::{OCCASIONS, Try},
        observe::SeenList,
        pause::Pause,
        policy::{Retire, Verify},
        record::{Cause, Intent, Proof, Record, Trouble},
        uptake::{Account, Uptake},
    },
    token::{
        ConnectionId, ConnectionKey, ConnectionName, Digest, HookName, Listed, PlaceKey,
        ProviderName, SinkName, Tenant, TokenId,
    },
};

/// One record or more in each phase, with the older tokens in each state.
pub(crate) fn records() -> Vec<Record> {
    let fresh = after(empty(), [configured()]);
    let minting = after(fresh.clone(), [intended()]);
    let first = after(minting, [minted("tok_a")]);
    let steady = after(first.clone(), [settled()]);
    let again = after(steady.clone(), [intended()]);
    let delivering = after(again.clone(), [minted("tok_b")]);
    let retiring = after(delivering.clone(), [settled()]);
    let revoking = after(retiring.clone(), [announced()]);
    let not_found = after(revoking.clone(), [of_retiring(RetiringEvent::NotFound)]);
    let gone = after(revoking.clone(), [of_retiring(RetiringEvent::Revoked { at: now() })]);
    let back = |record: &Record| after(record.clone(), [taken_over("tok_a")]);
    let taken_back = [back(&retiring), back(&revoking), back(&not_found)];
    let mut records =
        vec![retiring, revoking, not_found, fresh, first, steady, again, delivering, gone];
    records.extend(taken_back);
    records
}

pub(crate) fn after<const N: usize>(record: Record, events: [Event; N]) -> Record {
    events.into_iter().fold(record, |record, event| record.apply(event).unwrap())
}

/// One of each; `tok_a` is the older, `tok_b` the newer token, `tok_c` somebody else's.
pub(crate) fn events() -> Vec<Event> {
    let mut events = vec![
        configured(),
        looked(&["tok_a", "tok_b"]),
        looked(&["tok_b"]),
        Event::LookFailed(trouble()),
        Event::CurrentProbeFailed(trouble()),
        Event::FoundRefused(id("tok_b")),
        Event::Condemned(BTreeSet::from([id("tok_a")])),
        Event::Paused(Pause {
            since: now(),
            until: now() + TimeDelta::hours(1),
            by: "alice".to_owned(),
            reason: "migration".to_owned(),
        }),
        Event::Resumed { at: now() },
        intended(),
        minted("tok_b"),
        Event::MintFailed { trouble: trouble(), no_slot: false },
        Event::MintLost(trouble()),
        Event::WritesChecked { all_at: Some(now()), places: BTreeMap::from([(place_key(), None)]) },
        Event::WritesChecked {
            all_at: None,
            places: BTreeMap::from([(place_key(), Some(trouble()))]),
        },
        Event::IntentOpened,
        Event::IntentsExpired(there()),
        Event::OrphanFound { token: token("tok_c"), intent: now(), retire: retire() },
        taken_over("tok_c"),
        Event::ProbeAnnounced { id: id("tok_b"), sent: there(), arrives_by: there() },
        Event::Proven(Proof::Good),
        Event::ValueKnown { id: id("tok_b"), digest: Digest::of(b"tok_b") },
        Event::Judged { unsatisfied_since: None },
        settled(),
        Event::SettledInPart { at: there() },
        Event::GivenUp { cause: Cause::Orphan, trouble: None },
        Event::CurrentProbed { refused: true },
        retired("tok_a", Cause::Asked),
        retired("tok_c", Cause::Unmanaged),
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
            noticed: None,
        },
    ];
    events.extend(older_events().into_iter().map(of_retiring));
    events.extend(place_events().into_iter().map(at_place));
    events
}

/// One of each, of the older token.
pub(crate) fn older_events() -> Vec<RetiringEvent> {
    vec![
        RetiringEvent::RevokeAnnounced { at: now() },
        RetiringEvent::Revoked { at: now() },
        RetiringEvent::NotFound,
        RetiringEvent::RevokeFailed { trouble: trouble() },
        RetiringEvent::Expired,
    ]
}

/// One of each, of the place; what is written there is the newer token.
pub(crate) fn place_events() -> Vec<PlaceEvent> {
    vec![
        PlaceEvent::Accepted {
            container: Container { id: "1".to_owned(), words: "1".to_owned(), strict: true },
        },
        PlaceEvent::StageBegun { id: id("tok_b") },
        PlaceEvent::Staged { id: id("tok_b") },
        PlaceEvent::StageFailed { trouble: trouble() },
        PlaceEvent::Forgotten { id: id("tok_a") },
        PlaceEvent::ForgetFailed { id: id("tok_a"), trouble: trouble() },
        promote_begun("tok_b"),
        PlaceEvent::PromoteFailed { trouble: trouble(), certain: true },
        handed_over("tok_b"),
        client_asked("tok_b", Account::Uses),
        PlaceEvent::ClientSilent { trouble: trouble() },
        PlaceEvent::Delivered {
            id: id("tok_b"),
            version: Version("1".to_owned()),
            at: now(),
            provider: there(),
            container: None,
        },
    ]
}

pub(crate) fn handed_over(token_id: &str) -> PlaceEvent {
    let by = "alice".to_owned();
    PlaceEvent::HandedOver { id: id(token_id), at: now(), provider: there(), by }
}

pub(crate) fn client_asked(token_id: &str, account: Account) -> PlaceEvent {
    PlaceEvent::ClientAsked { id: id(token_id), at: now(), account }
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
        delivery: serde_json::Value::Null.into(),
    };
    let places = vec![ConfiguredPlace {
        place,
        readable: true,
        write_check: Default::default(),
        lingers: Duration::ZERO,
        keeps_earlier: false,
        overwrite: false,
        uptake: Uptake::AtOnce,
    }];
    let unreachable = BTreeSet::new();
    let hooks = BTreeMap::from([(hook(), OCCASIONS.into())]);
    let scim_config = true;
    Event::Configured {
        name: name(),
        provider: provider(),
        places,
        unreachable,
        hooks,
        scim_config,
    }
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
    of_retiring(RetiringEvent::RevokeAnnounced { at: now() })
}

pub(crate) fn of_retiring(what: RetiringEvent) -> Event {
    Event::Retiring { id: id("tok_a"), what }
}

pub(crate) fn promote_begun(token_id: &str) -> PlaceEvent {
    PlaceEvent::PromoteBegun { id: id(token_id), at: now(), replaces: None, container: None }
}

pub(crate) fn at_place(what: PlaceEvent) -> Event {
    Event::Place { place: place_key(), what }
}

/// Two minutes later: what was deleted and is listed then lingers.
pub(crate) fn looked(listed: &[&str]) -> Event {
    let at = now() + TimeDelta::minutes(2);
    let tokens = listed.iter().map(|id| token(id)).collect();
    let list =
        Some(SeenList { asked: at, at, provider_time: there() + TimeDelta::minutes(2), tokens });
    Event::Looked { list, sinks: BTreeMap::new(), troubles: BTreeMap::new() }
}

fn taken_over(token_id: &str) -> Event {
    Event::TakenOver(Box::new(TakenOver {
        token: token(token_id),
        generation: 9,
        previous: Vec::new(),
        marked: None,
        rebuilt: false,
        retire: retire(),
        verify: Verify::Off,
        at: there(),
        made: now(),
    }))
}

fn retired(token_id: &str, cause: Cause) -> Event {
    Event::Retired { token: token(token_id), cause, retire: retire(), at: there() }
}

/// The same moment at the provider.
pub(crate) fn there() -> ProviderTime {
    ProviderTime::told(now())
}

pub(crate) fn now() -> Timestamp {
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

pub(crate) fn place_key() -> PlaceKey {
    PlaceKey::new("file", "/run/scimitar/initech.token")
}

pub(crate) fn id(text: &str) -> TokenId {
    TokenId::try_new(text).unwrap()
}

pub(crate) fn token(text: &str) -> Listed {
    Listed {
        id: id(text),
        created_at: there(),
        valid_until: None,
        last_used_at: None,
        scopes: BTreeSet::new(),
        name: None,
    }
}

pub(crate) fn retire() -> Retire {
    Retire { overlap: Duration::from_secs(60), after_use: false, when_idle: None, at_latest: None }
}

pub(crate) fn trouble() -> Trouble {
    Trouble {
        count: 1,
        since: now(),
        fault: Fault::new("list", Class::Transient, Code::Unavailable, "answered 503"),
        at: now(),
        retry_at: now(),
        of_sink: false,
    }
}
