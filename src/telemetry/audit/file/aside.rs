//! Missed lines counted in another folder, where nothing beside the log can be written: no such
//! folder, no right, no space.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use super::{MODE, folder, hand_over};

/// No count grows beyond this many: the file holds a byte for each.
const MOST: u64 = 1024 * 1024;

/// What was counted there, locked until the line that tells of it is written.
#[derive(Debug)]
pub(super) struct Aside(Option<(File, u64)>);

impl Aside {
    /// Where it cannot be read nothing is known to be missed; where another process holds the lock,
    /// that one tells of it.
    pub(super) fn locked(path: Option<&Path>) -> Self {
        Self(path.and_then(|path| {
            let file = options().open(path).ok()?;
            file.try_lock().ok()?;
            let count = file.metadata().ok()?.len();
            (count > 0).then_some((file, count))
        }))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |(_, count)| *count)
    }

    /// The line is written. Where this fails, the next line tells of the same again.
    pub(super) fn clear(self) {
        if let Some((file, _)) = self.0 {
            let _ = file.set_len(0);
        }
    }
}

/// Counts lines there.
pub(super) fn add(path: &Path, count: u64) -> io::Result<()> {
    let file = options().append(true).create(true).mode(MODE).open(path)?;
    hand_over(&file, folder(path))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
        TryLockError::Error(error) => error,
    })?;
    let room = MOST.saturating_sub(file.metadata()?.len());
    let bytes = vec![b'.'; usize::try_from(count.min(room)).unwrap_or_default()];
    (&file).write_all(&bytes)?;
    file.sync_data()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    options
}

/// Where missed lines are counted beside a ledger.
#[must_use]
pub fn beside(ledger: &Path) -> PathBuf {
    let mut path = OsString::from(ledger);
    path.push(".audit-missed");
    path.into()
}
