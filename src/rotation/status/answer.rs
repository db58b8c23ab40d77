//! How a call ended for a connection.

use super::Outcome;
use crate::clock::Timestamp;
use crate::rotation::{
    decide::Rest,
    decided::Status,
    record::{Record, Rotation},
    request::RotationRequest,
    why::Reason,
};

/// How a call that rests ended; `before` is the last rotation on record when it began.
#[must_use]
pub fn outcome(
    request: &RotationRequest,
    before: Option<&Rotation>,
    record: &Record,
    rest: &Rest,
    now: Timestamp,
) -> Outcome {
    let last = record.last_rotation.as_ref();
    let answered = match request {
        RotationRequest::Due | RotationRequest::Woken | RotationRequest::First { .. } => {
            last != before
        }
        RotationRequest::Rotate { .. } | RotationRequest::Compromised { .. } => {
            last.is_some_and(|last| request.is_answered_by(last, now))
        }
    };
    let leaked =
        matches!(request, RotationRequest::Compromised { .. }) && !record.condemned.is_empty();
    match (answered, rest.status) {
        (true, _) if leaked => Outcome::Failed,
        (true, _) => Outcome::Rotated,
        (false, Status::Troubled) if rest.reason == Some(Reason::Interrupted) => Outcome::Waiting,
        (false, Status::Idle | Status::Waiting) if request.since().is_some() => Outcome::Refused,
        (false, status) => status.into(),
    }
}
