//! What an operator decides about a connection as a whole: a pause and its end, a token handed over.

use chrono::TimeDelta;
use tracing::Instrument;

use super::{
    attend::{By, span},
    guard::within,
    report::{Outcome, Report},
    run::Run,
    worker::{Connection, Engine, Patience, RotationRequest},
};
use crate::{
    clock::ProviderTime,
    ledger::Durability,
    rotation::{
        event::Event,
        operate::{self, NotDone},
        pause::Pause,
        why::Reason,
    },
    token::TokenId,
};

/// How long the provider is asked for its time.
const SOON: TimeDelta = TimeDelta::seconds(5);

/// What an operator decides about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing is started and nothing is revoked before it ends.
    Pause(Pause),
    /// A pause ends now.
    Resume {
        /// Who says so.
        by: String,
    },
    /// The client that a person had to take the token to has it.
    HandedOver {
        /// Who says so.
        by: String,
        /// Which client, by its place or its sink's name, where several wait.
        client: Option<String>,
        /// Which token, where it was offered several.
        token: Option<TokenId>,
    },
}

impl Engine {
    /// Writes it down, and needs no service: it holds while they are away, and whoever attends to the
    /// connection next honours it. A step in hand elsewhere is waited for as `patience` allows.
    ///
    /// # If the answer is lost
    /// It was written down or not; asking again does no harm.
    pub async fn order(
        &self,
        connection: &Connection,
        order: &Order,
        patience: &Patience,
    ) -> Report {
        let work = Box::pin(self.order_in_span(connection, order, patience));
        tokio::select! {
            biased;
            report = work.instrument(span(&connection.policy)) => report,
            ended = self.end_of(patience) => ended,
        }
    }

    async fn order_in_span(
        &self,
        connection: &Connection,
        order: &Order,
        patience: &Patience,
    ) -> Report {
        let (claim, stored) = match self.claim(connection, true, patience).await {
            Ok(claimed) => claimed,
            Err(report) => return *report,
        };
        let claimed = (claim.clone(), stored);
        let seat = self.pool.open(&connection.lane());
        let (request, by) = (RotationRequest::Due, By::Schedule);
        match Box::pin(self.open(&seat, connection, claimed, &request, patience, by)).await {
            Ok(run) => Box::pin(run.order(order)).await,
            Err(report) => {
                self.release(&claim).await;
                *report
            }
        }
    }
}

impl Run<'_> {
    async fn order(mut self, order: &Order) -> Report {
        let at = self.now();
        let before = self.record().pause.as_ref().filter(|pause| pause.lasts(at));
        let (event, reason, words) = match (order, before) {
            (Order::Pause(pause), _) => {
                (Event::Paused(pause.clone()), Some(Reason::Paused), pause.words())
            }
            (Order::Resume { by }, Some(pause)) => {
                (Event::Resumed { at }, None, format!("resumed by {by}; it was {}", pause.words()))
            }
            (Order::Resume { .. }, None) => {
                return Box::pin(self.already("it is not paused")).await;
            }
            (Order::HandedOver { by, client, token }, _) => {
                let client = client.as_deref();
                let shown = self.provider_time().await;
                let record = self.record();
                match operate::handed_over(record, by, client, token.as_ref(), at, shown) {
                    Ok((event, words)) => (event, None, words),
                    Err(NotDone::Already(words)) => {
                        return Box::pin(self.already(&words)).await;
                    }
                    Err(not_done) => {
                        let words = not_done.to_string();
                        return self.ended(Outcome::Refused, Some(Reason::Handoff), &words).await;
                    }
                }
            }
        };
        // Said before it is done.
        self.engine().progress.step(&self.record().name, &words);
        let stored = match self.lease.store(&event, &words) {
            // A person is told so.
            Ok(()) => self.lease.close(Durability::Now).await,
            Err(stop) => Err(stop),
        };
        match stored {
            Ok(()) => {
                Report::new(Outcome::Unchanged, reason, words, Some(self.lease.into_record()))
            }
            Err(stop) => {
                let report = self.stopped(stop).await;
                self.lease.release().await;
                report
            }
        }
    }

    /// What the provider's clock shows, if it answers soon.
    async fn provider_time(&mut self) -> Option<ProviderTime> {
        let (call, clock) = (self.call(), self.engine().clock.clone());
        let doing = "ask the provider for its time".to_owned();
        self.lease.ready(Durability::Soon).await.ok()?;
        let asked = within(&*clock, SOON, doing, self.connection.provider.list(call));
        self.reading(asked).await.ok()?.ok()?.provider_time
    }

    async fn already(self, words: &str) -> Report {
        self.ended(Outcome::Unchanged, None, words).await
    }

    async fn ended(mut self, outcome: Outcome, reason: Option<Reason>, words: &str) -> Report {
        if let Err(stop) = self.lease.close(Durability::Soon).await {
            let report = self.stopped(stop).await;
            self.lease.release().await;
            return report;
        }
        Report::new(outcome, reason, words, Some(self.lease.into_record()))
    }
}
