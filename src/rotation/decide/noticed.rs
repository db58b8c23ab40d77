//! What hooks are told of once for as long as it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;

use super::Situation;
use crate::{
    clock::{ProviderTime, Timestamp},
    rotation::{
        notice::Occasion,
        noticed::Noticed,
        policy::Mode,
        record::{Record, SinkState},
        status::{REVOCATION_STUCK, held, holds_back, pending_since},
        why::Reason,
    },
    token::{Listed, TokenId},
};

/// What stands after a pass that came to its end.
pub(super) fn noticed(s: &Situation<'_>) -> Noticed {
    Noticed {
        expiring: reached(s),
        unmanaged: unmanaged(s.record),
        drift: drifted(s.record)
            .filter_map(|sink| Some((sink.place.key.clone(), sink.drift.as_ref()?.since)))
            .collect(),
        revocation_blocked: revocation_blocked(s),
        handoff: s
            .record
            .handoffs()
            .map(|(sink, id, _)| (sink.place.key.clone(), id.clone()))
            .collect(),
    }
}

/// When the token in use reaches the next threshold that a hook wants to know of.
pub(super) fn next_threshold(s: &Situation<'_>) -> Option<Timestamp> {
    if !s.record.notices.wanted(Occasion::Expiring) {
        return None;
    }
    let (token, until) = in_use(s)?;
    let there = s.provider_now();
    let moments = thresholds(s, token, until).into_iter().map(|(_, moment)| moment);
    moments.filter(|moment| *moment > there).min().map(|moment| s.on_our_clock(moment))
}

fn reached(s: &Situation<'_>) -> Option<(TokenId, Duration)> {
    let (token, until) = in_use(s)?;
    let there = s.provider_now();
    let past = thresholds(s, token, until).into_iter().filter(|(_, moment)| *moment <= there);
    let nearest = past.map(|(threshold, _)| threshold).min()?;
    Some((token.id.clone(), nearest))
}

fn in_use<'s>(s: &Situation<'s>) -> Option<(&'s Listed, ProviderTime)> {
    let token = &s.record.current.as_ref()?.token;
    Some((token, token.valid_until?))
}

/// The thresholds that a token reaches in its life, and when.
fn thresholds(
    s: &Situation<'_>,
    token: &Listed,
    until: ProviderTime,
) -> Vec<(Duration, ProviderTime)> {
    let life = until - token.created_at;
    let of = |threshold: Duration| {
        let moment = until - TimeDelta::from_std(threshold).ok()?;
        Some((threshold, moment))
    };
    s.policy.terms.thresholds(life.to_std().unwrap_or_default()).filter_map(of).collect()
}

/// Where nothing is current yet, what a place that could not be read holds may become it.
fn unmanaged(record: &Record) -> BTreeSet<TokenId> {
    let unread = |sink: &SinkState| sink.readable && sink.trouble.is_some();
    if record.current.is_none() && record.places().any(unread) {
        return BTreeSet::new();
    }
    record.unmanaged.keys().cloned().collect()
}

/// A place that cannot be written to has trouble, not drift: it holds what it held.
fn drifted(record: &Record) -> impl Iterator<Item = &SinkState> {
    record.places().filter(|sink| sink.drift.is_some() && sink.trouble.is_none())
}

fn revocation_blocked(s: &Situation<'_>) -> BTreeMap<TokenId, BTreeSet<Reason>> {
    let long = |since: Timestamp| s.now - since > REVOCATION_STUCK;
    let stuck = s
        .record
        .retiring
        .iter()
        .filter(|retiring| pending_since(s.record, retiring, s.now).is_some_and(long));
    let observed = s.policy.terms.mode == Mode::Observe;
    stuck
        .map(|retiring| {
            let mut reasons: BTreeSet<Reason> =
                holds_back(s.record, retiring, s.now).into_iter().collect();
            reasons.extend(held(s.record, s.policy, s.now));
            reasons.extend(observed.then_some(Reason::Observe));
            (retiring.token.id.clone(), reasons)
        })
        .collect()
}
