//! How a call ends: its report, and nothing left behind that it alone knows of.

use super::{
    deadline::cut_short,
    lease::Stop,
    report::{Outcome, Report, Scope},
    run::Run,
    worker::RotationRequest,
};
use crate::{
    ledger::{Durability, LedgerError},
    rotation::{decide::Rest, status, why::Reason},
    token::TokenId,
};

impl Run<'_> {
    /// Does what there is to be done, and gives the connection free.
    pub(super) async fn run(mut self) -> Report {
        let done = match self.go_on().await {
            Err(Stop::OutOfTime(doing)) => {
                self.give_back(cut_short(self.lease.deadline.ending())).await;
                Ok(self.cut_off(&doing).await)
            }
            done => done,
        };
        match done {
            Ok((rest, why)) => match self.lease.close(Durability::Soon).await {
                Ok(()) => self.report(&rest, why),
                Err(stop) => {
                    let report = self.stopped(stop).await;
                    self.lease.release().await;
                    report
                }
            },
            Err(stop) => {
                let report = self.stopped(stop).await;
                self.lease.release().await;
                report
            }
        }
    }

    fn report(self, rest: &Rest, why: String) -> Report {
        let record = self.record();
        let leaked = matches!(self.request, RotationRequest::Compromised { .. })
            && !record.condemned.is_empty();
        let outcome =
            status::outcome(self.request, self.story.before.as_ref(), record, rest, self.now());
        let failed = outcome == Outcome::Failed;
        let fault = self.story.fault.clone().or_else(|| record.last_fault().cloned());
        // A call that was cut off says what it had been waiting for.
        let cut_off = matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted));
        let waited = self.story.waited_for.clone();
        let waited = waited.filter(|waited| cut_off && !why.contains(waited.as_str()));
        let why = self.done().into_iter().chain([why]).chain(waited).collect::<Vec<_>>().join("; ");
        let why = if leaked && failed { self.still_leaked(&why) } else { why };
        let scope = if rest.hooks_only { Scope::Hooks } else { Scope::Connection };
        Report {
            fault: fault.filter(|_| failed),
            scope,
            ..Report::new(outcome, rest.reason, why, Some(self.lease.into_record()))
        }
    }

    fn still_leaked(&self, why: &str) -> String {
        let record = self.record();
        let ids: Vec<&str> = record.condemned.iter().map(TokenId::as_str).collect();
        format!(
            "{why}; these tokens were declared leaked and could not be revoked: {}; `scimitar revoke {} --token-id ID --force` revokes one, which causes an outage if it is still in use",
            ids.join(", "),
            record.name
        )
    }

    /// What this run changed, in words.
    fn done(&self) -> Vec<String> {
        let last = self.record().last_rotation.as_ref();
        let new = last.filter(|last| self.story.before.as_ref() != Some(*last));
        let mut done: Vec<String> =
            new.map(|last| self.record().held_everywhere(&last.id)).into_iter().collect();
        done.extend(self.story.revoked.iter().map(|id| format!("{id} was revoked")));
        done
    }

    /// Tells what there was no time for, and deletes what this run made and placed nowhere, if it can.
    async fn give_back(&mut self, because: &str) {
        self.leave_unsaid();
        if let Some(id) = self.memory.unplaced.take() {
            // No promote of it was begun, so nobody can be using it.
            let revoked = self.let_go(&id).await;
            let words = match &revoked {
                Ok(_) => format!("{id}, which this run created but did not deliver, was revoked"),
                Err(fault) => format!(
                    "{id}, which this run created but did not deliver, could not be revoked ({fault}); the next \
                     run revokes it"
                ),
            };
            let words = format!("{because}: {words}");
            self.lease.note_unplaced(&id, revoked.is_ok(), &words).await;
            tracing::warn!(token_id = %id, revoked = revoked.is_ok(), "{}: {words}", self.record().name);
        }
    }

    /// Ends a run that cannot go on, leaving nothing behind that it alone knows of.
    pub(super) async fn stopped(&mut self, stop: Stop) -> Report {
        let because = match &stop {
            Stop::ClaimLost => "another process took over",
            Stop::Ledger(_) => "the ledger is unavailable",
            Stop::OutOfTime(_) => cut_short(self.lease.deadline.ending()),
            Stop::Defect(_) => "the run ended because of a bug",
        };
        self.give_back(because).await;
        let (outcome, reason, why) = match stop {
            Stop::ClaimLost => {
                let why = LedgerError::ClaimLost.to_string();
                (Outcome::Waiting, Some(Reason::ClaimedElsewhere), why)
            }
            Stop::Ledger(error) => return Report::of_ledger(&error, Some(self.record().clone())),
            Stop::OutOfTime(doing) => {
                let (rest, why) = self.cut_off(&doing).await;
                let interrupted = rest.reason == Some(Reason::Interrupted);
                let outcome = if interrupted { Outcome::Waiting } else { Outcome::Failed };
                (outcome, rest.reason, why)
            }
            Stop::Defect(words) => {
                // What happened before it is no less true.
                if let Err(stop) = self.lease.ready(Durability::Soon).await {
                    tracing::debug!(error = ?stop, "could not record what happened before a bug");
                }
                tracing::error!(error = %words, "bug in Scimitar, please report it: {words}");
                (Outcome::Failed, None, format!("bug in Scimitar, please report it: {words}"))
            }
        };
        Report::new(outcome, reason, why, Some(self.record().clone()))
    }
}
