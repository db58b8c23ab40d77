//! What a create asks for: written down before it is sent, so that its token is known later.

use std::time::Duration;

use chrono::TimeDelta;

use super::Situation;
use crate::{
    rotation::{observe::SeenList, print, record::Intent},
    token::{Scopes, TokenName},
};

/// How long after its time-out a create may still take effect.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// The intent of a create that rests on this list.
pub(super) fn intent(
    s: &Situation<'_>,
    list: &SeenList,
    scopes: Scopes,
    because: String,
    value_was_lost: bool,
) -> Intent {
    let (life, unprinted) = life(s, list);
    let timeout = TimeDelta::from_std(s.timeouts.request).unwrap_or(TimeDelta::seconds(30));
    Intent {
        at: s.now,
        listed_at: list.provider_time.min(s.provider_now()),
        answered_by: list.clock().to_provider(s.now) + timeout + LATE,
        known: list.tokens.iter().map(|token| token.id.clone()).collect(),
        scopes,
        life,
        unprinted,
        name: name(s, list),
        value_was_lost,
        because,
        asked_at: s.request.since(),
    }
}

/// The life to ask for, and whether it tells the token from no other.
fn life(s: &Situation<'_>, list: &SeenList) -> (Option<Duration>, bool) {
    let (shortest, step) = (s.policy.capabilities.shortest_life, s.policy.capabilities.life_step);
    let Some((lifetime, shortest)) = s.policy.terms.token_lifetime.zip(shortest) else {
        return (None, false);
    };
    let taken = print::taken(list.tokens.iter(), s.record.intents.iter());
    match print::choose(lifetime, shortest, step, &taken, s.draw.life) {
        Some(print) => (Some(print), false),
        None => (Some(print::unprinted(lifetime, shortest, step)), true),
    }
}

/// The name to ask for, where tokens have names.
fn name(s: &Situation<'_>, list: &SeenList) -> Option<TokenName> {
    if !s.policy.capabilities.names {
        return None;
    }
    let taken = print::names_taken(list.tokens.iter(), s.record.intents.iter());
    print::name(&s.record.name, &taken, s.draw.name)
}
