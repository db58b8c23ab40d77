//! What a run leaves in the audit log.

use super::lease::{Lease, Stop, Unwritten};
use crate::{
    ledger,
    rotation::event::Event,
    telemetry::audit::entry::{Entry, Outcome, Subject, Where, about, step},
    token::{ConnectionName, TokenId},
};

impl Lease<'_> {
    /// Takes note of an event, to be written down before anything is waited for.
    ///
    /// In the audit log it is first: whenever the process dies, no step is in the ledger that the log
    /// lacks. One may be in the log twice, or be told there not to have been written down.
    pub(super) fn store(&mut self, event: Event, words: &str) -> Result<(), Stop> {
        let happened = event.clone();
        let token = about(&happened, self.record()).token.cloned();
        let after = self.applied(event)?;
        let now = self.engine.clock.now();
        let line = step(&happened, self.record(), &after, self.engine.ledger.id(), now, words);
        let quiet = line.is_none() && matches!(happened, Event::Looked { .. });
        let (at, name) = (now, happened.name().to_owned());
        let entry = ledger::Entry { at, event: name, words: words.to_owned() };
        let line = line.map(|line| (line, token));
        self.noted(after, Unwritten { entry, quiet, line });
        Ok(())
    }

    /// Tells people what was written down, and the audit log what was not.
    pub(super) async fn told(&self, happened: Vec<Unwritten>, written: &Result<(), Stop>) {
        for (line, token) in happened.into_iter().filter_map(|happened| happened.line) {
            let why = match written {
                Ok(()) => {
                    tell(&line, token.as_ref(), &self.record().name);
                    continue;
                }
                Err(Stop::ClaimLost) => "another process has taken the connection over".to_owned(),
                Err(Stop::Ledger(error)) => error.to_string(),
                Err(Stop::OutOfTime(words) | Stop::Defect(words)) => words.clone(),
            };
            self.engine.audit.note(line.not_written_down(self.engine.clock.now(), &why)).await;
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

/// One line a step, whose message says it all to people: many ways to look show nothing else. What failed
/// was told with its error when it did.
fn tell(entry: &Entry, token: Option<&TokenId>, name: &ConnectionName) {
    let generation = entry.subject.as_ref().map(Subject::generation);
    let token_id = token.map(TokenId::as_str);
    let sink = entry.place.as_ref().map(Where::sink);
    let location = entry.place.as_ref().map(Where::location);
    let (event, words) = (entry.event, entry.words.as_str());
    match entry.outcome {
        Outcome::Refused => {
            tracing::warn!(
                event,
                generation,
                why = words,
                "{name}: nothing goes on until an operator decides: {words}"
            );
        }
        Outcome::Failed | Outcome::Unknown => {
            tracing::debug!(
                event,
                generation,
                token_id,
                sink,
                location,
                why = words,
                "{name}: {words}"
            );
        }
        Outcome::Noted if event == "configured" => {
            tracing::debug!(event, generation, why = words, "{name}: {words}");
        }
        Outcome::Announced | Outcome::Done | Outcome::Noted | Outcome::NotWrittenDown => {
            tracing::info!(
                event,
                generation,
                token_id,
                sink,
                location,
                why = words,
                "{name}: {words}"
            );
        }
    }
}
