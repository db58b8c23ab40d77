//! What is written down of a rest, and what a call that rests has come to.

use super::{Rest, Situation, Step, decide, noticed::noticed, wake_at, work_at};
use crate::rotation::{
    decided::{Decided, Status},
    event::Event,
    record::Phase,
    request::RotationRequest,
    why::Reason,
};

/// The rest as an event.
#[must_use]
pub fn rested(s: &Situation<'_>, rest: &Rest, why: &str) -> Event {
    Event::Rested {
        at: s.now,
        wake_at: Some(wake_at(s, rest)),
        work_at: Some(work_at(s, rest)),
        next_rotation: rest.next_rotation,
        decided: decided(s, rest, why),
        warnings: rest.warnings.clone(),
        noticed: came_to_its_end(rest).then(|| Box::new(noticed(s))),
    }
}

/// Whether the pass found out how everything stands.
fn came_to_its_end(rest: &Rest) -> bool {
    !rest.hooks_only && !cut_off(rest)
}

fn cut_off(rest: &Rest) -> bool {
    matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted))
}

/// What the pass came to; `None` where it did not find out, and what was known before stays.
fn decided(s: &Situation<'_>, rest: &Rest, why: &str) -> Option<Decided> {
    if rest.hooks_only {
        return None;
    }
    if cut_off(rest) {
        // What fails or is refused still does, but "nothing is due" is not true of a rotation that
        // was left in the middle.
        let before = s.record.decided.as_ref();
        let still = before.is_some_and(|before| {
            before.status == Status::Troubled || before.refused_for().is_some()
        });
        let left = s.record.phase != Phase::Steady && !still;
        let waits = Rest { status: Status::Waiting, reason: None, ..rest.clone() };
        return left.then(|| noted(s, &waits, why));
    }
    // What refuses a person's call alone is told to that person; the schedule knows nothing of it.
    let by_hand = s.request.since().is_some()
        && rest.status == Status::Refused
        && matches!(rest.reason, Some(Reason::PreviousInUse | Reason::Paused));
    if !by_hand {
        return Some(noted(s, rest, why));
    }
    let of_the_schedule = decide(&Situation { request: &RotationRequest::Due, ending: None, ..*s });
    match of_the_schedule.step {
        Step::Rest(rest) => Some(noted(s, &rest, &of_the_schedule.why)),
        Step::Look { .. }
        | Step::Inspect
        | Step::Configure(_)
        | Step::Note(_)
        | Step::Preflight { .. }
        | Step::Mint(_)
        | Step::Probe(_)
        | Step::RemoveUser { .. }
        | Step::Stage(_)
        | Step::Promote(_)
        | Step::Forget(_)
        | Step::AskClient(_)
        | Step::Revoke(_)
        | Step::Notify { .. }
        | Step::Pause(_) => None,
    }
}

fn noted(s: &Situation<'_>, rest: &Rest, why: &str) -> Decided {
    let before = s.record.decided.as_ref();
    let same = before.filter(|it| it.status == rest.status && it.reason == rest.reason);
    Decided {
        status: rest.status,
        reason: rest.reason,
        words: why.to_owned(),
        since: same.map_or(s.now, |before| before.since),
        until: rest.until,
    }
}
