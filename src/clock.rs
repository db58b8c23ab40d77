//! Time as a parameter: nothing else in the crate reads a clock.
//!
//! There are two: ours, and the one of the provider that tokens are made at. Their times are two types, so
//! that one is never compared with the other by accident. Ours is the host's, or the ledger's where several
//! hosts share one.

mod agreed;
mod provider;
pub(crate) mod stored;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};

pub use self::{
    agreed::AgreedClock,
    provider::{ProviderClock, ProviderTime, Told},
};

/// An instant of wall-clock time (UTC), by our clock.
pub type Timestamp = DateTime<Utc>;

/// The longest that a sleeper goes without reading the wall clock again, so that suspend,
/// clock steps and NTP jumps are noticed.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// The host's clock, or a simulated one.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The host's wall-clock time, to the millisecond.
    fn now(&self) -> Timestamp;

    /// Returns once [`Clock::now`] has reached `deadline`, and after no more than what was left of
    /// that when it was called: a clock that is set back meanwhile makes nobody sleep longer.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// The host's real clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        Utc::now().trunc_subsecs(3)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let began = tokio::time::Instant::now();
        let longest = (deadline - self.now()).to_std().unwrap_or_default();
        while let Some(nap) = nap(self.now(), deadline, longest.saturating_sub(began.elapsed())) {
            #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
            tokio::time::sleep(nap).await;
        }
    }
}

/// How long to sleep before the wall clock is read again; `None` once it shows `deadline` or nothing is
/// left of the time that was to pass at most.
fn nap(now: Timestamp, deadline: Timestamp, left: Duration) -> Option<Duration> {
    let nap = (deadline - now).to_std().unwrap_or_default().min(left).min(LONGEST_NAP);
    (!nap.is_zero()).then_some(nap)
}

/// Randomness as a parameter, for the same reason.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// 64 random bits.
    fn bits(&self) -> u64;
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits(&self) -> u64 {
        // Without the system's generator nothing secure can be done; a constant would be worse
        // than stopping, and Linux's getrandom does not fail once the pool is initialised.
        #[expect(clippy::expect_used, reason = "no daemon can run without the system's entropy")]
        getrandom::u64().expect("the operating system gives random numbers")
    }
}

/// Reads an RFC 3339 time and refuses years outside 1970 to 9999, so that adding any configured
/// duration (at most 100 years) cannot overflow.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    use chrono::Datelike;
    let at = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (1970..=9999).contains(&at.year()).then_some(at)
}

/// Writes a time of either clock as users see it: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn rfc3339(at: impl Told) -> String {
    at.as_told().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Writes a duration as the configuration does: `90s`, `15m`, `24h`, `30d`.
#[must_use]
pub fn spelled(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, length, least) in [("d", 86_400, 2 * 86_400), ("h", 3_600, 3_600), ("m", 60, 60)] {
        if seconds >= least && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_notices_within_a_minute_that_the_clock_was_set() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let at = |text| parse_timestamp(text).unwrap();
        let deadline = at("2026-11-22T04:00:00Z");
        // Three hours before it, and then with the host suspended or its clock set.
        assert_eq!(nap(at("2026-11-22T01:00:00Z"), deadline, hours(3)), Some(LONGEST_NAP));
        assert_eq!(nap(at("2026-11-22T04:00:00Z"), deadline, hours(2)), None);
        assert_eq!(nap(at("2027-11-22T04:00:00Z"), deadline, hours(2)), None);
        assert_eq!(nap(at("2025-11-22T04:00:00Z"), deadline, hours(1)), Some(LONGEST_NAP));
        assert_eq!(nap(at("2025-11-22T04:00:00Z"), deadline, Duration::ZERO), None);
        let second = Some(Duration::from_secs(1));
        assert_eq!(nap(at("2026-11-22T03:59:59Z"), deadline, hours(1)), second);
    }

    #[test]
    fn durations_are_written_as_they_are_configured() {
        let cases =
            [(90, "90s"), (900, "15m"), (86_400, "24h"), (864_000, "10d"), (3_661, "3661s")];
        for (seconds, text) in cases {
            assert_eq!(spelled(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn timestamps_outside_four_digit_years_are_refused() {
        assert!(parse_timestamp("2026-11-22T04:00:00.123Z").is_some());
        assert!(parse_timestamp("1969-12-31T23:59:59Z").is_none());
        assert!(parse_timestamp("+262000-01-01T00:00:00Z").is_none());
        assert!(parse_timestamp("yesterday").is_none());
    }
}
