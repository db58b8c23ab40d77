//! Records for tests of what people and monitoring are shown.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;

use super::{
    policy::{Capabilities, Lead, Policy, Retire, ScopePolicy, Share, Terms, USUAL_NOTICE},
    record::{
        Cause, Current, Decided, Drift, Intent, Missing, Record, Retiring, Rotation, SinkState,
        Status, Survey, Trouble, UnmanagedToken,
    },
    watch::Watch,
    why::Reason,
};
use crate::{
    clock::{ProviderTime, Timestamp, parse_timestamp},
    error::{Class, Code, Fault},
    place::{Place, Version},
    token::{
        ConnectionId, ConnectionKey, ConnectionName, Listed, PlaceKey, ProviderName, SinkName,
        Tenant, TokenId,
    },
};

/// "Now" in these tests.
pub(crate) fn now() -> Timestamp {
    parse_timestamp("2026-11-22T04:00:00Z").unwrap()
}

/// The same, as a provider would tell it.
pub(crate) fn there() -> ProviderTime {
    ProviderTime::told(now())
}

/// A watched token that expires in so many days.
pub(crate) fn watch(days: i64) -> Watch {
    Watch {
        name: ConnectionName::try_new("initech-sso").unwrap(),
        expires_at: now() + TimeDelta::days(days),
        owner: Some("identity team".to_owned()),
        note: None,
        link: Some("https://admin.example.com/scim#tokens".to_owned()),
        notify_before: USUAL_NOTICE.into_iter().collect(),
        shadowed: false,
    }
}

pub(crate) fn id(text: &str) -> TokenId {
    TokenId::try_new(text).unwrap()
}

pub(crate) fn connection() -> (ConnectionName, ConnectionId, ProviderName) {
    (
        ConnectionName::try_new("initech-okta").unwrap(),
        ConnectionId::try_new("con_0123456789abcdef").unwrap(),
        ProviderName::try_new("acme").unwrap(),
    )
}

/// Nothing is known yet.
pub(crate) fn empty() -> Record {
    let (name, connection, provider) = connection();
    let tenant = Tenant::try_new("acme.eu.auth0.com").unwrap();
    Record::new(ConnectionKey { tenant, connection }, name, provider)
}

/// The policy of that connection: a third of 30 days, two slots, a look each hour.
pub(crate) fn policy() -> Policy {
    let (name, _, provider) = connection();
    Policy {
        name,
        provider,
        key: empty().key,
        capabilities: Capabilities {
            cap: Some(2),
            shortest_life: Some(Duration::from_secs(901)),
            life_step: Duration::from_secs(1),
            last_used: true,
            scopes: true,
            user_scopes: None,
            read_scope: None,
            names: false,
            id_in_value: false,
            default_scopes: BTreeSet::new(),
        }
        .into(),
        survey_interval: Duration::from_secs(3600),
        terms: Terms {
            scopes: ScopePolicy::Inherit,
            token_lifetime: Some(Duration::from_secs(30 * 86_400)),
            rotate_before: Some(Lead::Share(Share::try_new(0.33).unwrap())),
            retire: retire(),
            ..Terms::default()
        }
        .into(),
    }
}

/// Made `minutes` ago for 30 days, used 5 minutes ago.
pub(crate) fn token(text: &str, minutes: i64) -> Listed {
    let created_at = there() - TimeDelta::minutes(minutes);
    Listed {
        id: id(text),
        created_at,
        valid_until: Some(created_at + TimeDelta::days(30)),
        last_used_at: Some(there() - TimeDelta::minutes(5)),
        scopes: BTreeSet::new(),
        name: None,
    }
}

/// One minute of overlap, no evidence.
pub(crate) fn retire() -> Retire {
    Retire { overlap: Duration::from_secs(60), after_use: false, when_idle: None, at_latest: None }
}

pub(crate) fn retiring(token: Listed, cause: Cause) -> Retiring {
    Retiring::new(token, cause, retire())
}

/// A place that holds the token.
pub(crate) fn sink(label: &str, location: &str, holds: Option<&str>) -> (PlaceKey, SinkState) {
    let key = PlaceKey::new("file", location);
    let place = Place {
        key: key.clone(),
        sink: SinkName::try_new(label).unwrap(),
        location: location.to_owned(),
        delivery: serde_json::Value::Null.into(),
    };
    let state = SinkState {
        holds: holds.map(id),
        version: holds.map(|_| Version("v7".to_owned())),
        since: holds.map(|_| now() - TimeDelta::seconds(1)),
        ..SinkState::new(place, true)
    };
    (key, state)
}

pub(crate) fn fault() -> Fault {
    Fault::new(
        "make a token for con_0123456789abcdef",
        Class::Transient,
        Code::Unavailable,
        "acme.eu.auth0.com answered 503",
    )
}

pub(crate) fn trouble(count: u32) -> Trouble {
    Trouble {
        count,
        since: now() - TimeDelta::hours(1),
        fault: fault(),
        at: now() - TimeDelta::minutes(1),
        retry_at: now() + TimeDelta::minutes(4),
        of_sink: false,
    }
}

/// A second after a rotation: the new token everywhere, the older one in overlap.
pub(crate) fn rotated() -> Record {
    let mut record = empty();
    let new = token("tok_new", 0);
    let old = token("tok_old", 60 * 24 * 20);
    record.generation = 2;
    record.current = Some(Current {
        token: new.clone(),
        delivered_at: Some(there() - TimeDelta::seconds(1)),
        first_use: None,
        probe: None,
        began: now() - TimeDelta::seconds(3),
        retire: retire(),
        asked: None,
    });
    let mut leaving = retiring(old.clone(), Cause::Superseded);
    leaving.superseded_at = Some(there() - TimeDelta::seconds(1));
    record.retiring.push(leaving);
    record.sinks.extend([sink("disk", "/run/scimitar/initech.token", Some("tok_new"))]);
    record.survey =
        Some(Survey { at: now() - TimeDelta::seconds(3), skew_ms: -1500, tokens: vec![new, old] });
    record.last_rotation = Some(Rotation {
        began: now() - TimeDelta::seconds(3),
        finished: now() - TimeDelta::seconds(1),
        id: id("tok_new"),
    });
    record.tally.succeeded = 2;
    record.next_rotation = Some(now() + TimeDelta::days(20));
    record.wake_at = Some(now() + TimeDelta::seconds(59));
    record
}

/// The new token was missed four minutes ago, because somebody deleted it at the provider. On paper it has 30
/// days left.
pub(crate) fn gone() -> Record {
    let mut record = rotated();
    record.current.as_mut().unwrap().token = token("tok_new", 20);
    let first = there() - TimeDelta::minutes(4);
    record.missing = Some(Missing { first, last: there(), refused: true });
    record.survey.as_mut().unwrap().tokens.retain(|token| token.id != id("tok_new"));
    record
}

/// Everything that can go wrong, at once.
pub(crate) fn troubled() -> Record {
    let mut record = rotated();
    let unmanaged = token("tok_stranger", 60 * 48);
    record.unmanaged.insert(
        unmanaged.id.clone(),
        UnmanagedToken { first_seen: there() - TimeDelta::hours(3), probably_ours: false },
    );
    record.survey.as_mut().unwrap().tokens.push(unmanaged);
    record.retiring[0].retire.when_idle = Some(Duration::from_secs(7200));
    record.retiring[0].superseded_at = Some(there() - TimeDelta::hours(2));
    record.retiring.push(retiring(token("tok_orphan", 30), Cause::Orphan));
    let (key, mut drifted) = sink("vault", "secret/scim/initech", Some("tok_other"));
    drifted.drift = Some(Drift {
        what: "it holds tok_other, which nobody here delivered".to_owned(),
        since: now() - TimeDelta::minutes(10),
    });
    record.sinks.insert(key, drifted);
    record.intents.push(Intent {
        at: now() - TimeDelta::hours(2),
        listed_at: there() - TimeDelta::hours(2),
        answered_by: there() - TimeDelta::hours(1),
        known: BTreeSet::new(),
        scopes: BTreeSet::new(),
        life: None,
        unprinted: false,
        name: None,
        value_was_lost: false,
        because: "due".to_owned(),
        asked_at: None,
    });
    record.troubles.mint = Some(trouble(3));
    record.decided = Some(Decided {
        status: Status::Refused,
        reason: Some(Reason::UnmanagedToken),
        words: "tok_stranger holds the only free slot".to_owned(),
        since: now() - TimeDelta::hours(3),
        until: None,
    });
    record.warnings.insert("the clock is off".to_owned());
    record.tally.failed = 4;
    record.tally.refused = 5;
    record.tally.orphans_revoked = 6;
    record
}
