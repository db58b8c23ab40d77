//! What an operator's pause, a freeze or a window that is over holds back now.

use super::{Decision, Situation, Status, Step, pressing::answered, rest};
use crate::{
    rotation::{
        due::Due,
        hold::{self, Hold, Start},
        record::{Cause, Retiring},
        request::RotationRequest,
        why::Reason,
    },
    words::date,
};

/// When the rotation that is due by this starts, from now on.
pub(super) fn start(s: &Situation<'_>, due: &Due) -> Option<Start> {
    hold::start(s.policy, s.record, due, s.provider_now())
}

/// Why a rotation that is due, or that a person asks for, does not start now.
pub(super) fn rotation(s: &Situation<'_>, due: &Due, by_hand: bool) -> Option<Decision> {
    if by_hand {
        return by_a_person(s, due);
    }
    let Start { at, hold: Some(hold), .. } = start(s, due)? else { return None };
    let until = s.on_our_clock(at);
    let words = format!("due: {}; waiting until {}: {}", due.because, date(until), hold.words);
    Some(rest(s, Status::Waiting, Some(hold.reason), Some(until), words))
}

/// Whether that is a rotation which waits for a pause, a freeze or a window, or is kept apart from the last one.
pub(super) fn is_held(decision: &Decision) -> bool {
    let Step::Rest(rest) = &decision.step else { return false };
    let time = matches!(
        rest.reason,
        Some(Reason::Paused | Reason::Freeze | Reason::Window | Reason::Overlap)
    );
    time && rest.status == Status::Waiting
}

/// Windows and freezes are for the schedule. A pause is another person's word, and stands until it
/// ends; a leak does not wait for it.
fn by_a_person(s: &Situation<'_>, due: &Due) -> Option<Decision> {
    if matches!(s.request, RotationRequest::Compromised { .. }) {
        return None;
    }
    let now = Due { at: Some(s.provider_now()), ..due.clone() };
    let hold = start(s, &now)?.hold.filter(|hold| hold.reason == Reason::Paused)?;
    let name = &s.record.name;
    let words = format!(
        "{}; `scimitar resume {name}` ends the pause; --compromised ignores it",
        hold.words
    );
    let until = Some(s.on_our_clock(hold.until));
    Some(rest(s, Status::Refused, Some(Reason::Paused), until, words))
}

/// What holds back what is begun or revoked by the policy alone; `None` too where a rotation does not
/// wait for it, and may need what is in its way gone.
pub(super) fn change(s: &Situation<'_>, due: &Due) -> Option<Hold> {
    let hold = hold::in_force(s.policy, s.record, s.provider_now()).next()?;
    let by_hand = s.request.since().is_some() && !answered(s);
    let leak = matches!(s.request, RotationRequest::Compromised { .. });
    if by_hand && (leak || hold.reason == Reason::Freeze) {
        return None;
    }
    let start = start(s, due)?;
    let starts = start.hold.is_none() && start.at <= s.provider_now();
    (!starts).then_some(hold)
}

/// What keeps an older token from being revoked. An operator's word about it counts in any case.
pub(super) fn revocation(s: &Situation<'_>, retiring: &Retiring, due: &Due) -> Option<Hold> {
    let asked = match retiring.cause {
        Cause::Asked | Cause::Forced => true,
        Cause::Superseded
        | Cause::Orphan
        | Cause::Bad
        | Cause::GivenUp
        | Cause::Unmanaged
        | Cause::Dead
        | Cause::Lingering => s.record.condemned.contains(&retiring.token.id),
    };
    if asked { None } else { change(s, due) }
}
