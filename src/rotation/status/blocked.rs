//! What a rotation or a revocation waits for.

use std::collections::BTreeSet;

use crate::{
    clock::Timestamp,
    error::Code,
    rotation::{
        due, hold,
        policy::{Mode, Policy},
        record::{Cause, Phase, Record, Retiring, SinkState, Work},
        uptake::Uptake,
        view,
        why::Reason,
    },
};

/// Whether a rotation can wait for this; each such reason has a series from the beginning.
#[must_use]
pub fn blocks_rotation(reason: Reason) -> bool {
    match reason {
        Reason::NoFreeSlot
        | Reason::UnmanagedToken
        | Reason::PreviousInUse
        | Reason::Window
        | Reason::SinkUnavailable
        | Reason::ProviderUnavailable
        | Reason::ForeignOwner
        | Reason::TenantChanged
        | Reason::Brake
        | Reason::NoScopes
        | Reason::ScimNotConfigured
        | Reason::TokenRefused
        | Reason::PlaceChanged
        | Reason::ForeignContent
        | Reason::TokenElsewhere
        | Reason::DeadToken
        | Reason::PolicyChanged
        | Reason::NeverDue
        | Reason::Observe
        | Reason::Paused
        | Reason::Freeze => true,
        // Of a call or of an older token; drift is repaired by the next rotation.
        Reason::Drift
        | Reason::Overlap
        | Reason::Evidence
        | Reason::NotUsed
        | Reason::ClaimedElsewhere
        | Reason::Timeout
        | Reason::Backoff
        | Reason::Interrupted
        | Reason::NotBegun
        | Reason::Handoff => false,
    }
}

/// Whether an older token can have to stay for this; each such reason has a series from the
/// beginning.
#[must_use]
pub fn blocks_revocation(reason: Reason) -> bool {
    match reason {
        Reason::Overlap
        | Reason::Evidence
        | Reason::NotUsed
        | Reason::Drift
        | Reason::SinkUnavailable
        | Reason::ProviderUnavailable
        | Reason::PlaceChanged
        | Reason::Observe
        | Reason::Paused
        | Reason::Freeze
        | Reason::Handoff => true,
        Reason::NoFreeSlot
        | Reason::UnmanagedToken
        | Reason::PreviousInUse
        | Reason::Window
        | Reason::ForeignOwner
        | Reason::TenantChanged
        | Reason::Brake
        | Reason::ClaimedElsewhere
        | Reason::NoScopes
        | Reason::ScimNotConfigured
        | Reason::TokenRefused
        | Reason::ForeignContent
        | Reason::TokenElsewhere
        | Reason::DeadToken
        | Reason::PolicyChanged
        | Reason::NeverDue
        | Reason::Timeout
        | Reason::Backoff
        | Reason::Interrupted
        | Reason::NotBegun => false,
    }
}

/// A refusal that an operator has to end, or an older token that is in the way of what is due.
#[must_use]
pub fn needs_person(reason: Reason) -> bool {
    blocks_rotation(reason)
        && !is_failing(reason)
        && !matches!(
            reason,
            Reason::Window
                | Reason::Observe
                | Reason::PolicyChanged
                | Reason::Paused
                | Reason::Freeze
        )
}

/// A failure that is being retried.
#[must_use]
pub fn is_failing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ProviderUnavailable
            | Reason::SinkUnavailable
            | Reason::TokenRefused
            | Reason::DeadToken
    )
}

/// Why no rotation could start now.
pub(super) fn rotation(
    record: &Record,
    policy: Option<&Policy>,
    now: Timestamp,
) -> BTreeSet<Reason> {
    let mut reasons: BTreeSet<Reason> = record.refused_for().into_iter().collect();
    for (work, trouble) in record.troubles.iter() {
        match work {
            Work::Mint => reasons.insert(view::blame(record, trouble)),
            Work::Look => reasons.insert(view::unlisted(record, &trouble.fault).0),
            Work::Probe => reasons.insert(Reason::ProviderUnavailable),
            Work::Revoke => false,
        };
    }
    if record.places().any(|sink| sink.trouble.is_some()) {
        reasons.insert(Reason::SinkUnavailable);
    }
    if record.outage().is_some() {
        reasons.insert(Reason::DeadToken);
    }
    let Some(policy) = policy else { return reasons };
    let held = held(record, policy, now);
    if policy.terms.mode == Mode::Observe {
        reasons.insert(Reason::Observe);
    } else if due::is_policy_changed(policy, record) {
        reasons.insert(Reason::PolicyChanged);
    } else if held.is_empty() && waits_for_window(record, policy, now) {
        reasons.insert(Reason::Window);
    }
    reasons.extend(held);
    reasons
}

/// What holds back everything that is begun or revoked by the policy.
pub(in crate::rotation) fn held(record: &Record, policy: &Policy, now: Timestamp) -> Vec<Reason> {
    let there = record.believed_clock().to_provider(now);
    hold::in_force(policy, record, there).map(|hold| hold.reason).collect()
}

/// Due by its life or age, but the schedule has not come.
fn waits_for_window(record: &Record, policy: &Policy, now: Timestamp) -> bool {
    if policy.terms.schedule.is_none() || record.next_rotation.is_none_or(|next| next <= now) {
        return false;
    }
    let mut at_any_time = policy.clone();
    at_any_time.terms.schedule = None;
    let there = record.believed_clock().to_provider(now);
    due::next(&at_any_time, record).at.is_some_and(|at| at <= there)
}

/// Why an older token has to stay.
pub(in crate::rotation) fn holds_back(
    record: &Record,
    retiring: &Retiring,
    now: Timestamp,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let there = record.believed_clock().to_provider(now);
    let troubles = || record.sinks.values().filter_map(|sink| sink.trouble.as_ref());
    let moved = troubles().any(|trouble| trouble.fault.code == Code::PlaceChanged);
    if retiring.cause == Cause::Superseded && !record.condemned.contains(&retiring.token.id) {
        let steady = record.phase == Phase::Steady;
        let elsewhere = record.places().any(|sink| sink.holds.as_ref() != record.target());
        match view::overlap_ends(retiring) {
            // Some sink still lacks the newer one: the overlap has not begun.
            None => {
                reasons.push(if moved {
                    Reason::PlaceChanged
                } else if record.handoff().is_some() {
                    Reason::Handoff
                } else if troubles().next().is_some() {
                    Reason::SinkUnavailable
                } else {
                    Reason::Overlap
                });
            }
            Some(end) if end > there => reasons.push(Reason::Overlap),
            Some(_) => {
                // No last look is to be had of a place that is another one.
                reasons.extend(moved.then_some(Reason::PlaceChanged));
                // What replaces it is not where it should be.
                reasons.extend((elsewhere && steady).then_some(Reason::Drift));
                // Where the evidence is in, the token is deleted in the same step: one that is
                // still there, and not announced, waits for it.
                let waits =
                    retiring.state.announced_at().is_none() && asks_for_evidence(record, retiring);
                reasons.extend(waits.then_some(Reason::Evidence));
            }
        }
        reasons.extend(view::not_used_since(record, retiring, there).map(|_| Reason::NotUsed));
    }
    if record.troubles.revoke.is_some() {
        reasons.push(Reason::ProviderUnavailable);
    }
    reasons
}

fn asks_for_evidence(record: &Record, retiring: &Retiring) -> bool {
    let by_use = retiring.retire.after_use || retiring.retire.when_idle.is_some();
    let by_client = record.places().any(|sink| sink.uptake == Uptake::ByClient);
    by_use || by_client || retiring.on_evidence
}

/// Since when an older token could have gone but for evidence or failures.
pub(in crate::rotation) fn pending_since(
    record: &Record,
    retiring: &Retiring,
    now: Timestamp,
) -> Option<Timestamp> {
    let ends = view::overlap_ends(retiring).map(|end| record.believed_clock().to_host(end));
    let overlap_over = ends.filter(|end| *end <= now);
    let failing = record.troubles.revoke.as_ref().map(|trouble| trouble.since);
    overlap_over.or_else(|| retiring.state.announced_at()).or(failing)
}

/// Since when a token waits for a person, or a place that cannot be asked was to take the token that
/// it does not have yet.
pub(super) fn handoff_since(record: &Record) -> Option<Timestamp> {
    let by_person = record.places().filter(|sink| sink.waits_for_person().is_some());
    // Since the first that nobody said to be taken, if a newer one replaced it.
    let by_person = by_person.filter_map(|sink| sink.offers().next()?.since);
    let waiting = record
        .places()
        .filter(|sink| !sink.readable && sink.holds.as_ref() != record.target())
        .filter_map(|sink| {
            let begun = sink.begun.as_ref().map(|begun| begun.at);
            begun.or_else(|| sink.trouble.as_ref().map(|trouble| trouble.since))
        });
    waiting.chain(by_person).min()
}

/// When the first of the older tokens expires that clients have until a person takes the next one to them.
pub(super) fn handoff_ends(record: &Record) -> Option<Timestamp> {
    let waiting = record.places().filter(|sink| sink.waits_for_person().is_some());
    let has = |sink: &SinkState, retiring: &Retiring| {
        let known = sink.taken.as_ref().map(|taken| &taken.id);
        known.map_or(retiring.cause == Cause::Superseded, |id| retiring.token.id == *id)
    };
    let older = waiting.flat_map(|sink| record.retiring.iter().filter(move |it| has(sink, it)));
    let ends = older.filter_map(|retiring| retiring.token.valid_until).min()?;
    Some(record.believed_clock().to_host(ends))
}

/// What the client behind a place says of having stopped, with the place, and since when.
pub(super) fn client_stopped(record: &Record) -> Option<(String, Timestamp)> {
    let stopped = record.places().find_map(|sink| Some((sink, sink.stopped()?)));
    let (sink, (words, since)) = stopped?;
    Some((format!("{}: {words}", sink.place.location), since))
}
