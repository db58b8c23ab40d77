//! Adding a line to a file that several processes share.
//!
//! Beside `audit.jsonl` lies `audit.jsonl.head`: it is what is locked (the log itself may be renamed
//! away under a lock), and it remembers where the chain ended, so that a file that is new after a
//! rotation begins with the hash that its predecessor ended with, whatever that is called now, and
//! whoever writes next. The log's own last line is the truth; the head is asked where there is none.

mod head;
mod tail;

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    unistd::{AccessFlags, access},
};

use self::{head::Head, tail::End};
use super::{
    actor::Actor,
    chain::{self, Link, Remarks},
    entry::Entry,
};
use crate::error::system_words;

/// For the owner alone; who makes the file beforehand decides otherwise.
const MODE: u32 = 0o600;

/// Why a line was not added.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another process has the lock now.
    #[error("another process is writing to it")]
    Locked,
    /// The file holds something else.
    #[error("{0}")]
    NotOurs(String),
    /// The operating system refused.
    #[error("{what}: {}", system_words(.error))]
    Io {
        /// What was tried, on what.
        what: String,
        /// What it said.
        error: io::Error,
    },
}

impl AppendError {
    fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("could not {what} {}", path.display());
        move |error| Self::Io { what, error }
    }
}

/// Where the head of this log is remembered.
#[must_use]
pub fn head_path(log: &Path) -> PathBuf {
    let mut path = OsString::from(log);
    path.push(".head");
    path.into()
}

/// Adds a line, and in front of it what has to be said about the file itself. When this returns the
/// line is on the disk.
///
/// # If the answer is lost
/// The line is there whole, in part, or not at all; the next call sees which, and says so.
///
/// # Errors
/// When the line is not there, or not known to be on the disk.
pub fn append(path: &Path, actor: &Actor, entry: &Entry, missed: u64) -> Result<Link, AppendError> {
    let side = head_path(path);
    let lock = open_head(&side)?;
    let remembered = Head::read(&lock);
    let log = open_log(path)?;
    let end = tail::end(&log, path)?;
    let (mut bytes, link) = lines(&log, &end, remembered.as_ref(), actor, entry, missed)?;
    if !end.ends_a_line() {
        bytes.insert(0, b'\n');
    }
    write(&log, path, &bytes)?;
    if end.is_empty() {
        sync_folder(path).map_err(AppendError::io("make the name last of", path))?;
    }
    let now = log.metadata().map_err(AppendError::io("look at", path))?;
    let head = Head { link: link.clone(), device: now.dev(), inode: now.ino() };
    head.write(&lock).map_err(AppendError::io("write", &side))?;
    Ok(link)
}

/// Whether a line could be added now; adds none.
///
/// # Errors
/// As [`append`].
pub fn probe(path: &Path) -> Result<(), AppendError> {
    for file in [path.to_owned(), head_path(path)] {
        let there = file.symlink_metadata().is_ok();
        let asked = if there { file.as_path() } else { folder(path) };
        access(asked, AccessFlags::W_OK | AccessFlags::R_OK)
            .map_err(|error| AppendError::io("write to", asked)(error.into()))?;
    }
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let log = open_log(path)?;
    tail::end(&log, path).map(|_| ())
}

/// Where the chain ends, as far as it is remembered.
#[must_use]
pub fn last(path: &Path) -> Option<Link> {
    let side = File::open(head_path(path)).ok()?;
    Head::read(&side).map(|head| head.link)
}

/// Opens and locks it; the lock ends with the handle.
fn open_head(path: &Path) -> Result<File, AppendError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(AppendError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AppendError::Locked),
        Err(TryLockError::Error(error)) => Err(AppendError::io("lock", path)(error)),
    }
}

fn open_log(path: &Path) -> Result<File, AppendError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        // A pipe would hold up the opening.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(AppendError::io("open", path))?;
    let meta = file.metadata().map_err(AppendError::io("look at", path))?;
    if meta.is_file() {
        Ok(file)
    } else {
        Err(AppendError::NotOurs(format!("{} is not a regular file", path.display())))
    }
}

/// The lines to add, in one piece, and the last one's place.
fn lines(
    log: &File,
    end: &End,
    remembered: Option<&Head>,
    actor: &Actor,
    entry: &Entry,
    missed: u64,
) -> Result<(Vec<u8>, Link), AppendError> {
    let own = |event, why: String| Entry::of_log(event, &entry.time, why);
    let torn = end.torn().cloned();
    let (before, first) = match end {
        End::NoLine { .. } => {
            let before = remembered.map(|head| head.link.clone());
            let same = remembered
                .zip(log.metadata().ok())
                .is_some_and(|(head, meta)| (head.device, head.inode) == (meta.dev(), meta.ino()));
            let first = match (&before, same) {
                (None, _) => own(chain::OPENED, "the first line of a new chain".to_owned()),
                (Some(_), false) => own(
                    chain::CONTINUED,
                    "the file is new; its predecessor ended with the line that this one follows"
                        .to_owned(),
                ),
                (Some(_), true) => own(
                    chain::CONTINUED,
                    "the file was emptied where it lay (copytruncate?): lines may be lost; rotate \
                     it by renaming"
                        .to_owned(),
                ),
            };
            (before, Some(first))
        }
        End::Line { link, .. } => {
            let lost = remembered
                .map(|head| &head.link)
                .filter(|head| head.seq >= link.seq && head.hash != link.hash);
            let first = lost.map(|head| {
                own(
                    chain::CUT,
                    format!(
                        "line {} with hash {} was written and is not at the end of the file any \
                         more: what followed line {} is gone",
                        head.seq, head.hash, link.seq
                    ),
                )
            });
            let damaged = torn.as_ref().filter(|_| first.is_none()).map(|torn| {
                own(
                    chain::TORN,
                    format!(
                        "{} bytes in front of this line are no line: a process died while it wrote",
                        torn.bytes
                    ),
                )
            });
            (Some(link.clone()), first.or(damaged))
        }
    };
    let defect = |error: serde_json::Error| AppendError::Io {
        what: "could not write a line as JSON".to_owned(),
        error: io::Error::other(error),
    };
    let mut bytes = Vec::new();
    let mut before = before;
    let mut torn = torn;
    if let Some(first) = first {
        let remarks = Remarks { torn: torn.take(), missed: 0 };
        let (line, link) = chain::line(before.as_ref(), actor, &first, &remarks).map_err(defect)?;
        bytes.extend(line);
        before = Some(link);
    }
    let remarks = Remarks { torn, missed };
    let (line, link) = chain::line(before.as_ref(), actor, entry, &remarks).map_err(defect)?;
    bytes.extend(line);
    Ok((bytes, link))
}

/// Writes all of it or, as far as the system lets us, nothing.
fn write(mut log: &File, path: &Path, bytes: &[u8]) -> Result<(), AppendError> {
    let before = log.metadata().map_err(AppendError::io("look at", path))?.len();
    if let Err(error) = log.write_all(bytes) {
        // A part of a line that cannot be taken back is told of by the next one.
        let _ = log.set_len(before);
        return Err(AppendError::io("write to", path)(error));
    }
    log.sync_data().map_err(AppendError::io("make sure that the disk has", path))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests;
