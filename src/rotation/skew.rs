//! How far the provider's clock is from ours, and how much of that may be believed.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::observe::SeenList;
use crate::clock::{Timestamp, stored};

/// Two lists agree on the skew when they differ by no more than this, in milliseconds.
const SAME: i64 = 120_000;

/// For so long lists have to agree before anything rests on it.
const SETTLED: TimeDelta = TimeDelta::seconds(5);

/// So many lists are made at once to find two that agree; after that, surveys will tell.
const TRIES: u32 = 3;

/// The provider's clock less ours, as the lists show it. A `Date` can be wrong for a moment (a proxy,
/// one bad machine of many): a new skew is no reason to mint or to revoke before a second list has
/// shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// In milliseconds.
    ms: i64,
    /// Since when lists have agreed on it.
    #[serde(with = "stored")]
    since: Timestamp,
    /// When the last one did.
    #[serde(with = "stored")]
    last: Timestamp,
    /// What they agreed on before.
    before_ms: i64,
    /// How many lists have shown something that no other list agrees on yet.
    unsettled: u32,
}

impl Skew {
    /// What `list` adds to what was known.
    pub(super) fn seen(known: Option<Self>, list: &SeenList) -> Self {
        let (ms, at) = (list.clock().skew().num_milliseconds(), list.at);
        let lists = known.as_ref().map_or(0, |known| known.unsettled);
        let mut now = match known {
            // One that is settled is followed wherever it drifts.
            Some(known) if (known.ms - ms).abs() <= SAME && known.is_settled() => {
                Self { ms, last: at, before_ms: ms, ..known }
            }
            Some(known) if (known.ms - ms).abs() <= SAME => Self { ms, last: at, ..known },
            Some(known) => {
                let before_ms = known.settled_ms();
                Self { ms, since: at, last: at, before_ms, unsettled: 0 }
            }
            // Before the first list, the host's own clock is all there is.
            None => Self { ms, since: at, last: at, before_ms: 0, unsettled: 0 },
        };
        now.unsettled = if now.is_settled() { 0 } else { lists.saturating_add(1) };
        now
    }

    /// When another list is to be made at once, to find out whether the last one's clock was right.
    #[must_use]
    pub fn ask_again(&self) -> Option<Timestamp> {
        (1..TRIES).contains(&self.unsettled).then_some(self.last + SETTLED)
    }

    /// Whether it is what lists have agreed on for long enough, or all along.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        (self.before_ms - self.ms).abs() <= SAME || (self.last - self.since).abs() >= SETTLED
    }

    pub(super) fn settled_ms(&self) -> i64 {
        if self.is_settled() { self.ms } else { self.before_ms }
    }
}
