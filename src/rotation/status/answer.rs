//! How a call ended for a connection.

use super::Outcome;
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
) -> Outcome {
    let last = record.last_rotation.as_ref();
    let answered = match request {
        RotationRequest::Due | RotationRequest::Woken => last != before,
        RotationRequest::Rotate { since } => last.is_some_and(|last| last.finished >= *since),
        RotationRequest::Compromised { since } => last.is_some_and(|last| last.began >= *since),
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
