//! The tenant's request limit: a token bucket, and the headers that show it.

use serde::{Deserialize, Serialize};

use super::wire::{TenantAnswer, refusal};
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

/// What `x-ratelimit-reset` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// The moment when one more request may come.
    #[default]
    OneMore,
    /// The moment when as many as ever may come at once.
    FullAgain,
    /// There is no such header, nor any other about the limit, also with a 429.
    Unsaid,
}

/// What the limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) allowed: bool,
    limit: u32,
    remaining: u32,
    /// Seconds until one more request may come.
    wait: i64,
    /// The moment of reset, in Unix seconds.
    reset: i64,
    /// No header shows any of it.
    unsaid: bool,
}

impl Limit {
    /// Takes one request out of the bucket, if there is one left.
    pub(super) fn take(self, bucket: &mut Option<Bucket>, quirk: Reset, now: Timestamp) -> Taken {
        let burst = f64::from(self.burst.max(1));
        let left = bucket.map_or(burst, |bucket| {
            let passed = (now - bucket.at).as_seconds_f64().max(0.0);
            (bucket.left + passed * self.per_second).min(burst)
        });
        let allowed = left >= 1.0;
        let left = if allowed { left - 1.0 } else { left };
        *bucket = Some(Bucket { left, at: now });
        let until = |wanted: f64| (wanted - left).max(0.0) / self.per_second;
        let to_reset = match quirk {
            Reset::OneMore | Reset::Unsaid => until(1.0),
            Reset::FullAgain => until(burst),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "all are small and not negative; `as` saturates"
        )]
        let (remaining, wait, to_reset) =
            (left.floor() as u32, until(1.0).ceil() as i64, to_reset.ceil() as i64);
        let reset = now.timestamp() + to_reset.min(86_400);
        let (wait, unsaid) = (wait.min(86_400), quirk == Reset::Unsaid);
        Taken { allowed, limit: self.burst, remaining, wait, reset, unsaid }
    }
}

impl Taken {
    /// The headers of every answer where there is a limit. `x-ratelimit-reset` is absolute.
    pub(super) fn mark(self, answer: TenantAnswer) -> TenantAnswer {
        if self.unsaid {
            return answer;
        }
        answer
            .with("x-ratelimit-limit", self.limit.to_string())
            .with("x-ratelimit-remaining", self.remaining.to_string())
            .with("x-ratelimit-reset", self.reset.to_string())
    }

    /// 429, as it is seen in the field.
    pub(super) fn refusal(self) -> TenantAnswer {
        let answer = too_many_requests();
        if self.unsaid {
            return answer;
        }
        self.mark(answer.with("retry-after", self.wait.max(1).to_string()))
    }
}

/// The body of a 429 of the Management API.
pub(super) fn too_many_requests() -> TenantAnswer {
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
        let first = limit.take(&mut bucket, Reset::OneMore, now);
        assert_eq!((first.allowed, first.remaining, first.wait), (true, 1, 0));
        let second = limit.take(&mut bucket, Reset::OneMore, now);
        assert_eq!((second.allowed, second.remaining, second.wait), (true, 0, 2));
        assert_eq!(second.reset, now.timestamp() + 2);
        assert!(!limit.take(&mut bucket, Reset::OneMore, now + TimeDelta::seconds(1)).allowed);
        assert!(limit.take(&mut bucket, Reset::OneMore, now + TimeDelta::seconds(2)).allowed);
        // A clock that goes back neither fills nor empties the bucket.
        assert!(!limit.take(&mut bucket, Reset::OneMore, now - TimeDelta::hours(1)).allowed);
    }

    #[test]
    fn the_reset_is_one_more_or_full_again() {
        let limit = Limit { per_second: 0.5, burst: 10 };
        let now = SystemClock.now();
        let after = |requests, reset| {
            let mut bucket = None;
            let verdicts = (0..requests).map(|_| limit.take(&mut bucket, reset, now));
            let last = verdicts.last().unwrap();
            (last.reset - now.timestamp(), last.wait)
        };
        assert_eq!(after(4, Reset::OneMore), (0, 0));
        assert_eq!(after(4, Reset::FullAgain), (8, 0));
        assert_eq!(after(10, Reset::OneMore), (2, 2));
        assert_eq!(after(11, Reset::FullAgain), (20, 2));
    }
}
