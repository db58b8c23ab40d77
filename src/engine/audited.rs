//! What a run leaves in the audit log.

use super::lease::{Lease, Stop};
use crate::{
    rotation::event::Event,
    telemetry::audit::entry::{Entry, Outcome, Subject, Where, about, step},
    token::{ConnectionName, TokenId},
};

impl Lease<'_> {
    /// Notes an event and writes it down. When this returns it is durable.
    ///
    /// The audit log comes first: whenever the process dies, no step is in the ledger that the log
    /// lacks. One may be in the log twice, or be told there not to have been written down.
    pub(super) async fn store(&mut self, event: Event, words: &str) -> Result<(), Stop> {
        let entry = self.entry(&event, words)?;
        if let Some(entry) = &entry {
            self.engine.audit.note(entry.clone()).await;
        }
        let token = entry.is_some().then(|| about(&event, self.record()).token.cloned()).flatten();
        let written = self.write_down(event, words).await;
        if let (Ok(()), Some(entry)) = (&written, &entry) {
            tell(entry, token.as_ref(), &self.record().name);
        }
        if let (Err(stop), Some(entry)) = (&written, entry) {
            let why = match stop {
                Stop::ClaimLost => "another process has taken the connection over".to_owned(),
                Stop::Ledger(error) => error.to_string(),
                Stop::OutOfTime(words) | Stop::Defect(words) => words.clone(),
            };
            self.engine.audit.note(entry.not_written_down(self.engine.clock.now(), &why)).await;
        }
        written
    }

    fn entry(&self, event: &Event, words: &str) -> Result<Option<Entry>, Stop> {
        if !self.engine.audit.is_on() && !tracing::enabled!(tracing::Level::INFO) {
            return Ok(None);
        }
        let after = self.applied(event.clone())?;
        Ok(step(
            event,
            self.record(),
            &after,
            self.engine.ledger.id(),
            self.engine.clock.now(),
            words,
        ))
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
