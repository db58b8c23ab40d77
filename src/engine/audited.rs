//! What a run leaves in the audit log.

use super::{
    lease::{Lease, Stop, Unwritten},
    spoken::Said,
};
use crate::{
    ledger,
    rotation::{
        changed::{Changed, changed},
        event::Event,
        record::Record,
    },
    telemetry::audit::entry::{Entry, Outcome, about, step},
    token::TokenId,
};

impl Lease<'_> {
    /// Takes note of an event, to be written down before anything is waited for.
    ///
    /// In the audit log it is first: whenever the process dies, no step is in the ledger that the log
    /// lacks. One may be in the log twice, or be told there not to have been written down.
    pub(super) fn store(&mut self, event: &Event, words: &str) -> Result<(), Stop> {
        let after = self.applied(event)?;
        self.took(event, after, words, is_by_person(event));
        Ok(())
    }

    /// The same of what a person asked for: who it was is in the history; the audit log has its own.
    pub(super) fn store_by_person(&mut self, event: &Event, words: &str) -> Result<(), Stop> {
        let after = self.applied(event)?;
        self.took(event, after, words, true);
        Ok(())
    }

    /// Takes note of what changes the record, or is the first of it; `false`: it does not.
    pub(super) fn store_if_changed(&mut self, event: &Event, words: &str) -> Result<bool, Stop> {
        let after = self.applied(event)?;
        let changes = after != *self.record() || self.is_new();
        if changes {
            self.took(event, after, words, is_by_person(event));
        }
        Ok(changes)
    }

    /// Takes note of what left the record so.
    fn took(&mut self, happened: &Event, after: Record, words: &str, by_person: bool) {
        let token = about(happened, self.record()).token.cloned();
        let now = self.engine.clock.now();
        let line = step(happened, self.record(), &after, self.engine.ledger.id(), now, words);
        let Changed { mut event, words: said, mut quiet } =
            changed(happened, self.record(), &after);
        let found = line.as_ref().filter(|_| quiet && matches!(happened, Event::Looked { .. }));
        let mut told = said.unwrap_or_else(|| words.to_owned());
        if let Some(found) = found {
            (event, quiet, told) = ("found", false, found.words.clone());
        }
        if let Some(by) = self.engine.person.as_ref().filter(|_| by_person) {
            told = format!("{told} (by {by})");
        }
        let entry = ledger::Entry { at: now, event: event.to_owned(), words: told };
        let line = line.map(|line| {
            let said = Said::of(happened, line, token, self.record(), &after);
            // The answer of a command says it.
            if self.deadline.is_one_shot() { said.quietly() } else { said }
        });
        self.noted(after, Unwritten { entry, quiet, line });
    }

    /// Tells people what was written down, and the audit log what was not.
    pub(super) async fn told(&self, happened: Vec<Unwritten>, written: &Result<(), Stop>) {
        for said in happened.into_iter().filter_map(|happened| happened.line) {
            let why = match written {
                Ok(()) => {
                    said.tell(&self.record().name);
                    continue;
                }
                Err(Stop::ClaimLost) => "another process has taken the connection over".to_owned(),
                Err(Stop::Ledger(error)) => error.to_string(),
                Err(Stop::OutOfTime(words) | Stop::Defect(words)) => words.clone(),
            };
            let line = said.entry.not_written_down(self.engine.clock.now(), &why);
            self.engine.audit.note(line).await;
        }
    }

    /// Notes what an operator asked about one token, and whether it is done.
    pub(super) async fn note_asked(
        &self,
        event: &'static str,
        id: &TokenId,
        answer: &Result<&str, &str>,
    ) {
        let (outcome, words) = match answer {
            Ok(words) => (Outcome::Noted, words),
            Err(words) => (Outcome::Refused, words),
        };
        self.note_token(event, outcome, id, words).await;
    }

    /// Notes that something was to be accepted as a person says and is not.
    pub(super) async fn note_not_accepted(&self, event: &'static str, words: &str) {
        let audit = &self.engine.audit;
        if audit.is_on() {
            let (at, ledger) = (self.engine.clock.now(), self.engine.ledger.id());
            audit.note(Entry::refused(event, self.record(), ledger, at, words)).await;
        }
    }

    /// Notes that a token was revoked whose rotation this run can write down no more.
    pub(super) async fn note_unplaced(&self, id: &TokenId, revoked: bool, words: &str) {
        let outcome = if revoked { Outcome::Done } else { Outcome::Failed };
        self.note_token("unplaced_revoked", outcome, id, words).await;
    }

    async fn note_token(&self, event: &'static str, outcome: Outcome, id: &TokenId, words: &str) {
        let audit = &self.engine.audit;
        if audit.is_on() {
            let ledger = self.engine.ledger.id();
            let entry = Entry::of_token(
                event,
                outcome,
                self.record(),
                ledger,
                id,
                self.engine.clock.now(),
                words,
            );
            audit.note(entry).await;
        }
    }
}

/// Nobody else says so.
fn is_by_person(event: &Event) -> bool {
    matches!(event, Event::Condemned(_))
}
