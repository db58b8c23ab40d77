//! Adding a line to a file that several processes share.
//!
//! Beside `audit.jsonl` lies `audit.jsonl.head`: it is what is locked (the log itself may be renamed
//! away under a lock), and it remembers where the chain ended, so that a file that is new after a
//! rotation begins with the hash that its predecessor ended with, whatever that is called now, and
//! whoever writes next. The log's own last line is the truth; the head is asked where there is none.
//!
//! The head also counts the lines that could not be written ([`miss`]): the next line to be written,
//! by any process, tells how many. It is written over in place, which a full disk allows too.

mod aside;
mod head;
mod tail;

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    unistd::{AccessFlags, access, geteuid},
};

pub use self::aside::beside as missed_beside;
use self::{aside::Aside, head::Head, tail::End};
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

/// Where an audit log is, and where its missed lines are counted when nothing beside it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The log.
    pub log: PathBuf,
    /// A file in another folder; `None`: such lines are counted by this process alone.
    pub aside: Option<PathBuf>,
}

impl From<PathBuf> for Paths {
    fn from(log: PathBuf) -> Self {
        Self { log, aside: None }
    }
}

/// Adds lines, and in front of them what has to be said about the file itself. When this returns they
/// outlive the process, and once the file that is given back is synced, the machine. The first one tells
/// how many lines were missed: `missed` by this process, and those that others counted.
///
/// # If the answer is lost
/// The lines are there whole, in part, or not at all; the next call sees which, and says so.
///
/// # Errors
/// When they are not known to be there.
pub fn append(
    paths: &Paths,
    actor: &Actor,
    entries: &[Entry],
    missed: u64,
) -> Result<File, AppendError> {
    let path = paths.log.as_path();
    let side = head_path(path);
    let lock = open_head(&side)?;
    let remembered = Head::read(&lock);
    let aside = Aside::locked(paths.aside.as_deref());
    let counted = remembered.as_ref().map_or(0, |head| head.missed);
    let missed = missed.saturating_add(counted).saturating_add(aside.count());
    let log = open_log(path)?;
    let end = tail::end(&log, path)?;
    let (mut bytes, link) = lines(&log, &end, remembered.as_ref(), actor, entries, missed)?;
    if !end.ends_a_line() {
        bytes.insert(0, b'\n');
    }
    write(&log, path, &bytes)?;
    if end.is_empty() {
        sync_folder(path).map_err(AppendError::io("sync the folder of", path))?;
    }
    let now = log.metadata().map_err(AppendError::io("look at", path))?;
    let head = Head { link, device: now.dev(), inode: now.ino(), missed: 0 };
    head.write(&lock).map_err(AppendError::io("write", &side))?;
    aside.clear();
    Ok(log)
}

/// Makes sure that the disk has everything that was added to a file.
///
/// # Errors
/// When it is not known to.
pub fn sync(log: &File, path: &Path) -> Result<(), AppendError> {
    log.sync_data().map_err(AppendError::io("sync to disk", path))
}

/// Counts lines that could not be written, where the next line to be written finds them.
///
/// # If the answer is lost
/// They may be counted twice.
///
/// # Errors
/// When they can be counted nowhere.
pub fn miss(paths: &Paths, count: u64) -> Result<(), AppendError> {
    let beside = miss_beside(&paths.log, count);
    match (&beside, &paths.aside) {
        (Err(_), Some(aside)) => aside::add(aside, count)
            .map_err(AppendError::io("record the number of missed lines in", aside)),
        (Ok(()), _) | (Err(_), None) => beside,
    }
}

fn miss_beside(path: &Path, count: u64) -> Result<(), AppendError> {
    let side = head_path(path);
    let lock = open_head(&side)?;
    let none = || Head { link: None, device: 0, inode: 0, missed: 0 };
    let mut head = Head::read(&lock).unwrap_or_else(none);
    head.missed = head.missed.saturating_add(count);
    head.write(&lock).map_err(AppendError::io("write", &side))
}

/// How many lines the head beside a log counts that could not be written and that no line tells of
/// yet.
#[must_use]
pub fn missed(path: &Path) -> u64 {
    let side = File::open(head_path(path)).ok();
    side.and_then(|side| Head::read(&side)).map_or(0, |head| head.missed)
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
    Head::read(&side).and_then(|head| head.link)
}

/// Opens and locks it; the lock ends with the handle.
fn open_head(path: &Path) -> Result<File, AppendError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = open_or_make(&options, path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AppendError::Locked),
        Err(TryLockError::Error(error)) => Err(AppendError::io("lock", path)(error)),
    }
}

/// Opens a file, or makes one that belongs to the owner of its folder: what a one-shot of the
/// superuser makes must not lock out the daemon of another account.
fn open_or_make(options: &OpenOptions, path: &Path) -> Result<File, AppendError> {
    match options.clone().create_new(true).mode(MODE).open(path) {
        Ok(file) => {
            hand_over(&file, folder(path)).map_err(AppendError::io("set the owner of", path))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options
            .clone()
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(path)
            .map_err(AppendError::io("open", path)),
        Err(error) => Err(AppendError::io("open", path)(error)),
    }
}

/// Gives a file that the superuser made to the owner of its folder.
fn hand_over(file: &File, folder: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (wanted, found) = (folder.metadata()?, file.metadata()?);
    if (found.uid(), found.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

fn open_log(path: &Path) -> Result<File, AppendError> {
    // A pipe would hold up the opening.
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = open_or_make(&options, path)?;
    let meta = file.metadata().map_err(AppendError::io("look at", path))?;
    if meta.is_file() {
        Ok(file)
    } else {
        Err(AppendError::NotOurs(format!("{} is not a regular file", path.display())))
    }
}

/// The lines to add, in one piece, and the place of the last one.
fn lines(
    log: &File,
    end: &End,
    remembered: Option<&Head>,
    actor: &Actor,
    entries: &[Entry],
    missed: u64,
) -> Result<(Vec<u8>, Option<Link>), AppendError> {
    let time = entries.first().map(|entry| entry.time.clone()).unwrap_or_default();
    let own = |event, why: String| Entry::of_log(event, &time, why);
    let torn = end.torn().cloned();
    let (before, first) = match end {
        End::NoLine { .. } => {
            let before = remembered.and_then(|head| head.link.clone());
            let same = remembered
                .zip(log.metadata().ok())
                .is_some_and(|(head, meta)| (head.device, head.inode) == (meta.dev(), meta.ino()));
            let first = match (&before, same) {
                (None, _) => own(chain::OPENED, "the first line of a new chain".to_owned()),
                (Some(_), false) => own(
                    chain::CONTINUED,
                    "the file is new; this line continues the chain of the file before it"
                        .to_owned(),
                ),
                (Some(_), true) => own(
                    chain::CONTINUED,
                    "the file was emptied in place (copytruncate?): lines may be lost; rotate it \
                     by renaming"
                        .to_owned(),
                ),
            };
            (before, Some(first))
        }
        End::Line { link, .. } => {
            let lost = remembered
                .and_then(|head| head.link.as_ref())
                .filter(|head| head.seq >= link.seq && head.hash != link.hash);
            let first = lost.map(|head| {
                own(
                    chain::CUT,
                    format!(
                        "line {} with hash {} was written, but is no longer at the end of the \
                         file: the lines after line {} are gone",
                        head.seq, head.hash, link.seq
                    ),
                )
            });
            let damaged = torn.as_ref().filter(|_| first.is_none()).map(|torn| {
                own(
                    chain::TORN,
                    format!(
                        "{} bytes before this line are not a line: a process died while it wrote",
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
    let mut remarks = Remarks { torn, missed };
    for entry in entries {
        let (line, link) = chain::line(before.as_ref(), actor, entry, &remarks).map_err(defect)?;
        bytes.extend(line);
        before = Some(link);
        remarks = Remarks { torn: None, missed: 0 };
    }
    Ok((bytes, before))
}

/// Writes all of it or, as far as the system lets us, nothing.
fn write(mut log: &File, path: &Path, bytes: &[u8]) -> Result<(), AppendError> {
    let before = log.metadata().map_err(AppendError::io("look at", path))?.len();
    if let Err(error) = log.write_all(bytes) {
        // A part of a line that cannot be taken back is told of by the next one.
        let _ = log.set_len(before);
        return Err(AppendError::io("write to", path)(error));
    }
    Ok(())
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
