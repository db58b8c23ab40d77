//! Whether an older token may go: overlap and evidence.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Situation, last_look::needs_force, steady::UNUSED_FOR, uptake};
use crate::{
    clock::{ProviderTime, spelled},
    rotation::{
        observe::DEAD_AFTER,
        record::{Cause, Current, Retiring, SinkState},
        uptake::Uptake,
        view::{self, GRAIN},
        why::Reason,
    },
    words::date,
};

/// An older token that was used no longer ago than this is in use, whatever a person says.
const STILL_USED: TimeDelta = TimeDelta::hours(1);

/// What stands between a token on its way out and its DELETE, before the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing does, for this reason.
    Ready(String),
    /// Time or evidence does.
    Wait {
        /// The word.
        reason: Reason,
        /// In words: what for, and what would cut it short.
        words: String,
        /// When it ends by itself; `None`: not by time alone.
        until: Option<ProviderTime>,
    },
}

/// Judges one older token.
#[must_use]
pub fn verdict(s: &Situation<'_>, retiring: &Retiring) -> Verdict {
    let id = &retiring.token.id;
    match retiring.cause {
        Cause::Orphan => {
            return Verdict::Ready(format!(
                "{id} is an orphan of this Scimitar: nobody has its value"
            ));
        }
        Cause::Bad => {
            return Verdict::Ready(format!(
                "{id} was rejected by the SCIM endpoint and never delivered"
            ));
        }
        Cause::GivenUp => {
            return Verdict::Ready(format!("{id} was abandoned before any sink had it"));
        }
        Cause::Dead => return Verdict::Ready(format!("{id} has expired and its slot is needed")),
        Cause::Lingering => {
            return Verdict::Ready(format!("{id} was deleted before and is listed again"));
        }
        Cause::Asked | Cause::Forced => {
            return asked_before_delivery(s, retiring)
                .unwrap_or_else(|| Verdict::Ready(format!("an operator asked to revoke {id}")));
        }
        Cause::Superseded | Cause::Unmanaged => {}
    }
    if s.record.condemned.contains(id) {
        return condemned(s, retiring);
    }
    let Some(since) = retiring.superseded_at else {
        if let Some(words) = not_handed_over(s, retiring) {
            return Verdict::Wait { reason: Reason::Handoff, words, until: None };
        }
        return Verdict::Wait {
            reason: Reason::Overlap,
            words: format!(
                "{id} is kept: {}; `scimitar revoke {} --token-id {id} --force` revokes it anyway; clients that still use it lose access",
                without_newer(s),
                s.record.name
            ),
            until: None,
        };
    };
    let now = s.provider_now();
    if retiring.on_evidence {
        return unused_for_long(s, retiring, since);
    }
    let overlap_ends = after(since, retiring.retire.overlap);
    // Where none is wanted, nothing rests on how late a list came by which `since` was told.
    if now < overlap_ends && !retiring.retire.overlap.is_zero() {
        return in_overlap(s, retiring, overlap_ends + GRAIN);
    }
    // Its owner has come back: the time without a use starts again.
    if let Some(used) = retiring.token.last_used_at.filter(|used| *used > since)
        && retiring.cause == Cause::Unmanaged
        && now < used + UNUSED_FOR
    {
        return Verdict::Wait {
            reason: Reason::Evidence,
            words: format!(
                "{id} is an unmanaged token and was used again at {}: Scimitar retires it once it has been unused for {} days (unmanaged = \"retire\"); `scimitar revoke {} --token-id {id}` revokes it now",
                date(used),
                UNUSED_FOR.num_days(),
                s.record.name
            ),
            until: Some(used + UNUSED_FOR + GRAIN),
        };
    }
    let latest = retiring.retire.at_latest.map(|latest| after(since, latest));
    if latest.is_some_and(|latest| now >= latest) {
        return Verdict::Ready(format!("revoke_at_latest has passed for {id}"));
    }
    match evidence(s, retiring, since) {
        Ok(()) if retiring.retire.after_use || retiring.retire.when_idle.is_some() => {
            Verdict::Ready(format!(
                "the overlap of {id} has ended and all conditions for revoking it are met"
            ))
        }
        Ok(()) => Verdict::Ready(format!(
            "the overlap of {id} has ended; no usage conditions are configured"
        )),
        Err((words, at)) => Verdict::Wait {
            reason: if not_used(s).is_some() { Reason::NotUsed } else { Reason::Evidence },
            words,
            until: [latest, at].into_iter().flatten().min().map(|at| at + GRAIN),
        },
    }
}

/// An operator asked for it before the current token was delivered: the token that was current then may be gone,
/// and clients may have gone on with this one.
fn asked_before_delivery(s: &Situation<'_>, retiring: &Retiring) -> Option<Verdict> {
    let id = &retiring.token.id;
    if retiring.cause == Cause::Forced || s.record.condemned.contains(id) {
        return None;
    }
    let (asked, current) = (retiring.superseded_at?, s.record.current.as_ref()?);
    let delivered = current.delivered_at.filter(|delivered| *delivered > asked)?;
    let ends = after(delivered, retiring.retire.overlap);
    (s.provider_now() < ends).then(|| Verdict::Wait {
        reason: Reason::Overlap,
        words: format!(
            "{id} is kept until {}: clients may still use it, because the current token {} was delivered after an operator asked to revoke {id}; `scimitar revoke {} --token-id {id}` revokes it now",
            date(ends),
            current.token.id,
            s.record.name
        ),
        until: Some(ends + GRAIN),
    })
}

/// An older token before the end of its overlap, or of its own life.
fn in_overlap(s: &Situation<'_>, retiring: &Retiring, ends: ProviderTime) -> Verdict {
    let id = &retiring.token.id;
    let said = |at: ProviderTime| date(s.on_our_clock(at));
    let force = if needs_force(s, retiring) { " --force" } else { "" };
    let expiry = retiring.token.valid_until.filter(|expiry| *expiry < ends);
    let (words, until) = match expiry {
        Some(expiry) if expiry <= s.provider_now() => (
            format!("{id} expired at {}, before its overlap ended", said(expiry)),
            expiry + DEAD_AFTER,
        ),
        Some(expiry) => (
            format!(
                "{id} stays valid until it expires at {}, before the end of its overlap; `scimitar revoke {} --token-id {id}{force}` revokes it now",
                said(expiry),
                s.record.name
            ),
            expiry + DEAD_AFTER,
        ),
        None => (
            format!(
                "{id} stays valid until {} (overlap = {}); `scimitar revoke {} --token-id {id}{force}` revokes it now",
                said(ends),
                spelled(retiring.retire.overlap),
                s.record.name
            ),
            ends,
        ),
    };
    Verdict::Wait { reason: Reason::Overlap, words, until: Some(until) }
}

/// Its value was lost by other means than our own writes, or only a mark names it: who uses it is
/// not known, and no time alone makes it safe to revoke.
fn unused_for_long(s: &Situation<'_>, retiring: &Retiring, since: ProviderTime) -> Verdict {
    let id = &retiring.token.id;
    let by_hand = format!("`scimitar revoke {} --token-id {id}` revokes it anyway", s.record.name);
    let idle = view::unused_for(retiring);
    let why = format!(
        "{id} is kept until it has been unused for {}: Scimitar cannot tell who uses it (no sink holds its value any more, or only a mark in a sink names it)",
        spelled(idle)
    );
    if !s.policy.capabilities.last_used {
        return Verdict::Wait {
            reason: Reason::Evidence,
            words: format!(
                "{why}, and the provider does not report when tokens were used; {by_hand}"
            ),
            until: None,
        };
    }
    let used = view::retiring_use(s.record, retiring);
    let last_used = used.unwrap_or(since).max(since);
    let idle_at = after(last_used, idle).max(after(since, retiring.retire.overlap));
    if s.provider_now() >= idle_at {
        return match evidence(s, retiring, since) {
            Ok(()) => Verdict::Ready(format!("{id} has been unused for {}", spelled(idle))),
            Err((words, at)) => {
                Verdict::Wait { reason: Reason::Evidence, words, until: at.map(|at| at + GRAIN) }
            }
        };
    }
    let used = used.map_or_else(
        || "it has no recorded use".to_owned(),
        |at| format!("last used at {}", date(at)),
    );
    Verdict::Wait {
        reason: Reason::Evidence,
        words: format!("{why}; {used}; {by_hand}"),
        until: Some(idle_at + GRAIN),
    }
}

/// The new token was delivered everywhere a while ago, a client has to use it before the older one
/// goes, and none does: in words, with where to look.
pub(super) fn not_used(s: &Situation<'_>) -> Option<String> {
    let current = s.record.current.as_ref()?;
    let since = s
        .record
        .retiring
        .iter()
        .find_map(|retiring| view::not_used_since(s.record, retiring, s.provider_now()))?;
    let places: Vec<&str> = s.record.places().map(|sink| sink.place.location.as_str()).collect();
    Some(format!(
        "delivered_not_used: {} was delivered at {} and no client has used it since; check the clients that read {}",
        current.token.id,
        date(s.on_our_clock(since)),
        places.join(", ")
    ))
}

/// A person has to take the newer token somewhere first: what is to be done, and until when.
fn not_handed_over(s: &Situation<'_>, retiring: &Retiring) -> Option<String> {
    let id = &retiring.token.id;
    let (_, _, words) = s.record.handoff()?;
    let ends = retiring.token.valid_until.map_or_else(String::new, |until| {
        format!(
            "; {id} expires at {}; clients that still use it then lose access",
            date(s.on_our_clock(until))
        )
    });
    Some(format!("{words}; {id} is kept until this is confirmed{ends}"))
}

/// Which places keep an older token from its overlap.
fn without_newer(s: &Situation<'_>) -> String {
    let lacking: Vec<String> = s
        .record
        .places()
        .filter(|sink| sink.begun.is_some() || sink.holds.as_ref() != s.record.target())
        .map(|sink| match &sink.holds {
            Some(held) => format!("{} held {held} at the last check", sink.place.location),
            None => format!(
                "{} was empty at the last check, or its content is unknown",
                sink.place.location
            ),
        })
        .collect();
    if lacking.is_empty() {
        "not every sink has its replacement yet".to_owned()
    } else {
        format!("not every sink has its replacement yet, {}", lacking.join(", "))
    }
}

/// A leaked token goes once it is replaced; before that only if the replacement needs its slot.
fn condemned(s: &Situation<'_>, retiring: &Retiring) -> Verdict {
    let id = &retiring.token.id;
    let current = s.record.current.as_ref().map(|current| &current.token.id);
    let replacement = current.filter(|current| !s.record.condemned.contains(*current));
    if replacement.is_some_and(|replacement| s.record.all_have(replacement)) {
        Verdict::Ready(format!("{id} was reported as leaked and has been replaced"))
    } else if replacement.is_none()
        && s.list().is_some()
        && !s.has_slot()
        // The newest one has leaked as well, and a person has not taken it to its client yet.
        && s.record.handoff().is_none()
    {
        Verdict::Ready(format!("{id} was reported as leaked and its replacement needs the slot"))
    } else {
        Verdict::Wait {
            reason: if s.record.handoff().is_some() { Reason::Handoff } else { Reason::Overlap },
            words: match s.record.handoff() {
                Some((_, _, words)) => format!(
                    "{id} was reported as leaked and will be revoked as soon as its replacement is in use: {words}; `scimitar revoke {} --token-id {id} --force` does not wait; clients that still use {id} lose access",
                    s.record.name
                ),
                None => format!(
                    "{id} was reported as leaked and will be revoked as soon as its replacement is delivered"
                ),
            },
            until: None,
        }
    }
}

/// Whether the policy's evidence is in; else what is missing, and when to look again.
fn evidence(
    s: &Situation<'_>,
    retiring: &Retiring,
    since: ProviderTime,
) -> Result<(), (String, Option<ProviderTime>)> {
    let Some(current) = &s.record.current else {
        return Err(("there is no current token".to_owned(), None));
    };
    if let Some(words) = uptake::missing(s) {
        return Err((words, None));
    }
    let by_person = s.record.places().find(|sink| matches!(sink.uptake, Uptake::ByPerson { .. }));
    let first_use = match by_person {
        _ if !retiring.retire.after_use => None,
        Some(sink) => Some(use_after_word(s, retiring, current, since, sink)?),
        // Once seen it stays so: a client that goes on using the new token puts nothing off.
        None => Some(current.first_use.map_or_else(|| first_use(current, since), Ok)?),
    };
    let Some(idle) = retiring.retire.when_idle else {
        return Ok(());
    };
    let last_used = retiring.token.last_used_at.unwrap_or(since).max(since);
    let counted_from = first_use.map_or(last_used, |first| last_used.max(first));
    let idle_at = after(counted_from, idle);
    if s.provider_now() >= idle_at {
        return Ok(());
    }
    Err((
        format!(
            "{} was last used at {} and must be unused for {} (revoke_when_idle)",
            retiring.token.id,
            retiring.token.last_used_at.map_or_else(|| "an unknown time".to_owned(), date),
            spelled(idle)
        ),
        Some(idle_at),
    ))
}

/// The same where a person said at `since` that the client has the new token: others may have used it before
/// that, and the word may be wrong while somebody uses the older one.
fn use_after_word(
    s: &Situation<'_>,
    retiring: &Retiring,
    current: &Current,
    since: ProviderTime,
    sink: &SinkState,
) -> Result<ProviderTime, (String, Option<ProviderTime>)> {
    let (id, new) = (&retiring.token.id, &current.token.id);
    let location = &sink.place.location;
    let still = |used: &ProviderTime| *used > since && s.provider_now() < *used + STILL_USED;
    if let Some(used) = retiring.token.last_used_at.filter(still) {
        let words = format!(
            "{id} was used at {}, after an operator confirmed that {location} has {new}: check that it does. {id} is kept until \
             it has been unused for {}",
            date(used),
            spelled(STILL_USED.to_std().unwrap_or_default())
        );
        return Err((words, Some(used + STILL_USED + GRAIN)));
    }
    let used = first_use(current, since)?;
    if used > since {
        return Ok(used);
    }
    let words = format!(
        "{new} must first be used by its client (revoke_after_use); its last use, {}, was before an operator confirmed that {location} \
         has it",
        date(used)
    );
    Err((words, None))
}

/// When the new token was seen used by somebody else than our own probe, as the last list shows it.
pub(in crate::rotation) fn first_use(
    current: &Current,
    since: ProviderTime,
) -> Result<ProviderTime, (String, Option<ProviderTime>)> {
    let id = &current.token.id;
    let used = current.token.last_used_at;
    let threshold = match &current.probe {
        None => since,
        Some(probe) => match probe.mark {
            None => {
                return Err((
                    format!(
                        "{id} must first be used by its client (revoke_after_use); the provider does not show the use by Scimitar's own probe yet, so a client's use could not be told apart from it"
                    ),
                    None,
                ));
            }
            Some(mark) => {
                let delay = (mark.seen - probe.sent).max(TimeDelta::zero());
                (probe.arrives_by + delay).max(mark.says)
            }
        },
    };
    used.filter(|used| *used > threshold).ok_or_else(|| {
        (
            format!(
                "{id} must first be used by its client (revoke_after_use); a use before {} cannot be told apart from Scimitar's own probe, and the provider shows none after it",
                date(threshold)
            ),
            None,
        )
    })
}

fn after(at: ProviderTime, duration: Duration) -> ProviderTime {
    at + TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX / 1_000_000)
}
