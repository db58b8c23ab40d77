//! What the hooks are to be told: done when nothing else is, so that no hook holds anything up.

use chrono::TimeDelta;

use super::{Decision, Rest, Situation, Status, Step, note, step};
use crate::{
    clock::{Timestamp, rfc3339},
    error::{Class, Code, Fault},
    rotation::{
        due,
        event::Event,
        notice::{self, Notice, Subscriber},
        record::{Phase, Trouble},
        request::RotationRequest,
    },
    token::HookName,
};

/// The next thing that a hook is to be told, or that is to be noted of one; a call that has to end
/// begins none.
#[must_use]
pub fn to_tell(s: &Situation<'_>) -> Option<Decision> {
    if s.ending.is_some() {
        return None;
    }
    let hooks = &s.record.notices.hooks;
    hooks.iter().find_map(|(name, hook)| cut_off(s, name, hook).or_else(|| next(s, name, hook)))
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
    let salt = due::salt(&s.record.key) ^ notice.number;
    notice::after(notice.trouble.as_ref(), fault, s.now, salt)
}

/// When the hooks want the connection to be attended to.
pub(super) fn wake_at(s: &Situation<'_>) -> Option<Timestamp> {
    let soonest = s.record.notices.hooks.values().filter_map(|hook| hook.wake_at(s.now)).min()?;
    Some(soonest.max(s.now + TimeDelta::seconds(1)))
}

/// A try was announced by a worker that is gone: it had the connection, or its time is over.
fn cut_off(s: &Situation<'_>, name: &HookName, hook: &Subscriber) -> Option<Decision> {
    let over =
        |notice: &&Notice| notice.attempt().is_some_and(|begun| begun.lasts_until(s.now).is_none());
    let notice = hook.waiting.iter().find(over)?;
    let fault = Fault::new(
        format!("run the hook {name}"),
        Class::Ambiguous,
        Code::ClaimLost,
        "Scimitar ended while it ran, and its outcome is not known",
    );
    let trouble = failure(s, notice, fault);
    let (hook, number) = (name.clone(), notice.number);
    Some(note(
        Event::NotifyFailed { hook, number, trouble },
        "a hook was begun and its outcome was not written down",
    ))
}

fn next(s: &Situation<'_>, name: &HookName, hook: &Subscriber) -> Option<Decision> {
    let hopeless = hook.waiting.iter().find(|notice| notice.is_hopeless(s.now));
    if let Some(notice) = hopeless {
        let days = notice::GIVEN_UP_AFTER.num_days();
        let why = format!(
            "the hook {name} has failed for {days} days and will not be told what happened at {}: {}",
            rfc3339(notice.happening.at),
            notice.happening.words
        );
        let (hook, number) = (name.clone(), notice.number);
        return Some(note(Event::NoticeDropped { hook, number }, &why));
    }
    let notice = hook.next(s.now)?;
    let why = format!(
        "the hook {name} is to be told ({}): {}",
        notice.happening.occasion.as_str(),
        notice.happening.words
    );
    let notice = Box::new(notice.clone());
    Some(step(Step::Notify { hook: name.clone(), notice }, why))
}
