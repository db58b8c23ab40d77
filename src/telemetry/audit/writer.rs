//! The audit log of a process: off the threads that do the work, and never in its way.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::{sync::Mutex, task::AbortHandle};

use super::{
    Audit,
    actor::Actor,
    chain::Link,
    entry::Entry,
    file::{self, AppendError, Paths},
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
    paths: Paths,
    actor: Actor,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// One line after the other, in the order of the steps.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines in a row that are not known to have been written.
    failing: u64,
    /// Those of them that are counted nowhere but here.
    missed: u64,
    /// A write that did not come back in time.
    hung: Option<AbortHandle>,
}

impl State {
    /// Whether an earlier write is still under way: another one would hang as well.
    fn hangs(&mut self) -> bool {
        self.hung.take_if(|hung| hung.is_finished());
        self.hung.is_some()
    }
}

impl AuditFile {
    /// The log at these paths, written to by `actor`. Nothing is opened before the first line.
    #[must_use]
    pub fn new(paths: Paths, actor: Actor, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { paths, actor, clock, metrics, state: Mutex::default() }
    }

    async fn append(&self, state: &mut State, entry: &Entry) -> Result<Link, String> {
        let patience = if state.failing == 0 { PATIENCE } else { AFTER_A_MISS };
        let deadline = self.clock.now() + patience;
        if state.hangs() {
            return Err(format!("an earlier write to {} hangs", self.paths.log.display()));
        }
        loop {
            let (paths, actor) = (self.paths.clone(), self.actor.clone());
            let (entry, missed) = (entry.clone(), state.missed);
            let mut job =
                tokio::task::spawn_blocking(move || file::append(&paths, &actor, &entry, missed));
            let written = tokio::select! {
                biased;
                written = &mut job => written,
                () = self.clock.sleep_until(deadline) => {
                    state.hung = Some(job.abort_handle());
                    return Err(format!(
                        "{} did not take the line within {} ms",
                        self.paths.log.display(),
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
                        file::head_path(&self.paths.log).display()
                    ));
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("writing the line ended by a defect".to_owned()),
            }
        }
    }

    /// Counts what was missed on the disk, so that whoever writes the next line tells of it. What
    /// cannot be counted now is counted with the next miss, or at the end.
    async fn count(&self, state: &mut State) {
        if state.missed == 0 || state.hangs() {
            return;
        }
        let (paths, missed) = (self.paths.clone(), state.missed);
        let mut job = tokio::task::spawn_blocking(move || file::miss(&paths, missed));
        let counted = tokio::select! {
            biased;
            counted = &mut job => counted,
            () = self.clock.sleep_until(self.clock.now() + AFTER_A_MISS) => {
                state.hung = Some(job.abort_handle());
                return;
            }
        };
        match counted {
            Ok(Ok(())) => state.missed = 0,
            Ok(Err(error)) => {
                tracing::debug!(audit = %self.paths.log.display(), %error, "missed lines could not be counted yet: {error}");
            }
            Err(_) => {}
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
                if state.failing > 0 {
                    tracing::warn!(audit = %self.paths.log.display(), missed = state.failing, "the audit log is written again; the {} lines missed are counted in it", state.failing);
                }
                (state.failing, state.missed) = (0, 0);
            }
            Err(why) => {
                state.failing += 1;
                state.missed += 1;
                self.metrics.audit_missed();
                tracing::error!(audit = %self.paths.log.display(), event = entry.event, missed = state.failing, error = why, "the audit log cannot be written: the work goes on without this line: {why}");
                self.count(&mut state).await;
            }
        }
    }

    async fn leave(&self) {
        let mut state = self.state.lock().await;
        self.count(&mut state).await;
    }

    async fn head(&self) -> Option<String> {
        let path = self.paths.log.clone();
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
        let log = AuditFile::new(path.clone().into(), actor, clock.clone(), metrics.clone());
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
