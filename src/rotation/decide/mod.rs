//! The one opinion on what happens next, and why: the daemon, one-shots, `plan`, `explain` and the
//! simulation all ask [`decide`].
//!
//! The rules, in order; the first that has something to say decides. In brackets: where it stands,
//! and the step or event that comes of it.
//!
//! Always:
//! 1. Only a hook is due: the connection is left as it was (`tell`: rest).
//! 2. What an operator declared leaked is written down before anything else (`condemn`: `Condemned`).
//! 3. A pause that is over is taken off (`resume`: `Resumed`).
//! 4. A create whose outcome was not written down counts as lost; lists will tell (`IntentOpened`).
//! 5. Decisions rest on a fresh list and on fresh reads of every readable place (`look`: `Look`). Now and then a look
//!    asks as well whether the places would take the next rotation's token (`readiness`).
//! 6. A provider's clock that has jumped is looked at a second time (`ask_again`: `Look`, `Pause`).
//! 7. What time has settled is forgotten, a token that the policy no longer allows is noted, an expired
//!    older token is dropped, a late effect of a lost create is recognised (`tidy`, `judge`:
//!    `IntentsExpired`, `Judged`, `Expired`, `OrphanFound`).
//! 8. A SCIM configuration that is not known to be there is looked at, and made where the policy asks
//!    for it: without one there are no tokens (`configuring::first`: `Inspect`, `Configure`).
//! 9. What an operator asked to revoke is revoked; while a token is on its way, also what nobody can be
//!    using (`steady::on_an_operators_word`: `Look`, `Revoke`, `RevokeFailed`).
//!
//! While a token is on its way to the sinks (`delivering`):
//! 1. With `mode = "observe"` nothing that was found is delivered (`for_watching`:
//!    `SettledInPart`, rest).
//! 2. A token that died, or is due itself, makes way (`for_lost`: `GivenUp`, `SettledInPart`).
//! 3. A sink that was given something newer meanwhile is followed (`for_overtaken`: `GivenUp`, `Probe`).
//! 4. Its value may be in a place that could not be read: that is waited for; where every place
//!    definitely holds something else, the value is lost (`for_value`: rest, `GivenUp`).
//! 5. A call that must end gives up a token that no sink has (`for_ending`: `GivenUp`, rest).
//! 6. It is staged where that can be read back (`staging`: `Stage`).
//! 7. It is proven (`proving`: `Probe`, `Pause`, `Proven`, `GivenUp`, `SettledInPart`, rest).
//! 8. One that no list shows any more is proven again before another place gets it (`for_vanished`:
//!    `Probe`, `Pause`, rest).
//! 9. Every place gets it, readable ones first; then it is current (`promote`: `Promote`, `Settled`,
//!    `Pause`, `GivenUp`, rest).
//!
//! Else (`steady`); a call that must end skips 1, 3, 4 and 6 to 8:
//! 1. What somebody else put into a sink is taken over, refused, or asked about (`marks::foreign`,
//!    `sinks::take_over`: `TakenOver`, `Probe`, rest).
//! 2. With `mode = "observe"` nothing is changed (rest).
//! 3. An empty sink is filled, a drifted one restored by the policy (`sinks::heal`: `Promote`,
//!    `Probe`).
//!    A client that can be asked whether it uses the token that its place got is asked after each list
//!    (`uptake::ask`: `AskClient`).
//! 4. A token that nobody owns is retired by the policy (`Retired`).
//! 5. An older token whose time has come passes the last look and is deleted (`retire`, `last_look`:
//!    `Look`, `Revoke`, `RevokeFailed`), unless a pause or a freeze holds it back (`held`).
//! 6. A current token that two lists do not show is asked about (`sinks::gone`: `Probe`,
//!    `CurrentProbed`, rest).
//! 7. A rotation that is due or asked for starts, if no pause, freeze or window holds it back (`held`) and
//!    nothing else holds it up (`rotate`: `Preflight`, `Mint`,
//!    `Retired` for a dead token in the slot, or a rest that says what does).
//! 8. Unless 6 or 7 acts (a rest does not), what still leads to a revoked token is forgotten (`staging`:
//!    `Forget`).
//! 9. Nothing is to be done: the most telling of what is waited for is said (`finish`: rest).
//!
//! Where that comes to a rest, the SCIM configuration is compared with the policy and restored
//! (`configuring::at_rest`: `Inspect`, `Configure`). Then a throw-away user that a proof by writing left
//! is deleted (`leftover::at_rest`: `RemoveUser`).
//!
//! With the rest is written down what hooks are told of once for as long as it stands (`noticed`). Then
//! they are told (`to_tell`: `Notify`, `NotifyFailed`, `NoticeDropped`).

mod acts;
mod configuring;
mod delivering;
mod foreign;
mod held;
mod judge;
mod last_look;
mod leftover;
mod marks;
mod minting;
mod noticed;
mod patience;
mod pressing;
mod proving;
mod reach;
mod readiness;
mod resting;
mod retire;
mod rotate;
mod sinks;
mod situation;
mod staging;
mod steady;
mod step;
mod tell;
#[cfg(test)]
mod tests;
mod uptake;
mod urgency;
mod vouching;
mod wake;
mod warn;

use std::collections::BTreeSet;

use chrono::TimeDelta;

pub(super) use acts::{WRITING, longest};
pub use configuring::is_worth_asking;
pub use last_look::irreplaceable;
pub use patience::is_hopeless;
pub use resting::rested;
pub(super) use retire::first_use;
pub use retire::{Verdict, verdict};
pub use rotate::BRAKE_PART;
pub use situation::{Draw, Ending, Situation, Timeouts};
pub use steady::{cut_off, what_becomes};
pub use step::{
    About, AskClient, CheckWrites, Decision, Forget, Inquiry, Metadata, Promote, Rest, Revoke,
    Stage, Step, Veto,
};
pub use tell::{as_before, failure, to_tell};
pub use urgency::{Urgency, urgency};
pub use wake::{wake_at, work_at};
pub use warn::still_hold;

pub use super::decided::Status;
use super::{
    event::{Event, RetiringEvent},
    observe::{Held, is_dead},
    print,
    record::{Cause, Phase, Record},
    request::RotationRequest,
    why::Reason,
};
use crate::{
    clock::{ProviderTime, Timestamp},
    token::PlaceKey,
};

/// Says what is to be done next. Hooks are told when that is a rest, and it was written down: by
/// [`to_tell`].
#[must_use]
pub fn decide(s: &Situation<'_>) -> Decision {
    if tell::alone(s) {
        return step(Step::Rest(as_before(s)), "only hooks were still running");
    }
    let decision = pressing::cut_off_first(s, rotation(s));
    let rests = matches!(decision.step, Step::Rest(_));
    let beside = || configuring::at_rest(s).or_else(|| leftover::at_rest(s));
    if rests { beside().unwrap_or(decision) } else { decision }
}

/// The same, with the hooks in it: for plans, which write nothing down.
pub(super) fn decide_and_tell(s: &Situation<'_>) -> Decision {
    let decision = decide(s);
    if matches!(decision.step, Step::Rest(_)) { to_tell(s).unwrap_or(decision) } else { decision }
}

fn rotation(s: &Situation<'_>) -> Decision {
    if let Some(decision) = condemn(s) {
        return decision;
    }
    if let Some(decision) = resume(s) {
        return decision;
    }
    if matches!(s.record.phase, Phase::Minting(_)) {
        return note(
            Event::IntentOpened,
            "a create was started and its outcome was not recorded; the next lists will show it",
        );
    }
    if let Some(decision) = look(s).or_else(|| ask_again(s)).or_else(|| tidy(s)) {
        return decision;
    }
    if let Some(decision) = configuring::first(s) {
        return decision;
    }
    if let Some(decision) = steady::on_an_operators_word(s) {
        return decision;
    }
    match &s.record.phase {
        Phase::Delivering(replacement) => delivering::next(s, replacement),
        Phase::Steady | Phase::Minting(_) => steady::next(s),
    }
}

/// How long the token in use still lives; `None` where it does not expire or there is none.
#[must_use]
pub fn life_left(record: &Record, provider_now: ProviderTime) -> Option<TimeDelta> {
    Some(record.expires_at()? - provider_now)
}

/// What leaked is written down before anything else is done, and what a look then shows to be in
/// use as well. A rotation that began after the call is its answer and is not condemned.
fn condemn(s: &Situation<'_>) -> Option<Decision> {
    let RotationRequest::Compromised { since } = s.request else { return None };
    let leaked = s.record.leaked(*since, s.now);
    (!pressing::answered(s) && !leaked.is_subset(&s.record.condemned))
        .then(|| note(Event::Condemned(leaked), "an operator reported the tokens in use as leaked"))
}

/// A pause ends by itself, whether or not a service answers.
fn resume(s: &Situation<'_>) -> Option<Decision> {
    let over = s.record.pause.as_ref().filter(|pause| !pause.lasts(s.now))?;
    Some(note(Event::Resumed { at: s.now }, &format!("finished: {}", over.words())))
}

/// Every pass begins with a look at the provider and at every place.
fn look(s: &Situation<'_>) -> Option<Decision> {
    let stale = matches!(&s.observed.list, Some(Ok(list)) if (s.now - list.at).abs() > super::observe::FRESH);
    // One that failed is asked for again once its pause is over, also in the middle of a delivery.
    let failed = matches!(&s.observed.list, Some(Err(_)));
    let list = (s.observed.list.is_none() || stale || failed)
        && s.held_back(s.record.troubles.look.as_ref()).is_none();
    let places: BTreeSet<PlaceKey> = s
        .record
        .sinks
        .values()
        .filter(|sink| sink.readable)
        .filter(|sink| match s.held(&sink.place.key) {
            None => true,
            // One that could not be read is read again when its pause is over.
            Some(Held::Unreadable(_)) => {
                sink.trouble.as_ref().is_some_and(|trouble| trouble.retry_at <= s.now)
            }
            Some(Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_)) => false,
        })
        .filter(|sink| sink.unwritable || s.held_back(sink.trouble.as_ref()).is_none())
        .map(|sink| sink.place.key.clone())
        .collect();
    (list || !places.is_empty()).then(|| Decision {
        step: Step::Look { list, places, writes: readiness::due(s) },
        why: "checking the current state before deciding".to_owned(),
    })
}

/// A clock that was set, ours or theirs, is looked at once more before anything rests on it.
fn ask_again(s: &Situation<'_>) -> Option<Decision> {
    let again = s.record.skew.as_ref()?.ask_again()?;
    s.list()?;
    if s.ending.is_some() || (again - s.now).abs() > super::observe::FRESH {
        return None;
    }
    let why =
        "the provider's clock has moved relative to the local clock: listing again to confirm";
    if again > s.now {
        return Some(step(Step::Pause(again), why));
    }
    let (places, writes) = Default::default();
    Some(step(Step::Look { list: true, places, writes }, why))
}

/// Forgets what time has settled, and recognises what the list shows.
fn tidy(s: &Situation<'_>) -> Option<Decision> {
    let list = s.list()?;
    let now = s.provider_now();
    if s.record.intents.iter().any(|intent| print::kept_until(intent) <= now) {
        return Some(note(
            Event::IntentsExpired(now),
            "the create whose answer was lost is too old to take effect",
        ));
    }
    if let Some(decision) = judge::judge(s) {
        return Some(decision);
    }
    let dead = s
        .record
        .retiring
        .iter()
        .find(|retiring| retiring.cause != Cause::Dead && is_dead(&retiring.token, now));
    if let Some(retiring) = dead {
        let why = format!("{} has expired", retiring.token.id);
        let (id, what) = (retiring.token.id.clone(), RetiringEvent::Expired);
        return Some(note(Event::Retiring { id, what }, &why));
    }
    let (token, intent) = s.record.recognised(list).into_iter().next()?;
    let by = match &token.name {
        Some(name) => format!("the name {name}"),
        None => "the lifetime fingerprint".to_owned(),
    };
    let why = format!(
        "{} has {by} of a create whose answer was lost: it is an orphan of this Scimitar",
        token.id
    );
    Some(note(Event::OrphanFound { token, intent, retire: s.policy.terms.retire.clone() }, &why))
}

/// When the next rotation starts by itself; `None`: never.
#[must_use]
pub fn next_rotation(s: &Situation<'_>) -> Option<Timestamp> {
    if s.policy.terms.mode == super::policy::Mode::Observe {
        return None;
    }
    let due = super::due::next(s.policy, s.record);
    let start = s.on_our_clock(held::start(s, &due)?.at);
    Some(rotate::floor(s, &due).map_or(start, |floor| start.max(floor.until)))
}

fn note(event: Event, why: &str) -> Decision {
    Decision { step: Step::Note(Box::new(event)), why: why.to_owned() }
}

fn step(step: Step, why: impl Into<String>) -> Decision {
    Decision { step, why: why.into() }
}

/// What draws attention without stopping anything, each in a sentence.
#[must_use]
pub fn warnings(s: &Situation<'_>) -> BTreeSet<String> {
    let due = super::due::next(s.policy, s.record);
    let overruled = held::start(s, &due).and_then(|start| start.overruled);
    let mut warnings: BTreeSet<String> = due.warning.into_iter().chain(overruled).collect();
    warnings.extend(warn::warnings(s));
    warnings
}

/// Rests with this standing; survey, next rotation and warnings are the same for every rest.
fn rest(
    s: &Situation<'_>,
    status: Status,
    reason: Option<Reason>,
    until: Option<Timestamp>,
    why: impl Into<String>,
) -> Decision {
    let next_rotation = next_rotation(s);
    let soonest = [Some(s.next_survey()), until, s.held_back(s.record.troubles.look.as_ref())]
        .into_iter()
        .flatten()
        .filter(|at| *at > s.now)
        .min();
    let warnings = warnings(s);
    let until = match (until, status) {
        // What a person waits for is told; the survey in between is our own business.
        (Some(until), _) => Some(until),
        (None, Status::Idle) => soonest,
        (None, Status::Waiting | Status::Troubled | Status::Refused) => None,
    };
    Decision {
        step: Step::Rest(Rest {
            status,
            reason,
            until,
            next_rotation,
            warnings,
            hooks_only: false,
        }),
        why: why.into(),
    }
}
