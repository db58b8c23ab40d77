//! How much time there is: whether a rotation is wanted, and how near the end of the token in use is.

use chrono::TimeDelta;

use super::{Decision, Situation, Status, Step, life_left};
use crate::{
    clock::ProviderTime,
    rotation::{due, hold, record::Missing, view::GONE},
};

/// A current token with less than this left is no reason to give an unproven one up.
pub(super) const CLOSE: TimeDelta = TimeDelta::hours(1);

/// Whether a rotation is due or asked for.
pub(super) fn is_wanted(s: &Situation<'_>) -> bool {
    let ripe = || due::next(s.policy, s.record).at.is_some_and(|at| at <= s.provider_now());
    (s.request.since().is_some() && !answered(s)) || ripe()
}

/// Whether a rotation that answers a person's call was already carried to its end.
pub(super) fn answered(s: &Situation<'_>) -> bool {
    let Some(last) = &s.record.last_rotation else {
        return false;
    };
    s.request.since().is_none() || s.request.is_answered_by(last, s.now)
}

/// Whether the current token is so near its end, or so certainly gone, that one place which cannot
/// be written to must not keep the others from the next: they would all be locked out. What that
/// one holds dies by itself, and with it the slot that it takes.
pub(super) fn presses(s: &Situation<'_>) -> bool {
    s.record.missing.as_ref().is_some_and(Missing::proves_gone)
        || presses_at(s).is_some_and(|at| at <= s.provider_now())
}

/// What is said where the current token is certainly gone: its clients are locked out until there is another.
pub(super) fn cut_off(s: &Situation<'_>) -> Option<String> {
    let id = &s.record.current.as_ref()?.token.id;
    let gone = s.record.missing.as_ref().is_some_and(Missing::proves_gone);
    gone.then(|| format!("{id} {GONE}: clients that use it are locked out"))
}

/// That comes first, whatever the next token waits for: it would read as if there were time.
pub(super) fn cut_off_first(s: &Situation<'_>, decision: Decision) -> Decision {
    let waits = matches!(&decision.step, Step::Rest(rest) if rest.status != Status::Idle);
    match cut_off(s).filter(|_| waits) {
        Some(words) => Decision { why: format!("{words}; {}", decision.why), ..decision },
        None => decision,
    }
}

/// From when on the current token is that near its end: an hour before it, or a
/// sixth of its life.
pub(super) fn presses_at(s: &Situation<'_>) -> Option<ProviderTime> {
    let token = &s.record.current.as_ref()?.token;
    let until = token.valid_until?;
    Some(until - CLOSE.min((until - token.created_at) / 6))
}

/// Whether there is no hurry: the current token is there and has more than an hour, or nothing was
/// ever delivered, so that nothing breaks while nothing is.
pub(super) fn current_works(s: &Situation<'_>) -> bool {
    let lost = s.record.missing.as_ref().is_some_and(Missing::listed_twice);
    !lost && life_left(s.record, s.provider_now()).is_none_or(|left| left > CLOSE)
}

/// Whether a current token that does not expire is kept longer than `max_age` by as much as one that
/// expires may have left: an hour, or a sixth of the age. It counts from when nothing held its replacement
/// back any more: no window, no freeze, and not before it was in our hands.
pub(super) fn is_overdue(s: &Situation<'_>) -> bool {
    let Some(current) = s.record.current.as_ref().filter(|it| it.token.valid_until.is_none())
    else {
        return false;
    };
    let age = s.policy.terms.max_age.and_then(|age| TimeDelta::from_std(age).ok());
    let due = due::next(s.policy, s.record);
    let (Some(age), Some(at)) = (age, due.at) else { return false };
    let free = hold::start(s.policy, s.record, &due, at).map_or(at, |start| start.at);
    let since = free.max(current.token.created_at + age);
    let since = current.delivered_at.map_or(since, |delivered| since.max(delivered));
    s.provider_now() - since > CLOSE.min(age / 6)
}
