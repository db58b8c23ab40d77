//! The tenant's request limit: a token bucket, and the headers that show it.

use serde::{Deserialize, Serialize};

use super::wire::{Answer, refusal};
use crate::clock::Timestamp;

/// What is left of a limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bucket {
    left: f64,
    at: Timestamp,
}

/// A limit: requests a second, kept up for ever, and how many may come at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) per_second: f64,
    pub(super) burst: u32,
}

/// What the limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    limit: u32,
    remaining: u32,
    /// Seconds until one more request may come.
    wait: i64,
    /// That moment, in Unix seconds.
    reset: i64,
}

impl Limit {
    /// Takes one request out of the bucket, if there is one left.
    pub(super) fn take(self, bucket: &mut Option<Bucket>, now: Timestamp) -> Verdict {
        let burst = f64::from(self.burst.max(1));
        let left = bucket.map_or(burst, |bucket| {
            let passed = (now - bucket.at).as_seconds_f64().max(0.0);
            (bucket.left + passed * self.per_second).min(burst)
        });
        let allowed = left >= 1.0;
        let left = if allowed { left - 1.0 } else { left };
        *bucket = Some(Bucket { left, at: now });
        let to_next = if left >= 1.0 { 0.0 } else { (1.0 - left) / self.per_second };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "both are small and not negative; `as` saturates"
        )]
        let (remaining, wait) = (left.floor() as u32, to_next.ceil() as i64);
        let wait = wait.min(86_400);
        Verdict { allowed, limit: self.burst, remaining, wait, reset: now.timestamp() + wait }
    }
}

impl Verdict {
    /// The headers of every answer where there is a limit. `x-ratelimit-reset` is absolute.
    pub(super) fn mark(self, answer: Answer) -> Answer {
        answer
            .with("x-ratelimit-limit", self.limit.to_string())
            .with("x-ratelimit-remaining", self.remaining.to_string())
            .with("x-ratelimit-reset", self.reset.to_string())
    }

    /// 429, as it is seen in the field.
    pub(super) fn refusal(self) -> Answer {
        self.mark(too_many_requests().with("retry-after", self.wait.max(1).to_string()))
    }
}

/// The body of a 429 of the Management API.
pub(super) fn too_many_requests() -> Answer {
    refusal(429, "Global limit has been reached", Some("too_many_requests"))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn a_burst_then_a_trickle() {
        let limit = Limit { per_second: 0.5, burst: 2 };
        let now = SystemClock.now();
        let mut bucket = None;
        let first = limit.take(&mut bucket, now);
        assert_eq!((first.allowed, first.remaining, first.wait), (true, 1, 0));
        let second = limit.take(&mut bucket, now);
        assert_eq!((second.allowed, second.remaining, second.wait), (true, 0, 2));
        assert_eq!(second.reset, now.timestamp() + 2);
        assert!(!limit.take(&mut bucket, now + TimeDelta::seconds(1)).allowed);
        assert!(limit.take(&mut bucket, now + TimeDelta::seconds(2)).allowed);
        // A clock that goes back neither fills nor empties the bucket.
        assert!(!limit.take(&mut bucket, now - TimeDelta::hours(1)).allowed);
    }
}
