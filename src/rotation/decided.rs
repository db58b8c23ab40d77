//! What a pass came to, as it is kept: how a connection stands, and why.

use serde::{Deserialize, Serialize};

use super::why::Reason;
use crate::clock::{Timestamp, stored};

/// How things stand at the end of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As they should.
    Idle,
    /// Time or evidence is waited for.
    Waiting,
    /// Something failed and is tried again.
    Troubled,
    /// Nothing goes on until an operator decides.
    Refused,
}

/// What the last pass came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// How the connection stands.
    #[serde(rename = "standing")]
    pub status: Status,
    /// The word for it in results and metrics.
    pub reason: Option<Reason>,
    /// In words, with the way out where there is one.
    pub words: String,
    /// Since when it has stood so, for this reason.
    #[serde(with = "stored")]
    pub since: Timestamp,
    /// When that ends by itself or is tried again, if it is.
    #[serde(default, with = "stored")]
    pub until: Option<Timestamp>,
}

impl Decided {
    /// Why no rotation can start, where something other than time has to end that: an operator, or
    /// the older token's being gone.
    #[must_use]
    pub fn refused_for(&self) -> Option<Reason> {
        let refused = self.status == Status::Refused;
        self.reason.filter(|reason| refused || *reason == Reason::PreviousInUse)
    }
}
