//! Looking without leaving a trace: what `plan`, `explain` and `--dry-run` rest on.

use std::sync::Arc;

use super::{
    attend::By,
    lease::Stop,
    pool::Pool,
    report::Report,
    run::Run,
    worker::{Connection, Engine, Patience, RotationRequest},
};
use crate::{
    clock::Timestamp,
    ledger::scratch::Scratch,
    rotation::{
        decide::{
            CheckWrites, Draw, Situation, Step, decide, is_worth_asking, next_rotation, warnings,
        },
        forecast::{Forecast, forecast},
        observe::Observed,
        record::Record,
    },
};

/// What a look showed, with nothing written down.
#[derive(Clone, Debug)]
pub struct Peek {
    /// The record as it would be.
    pub record: Record,
    /// What was seen.
    pub observed: Observed,
    /// When.
    pub now: Timestamp,
}

impl Engine {
    /// Lists the tokens and reads every place of a connection, and changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be read, or the connection is refused before it is looked at.
    pub async fn peek(
        &self,
        connection: &Connection,
        request: &RotationRequest,
        patience: &Patience,
    ) -> Result<Peek, Box<Report>> {
        let scratch = Self { ledger: Arc::new(Scratch::over(self.ledger.clone())), ..self.clone() };
        // The scratch ledger grants every claim.
        let claimed = scratch.claim(connection, false, patience).await?;
        // Who only looks is no worker.
        let seat = Pool::default().open(&connection.lane());
        let mut run: Run<'_> =
            Box::pin(scratch.open(&seat, connection, claimed, request, patience, By::Schedule))
                .await?;
        let places = run.record().readable_places();
        if let Err(stop) = run.look(true, &places, &CheckWrites::default()).await {
            return Err(Box::new(run.stopped(stop).await));
        }
        if is_worth_asking(&run.situation())
            && let Err(stop) = run.inspect().await
        {
            return Err(Box::new(run.stopped(stop).await));
        }
        if let Err(stop) = run.ask_clients().await {
            return Err(Box::new(run.stopped(stop).await));
        }
        let now = run.now();
        let next_rotation = next_rotation(&run.situation());
        let warnings = warnings(&run.situation());
        let observed = Observed { tries_since: None, ..run.memory.observed };
        let record = Record { next_rotation, warnings, ..run.lease.into_record() };
        Ok(Peek { record, observed, now })
    }

    /// The situation that a peek shows.
    #[must_use]
    pub fn situation<'a>(
        &'a self,
        connection: &'a Connection,
        request: &'a RotationRequest,
        peek: &'a Peek,
    ) -> Situation<'a> {
        Situation {
            policy: &connection.policy,
            record: &peek.record,
            observed: &peek.observed,
            now: peek.now,
            request,
            ledger: self.ledger.id(),
            ending: None,
            timeouts: self.timeouts(connection),
            draw: Draw::default(),
        }
    }

    /// What will happen if everything goes well.
    #[must_use]
    pub fn plan(
        &self,
        connection: &Connection,
        request: &RotationRequest,
        peek: &Peek,
        until: Timestamp,
    ) -> Forecast {
        forecast(&self.situation(connection, request, peek), until)
    }
}

impl Run<'_> {
    /// What the clients behind places that cannot be asked say, as far as the daemon would ask them now;
    /// each once, whatever it answers.
    async fn ask_clients(&mut self) -> Result<(), Stop> {
        for _ in 0..self.record().places().count() {
            let Step::AskClient(ask) = decide(&self.situation()).step else { break };
            self.ask_client(&ask).await?;
        }
        Ok(())
    }
}
