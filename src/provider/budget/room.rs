//! Whether a limit has room for one more request, and what is kept of one that was sent.

use chrono::TimeDelta;

use crate::clock::Timestamp;

/// A request as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Timestamp,
    /// How many were answered before.
    pub(super) answered: i64,
}

/// Whether the limit has room for one more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Room {
    Yes,
    /// Then, or when an answer says so earlier.
    At(Timestamp),
}

pub(super) fn seconds(span: TimeDelta) -> f64 {
    span.to_std().unwrap_or_default().as_secs_f64()
}
