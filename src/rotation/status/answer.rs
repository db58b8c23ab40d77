//! How a call ended for a connection.

use super::Outcome;
use crate::rotation::{
    ask::Ask,
    decide::Rest,
    decided::Standing,
    record::{Record, Rotation},
    why::Reason,
};

/// How a call that rests ended; `before` is the last rotation on record when it began.
#[must_use]
pub fn outcome(ask: &Ask, before: Option<&Rotation>, record: &Record, rest: &Rest) -> Outcome {
    let last = record.last_rotation.as_ref();
    let answered = match ask {
        Ask::Due | Ask::Woken => last != before,
        Ask::Rotate { since } => last.is_some_and(|last| last.finished >= *since),
        Ask::Compromised { since } => last.is_some_and(|last| last.began >= *since),
    };
    let leaked = matches!(ask, Ask::Compromised { .. }) && !record.condemned.is_empty();
    match (answered, rest.standing) {
        (true, _) if leaked => Outcome::Failed,
        (true, _) => Outcome::Rotated,
        (false, Standing::Troubled) if rest.reason == Some(Reason::Interrupted) => Outcome::Waiting,
        (false, Standing::Idle | Standing::Waiting) if ask.since().is_some() => Outcome::Refused,
        (false, standing) => standing.into(),
    }
}
