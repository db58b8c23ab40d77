//! An operator's pause: nothing is started and nothing is revoked before it ends.

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Timestamp, stored},
    words::date,
};

/// An operator's pause of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Since when.
    #[serde(with = "stored")]
    pub since: Timestamp,
    /// When it ends by itself, by the host's clock.
    #[serde(with = "stored")]
    pub until: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// Why, in that person's words.
    pub reason: String,
}

impl Pause {
    /// Whether it has not ended by then.
    #[must_use]
    pub fn lasts(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "paused until {} by {} (since {}): {}",
            date(self.until),
            self.by,
            date(self.since),
            self.reason
        )
    }
}
