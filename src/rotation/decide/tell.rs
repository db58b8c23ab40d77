//! What the hooks are to be told: done when nothing else is, so that no hook holds anything up.

use chrono::TimeDelta;

use super::{Decision, Ending, Situation, Step, note, step};
use crate::{
    clock::{Timestamp, rfc3339},
    error::{Class, Code, Fault},
    rotation::{
        due,
        event::Event,
        notice::{self, Notice, Subscriber},
        record::Trouble,
    },
    token::HookName,
};

/// The next thing that a hook is to be told, or that is to be noted of one; a process that is asked
/// to stop begins none.
#[must_use]
pub fn to_tell(s: &Situation<'_>) -> Option<Decision> {
    if s.ending == Some(Ending::Interrupted) {
        return None;
    }
    let hooks = &s.record.notices.hooks;
    hooks.iter().find_map(|(name, hook)| cut_off(s, name, hook).or_else(|| next(s, name, hook)))
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

/// What draws attention: who was not told what.
pub(super) fn warnings(s: &Situation<'_>) -> impl Iterator<Item = String> {
    s.record.notices.hooks.iter().flat_map(|(name, hook)| {
        let failing = hook.waiting.iter().filter_map(move |notice| {
            let trouble = notice.trouble.as_ref()?;
            Some(format!(
                "the hook {name} could not be told what happened at {} ({}: {}): {}; next try {}",
                rfc3339(notice.happening.at),
                notice.happening.occasion.as_str(),
                notice.happening.words,
                trouble.fault.detail,
                rfc3339(trouble.retry_at)
            ))
        });
        let missed = (hook.missed > 0).then(|| {
            format!(
                "the hook {name} will not be told of {} earlier event(s): it failed too long",
                hook.missed
            )
        });
        failing.chain(missed)
    })
}

/// A try was announced by a worker that is gone.
fn cut_off(s: &Situation<'_>, name: &HookName, hook: &Subscriber) -> Option<Decision> {
    let notice = hook.waiting.iter().find(|notice| notice.begun.is_some())?;
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
    Some(step(Step::Notify { hook: name.clone(), number: notice.number }, why))
}
