//! What an operator decides about one token.

use super::{lease::Stop, report::Report, run::Run, worker::Operation};
use crate::{
    ledger::Durability,
    rotation::{
        decide::CheckWrites,
        event::Event,
        operate::{self, NotDone},
    },
};

impl Run<'_> {
    /// Carries the decision out if it can be, then whatever is due, and gives the connection free.
    pub(super) async fn operate(mut self, operation: &Operation) -> Result<Report, NotDone> {
        let done = match self.do_as_told(operation).await {
            Ok(Ok(words)) => {
                let mut report = Box::pin(self.run()).await;
                report.why = format!("{words}; {}", report.why);
                return Ok(report);
            }
            Ok(Err(refused)) => Err(refused),
            Err(stop) => Ok(self.stopped(stop).await),
        };
        self.lease.release().await;
        done
    }

    /// What was done, in words, or why not.
    async fn do_as_told(&mut self, operation: &Operation) -> Result<Result<String, NotDone>, Stop> {
        let places = self.record().readable_places();
        self.look(true, &places, &CheckWrites::default()).await?;
        let situation = self.situation();
        let judged = match operation {
            Operation::Adopt(id) => operate::adopt(&situation, id),
            Operation::Retire(id) => operate::retire(&situation, id),
            Operation::TakeOver(id) => operate::take_over(&situation, id),
            Operation::AcceptPlace(place) => operate::accept_place(&situation, place),
            Operation::AcceptUserGone(user) => operate::accept_user_gone(&situation, user),
            Operation::Revoke { id, force } => operate::revoke(&situation, id, *force),
        };
        self.lease.ready(Durability::Soon).await?;
        let refused = judged.as_ref().err().map(ToString::to_string);
        let done = judged.as_ref().ok().map(|(_, words)| words.as_str());
        let answer = done.ok_or_else(|| refused.as_deref().unwrap_or_default());
        match operation {
            Operation::Adopt(id) | Operation::TakeOver(id) => {
                self.lease.note_asked("adopt_asked", id, &answer).await;
            }
            Operation::Retire(id) => self.lease.note_asked("retire_asked", id, &answer).await,
            Operation::Revoke { id, force: false } => {
                self.lease.note_asked("revoke_asked", id, &answer).await;
            }
            Operation::Revoke { id, force: true } => {
                self.lease.note_asked("forced_revoke_asked", id, &answer).await;
            }
            // It is about no token; where it is done, the event itself is in the log.
            Operation::AcceptPlace(_) => {
                if let Err(words) = answer {
                    self.lease.note_not_accepted("accept_place_asked", words).await;
                }
            }
            Operation::AcceptUserGone(_) => {
                if let Err(words) = answer {
                    self.lease.note_not_accepted("accept_user_gone_asked", words).await;
                }
            }
        }
        let (events, words): (Vec<Event>, String) = match judged {
            Ok(judged) => judged,
            Err(refused) => return Ok(Err(refused)),
        };
        // Said before it is done.
        self.engine().progress.step(&self.record().name, &words);
        for event in events {
            self.lease.store_by_person(&event, &words)?;
        }
        // A person is told so.
        self.lease.ready(Durability::Now).await?;
        if matches!(operation, Operation::AcceptPlace(_)) {
            // What was not believed a moment ago counts now.
            self.look(true, &places, &CheckWrites::default()).await?;
        }
        Ok(Ok(words))
    }
}
