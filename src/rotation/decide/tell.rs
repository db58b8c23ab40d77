//! What the hooks are to be told: done when nothing else is, so that no hook holds anything up.

use chrono::TimeDelta;

use super::{Decision, Rest, Situation, Status, Step, note, step};
use crate::{
    clock::Timestamp,
    error::Fault,
    rotation::{
        due,
        event::Event,
        notice::Notice,
        record::{Phase, Trouble},
        request::RotationRequest,
        telling::{self, Telling},
    },
};

/// The next thing that a hook is to be told, or that is to be noted of one; a call that has to end
/// begins none.
#[must_use]
pub fn to_tell(s: &Situation<'_>) -> Option<Decision> {
    if s.ending.is_some() {
        return None;
    }
    Some(match s.record.notices.telling(s.now, due::salt(&s.record.key))? {
        Telling::CutOff { hook, number, trouble } => note(
            Event::NotifyFailed { hook, number, trouble },
            "a hook was started and its outcome was not recorded",
        ),
        Telling::GivenUp { hook, number, why } => note(Event::NoticeDropped { hook, number }, &why),
        Telling::Due { hook, notice } => {
            let (event, words) = (notice.happening.occasion.as_str(), &notice.happening.words);
            let why = format!("running the hook {hook} ({event}): {words}");
            step(Step::Notify { hook, notice }, why)
        }
    })
}

/// Whether the queue gave the connection out for a hook's sake alone: nobody else is asked anything.
/// A hook that fails for days must not cost the provider a list with each of its retries.
pub(super) fn alone(s: &Situation<'_>) -> bool {
    let interval = TimeDelta::from_std(s.policy.survey_interval).unwrap_or(TimeDelta::hours(1));
    // A clock that was set back makes no pause longer than it can be.
    let not_yet = |work_at| s.now < work_at && work_at <= s.now + interval;
    *s.request == RotationRequest::Woken
        && s.record.work_at.is_some_and(not_yet)
        && s.record.phase == Phase::Steady
        && s.observed.list.is_none()
        && s.observed.sinks.is_empty()
}

/// A rest that leaves everything as the last one wrote it down.
#[must_use]
pub fn as_before(s: &Situation<'_>) -> Rest {
    let decided = s.record.decided.as_ref();
    Rest {
        status: decided.map_or(Status::Idle, |decided| decided.status),
        reason: decided.and_then(|decided| decided.reason),
        until: None,
        next_rotation: s.record.next_rotation,
        warnings: s.record.warnings.clone(),
        hooks_only: true,
    }
}

/// Whatever a run of this hook comes to: how long it is until the next try.
#[must_use]
pub fn failure(s: &Situation<'_>, notice: &Notice, fault: Fault) -> Trouble {
    telling::failure(notice, fault, s.now, due::salt(&s.record.key))
}

/// When the hooks want the connection to be attended to.
pub(super) fn wake_at(s: &Situation<'_>) -> Option<Timestamp> {
    Some(s.record.notices.wake_at(s.now)?.max(s.now + TimeDelta::seconds(1)))
}
