//! The provider's clock: its times, and what converts them.

use std::{
    fmt,
    ops::{Add, Sub},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Timestamp, parse_timestamp};

/// An instant (UTC) by the provider's clock: what its answers say, and what is counted from that.
///
/// Two of them can be compared and subtracted:
///
/// ```
/// use scimitar::clock::ProviderTime;
/// fn age(made: ProviderTime, now: ProviderTime) -> chrono::TimeDelta {
///     now - made
/// }
/// fn is_over(until: ProviderTime, now: ProviderTime) -> bool {
///     until <= now
/// }
/// ```
///
/// It and the host's time cannot:
///
/// ```compile_fail,E0277
/// use scimitar::clock::{ProviderTime, Timestamp};
/// fn age(made: ProviderTime, now: Timestamp) -> chrono::TimeDelta {
///     now - made
/// }
/// ```
///
/// ```compile_fail,E0277
/// use scimitar::clock::{ProviderTime, Timestamp};
/// fn left(until: ProviderTime, now: Timestamp) -> chrono::TimeDelta {
///     until - now
/// }
/// ```
///
/// ```compile_fail,E0308
/// use scimitar::clock::{ProviderTime, Timestamp};
/// fn is_over(until: ProviderTime, now: Timestamp) -> bool {
///     until <= now
/// }
/// ```
///
/// Nor does one become the other by itself:
///
/// ```compile_fail,E0277
/// use scimitar::clock::{ProviderTime, Timestamp};
/// fn here(at: ProviderTime) -> Timestamp {
///     at.into()
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderTime(#[serde(with = "super::stored")] DateTime<Utc>);

impl ProviderTime {
    /// Before everything that a provider can say.
    pub const UNIX_EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// After everything that a provider can say.
    pub const MAX: Self = Self(DateTime::<Utc>::MAX_UTC);

    /// What a provider told.
    #[must_use]
    pub const fn told(at: DateTime<Utc>) -> Self {
        Self(at)
    }

    /// Reads what a provider wrote, as [`parse_timestamp`] does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_timestamp(text).map(Self)
    }

    /// So much later; `None` where that cannot be counted.
    #[must_use]
    pub fn checked_add_signed(self, span: TimeDelta) -> Option<Self> {
        self.0.checked_add_signed(span).map(Self)
    }
}

impl fmt::Debug for ProviderTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sub for ProviderTime {
    type Output = TimeDelta;

    fn sub(self, other: Self) -> TimeDelta {
        self.0 - other.0
    }
}

impl Add<TimeDelta> for ProviderTime {
    type Output = Self;

    fn add(self, span: TimeDelta) -> Self {
        Self(self.0 + span)
    }
}

impl Sub<TimeDelta> for ProviderTime {
    type Output = Self;

    fn sub(self, span: TimeDelta) -> Self {
        Self(self.0 - span)
    }
}

/// A time of either clock, as it is written and shown.
pub trait Told: Copy {
    /// The bare time. Whose clock it is by is lost with it: for what writes and shows, and for
    /// nothing that compares or counts.
    fn as_told(self) -> DateTime<Utc>;
}

impl Told for Timestamp {
    fn as_told(self) -> DateTime<Utc> {
        self
    }
}

impl Told for ProviderTime {
    fn as_told(self) -> DateTime<Utc> {
        self.0
    }
}

/// Where a provider's clock is against the host's: the only way from one to the other. Before the
/// provider said anything, the two are taken to be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderClock {
    ahead: TimeDelta,
}

impl ProviderClock {
    /// A provider's clock that is so far ahead of the host's.
    #[must_use]
    pub(crate) const fn ahead_by(ahead: TimeDelta) -> Self {
        Self { ahead }
    }

    /// A provider's clock that showed `there` when the host's showed `here`.
    #[must_use]
    pub(crate) fn seen(there: ProviderTime, here: Timestamp) -> Self {
        Self { ahead: there.0 - here }
    }

    /// The provider's clock less the host's.
    #[must_use]
    pub const fn skew(self) -> TimeDelta {
        self.ahead
    }

    /// A moment of the provider's clock on the host's.
    #[must_use]
    pub fn to_host(self, at: ProviderTime) -> Timestamp {
        // What cannot be counted stays as it is: no skew that is believed comes near that.
        at.0.checked_sub_signed(self.ahead).unwrap_or(at.0)
    }

    /// A moment of the host's clock on the provider's.
    #[must_use]
    pub fn to_provider(self, at: Timestamp) -> ProviderTime {
        ProviderTime(at.checked_add_signed(self.ahead).unwrap_or(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_converted_there_and_back_is_the_same() {
        let here = parse_timestamp("2026-11-22T04:00:00.500Z").unwrap();
        let there = ProviderTime::parse("2026-11-22T03:58:00Z").unwrap();
        let clock = ProviderClock::seen(there, here);
        assert_eq!(clock.skew(), TimeDelta::milliseconds(-120_500));
        assert_eq!((clock.to_provider(here), clock.to_host(there)), (there, here));
        assert_eq!(ProviderClock::default().to_host(there), there.as_told());
        assert_eq!(ProviderClock::ahead_by(clock.skew()), clock);
    }

    #[test]
    fn a_skew_beyond_all_counting_changes_nothing() {
        let clock = ProviderClock::ahead_by(TimeDelta::MAX);
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(clock.to_provider(at).as_told(), at);
        assert_eq!(clock.to_host(ProviderTime::UNIX_EPOCH), at);
    }

    #[test]
    fn what_is_stored_is_the_bare_time() {
        let at = ProviderTime::parse("2026-11-22T03:58:00.250Z").unwrap();
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2026-11-22T03:58:00.250Z\"");
        assert_eq!(serde_json::from_str::<ProviderTime>(&json).unwrap(), at);
        assert_eq!(format!("{at:?}"), format!("{:?}", at.as_told()));
    }
}
