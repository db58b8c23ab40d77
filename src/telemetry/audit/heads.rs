//! The head of the log, told elsewhere: kept there, it shows later that no line before it is gone.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::task::JoinHandle;

use super::Audit;
use crate::clock::Timestamp;

/// How often it is told.
const EVERY: TimeDelta = TimeDelta::hours(1);

/// When it was told last. It has no timer of its own: whoever goes round anyway asks.
#[derive(Debug)]
pub struct Heads {
    told: Timestamp,
    telling: Option<JoinHandle<()>>,
}

impl Heads {
    /// Tells it from an hour after `start` on.
    #[must_use]
    pub fn since(start: Timestamp) -> Self {
        Self { told: start, telling: None }
    }

    /// Tells it if an hour has passed. A disk that hangs holds up nobody, and is asked once.
    pub fn tell(&mut self, audit: &Arc<dyn Audit>, now: Timestamp) {
        let hangs = self.telling.as_ref().is_some_and(|telling| !telling.is_finished());
        // A clock that was set back starts the hour anew.
        if hangs || (now - self.told).abs() < EVERY {
            return;
        }
        self.told = now;
        let audit = Arc::clone(audit);
        self.telling = Some(tokio::spawn(async move { tell(audit.as_ref()).await }));
    }
}

/// Tells the head, where there is one.
pub async fn tell(audit: &dyn Audit) {
    if let Some(head) = audit.head().await {
        tracing::info!(audit_head = head, "audit log head: {head}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{SystemClock, parse_timestamp},
        telemetry::{
            audit::{
                actor::{Actor, Kind},
                entry::Entry,
                writer::AuditFile,
            },
            logs::tests::listening,
            metrics::Metrics,
        },
    };

    #[tokio::test]
    async fn the_head_is_told_every_hour() {
        let folder = tempfile::tempdir().unwrap();
        let start = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let log: Arc<dyn Audit> = Arc::new(AuditFile::new(
            folder.path().join("audit.jsonl").into(),
            Actor::this_process(Kind::Daemon, "run"),
            Arc::new(SystemClock),
            Metrics::try_new().unwrap(),
        ));
        log.note(Entry::of_process("started", start, "a test")).await;
        let head = log.head().await.unwrap();
        let heard = folder.path().join("heard");
        let file = std::fs::File::create(&heard).unwrap();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(file).finish();
        let _guard = listening(lines);
        let mut heads = Heads::since(start);
        // The last one: the clock was set back by more than an hour.
        let minutes = [0, 1, 59, 60, 61, 119, 121, 180, 182, 20];
        let mut told = Vec::new();
        for minute in minutes {
            heads.tell(&log, start + TimeDelta::minutes(minute));
            if let Some(telling) = heads.telling.take() {
                telling.await.unwrap();
                told.push(minute);
            }
        }
        assert_eq!(told, [60, 121, 182, 20]);
        let text = std::fs::read_to_string(heard).unwrap();
        assert_eq!(text.matches(&format!("audit_head=\"{head}\"")).count(), 4, "{text}");
        // Nobody asks a second time while the first has no answer.
        let mut asked = Vec::new();
        for day in [1, 2] {
            heads.tell(&log, start + TimeDelta::days(day));
            asked.push(heads.telling.as_ref().unwrap().id());
        }
        assert_eq!(asked[0], asked[1]);
    }
}
