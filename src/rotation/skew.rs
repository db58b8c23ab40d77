//! How far the provider's clock is from ours, and how much of that may be believed.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{observe::SeenList, record::Record};
use crate::clock::Timestamp;

/// Two lists agree on the skew when they differ by no more than this.
const SAME: i64 = 60_000;

/// For so long lists have to agree before something is destroyed because of it.
const SETTLED: TimeDelta = TimeDelta::hours(1);

/// The provider's clock less ours, as the lists show it. A `Date` can be wrong for a moment (a proxy,
/// one bad machine of many): a new skew destroys nothing before it has lasted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// In milliseconds.
    ms: i64,
    /// Since when lists have agreed on it (host's clock).
    since: Timestamp,
    /// What they agreed on before.
    before_ms: i64,
}

impl Skew {
    /// What `list` adds to what was known.
    pub(super) fn seen(known: Option<Self>, list: &SeenList) -> Self {
        let ms = list.skew().num_milliseconds();
        match known {
            Some(known) if (known.ms - ms).abs() <= SAME => Self { ms, ..known },
            Some(known) => Self { ms, since: list.at, before_ms: known.settled_ms(list.at) },
            None => Self { ms, since: list.at, before_ms: ms },
        }
    }

    fn settled_ms(&self, now: Timestamp) -> i64 {
        if (now - self.since).abs() >= SETTLED { self.ms } else { self.before_ms }
    }
}

impl Record {
    /// The skew that has lasted, by the host's clock.
    pub(super) fn settled_skew(&self, now: Timestamp) -> Option<TimeDelta> {
        Some(TimeDelta::milliseconds(self.skew.as_ref()?.settled_ms(now)))
    }

    /// A moment of the provider's clock, as the last list showed that, or later where that list's
    /// clock is behind what has lasted: from then on time counts for an older token.
    pub(super) fn not_before(&self, at: Timestamp) -> Timestamp {
        let Some(survey) = &self.survey else { return at };
        let shown = TimeDelta::milliseconds(survey.skew_ms);
        let behind = self.settled_skew(survey.at).map_or(TimeDelta::zero(), |skew| skew - shown);
        at + behind.max(TimeDelta::zero())
    }
}
