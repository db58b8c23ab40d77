//! When a connection that rests is attended to again.

use chrono::TimeDelta;

use super::{Rest, Situation, leftover, noticed::next_threshold, pressing::presses_at, tell};
use crate::{
    clock::Timestamp,
    rotation::{
        record::{SinkState, Work},
        why::Reason,
    },
};

/// When the connection is to be attended to next, if only for a hook's sake.
#[must_use]
pub fn wake_at(s: &Situation<'_>, rest: &Rest) -> Timestamp {
    let work = work_at(s, rest);
    tell::wake_at(s).map_or(work, |hook| hook.min(work))
}

/// When the connection itself is to be attended to next: the soonest of what the rest says, the
/// next survey, the next rotation, every retry, and the moment at which hooks are told that a token
/// will expire.
#[must_use]
pub fn work_at(s: &Situation<'_>, rest: &Rest) -> Timestamp {
    let soon = s.now + TimeDelta::seconds(1);
    if rest.hooks_only {
        // Where it is not known, another process began something and did not rest.
        return s.record.work_at.unwrap_or(soon);
    }
    let cut_off = matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted));
    if cut_off && rest.until.is_none_or(|until| until <= soon) {
        // A call that was cut off leaves off in the middle: whoever comes next goes on.
        return soon;
    }
    let troubles = &s.record.troubles;
    // A survey that failed is overdue: it is tried again when its failure says, never forgotten.
    let survey = troubles.look.as_ref().map_or_else(|| s.next_survey(), |look| look.retry_at);
    let survey = survey.max(s.now + TimeDelta::seconds(1));
    let retries = troubles
        .iter()
        .filter(|(work, _)| *work != Work::Look)
        .map(|(_, trouble)| trouble)
        .chain(s.record.places().flat_map(SinkState::troubles))
        .map(|trouble| trouble.retry_at);
    let current = s.record.current.as_ref().map(|current| &current.token.id);
    let settle = current
        .into_iter()
        .flat_map(|id| s.record.places().filter_map(|sink| sink.unsettled_until(id, s.now)));
    let interval = TimeDelta::from_std(s.policy.survey_interval).unwrap_or(TimeDelta::hours(1));
    // At the end of a life fewer things hold a rotation up: whatever it waits for, it is looked at then.
    let presses = presses_at(s).map(|at| s.on_our_clock(at));
    // A rotation that waits for something is not woken for by its own due time, which is past.
    let user = leftover::due_at(s);
    [Some(survey), rest.until, rest.next_rotation, presses, next_threshold(s), user]
        .into_iter()
        .flatten()
        .chain(retries)
        .chain(settle)
        .filter(|at| *at > s.now)
        .min()
        .unwrap_or_else(|| s.now + interval.min(TimeDelta::minutes(1)))
}
