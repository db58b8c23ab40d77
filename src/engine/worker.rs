//! What a worker is given: what it talks to, what it is asked, and how long it may take.

use std::{fmt, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

pub use crate::rotation::request::RotationRequest;

use super::{
    outages::Services,
    pool::{Lane, Pool},
    progress::Progress,
};
use crate::{
    clock::{Clock, Entropy, Timestamp},
    error::Fault,
    hook::Hooks,
    ledger::Ledger,
    probe::ScimProbe,
    provider::Provider,
    rotation::{
        decide::{Ending, Timeouts},
        policy::Policy,
        probe_user::ProbeUserName,
    },
    sink::{Place, Sink},
    telemetry::{audit::Audit, metrics::Metrics},
    token::{SinkName, TokenId},
};

/// How long a claim lasts without being renewed. Renewed every third of it, and before each side effect.
pub const LEASE: Duration = Duration::from_secs(120);

/// How long a worker waits for anything, at most, before it makes its claim last.
pub(super) const NAP: TimeDelta = TimeDelta::seconds(40);
const _: () = assert!(NAP.num_seconds() as u64 * 3 <= LEASE.as_secs());

/// How often a claim held elsewhere is asked for again.
pub(super) const ASK_AGAIN: TimeDelta = TimeDelta::milliseconds(250);

/// Makes a sink that left the policy readable again, from what the ledger remembers of it.
pub trait Reopen: fmt::Debug + Send + Sync {
    /// `None` when its `[sinks.NAME]` is gone as well.
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>>;
}

/// Where the tokens of one connection go. Sinks that know nothing from one call to the next are opened when
/// it is attended to: very many connections may be configured, and few are attended to at a time.
pub trait Places: fmt::Debug + Send + Sync {
    /// The labels of the sinks.
    fn names(&self) -> Vec<SinkName>;

    /// Opens the sinks, in the order of the policy.
    ///
    /// # Errors
    /// When a place cannot be one. Whoever made this has opened all of them once.
    fn open(&self) -> Result<Vec<Arc<dyn Sink>>, Fault>;
}

/// Sinks that are open already.
impl Places for Vec<Arc<dyn Sink>> {
    fn names(&self) -> Vec<SinkName> {
        self.iter().map(|sink| sink.place().sink.clone()).collect()
    }

    fn open(&self) -> Result<Vec<Arc<dyn Sink>>, Fault> {
        Ok(self.clone())
    }
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
    pub places: Arc<dyn Places>,
    /// For places that left the policy.
    pub reopen: Arc<dyn Reopen>,
    /// Who is told what happens.
    pub hooks: Arc<Hooks>,
}

impl Connection {
    /// What its work depends on.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::new(self.policy.key.tenant.clone(), self.places.names())
    }
}

/// How long a call may take.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Stay until the older tokens are revoked.
    pub wait: bool,
    /// When to stop trying; `None`: one pass, or for ever with `wait`.
    pub until: Option<Timestamp>,
    /// Cancelled when the process is asked to end: the worker then parks safely.
    pub stop: CancellationToken,
}

impl Patience {
    /// Why a call must end at this moment.
    #[must_use]
    pub fn ending(&self, now: Timestamp) -> Option<Ending> {
        if self.stop.is_cancelled() {
            Some(Ending::Interrupted)
        } else if self.until.is_some_and(|until| until <= now) {
            Some(Ending::Timeout)
        } else {
            None
        }
    }
}

/// What an operator does about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It counts as ours from now on: as the current one.
    Adopt(TokenId),
    /// It counts as ours from now on, and is retired by the policy.
    Retire(TokenId),
    /// It counts as ours from now on: as the current one where a place holds it, else it is retired.
    TakeOver(TokenId),
    /// A place, by its location or its sink's name, is where it is seen to be now.
    AcceptPlace(String),
    /// A throw-away user is gone.
    AcceptUserGone(ProbeUserName),
    /// It is revoked.
    Revoke {
        /// The token.
        id: TokenId,
        /// Even if the sinks hold it.
        force: bool,
    },
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
    /// Where each step is noted for those who look back.
    pub audit: Arc<dyn Audit>,
    /// Who asks for what is done, where a person does: for the history.
    pub person: Option<String>,
    /// What people see of it while it goes on.
    pub progress: Arc<dyn Progress>,
    /// Who may begin, so that nobody waits for a stranger.
    pub pool: Pool,
    /// What is down.
    pub services: Services,
    /// How long a request to a provider may take (`[engine] request_timeout`).
    pub request_timeout: Duration,
}

impl Engine {
    /// How long answers to this connection may take.
    #[must_use]
    pub fn timeouts(&self, connection: &Connection) -> Timeouts {
        Timeouts { request: self.request_timeout, probe: connection.probe.longest() }
    }
}
