//! The audit log of a process: off the threads that do the work, and never in its way.

use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    Audit,
    actor::Actor,
    entry::Entry,
    file::{self, AppendError, Paths},
    lines::{Added, Lines},
};
use crate::{
    clock::{Clock, Timestamp},
    telemetry::metrics::Metrics,
};

/// How long a step waits for its line: a disk that hangs or a process that holds the lock must not
/// keep a rotation from going on.
const PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// How long the next one waits: only the first line of a rotation pays for a lock that is kept.
const AFTER_A_MISS: TimeDelta = TimeDelta::milliseconds(250);

/// How soon lines are on the disk that nobody waits for.
const SETTLES_AFTER: TimeDelta = TimeDelta::seconds(1);

/// How soon a lock is tried again.
const LOCK_AGAIN: TimeDelta = TimeDelta::milliseconds(30);

/// An audit log in a file.
#[derive(Debug)]
pub struct AuditFile {
    paths: Paths,
    actor: Actor,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// One step after the other.
    state: Mutex<State>,
    /// What was added, and what of it is on the disk.
    lines: Arc<Lines>,
    /// Whether somebody syncs in a moment what nobody waits for.
    settles: Arc<AtomicBool>,
    /// Lines that are being written, or that wait for their turn.
    pending: AtomicU64,
    /// Lines that are not known to have been written, and that are counted nowhere but here.
    missed: AtomicU64,
    /// Held by the thread that uses the files, also when nothing waits for that any longer.
    disk: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines in a row that are not known to have been written.
    failing: u64,
    /// How often lines were added.
    added: u64,
}

/// Lines that are neither written nor counted. Work that is cut off drops them: then they are missed.
struct Pending<'a> {
    log: &'a AuditFile,
    event: &'static str,
    count: u64,
}

impl Pending<'_> {
    /// What became of the lines is known. `false` when they were counted meanwhile, as the process ends.
    fn settled(self) -> bool {
        let (log, count) = (self.log, self.count);
        std::mem::forget(self);
        let rest = |pending: u64| pending.checked_sub(count);
        log.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest).is_ok()
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Self { log, event, count } = *self;
        tracing::error!(audit = %log.paths.log.display(), event, "interrupted before the line was written to the audit log");
        log.metrics.audit_missed(count);
        if (Pending { log, event, count }).settled() {
            log.missed.fetch_add(count, Ordering::SeqCst);
        }
    }
}

impl AuditFile {
    /// The log at these paths, written to by `actor`. Nothing is opened before the first line.
    #[must_use]
    pub fn new(paths: Paths, actor: Actor, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self {
            paths,
            actor,
            clock,
            metrics,
            state: Mutex::default(),
            lines: Arc::default(),
            settles: Arc::default(),
            pending: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            disk: Arc::default(),
        }
    }

    /// The right to use the files, unless an earlier write keeps it until then.
    async fn disk(&self, deadline: Timestamp) -> Option<OwnedMutexGuard<()>> {
        tokio::select! {
            biased;
            disk = Arc::clone(&self.disk).lock_owned() => Some(disk),
            () = self.clock.sleep_until(deadline) => None,
        }
    }

    async fn append(&self, state: &State, entries: &[Entry]) -> Result<File, String> {
        let patience = if state.failing == 0 { PATIENCE } else { AFTER_A_MISS };
        let now = self.clock.now();
        let deadline = now + patience;
        // Once one hangs, another one would hang as well.
        let free_by = if state.failing == 0 { deadline } else { now };
        loop {
            let Some(disk) = self.disk(free_by).await else {
                return Err(format!("an earlier write to {} hangs", self.paths.log.display()));
            };
            let (paths, actor) = (self.paths.clone(), self.actor.clone());
            let (entries, missed) = (entries.to_vec(), self.missed.load(Ordering::SeqCst));
            let mut job = tokio::task::spawn_blocking(move || {
                let _disk = disk;
                file::append(&paths, &actor, &entries, missed)
            });
            let written = tokio::select! {
                biased;
                written = &mut job => written,
                () = self.clock.sleep_until(deadline) => {
                    return Err(format!(
                        "{} did not take the line within {} ms",
                        self.paths.log.display(),
                        patience.num_milliseconds()
                    ));
                }
            };
            match written {
                Ok(Ok(log)) => {
                    self.told(missed);
                    return Ok(log);
                }
                Ok(Err(AppendError::Locked)) if self.clock.now() < deadline => {
                    self.clock.sleep_until(self.clock.now() + LOCK_AGAIN).await;
                }
                Ok(Err(AppendError::Locked)) => {
                    return Err(format!(
                        "another process holds the lock on {}",
                        file::head_path(&self.paths.log).display()
                    ));
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("writing the line failed because of a bug".to_owned()),
            }
        }
    }

    /// Waits until these lines are on the disk.
    async fn sync(&self, lines: (Added, Arc<File>), patience: TimeDelta) -> Result<(), String> {
        self.lines.sync(lines, &self.paths.log, &*self.clock, patience).await
    }

    /// Has what nobody waits for on the disk soon.
    fn settle(&self) {
        if self.settles.swap(true, Ordering::SeqCst) {
            return;
        }
        let (lines, settles) = (Arc::clone(&self.lines), Arc::clone(&self.settles));
        let (path, clock) = (self.paths.log.clone(), Arc::clone(&self.clock));
        tokio::spawn(async move {
            clock.sleep_until(clock.now() + SETTLES_AFTER).await;
            settles.store(false, Ordering::SeqCst);
            if let Some(newest) = lines.newest()
                && let Err(why) = lines.sync(newest, &path, &*clock, PATIENCE).await
            {
                tracing::warn!(audit = %path.display(), error = why, "the last lines of the audit log may not be on disk yet: {why}");
            }
        });
    }

    /// Counts what was missed on the disk, so that whoever writes the next line tells of it. What
    /// cannot be counted now is counted with the next miss, or at the end.
    async fn count(&self, free_by: Timestamp) {
        if self.missed.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Some(disk) = self.disk(free_by).await else { return };
        let missed = self.missed.load(Ordering::SeqCst);
        let paths = self.paths.clone();
        let mut job = tokio::task::spawn_blocking(move || {
            let _disk = disk;
            file::miss(&paths, missed)
        });
        let counted = tokio::select! {
            biased;
            counted = &mut job => counted,
            () = self.clock.sleep_until(self.clock.now() + AFTER_A_MISS) => return,
        };
        match counted {
            Ok(Ok(())) => self.told(missed),
            Ok(Err(error)) => {
                tracing::debug!(audit = %self.paths.log.display(), %error, "could not count the missed lines yet: {error}");
            }
            Err(_) => {}
        }
    }

    /// So many of them are counted in the files.
    fn told(&self, count: u64) {
        let rest = |missed: u64| Some(missed.saturating_sub(count));
        // It always gives a new count.
        let _ = self.missed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest);
    }
}

#[async_trait]
impl Audit for AuditFile {
    fn is_on(&self) -> bool {
        true
    }

    async fn note(&self, entry: Entry) {
        self.note_all(vec![entry], true).await;
    }

    async fn note_all(&self, entries: Vec<Entry>, on_disk: bool) {
        let Some(last) = entries.last() else { return };
        let (event, count) = (last.event, u64::try_from(entries.len()).unwrap_or(u64::MAX));
        self.pending.fetch_add(count, Ordering::SeqCst);
        let pending = Pending { log: self, event, count };
        // Held while the lines are written: whoever comes later stands later in the file.
        let mut state = self.state.lock().await;
        let mut written = Ok(());
        match self.append(&state, &entries).await {
            Ok(log) => {
                state.added += 1;
                let inode = log.metadata().map_or(0, |meta| meta.ino());
                let added = (Added { inode, nth: state.added }, Arc::new(log));
                self.lines.added(added.clone());
                if on_disk {
                    let patience = if state.failing == 0 { PATIENCE } else { AFTER_A_MISS };
                    drop(state);
                    written = self.sync(added, patience).await;
                    state = self.state.lock().await;
                } else {
                    self.settle();
                }
            }
            Err(why) => written = Err(why),
        }
        match written {
            Ok(()) => {
                pending.settled();
                if state.failing > 0 {
                    tracing::warn!(audit = %self.paths.log.display(), missed = state.failing, "audit log is writable again; it records that {} lines are missing", state.failing);
                }
                state.failing = 0;
            }
            Err(why) => {
                if pending.settled() {
                    self.missed.fetch_add(count, Ordering::SeqCst);
                }
                state.failing += count;
                self.metrics.audit_missed(count);
                tracing::error!(audit = %self.paths.log.display(), event, missed = state.failing, error = why, "cannot write to the audit log; rotations continue without it: {why}");
                self.count(self.clock.now()).await;
            }
        }
    }

    async fn leave(&self) {
        let held = tokio::select! {
            biased;
            state = self.state.lock() => Some(state),
            () = self.clock.sleep_until(self.clock.now() + AFTER_A_MISS) => None,
        };
        if let Some(newest) = self.lines.newest()
            && let Err(why) = self.sync(newest, AFTER_A_MISS).await
        {
            tracing::error!(audit = %self.paths.log.display(), error = why, "the last lines of the audit log may not be on disk yet: {why}");
        }
        if held.is_none() {
            // The process ends, and with it what still waits.
            let pending = self.pending.swap(0, Ordering::SeqCst);
            self.missed.fetch_add(pending, Ordering::SeqCst);
            if pending > 0 {
                tracing::error!(audit = %self.paths.log.display(), missed = pending, "exiting before {pending} lines could be written to the audit log; the next line records that they are missing");
            }
        }
        self.count(self.clock.now() + AFTER_A_MISS).await;
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
        clock::parse_timestamp,
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

    fn log(path: &std::path::Path, clock: Arc<dyn Clock>, metrics: &Metrics) -> AuditFile {
        let actor = Actor::this_process(Kind::Daemon, "run");
        AuditFile::new(path.to_owned().into(), actor, clock, metrics.clone())
    }

    /// How many missed lines the metrics show.
    fn counted(metrics: &Metrics, now: Timestamp) -> Option<String> {
        let scrape = Scrape::new(metrics, std::iter::empty(), Reader::Prometheus, now);
        let text = scrape.finish().unwrap().concat();
        let count =
            |line: &str| line.strip_prefix("scimitar_audit_missed_lines_total ").map(str::to_owned);
        text.lines().find_map(count)
    }

    #[tokio::test]
    async fn a_lock_that_is_kept_costs_lines_and_never_the_work() {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::try_new().unwrap());
        let path = folder.path().join("audit.jsonl");
        let start = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let clock = Arc::new(Hasty(StdMutex::new(start)));
        let log = log(&path, clock.clone(), &metrics);
        let entry = || Entry::of_process("started", clock.now(), "a test");
        assert_eq!(log.head().await, None);
        log.note(entry()).await;
        let held = File::open(file::head_path(&path)).unwrap();
        held.lock().unwrap();
        log.note(entry()).await;
        log.note(entry()).await;
        let waited = clock.now() - start;
        let most = PATIENCE + AFTER_A_MISS * 2;
        assert!(waited >= PATIENCE && waited < most, "{waited}");
        assert_eq!(counted(&metrics, clock.now()), Some("2".to_owned()));
        drop(held);
        log.note(entry()).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        let last = text.lines().last().unwrap();
        assert!(last.contains("\"missed\":2"), "{last}");
        assert!(last.contains(&log.head().await.unwrap()));
    }

    #[tokio::test]
    async fn a_line_whose_work_was_cut_off_is_counted() {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::try_new().unwrap());
        let path = folder.path().join("audit.jsonl");
        let start = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let clock = Arc::new(Hasty(StdMutex::new(start)));
        let log = log(&path, clock.clone(), &metrics);
        let entry = || Entry::of_process("started", clock.now(), "a test");
        log.note(entry()).await;
        let held = File::open(file::head_path(&path)).unwrap();
        held.lock().unwrap();
        // The first one waits for the lock, the second one for the first.
        let both = async { tokio::join!(log.note(entry()), log.note(entry())) };
        let cut_off = async {
            while clock.now() - start < PATIENCE / 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = both => panic!("the lock is kept"),
            () = cut_off => {}
        }
        drop(held);
        log.leave().await;
        assert_eq!(file::missed(&path), 2);
        assert_eq!(counted(&metrics, clock.now()), Some("2".to_owned()));
        log.leave().await;
        assert_eq!(file::missed(&path), 2, "they are counted once");
        log.note(entry()).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().last().unwrap().contains("\"missed\":2"), "{text}");
    }

    #[tokio::test]
    async fn a_line_that_still_waits_when_the_process_ends_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let clock = Arc::new(crate::clock::SystemClock);
        let log = log(&path, clock, &Metrics::try_new().unwrap());
        let entry = || Entry::of_process("started", crate::clock::SystemClock.now(), "a test");
        log.note(entry()).await;
        let held = File::open(file::head_path(&path)).unwrap();
        held.lock().unwrap();
        let mut note = std::pin::pin!(log.note(entry()));
        let soon = tokio::time::timeout(std::time::Duration::from_millis(50), &mut note);
        assert!(soon.await.is_err(), "the lock is kept");
        drop(held);
        log.leave().await;
        assert_eq!(file::missed(&path), 1);
    }
}
