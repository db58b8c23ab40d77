//! Carries out one step after another for one connection.

use std::{fmt, sync::Arc, time::Duration};

use super::report::Report;
use crate::{
    clock::{Clock, Entropy, Timestamp},
    ledger::Ledger,
    probe::ScimProbe,
    provider::Provider,
    rotation::policy::Policy,
    sink::{Place, Sink},
    telemetry::metrics::Metrics,
};

/// Makes a sink that left the policy readable again, from what the ledger remembers of it.
pub trait Reopen: fmt::Debug + Send + Sync {
    /// `None` when its `[sinks.NAME]` is gone as well.
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>>;
}

/// All that one connection's rotation talks to.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What the operator asked for.
    pub policy: Arc<Policy>,
    /// Who issues its tokens.
    pub provider: Arc<dyn Provider>,
    /// Who proves them.
    pub probe: Arc<dyn ScimProbe>,
    /// Where they go.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// For places that left the policy.
    pub reopen: Arc<dyn Reopen>,
}

/// What a call wants of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whatever is due.
    Due,
    /// A token whose rotation finished after this moment.
    Rotate {
        /// When the call began.
        since: Timestamp,
    },
    /// The same, and the current and previous tokens are condemned first.
    Compromised {
        /// When the call began.
        since: Timestamp,
    },
}

/// How long a call may take.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Stay until the older tokens are revoked.
    pub wait: bool,
    /// When to stop trying (by the host's clock); `None`: never.
    pub until: Option<Timestamp>,
    /// Cancelled when the process is asked to end: the worker then parks safely.
    pub stop: tokio_util::sync::CancellationToken,
}

/// What all workers of a process share.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What was written down.
    pub ledger: Arc<dyn Ledger>,
    /// What is counted.
    pub metrics: Metrics,
    /// How long a request to a provider may take (`[engine] request_timeout`).
    pub request_timeout: Duration,
}

impl Engine {
    /// Does for one connection what `ask` wants and `patience` allows, one step after another.
    pub async fn attend(&self, connection: &Connection, ask: &Ask, patience: &Patience) -> Report {
        let _ = (connection, ask, patience);
        unimplemented!()
    }
}
