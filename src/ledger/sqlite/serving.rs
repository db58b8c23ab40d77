//! The daemon that serves a ledger, for whoever looks at the ledger while none answers.
//!
//! A file beside the holders' files is locked for as long as the daemon lives, and removed when it ends on
//! request: one that is there and can be locked was left by a daemon that was killed.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::holders::{Holders, folder_beside, hand_over};
use crate::clock::Timestamp;

/// No longer than this is what is read of such a file.
const LONGEST: u64 = 1024;

/// A daemon, as it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its process, as it saw itself.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
}

/// This process serves the ledger for as long as it is kept. Dropping it says that it ended on request.
#[derive(Debug)]
pub struct Serving {
    path: PathBuf,
    /// Locked.
    _file: File,
}

impl Serving {
    /// Writes down that this process serves the ledger in that file, which is open for writing.
    ///
    /// # Errors
    /// When the file cannot be made, or another daemon keeps it.
    pub fn begin(ledger: &Path, since: Timestamp) -> io::Result<Self> {
        let path = path_of(ledger);
        let _guard = Holders::beside(&real(ledger), ledger)?.guard()?;
        // Whoever looks shares the lock for a moment: that is no other daemon.
        if let Ok(before) = File::open(&path) {
            before.try_lock_shared().map_err(io::Error::from)?;
        }
        // Locked and whole before it has its name: nobody ever sees it otherwise.
        let unnamed = path.with_file_name(".daemon");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unnamed)?;
        file.try_lock().map_err(io::Error::from)?;
        hand_over(&unnamed, ledger)?;
        let daemon = Daemon { pid: std::process::id(), since };
        file.write_all(&serde_json::to_vec(&daemon).map_err(io::Error::from)?)?;
        fs::rename(&unnamed, &path)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A panic is no end on request.
        if !std::thread::panicking() {
            // Before the lock goes with the file. A leftover says that it was killed: the next one ends that.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is known of a daemon that did not end on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its process lives.
    Lives(Daemon),
    /// It was killed, and none serves the ledger since.
    Killed(Daemon),
}

/// The daemon that serves the ledger in that file, or the one that did and was killed; `None`: neither is known.
#[must_use]
pub fn left(ledger: &Path) -> Option<Left> {
    let file = File::open(path_of(ledger)).ok()?;
    let lives = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => return None,
    };
    let mut words = Vec::new();
    file.take(LONGEST).read_to_end(&mut words).ok()?;
    let daemon = serde_json::from_slice(&words).ok()?;
    Some(if lives { Left::Lives(daemon) } else { Left::Killed(daemon) })
}

/// The daemon that served the ledger in that file and was killed, unless another one serves it now.
#[must_use]
pub fn killed(ledger: &Path) -> Option<Daemon> {
    match left(ledger)? {
        Left::Killed(daemon) => Some(daemon),
        Left::Lives(_) => None,
    }
}

/// Forgets a daemon that was killed: something else does its work.
pub fn forget_killed(ledger: &Path) {
    let Ok(_guard) = Holders::beside(&real(ledger), ledger).and_then(|holders| holders.guard())
    else {
        return;
    };
    // No daemon begins meanwhile.
    if killed(ledger).is_some() {
        // One that cannot be removed is told of again.
        let _ = fs::remove_file(path_of(ledger));
    }
}

fn path_of(ledger: &Path) -> PathBuf {
    folder_beside(&real(ledger)).join("daemon")
}

fn real(ledger: &Path) -> PathBuf {
    fs::canonicalize(ledger).unwrap_or_else(|_| ledger.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn one_that_was_killed_is_known_until_another_serves() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        fs::write(&ledger, "").unwrap();
        let since = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        assert_eq!(killed(&ledger), None, "none ever served");
        let serving = Serving::begin(&ledger, since).unwrap();
        assert_eq!(killed(&ledger), None, "it lives");
        let pid = std::process::id();
        assert_eq!(left(&ledger), Some(Left::Lives(Daemon { pid, since })));
        assert!(Serving::begin(&ledger, since).is_err(), "one at a time");
        drop(serving);
        assert_eq!(left(&ledger), None, "it ended on request");

        let left = serde_json::to_vec(&Daemon { pid: 4711, since }).unwrap();
        fs::write(path_of(&ledger), left).unwrap();
        assert_eq!(killed(&ledger), Some(Daemon { pid: 4711, since }));
        let linked = folder.path().join("link.db");
        std::os::unix::fs::symlink(&ledger, &linked).unwrap();
        assert_eq!(killed(&linked).map(|daemon| daemon.pid), Some(4711));
        // One that looks at this moment is taken for no daemon.
        let looks = File::open(path_of(&ledger)).unwrap();
        looks.lock_shared().unwrap();
        let serving = Serving::begin(&ledger, since).unwrap();
        assert_eq!(killed(&ledger), None, "another one serves");
        drop(serving);

        fs::write(path_of(&ledger), "{\"pid\":1,\"since\":\"2026-11-22T04:00:00Z\"}").unwrap();
        forget_killed(&ledger);
        assert_eq!(killed(&ledger), None);
        for torn in ["", "{\"pid\":47", "\0\0\0"] {
            fs::write(path_of(&ledger), torn).unwrap();
            assert_eq!(killed(&ledger), None, "{torn:?}");
        }
    }
}
