//! What the world is made from.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    rotation::{
        fixture,
        policy::{
            Capabilities, Lead, Mode, OnDrift, Policy, Retire, ScopePolicy, Share, Unmanaged,
            Verify,
        },
    },
    token::{PlaceKey, Scope, Scopes, TokenId},
};

pub(super) fn scopes() -> Scopes {
    BTreeSet::from([Scope::try_new("get:users").unwrap()])
}

pub(super) fn place(name: &str) -> PlaceKey {
    PlaceKey::new("file", name)
}

pub(super) fn id(text: &str) -> TokenId {
    fixture::id(text)
}

pub(super) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(super) fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Auth0's rules, 30 days, a third, a day of overlap.
pub(super) fn policy() -> Policy {
    let (name, connection, provider) = fixture::connection();
    let key = fixture::empty().key;
    assert_eq!(key.connection, connection);
    Policy {
        name,
        provider,
        key,
        capabilities: Capabilities {
            cap: Some(2),
            shortest_life: Some(Duration::from_secs(901)),
            last_used: true,
        },
        scopes: ScopePolicy::Exactly(scopes()),
        token_lifetime: Some(days(30)),
        rotate_before: Some(Lead::Share(Share::try_new(0.33).unwrap())),
        max_age: None,
        schedule: None,
        retire: Retire { overlap: hours(24), after_use: false, when_idle: None, at_latest: None },
        verify: Verify::Read,
        mode: Mode::Rotate,
        unmanaged: Unmanaged::Report,
        on_drift: OnDrift::Report,
        survey_interval: hours(1),
    }
}
