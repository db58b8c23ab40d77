//! The audit log of a process: off the threads that do the work, and never in its way.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::{sync::Mutex, task::JoinHandle};

use super::{
    Audit,
    actor::Actor,
    chain::Link,
    entry::Entry,
    file::{self, AppendError},
};
use crate::{clock::Clock, telemetry::metrics::Metrics};

/// How long a step waits for its line: a disk that hangs or a process that holds the lock must not
/// keep a rotation from going on.
const PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// How long the next one waits: only the first line of a rotation pays for a lock that is kept.
const AFTER_A_MISS: TimeDelta = TimeDelta::milliseconds(250);

/// How soon a lock is tried again.
const LOCK_AGAIN: TimeDelta = TimeDelta::milliseconds(30);

/// An audit log in a file.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    actor: Actor,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// One line after the other, in the order of the steps.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines not known to have been written.
    missed: u64,
    /// A write that did not come back in time.
    hung: Option<JoinHandle<Result<Link, AppendError>>>,
}

impl AuditFile {
    /// The log at `path`, written to by `actor`. Nothing is opened before the first line.
    #[must_use]
    pub fn new(path: PathBuf, actor: Actor, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { path, actor, clock, metrics, state: Mutex::default() }
    }

    async fn append(&self, state: &mut State, entry: &Entry) -> Result<Link, String> {
        let patience = if state.missed == 0 { PATIENCE } else { AFTER_A_MISS };
        let deadline = self.clock.now() + patience;
        if state.hung.as_ref().is_some_and(|hung| !hung.is_finished()) {
            return Err(format!("an earlier write to {} hangs", self.path.display()));
        }
        state.hung = None;
        loop {
            let (path, actor) = (self.path.clone(), self.actor.clone());
            let (entry, missed) = (entry.clone(), state.missed);
            let mut job =
                tokio::task::spawn_blocking(move || file::append(&path, &actor, &entry, missed));
            let written = tokio::select! {
                biased;
                written = &mut job => written,
                () = self.clock.sleep_until(deadline) => {
                    state.hung = Some(job);
                    return Err(format!(
                        "{} did not take the line within {} ms",
                        self.path.display(),
                        patience.num_milliseconds()
                    ));
                }
            };
            match written {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(AppendError::Locked)) if self.clock.now() < deadline => {
                    self.clock.sleep_until(self.clock.now() + LOCK_AGAIN).await;
                }
                Ok(Err(AppendError::Locked)) => {
                    return Err(format!(
                        "another process keeps the lock on {}",
                        file::head_path(&self.path).display()
                    ));
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("writing the line ended by a defect".to_owned()),
            }
        }
    }
}

#[async_trait]
impl Audit for AuditFile {
    fn is_on(&self) -> bool {
        true
    }

    async fn note(&self, entry: Entry) {
        // Held while the line is written: whoever comes later stands later in the file.
        let mut state = self.state.lock().await;
        match self.append(&mut state, &entry).await {
            Ok(_) => {
                if state.missed > 0 {
                    tracing::warn!(audit = %self.path.display(), missed = state.missed, "the audit log is written again; the {} lines missed are counted in it", state.missed);
                    state.missed = 0;
                }
            }
            Err(why) => {
                state.missed += 1;
                self.metrics.audit_missed();
                tracing::error!(audit = %self.path.display(), event = entry.event, missed = state.missed, error = why, "the audit log cannot be written: the work goes on without this line: {why}");
            }
        }
    }

    async fn head(&self) -> Option<String> {
        let path = self.path.clone();
        let last = tokio::task::spawn_blocking(move || file::last(&path));
        last.await.ok().flatten().map(|link| link.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;
    use crate::{
        clock::{Timestamp, parse_timestamp},
        telemetry::{
            audit::actor::Kind,
            metrics::{Reader, Scrape},
        },
    };

    /// Waits for a lock pass at once; what takes longer never ends.
    #[derive(Debug)]
    struct Hasty(StdMutex<Timestamp>);

    #[async_trait]
    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        async fn sleep_until(&self, deadline: Timestamp) {
            if deadline - self.now() != LOCK_AGAIN {
                std::future::pending::<()>().await;
            }
            *self.0.lock().unwrap() = deadline;
        }
    }

    #[tokio::test]
    async fn a_lock_that_is_kept_costs_lines_and_never_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let start = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let clock = Arc::new(Hasty(StdMutex::new(start)));
        let actor = Actor::this_process(Kind::Daemon, "run");
        let metrics = Metrics::try_new().unwrap();
        let log = AuditFile::new(path.clone(), actor, clock.clone(), metrics.clone());
        let entry = || Entry::of_process("started", clock.now(), "a test");
        assert_eq!(log.head().await, None);
        log.note(entry()).await;
        let held = std::fs::File::open(file::head_path(&path)).unwrap();
        held.lock().unwrap();
        log.note(entry()).await;
        log.note(entry()).await;
        let waited = clock.now() - start;
        let most = PATIENCE + AFTER_A_MISS * 2;
        assert!(waited >= PATIENCE && waited < most, "{waited}");
        let none = std::iter::empty();
        let text = Scrape::new(&metrics, none, Reader::Prometheus, clock.now()).finish().unwrap();
        assert!(text.contains("scimitar_audit_missed_lines_total 2"), "{text}");
        drop(held);
        log.note(entry()).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        let last = text.lines().last().unwrap();
        assert!(last.contains("\"missed\":2"), "{last}");
        assert!(last.contains(&log.head().await.unwrap()));
    }
}
