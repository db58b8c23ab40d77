//! The provider's clock, as the record knows it.

use chrono::TimeDelta;

use super::record::{Record, Survey};
use crate::clock::{ProviderClock, ProviderTime};

impl Record {
    /// The provider's clock, as the last list showed it: for moments that this list dates.
    #[must_use]
    pub fn provider_clock(&self) -> ProviderClock {
        self.survey.as_ref().map(Survey::clock).unwrap_or_default()
    }

    /// The provider's clock by the skew that has lasted.
    pub(super) fn settled_clock(&self) -> Option<ProviderClock> {
        let ms = self.skew.as_ref()?.settled_ms();
        Some(ProviderClock::ahead_by(TimeDelta::milliseconds(ms)))
    }

    /// The provider's clock as far as it is believed: as the last list showed it, but no later than a
    /// skew that has lasted makes it. What is decided and what is shown rest on it.
    #[must_use]
    pub fn believed_clock(&self) -> ProviderClock {
        self.no_later_than_settled(self.provider_clock())
    }

    /// A clock that a list showed, unless the skew that has lasted makes it earlier.
    pub(super) fn no_later_than_settled(&self, shown: ProviderClock) -> ProviderClock {
        let settled = self.settled_clock().filter(|settled| settled.skew() < shown.skew());
        settled.unwrap_or(shown)
    }

    /// A moment as the last list showed it, or later where that list's clock is behind what has
    /// lasted: from then on time counts for an older token.
    pub(super) fn not_before(&self, at: ProviderTime) -> ProviderTime {
        let Some(survey) = &self.survey else { return at };
        let shown = survey.clock().skew();
        let behind = self.settled_clock().map_or(TimeDelta::zero(), |clock| clock.skew() - shown);
        at + behind.max(TimeDelta::zero())
    }
}
