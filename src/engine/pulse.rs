//! What the daemon tells whoever supervises it.

use std::time::Duration;

use crate::{clock::Timestamp, token::ConnectionName};

/// What the daemon is doing, for whoever supervises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// How many connections it attends to.
    pub connections: usize,
    /// How many of them it is working on.
    pub running: usize,
    /// How many of them failed or were refused when they were last attended to.
    pub troubled: usize,
    /// The next rotation, and whose.
    pub next: Option<(Timestamp, ConnectionName)>,
    /// Why the ledger cannot be used, if it cannot.
    pub standstill: Option<String>,
    /// Whether it was asked to end.
    pub stopping: bool,
}

/// Is told that the scheduler goes round, by the scheduler itself.
pub trait Pulse: std::fmt::Debug + Send + Sync {
    /// It must go round at least this often.
    fn every(&self) -> Duration;

    /// It went round, and does this.
    fn beat(&self, doing: &Doing, now: Timestamp);
}
