//! How a call on one connection begins and ends.

use tracing::Instrument;

use super::{
    deadline::{Deadline, HARD},
    lease::{Lease, Stop},
    pool::Seat,
    report::{Outcome, Report},
    run::Run,
    worker::{ASK_AGAIN, Connection, Engine, LEASE, Operation, Patience, RotationRequest},
};
use crate::{
    ledger::{Claim, Claimed, LedgerError, Stored},
    rotation::{
        decide::Ending, operate::NotDone, policy::Policy, record::Record, status::ConnectionStatus,
        why::Reason,
    },
};

/// Who attends to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Whoever finds it due or wants a rotation: one that moved to another tenant is refused.
    Schedule,
    /// An operator who decides about it, which is how a move is accepted.
    Operator,
}

impl Engine {
    /// Does for one connection what `request` wants and `patience` allows, one step after another.
    pub async fn attend(
        &self,
        connection: &Connection,
        request: &RotationRequest,
        patience: &Patience,
    ) -> Report {
        let seat = self.pool.open(&connection.lane());
        self.attend_at(&seat, connection, request, patience).await
    }

    /// The same for a connection that the pool admitted. It ends soon after `patience` does,
    /// whatever is under way: what was announced before is what the next run goes on from.
    pub async fn attend_at(
        &self,
        seat: &Seat,
        connection: &Connection,
        request: &RotationRequest,
        patience: &Patience,
    ) -> Report {
        let work = Box::pin(self.attend_in_span(seat, connection, request, patience));
        tokio::select! {
            biased;
            report = work.instrument(span(&connection.policy)) => report,
            ended = self.end_of(patience) => ended,
        }
    }

    /// The report of a connection that was not begun before the call was over; `None` while it is
    /// not over.
    pub async fn not_begun(&self, connection: &Connection, patience: &Patience) -> Option<Report> {
        let ending = patience.ending(self.clock.now())?;
        let mut report = Report::cut_short(ending, "before it was this connection's turn");
        let stored = tokio::select! {
            biased;
            stored = self.ledger.load(&connection.policy.key) => stored,
            ended = self.end_of(patience) => return Some(ended),
        };
        report.record = stored.ok().flatten().map(|stored| stored.record);
        Some(report)
    }

    /// Comes when a call is over and cannot be waited for any longer.
    pub(super) async fn end_of(&self, patience: &Patience) -> Report {
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
        self.clock.sleep_until(end.max(now - HARD) + HARD).await;
        let ending = patience.ending(self.clock.now()).unwrap_or(Ending::Timeout);
        Report::cut_short(ending, "while the ledger or a service did not answer")
    }

    async fn attend_in_span(
        &self,
        seat: &Seat,
        connection: &Connection,
        request: &RotationRequest,
        patience: &Patience,
    ) -> Report {
        loop {
            let waits = request.since().is_some() || patience.wait;
            let (claim, stored) = match self.claim(connection, waits, patience).await {
                Ok(claimed) => claimed,
                Err(report) => return *report,
            };
            let claimed = (claim.clone(), stored);
            let report = match Box::pin(self.open(
                seat,
                connection,
                claimed,
                request,
                patience,
                By::Schedule,
            ))
            .await
            {
                Ok(run) if run.was_looked_at() => {
                    self.release(&claim).await;
                    let why = "another replica has just checked it";
                    Report::new(Outcome::Unchanged, None, why, Some(run.record().clone()))
                }
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
    /// When it is so already, is refused, or the provider could not be asked.
    pub async fn operate(
        &self,
        connection: &Connection,
        operation: &Operation,
        patience: &Patience,
    ) -> Result<Report, NotDone> {
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
    ) -> Result<Report, NotDone> {
        let request = RotationRequest::Due;
        let seat = self.pool.open(&connection.lane());
        let (claim, stored) = match self.claim(connection, true, patience).await {
            Ok(claimed) => claimed,
            Err(report) => return Ok(*report),
        };
        let claimed = (claim.clone(), stored);
        let opened =
            Box::pin(self.open(&seat, connection, claimed, &request, patience, By::Operator)).await;
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
            tracing::warn!(error = %error, "could not release the claim; it expires automatically: {error}");
        }
    }

    /// Gets the claim and what is on record. What a person asks for waits for one held elsewhere (whose rotation may be
    /// the answer); what is merely due is then somebody else's business.
    pub(super) async fn claim(
        &self,
        connection: &Connection,
        waits: bool,
        patience: &Patience,
    ) -> Result<(Claim, Option<Stored>), Box<Report>> {
        let key = &connection.policy.key;
        loop {
            match self.ledger.claim(key, LEASE).await {
                Ok(Claimed::Yes(claim, stored)) => return Ok((claim, stored)),
                Ok(Claimed::Held(_)) => {}
                Err(error) => return Err(Box::new(Report::of_ledger(&error, None))),
            }
            let record = match self.ledger.load(key).await {
                Ok(stored) => stored.map(|stored| stored.record),
                Err(error) => return Err(Box::new(Report::of_ledger(&error, None))),
            };
            let waiting = |why: &str| {
                let reason = Some(Reason::ClaimedElsewhere);
                Box::new(Report::new(Outcome::Waiting, reason, why, record.clone()))
            };
            let now = self.clock.now();
            if !waits {
                return Err(waiting("another process is working on this connection"));
            }
            if patience.stop.is_cancelled() {
                return Err(waiting(
                    "interrupted while another process was working on this connection",
                ));
            }
            if patience.until.is_some_and(|until| until <= now) {
                let mut report = waiting("another process is still working on this connection");
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
        (claim, stored): (Claim, Option<Stored>),
        request: &'a RotationRequest,
        patience: &'a Patience,
        by: By,
    ) -> Result<Run<'a>, Box<Report>> {
        let policy = &connection.policy;
        if stored.is_none() && by == By::Schedule {
            self.same_tenant(policy).await?;
        }
        let (version, record) = match stored {
            Some(stored) => (stored.version, stored.record),
            None => {
                (0, Record::new(policy.key.clone(), policy.name.clone(), policy.provider.clone()))
            }
        };
        let lease = Lease::new(self, Deadline::new(self, patience), claim, (version, record));
        let (sinks, refused) = match connection.places.open() {
            Ok(sinks) => (sinks, None),
            Err(fault) => (Vec::new(), Some(Stop::Defect(fault.to_string()))),
        };
        let mut run = Run::new(connection, sinks, request, seat, lease);
        match refused.map_or_else(|| run.begin(), Err) {
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
            .map_err(|error| Report::of_ledger(&error, None))?;
        let Some(record) = moved else { return Ok(()) };
        let status = ConnectionStatus::at_another_tenant(policy, &record);
        Err(Box::new(Report::of_status(status, Some(record))))
    }
}

/// What every line about a connection says of it. Of the highest level, so that no filter that shows
/// a line takes it away.
pub(super) fn span(policy: &Policy) -> tracing::Span {
    tracing::error_span!(
        "rotation",
        connection = %policy.name,
        connection_id = %policy.key.connection,
        provider = %policy.provider,
    )
}
