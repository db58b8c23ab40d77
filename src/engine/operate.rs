//! What an operator decides about one token.

use super::{report::Report, run::Run, worker::Operation};
use crate::rotation::{event::Event, operate};

impl Run<'_> {
    /// Carries the decision out if it can be, then whatever is due.
    pub(super) async fn operate(mut self, operation: &Operation) -> Result<Report, String> {
        let places = self
            .record
            .sinks
            .values()
            .filter(|sink| sink.readable)
            .map(|sink| sink.place.key.clone())
            .collect();
        if let Err(stop) = self.look(true, &places).await {
            return Ok(self.stopped(stop).await);
        }
        let situation = self.situation();
        let judged = match operation {
            Operation::Adopt(id) => operate::adopt(&situation, id),
            Operation::Revoke { id, force } => operate::revoke(&situation, id, *force),
        };
        let (asked, id) = match operation {
            Operation::Adopt(id) => ("adopt_asked", id),
            Operation::Revoke { id, force: false } => ("revoke_asked", id),
            Operation::Revoke { id, force: true } => ("forced_revoke_asked", id),
        };
        let answer = judged.as_ref().map(|(_, words)| words.as_str()).map_err(String::as_str);
        self.note_asked(asked, id, &answer).await;
        let (events, words): (Vec<Event>, String) = judged?;
        // Said before it is done.
        self.engine.progress.step(&self.record.name, &words);
        for event in events {
            if let Err(stop) = self.store(event, &words).await {
                return Ok(self.stopped(stop).await);
            }
        }
        let mut report = self.run().await;
        report.why = format!("{words}; {}", report.why);
        Ok(report)
    }
}
