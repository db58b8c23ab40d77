//! What became of a connection in one call: the rows of the JSON document are made from it.

use chrono::TimeDelta;

pub use crate::rotation::status::Outcome;
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::{Ledger, LedgerError},
    rotation::{decide::Ending, record::Record, status::ConnectionStatus, why::Reason},
};

/// So much longer than its record says, at most, a connection is left to others.
const FOR_OTHERS: TimeDelta = TimeDelta::minutes(1);

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
    /// Of what it speaks.
    pub scope: Scope,
}

/// Of what a report speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Of the connection.
    #[default]
    Connection,
    /// Of hooks alone, which were told something: it says nothing of how the connection stands.
    Hooks,
    /// Of the ledger: nothing can be written down now, for any connection.
    Ledger,
}

impl Report {
    /// One without a fault.
    #[must_use]
    pub fn new(
        outcome: Outcome,
        reason: Option<Reason>,
        why: impl Into<String>,
        record: Option<Record>,
    ) -> Self {
        Self { outcome, reason, why: why.into(), record, fault: None, scope: Scope::Connection }
    }

    /// Of a call that the ledger ended.
    pub(super) fn of_ledger(error: &LedgerError, record: Option<Record>) -> Self {
        let (class, scope) = match error {
            LedgerError::Unavailable { .. } => (Class::Transient, Scope::Ledger),
            LedgerError::ClaimLost => (Class::Conflict, Scope::Connection),
            LedgerError::Unusable { .. } => (Class::Terminal, Scope::Connection),
        };
        let why = error.to_string();
        let fault = Fault::new("write to the ledger", class, Code::Io, &why);
        Self { fault: Some(fault), scope, ..Self::new(Outcome::Failed, None, why, record) }
    }

    /// Of work that ended without one, or was not begun, because the call is over.
    pub(super) fn cut_short(ending: Ending, what: &str) -> Self {
        let (outcome, reason, words) = match ending {
            Ending::Interrupted => (Outcome::Waiting, Reason::Interrupted, "interrupted"),
            Ending::Timeout => (Outcome::Failed, Reason::Timeout, "timed out"),
        };
        let why = format!("{words} {what}; the next run continues from here");
        Self::new(outcome, Some(reason), why, None)
    }

    /// Until when whoever failed at a connection leaves it to other replicas, if there may be some: what
    /// fails here may not fail elsewhere, and who woke first each time would put it off for all.
    #[must_use]
    pub fn left_to_others(&self, ledger: &dyn Ledger, now: Timestamp) -> Option<Timestamp> {
        let failed = self.outcome == Outcome::Failed && self.scope != Scope::Hooks;
        let wake = self.record.as_ref()?.wake_at?;
        (failed && ledger.is_shared() && wake > now).then(|| wake + (wake - now).min(FOR_OTHERS))
    }

    /// How a connection stands by its record, if there is one.
    #[must_use]
    pub fn of_status(status: ConnectionStatus, record: Option<Record>) -> Self {
        let ConnectionStatus { outcome, reason, why, fault, .. } = status;
        Self { outcome, reason, why, record, fault, scope: Scope::Connection }
    }
}
