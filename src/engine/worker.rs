//! What a worker is given, and how a call on one connection begins and ends.

use std::{fmt, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use crate::rotation::ask::Ask;

use super::{
    guard,
    pool::{Lane, Pool, Seat},
    progress::Progress,
    report::{LEDGER, Outcome, Report},
    run::{Run, Stop},
};
use crate::{
    clock::{Clock, Entropy, Timestamp},
    error::{Class, Code, Fault},
    hook::Hooks,
    ledger::{Claim, Claimed, Ledger, LedgerError},
    probe::ScimProbe,
    provider::Provider,
    rotation::{decide::Ending, policy::Policy, record::Record, status::Status, why::Reason},
    sink::{Place, Sink},
    telemetry::{audit::Audit, metrics::Metrics},
};

/// How long a claim lasts without being renewed. Renewed every third of it, and before each side effect.
pub const LEASE: Duration = Duration::from_secs(120);

/// How often a claim held elsewhere is asked for again.
pub(super) const ASK_AGAIN: TimeDelta = TimeDelta::milliseconds(250);

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
    /// Who is told what happens.
    pub hooks: Arc<Hooks>,
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

/// What an operator does about one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It counts as ours from now on: as the current one.
    Adopt(crate::token::TokenId),
    /// It counts as ours from now on, and is retired by the policy.
    Retire(crate::token::TokenId),
    /// A place, by its location or its sink's name, is where it is seen to be now.
    AcceptPlace(String),
    /// It is revoked.
    Revoke {
        /// The token.
        id: crate::token::TokenId,
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
    /// What people see of it while it goes on.
    pub progress: Arc<dyn Progress>,
    /// Who may begin, so that nobody waits for a stranger.
    pub pool: Pool,
    /// How long a request to a provider may take (`[engine] request_timeout`).
    pub request_timeout: Duration,
}

impl Engine {
    /// Does for one connection what `ask` wants and `patience` allows, one step after another.
    pub async fn attend(&self, connection: &Connection, ask: &Ask, patience: &Patience) -> Report {
        let seat = self.pool.open(&Lane::of(connection));
        self.attend_at(&seat, connection, ask, patience).await
    }

    /// The same for a connection that the pool admitted. It ends soon after `patience` does,
    /// whatever is under way: what was announced before is what the next run goes on from.
    pub async fn attend_at(
        &self,
        seat: &Seat,
        connection: &Connection,
        ask: &Ask,
        patience: &Patience,
    ) -> Report {
        let work = Box::pin(self.attend_in_span(seat, connection, ask, patience));
        tokio::select! {
            biased;
            report = work.instrument(span(&connection.policy)) => report,
            ended = self.end_of(patience) => ended,
        }
    }

    /// The report of a connection that was not begun before the call was over; `None` while it is
    /// not over.
    pub async fn not_begun(&self, connection: &Connection, patience: &Patience) -> Option<Report> {
        let ending = guard::ending(patience, self.clock.now())?;
        let mut report = guard::ended(ending, "before it was the turn of this connection");
        let stored = tokio::select! {
            biased;
            stored = self.ledger.load(&connection.policy.key) => stored,
            ended = self.end_of(patience) => return Some(ended),
        };
        report.record = stored.ok().flatten().map(|stored| stored.record);
        Some(report)
    }

    /// Comes when a call is over and cannot be waited for any longer.
    async fn end_of(&self, patience: &Patience) -> Report {
        let up = async {
            match patience.until {
                Some(until) => self.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = patience.stop.cancelled() => {}
            () = up => {}
        }
        let now = self.clock.now();
        let end = patience.until.map_or(now, |until| until.min(now));
        self.clock.sleep_until(end.max(now - guard::HARD) + guard::HARD).await;
        let ending = guard::ending(patience, self.clock.now()).unwrap_or(Ending::Timeout);
        guard::ended(ending, "while the ledger or a service did not answer")
    }

    async fn attend_in_span(
        &self,
        seat: &Seat,
        connection: &Connection,
        ask: &Ask,
        patience: &Patience,
    ) -> Report {
        loop {
            let waits = ask.since().is_some() || patience.wait;
            let claim = match self.claim(connection, waits, patience).await {
                Ok(claim) => claim,
                Err(report) => return *report,
            };
            let report = match self.open(seat, connection, claim.clone(), ask, patience).await {
                Ok(run) => Box::pin(run.run()).await,
                Err(report) => {
                    self.release(&claim).await;
                    *report
                }
            };
            // Whoever took the claim over may give a person's call its answer.
            let taken_over = report.reason == Some(Reason::ClaimedElsewhere);
            if !taken_over || !waits || patience.stop.is_cancelled() {
                return report;
            }
        }
    }

    /// Carries out what an operator decided about one token, then whatever is due.
    ///
    /// # Errors
    /// When it is refused, in words that say why and what to do.
    pub async fn operate(
        &self,
        connection: &Connection,
        operation: &Operation,
        patience: &Patience,
    ) -> Result<Report, String> {
        let span = span(&connection.policy);
        let work = Box::pin(self.operate_in_span(connection, operation, patience));
        tokio::select! {
            biased;
            done = work.instrument(span) => done,
            ended = self.end_of(patience) => Ok(ended),
        }
    }

    async fn operate_in_span(
        &self,
        connection: &Connection,
        operation: &Operation,
        patience: &Patience,
    ) -> Result<Report, String> {
        let ask = Ask::Due;
        let seat = self.pool.open(&Lane::of(connection));
        let claim = match self.claim(connection, true, patience).await {
            Ok(claim) => claim,
            Err(report) => return Ok(*report),
        };
        let opened = self.open_for_operator(&seat, connection, claim.clone(), &ask, patience).await;
        match opened {
            Ok(run) => Box::pin(run.operate(operation)).await,
            Err(report) => {
                self.release(&claim).await;
                Ok(*report)
            }
        }
    }

    pub(super) async fn release(&self, claim: &Claim) {
        if let Err(error) = self.ledger.release(claim).await
            && !matches!(error, LedgerError::ClaimLost)
        {
            tracing::warn!(error = %error, "the claim could not be given back; it ends by itself: {error}");
        }
    }

    /// Gets the claim. What a person asks for waits for one held elsewhere (whose rotation may be
    /// the answer); what is merely due is then somebody else's business.
    async fn claim(
        &self,
        connection: &Connection,
        waits: bool,
        patience: &Patience,
    ) -> Result<Claim, Box<Report>> {
        let key = &connection.policy.key;
        loop {
            match self.ledger.claim(key, LEASE).await {
                Ok(Claimed::Yes(claim)) => return Ok(claim),
                Ok(Claimed::Held(_)) => {}
                Err(error) => return Err(Box::new(ledger_failed(&error, None))),
            }
            let record = match self.ledger.load(key).await {
                Ok(stored) => stored.map(|stored| stored.record),
                Err(error) => return Err(Box::new(ledger_failed(&error, None))),
            };
            let waiting = |why: &str| {
                Box::new(Report {
                    outcome: Outcome::Waiting,
                    reason: Some(Reason::ClaimedElsewhere),
                    why: why.to_owned(),
                    record: record.clone(),
                    fault: None,
                    hooks_only: false,
                })
            };
            let now = self.clock.now();
            if !waits {
                return Err(waiting("another process acts on this connection"));
            }
            if patience.stop.is_cancelled() {
                return Err(waiting("interrupted while another process acted on this connection"));
            }
            if patience.until.is_some_and(|until| until <= now) {
                let mut report = waiting("another process still acts on this connection");
                report.outcome = Outcome::Failed;
                return Err(report);
            }
            tokio::select! {
                biased;
                () = patience.stop.cancelled() => {}
                () = self.clock.sleep_until(now + ASK_AGAIN) => {}
            }
        }
    }

    pub(super) async fn open<'a>(
        &'a self,
        seat: &'a Seat,
        connection: &'a Connection,
        claim: Claim,
        ask: &'a Ask,
        patience: &'a Patience,
    ) -> Result<Run<'a>, Box<Report>> {
        let policy = &connection.policy;
        let stored =
            self.ledger.load(&policy.key).await.map_err(|error| ledger_failed(&error, None))?;
        if stored.is_none() {
            self.same_tenant(policy).await?;
        }
        self.open_run(seat, connection, claim, ask, patience, stored).await
    }

    async fn open_for_operator<'a>(
        &'a self,
        seat: &'a Seat,
        connection: &'a Connection,
        claim: Claim,
        ask: &'a Ask,
        patience: &'a Patience,
    ) -> Result<Run<'a>, Box<Report>> {
        let key = &connection.policy.key;
        let stored = self.ledger.load(key).await.map_err(|error| ledger_failed(&error, None))?;
        self.open_run(seat, connection, claim, ask, patience, stored).await
    }

    async fn open_run<'a>(
        &'a self,
        seat: &'a Seat,
        connection: &'a Connection,
        claim: Claim,
        ask: &'a Ask,
        patience: &'a Patience,
        stored: Option<crate::ledger::Stored>,
    ) -> Result<Run<'a>, Box<Report>> {
        let policy = &connection.policy;
        let (version, record) = match stored {
            Some(stored) => (stored.version, stored.record),
            None => {
                (0, Record::new(policy.key.clone(), policy.name.clone(), policy.provider.clone()))
            }
        };
        let mut run = Run::new(self, connection, claim, ask, patience, seat, (version, record));
        match run.begin().await {
            Ok(()) => Ok(run),
            Err(stop) => Err(Box::new(run.stopped(stop).await)),
        }
    }

    /// A connection that the ledger knows at another tenant is refused until an operator says so.
    async fn same_tenant(&self, policy: &Policy) -> Result<(), Box<Report>> {
        let moved = self
            .ledger
            .elsewhere(&policy.key, &policy.name)
            .await
            .map_err(|error| ledger_failed(&error, None))?;
        let Some(record) = moved else { return Ok(()) };
        let status = Status::at_another_tenant(policy, &record);
        Err(Box::new(Report::of_status(status, Some(record))))
    }
}

/// What every line about a connection says of it. Of the highest level, so that no filter that shows
/// a line takes it away.
fn span(policy: &Policy) -> tracing::Span {
    tracing::error_span!(
        "rotation",
        connection = %policy.name,
        connection_id = %policy.key.connection,
        provider = %policy.provider,
    )
}

/// The report of a call that the ledger ended.
pub(super) fn ledger_failed(error: &LedgerError, record: Option<Record>) -> Report {
    let class = match error {
        LedgerError::Unavailable { .. } => Class::Transient,
        LedgerError::ClaimLost => Class::Conflict,
        LedgerError::Unusable { .. } => Class::Terminal,
    };
    Report {
        outcome: Outcome::Failed,
        reason: None,
        why: error.to_string(),
        record,
        fault: Some(Fault::new(LEDGER, class, Code::Io, error.to_string())),
        hooks_only: false,
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::ClaimLost => Self::ClaimLost,
            LedgerError::Unavailable { .. } | LedgerError::Unusable { .. } => Self::Ledger(error),
        }
    }
}
