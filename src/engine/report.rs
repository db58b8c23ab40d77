//! What became of a connection in one call: the rows of the JSON document are made from it.

use serde::Serialize;

use crate::{
    error::{Class, Fault},
    rotation::{record::Record, why::Reason},
};

/// How a call ended for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every sink has a new token.
    Rotated,
    /// `--dry-run`, `plan`: what would be done.
    Planned,
    /// Nothing was due.
    Unchanged,
    /// Something is under way that time or evidence will end.
    Waiting,
    /// Nothing goes on until an operator decides (or, for a rotation by hand, until the time in the words).
    Refused,
    /// It did not work.
    Failed,
}

impl Outcome {
    /// The word, in results and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Planned => "planned",
            Self::Unchanged => "unchanged",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What a failure of the ledger was met at.
pub(super) const LEDGER: &str = "write to the ledger";

/// What became of one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it waits or is refused.
    pub reason: Option<Reason>,
    /// In words.
    pub why: String,
    /// The record as it stands now, if there is one.
    pub record: Option<Record>,
    /// The fault that ended it.
    pub fault: Option<Fault>,
    /// Only hooks were told something: it says nothing of how the connection stands.
    pub hooks_only: bool,
}

impl Report {
    /// Whether it ended because nothing can be written down now, for any connection.
    #[must_use]
    pub fn ledger_was_away(&self) -> bool {
        let fault = self.fault.as_ref();
        fault.is_some_and(|fault| fault.operation == LEDGER && fault.class == Class::Transient)
    }
}
