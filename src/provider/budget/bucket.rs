//! A limit as a bucket of requests.

use std::time::Duration;

use chrono::TimeDelta;

use super::{LONGEST_PAUSE, RateLimit};
use crate::clock::Timestamp;

/// Fills up by `rate` a second to at most `size`; a request takes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: f64,
    size: f64,
    pub(super) level: f64,
    at: Timestamp,
}

impl Bucket {
    pub(super) fn new(limit: RateLimit, share: f64, now: Timestamp) -> Self {
        let size = (f64::from(limit.burst) * share).max(1.0);
        Self { rate: limit.per_second * share, size, level: size, at: now }
    }

    /// The same with room for no more than so many requests, but for one.
    pub(super) fn at_most(self, size: f64) -> Self {
        let size = self.size.min(size).max(1.0);
        Self { size, level: size, ..self }
    }

    /// Fills it up to `now`; `None` when a request may be taken out, else when it may.
    pub(super) fn ready(&mut self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was set back fills nothing.
        let passed = (now - self.at).to_std().unwrap_or_default();
        self.at = now;
        self.level = (self.level + self.rate * passed.as_secs_f64()).min(self.size);
        // Rounding must not make the last millisecond endless.
        let missing = 1.0 - self.level;
        if missing < 1e-9 {
            return None;
        }
        let wait = Duration::try_from_secs_f64(missing / self.rate).unwrap_or(LONGEST_PAUSE);
        let millis = i64::try_from(wait.min(LONGEST_PAUSE).as_millis()).unwrap_or(i64::MAX);
        Some(now + TimeDelta::milliseconds(millis.saturating_add(1)))
    }
}
