//! Which of the lines that this process added are on the disk.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use chrono::TimeDelta;
use tokio::{sync::Mutex, task::JoinHandle};

use super::file::{self, AppendError};
use crate::clock::Clock;

/// Which lines, of those that this process added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// The file that they were added to, whatever its name is now.
    pub(super) inode: u64,
    /// How often lines were added before, in any file.
    pub(super) nth: u64,
}

/// The lines that this process added.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The last ones.
    newest: StdMutex<Option<(Added, Arc<File>)>>,
    /// What is known to be on the disk. Whoever has it syncs for all who wait for it.
    synced: Arc<Mutex<Option<Added>>>,
}

impl Lines {
    pub(super) fn newest(&self) -> Option<(Added, Arc<File>)> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn added(&self, lines: (Added, Arc<File>)) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    }

    /// Waits until these are on the disk. Those who wait side by side share one write to it.
    pub(super) async fn sync(
        &self,
        (added, log): (Added, Arc<File>),
        path: &Path,
        clock: &dyn Clock,
        patience: TimeDelta,
    ) -> Result<(), String> {
        let late = || format!("{} was not written to disk in time", path.display());
        let deadline = clock.now() + patience;
        let mut synced = tokio::select! {
            biased;
            synced = Arc::clone(&self.synced).lock_owned() => synced,
            () = clock.sleep_until(deadline) => return Err(late()),
        };
        if synced.is_some_and(|known| known.inode == added.inode && known.nth >= added.nth) {
            return Ok(());
        }
        // What was added to the same file meanwhile goes with it.
        let newest = self.newest().map(|(newest, _)| newest);
        let newest = newest.filter(|newest| newest.inode == added.inode).unwrap_or(added);
        let log_path = path.to_owned();
        let mut job: JoinHandle<Result<(), AppendError>> = tokio::task::spawn_blocking(move || {
            file::sync(&log, &log_path)?;
            *synced = Some(newest);
            Ok(())
        });
        tokio::select! {
            biased;
            done = &mut job => match done {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(_) => Err("the write to the disk failed because of a bug".to_owned()),
            },
            () = clock.sleep_until(deadline) => Err(late()),
        }
    }
}
