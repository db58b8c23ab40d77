//! What became of a connection in one call: the rows of the JSON document are made from it.

pub use crate::rotation::status::Outcome;
use crate::{
    error::{Class, Fault},
    rotation::{record::Record, status::Status, why::Reason},
};

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
    /// How a connection stands by its record, if there is one.
    #[must_use]
    pub fn of_status(status: Status, record: Option<Record>) -> Self {
        let Status { outcome, reason, why, fault, .. } = status;
        Self { outcome, reason, why, record, fault, hooks_only: false }
    }

    /// Whether it ended because nothing can be written down now, for any connection.
    #[must_use]
    pub fn ledger_was_away(&self) -> bool {
        let fault = self.fault.as_ref();
        fault.is_some_and(|fault| fault.operation == LEDGER && fault.class == Class::Transient)
    }
}
