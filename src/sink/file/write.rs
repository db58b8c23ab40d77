//! Replacing the file, in the steps that a crash may come between.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::MetadataExt,
    time::Duration,
};

use nix::{fcntl::OFlag, unistd::geteuid};
use zeroize::Zeroizing;

use super::{
    ABSENT, MISSING, companion,
    companion::Mark,
    container,
    folder::{Folder, ResolvedPath},
    looks::Looks,
    marks_on,
    settings::Checked,
    temporary::Temporary,
    too_large,
    trouble::Trouble,
    understand, version_of,
};
use crate::{
    error::{Class, Code},
    sink::{
        Container, Delivery, Loss, Marks, Version,
        rules::{lost, yields},
    },
    token::Digest,
};

/// How often a lock is tried for.
const TRIES: u32 = 100;

/// The pause between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// The room that is asked for beyond what the file holds now: the longest value and its fields.
const ROOM: usize = 32 * 1024;

/// A file that is locked for a write, as it was when Scimitar took the lock. Dropping it releases the
/// lock.
#[derive(Debug)]
pub(super) struct LockedFile {
    pub(super) folder: Folder,
    /// Locked until it is closed.
    _lock: File,
    /// What the file holds now.
    bytes: Zeroizing<Vec<u8>>,
    /// The digest of the value in it.
    digest: Option<Digest>,
}

/// Takes the lock and looks: is it where it was read and in the state that was expected, and may it
/// be overwritten?
pub(super) fn hold(
    checked: &Checked,
    ours: &Marks,
    expected: &Version,
    read_in: Option<&Container>,
) -> Result<LockedFile, Trouble> {
    let (folder, made) = match Folder::find(&checked.folder)? {
        ResolvedPath::There(folder) => (folder, false),
        // One that was there a moment ago may be a mount that went: it is not made in its place.
        ResolvedPath::Missing(deepest, missing) => {
            expect(expected, MISSING)?;
            container::expect(read_in, &container::missing(&deepest, checked)?)?;
            (deepest.make(missing)?, true)
        }
    };
    folder.trusted()?;
    // Nothing in one file system is the same version as nothing in another.
    container::expect(read_in, &container::of(&folder, checked)?)?;
    let lock = lock(&folder, checked)?;
    let Some(bytes) = folder.read(&checked.name)? else {
        // A folder that has come meanwhile, by another delivery into it, is as empty as was expected.
        if !made && expected.0 != MISSING {
            expect(expected, ABSENT)?;
        }
        let bytes = Zeroizing::new(Vec::new());
        return Ok(LockedFile { folder, _lock: lock, bytes, digest: None });
    };
    let reading = understand(&folder, checked, &bytes)?;
    expect(expected, &reading.version.0)?;
    keeps_what_others_wrote(checked, &reading.loss)?;
    // Of one that is not read in full nothing is kept.
    let bytes = if too_large(&bytes) { Zeroizing::default() } else { bytes };
    let way_out = "give this connection another file, or remove that one";
    let value = yields(reading.contents, ours, way_out)?;
    let digest = value.map(|(value, _)| value.digest());
    Ok(LockedFile { folder, _lock: lock, bytes, digest })
}

/// Puts the delivery in place. The fence was asked after [`hold`].
pub(super) fn replace(
    checked: &Checked,
    locked: &LockedFile,
    delivery: &Delivery,
) -> Result<Version, Trouble> {
    if !locked.folder.is_at(&checked.folder)? {
        return Err(Trouble::conflict(format!(
            "the directory {} was replaced while it was being written to",
            checked.folder.display()
        )));
    }
    locked.folder.sweep(&checked.temporary_prefix());
    let bytes = checked.shape.encode(delivery, &locked.bytes, checked.overwrite)?;
    let (temporary, marked) = fill(checked, &locked.folder, delivery, &bytes)?;
    announce(checked, locked, delivery, marked)?;
    temporary.place(&checked.name)?;
    // Both are there, the companion first, but not known to survive a power cut. A file system that
    // made the second rename last and not the first would leave a value whose marks are on the file, or,
    // where it cannot have any, one that is known by its digest in the ledger.
    locked.folder.sync().map_err(Trouble::ambiguous)?;
    Ok(version_of(&bytes))
}

/// A temporary file with the content, durable, that needs only its name; and whether it has its marks.
pub(super) fn fill<'a>(
    checked: &Checked,
    folder: &'a Folder,
    delivery: &Delivery,
    bytes: &[u8],
) -> Result<(Temporary<'a>, bool), Trouble> {
    let looks = Looks::of(folder, checked)?;
    let mut temporary = folder.temporary(&checked.temporary_prefix(), &looks)?;
    let marked = checked.shape.holds_marks()
        || temporary.mark(&Mark::new(&delivery.marks, delivery.value.digest()));
    temporary.fill(bytes)?;
    Ok((temporary, marked))
}

/// Writes the marks of what is about to be in the file beside those of what is in it. From here on,
/// whichever content is there has its marks: where not on the file itself, in a companion that is on the
/// disk.
pub(super) fn announce(
    checked: &Checked,
    locked: &LockedFile,
    delivery: &Delivery,
    marked: bool,
) -> Result<(), Trouble> {
    if checked.shape.holds_marks() {
        return Ok(());
    }
    let before = companion(&locked.folder, checked)?;
    let held = locked.digest.as_ref();
    let companion = before.announcing(&delivery.marks, delivery.value.digest(), held);
    let is_marked = |value| marks_on(&locked.folder, checked, value).is_some();
    let alone = held.filter(|value| before.marks_of(value).is_some() && !is_marked(value));
    let prefix = checked.temporary_prefix();
    let mut temporary = locked.folder.temporary(&prefix, &Looks::private())?;
    if marked && alone.is_none() {
        temporary.write(&companion.bytes())?;
    } else {
        temporary.fill(&companion.bytes())?;
    }
    temporary.place(&checked.companion_name()).map_err(|mut trouble| {
        // The file itself is untouched, whatever became of the companion.
        if trouble.class == Class::Ambiguous {
            trouble.class = Class::Transient;
        }
        trouble
    })
}

/// Proves that [`hold`] and [`replace`] would be allowed, without anything that a reader of the
/// file could see; what it makes, it removes.
pub(super) fn prove(
    checked: &Checked,
    seen: &Version,
    read_in: Option<&Container>,
) -> Result<(), Trouble> {
    let folder = match Folder::find(&checked.folder)? {
        ResolvedPath::There(folder) => folder,
        ResolvedPath::Missing(deepest, _) => {
            // Whoever did not look does not know; a folder that was seen is not made again.
            if seen.0 != Version::UNASKED {
                expect(seen, MISSING)?;
            }
            container::expect(read_in, &container::missing(&deepest, checked)?)?;
            let (trial, name) = deepest.make_trial()?;
            let proven = try_out(checked, &trial, ROOM);
            drop(trial);
            let removed = deepest.remove_trial(&name);
            return proven.and(removed);
        }
    };
    folder.trusted()?;
    container::expect(read_in, &container::of(&folder, checked)?)?;
    let held = folder.read(&checked.name)?;
    if let Some(bytes) = &held {
        keeps_what_others_wrote(checked, &understand(&folder, checked, bytes)?.loss)?;
    }
    replaceable(&folder, checked, &checked.name)?;
    folder.open(&checked.lock_name(), OFlag::O_RDWR)?;
    if !checked.shape.holds_marks() {
        companion(&folder, checked)?;
        replaceable(&folder, checked, &checked.companion_name())?;
    }
    folder.syncable()?;
    try_out(checked, &folder, held.map_or(0, |bytes| bytes.len()) + ROOM)
}

/// Refuses what a write would take away from others because it cannot be parsed.
fn keeps_what_others_wrote(checked: &Checked, loss: &Loss) -> Result<(), Trouble> {
    lost(loss, checked.overwrite).map_or(Ok(()), |why| Err(Trouble::foreign(why)))
}

/// A file of that size, with owner and mode, that is locked and goes again.
fn try_out(checked: &Checked, folder: &Folder, size: usize) -> Result<(), Trouble> {
    let looks = Looks::of(folder, checked)?;
    let mut temporary = folder.temporary(&checked.temporary_prefix(), &looks)?;
    temporary.reserve(size)?;
    temporary.prove_lockable()
}

fn expect(expected: &Version, found: &str) -> Result<(), Trouble> {
    if expected.0 == found {
        return Ok(());
    }
    if found == MISSING {
        return Err(Trouble::conflict(
            "its folder existed when it was read and is missing now: Scimitar does not create it again, because it \
             may be a mount that is gone",
        ));
    }
    // Short forms: enough to tell states apart, and safe to log.
    let short = |version: &str| version.chars().take(12).collect::<String>();
    Err(Trouble::conflict(format!(
        "somebody else changed it after it was read (expected {}, found {})",
        short(&expected.0),
        short(found),
    )))
}

fn lock(folder: &Folder, checked: &Checked) -> Result<File, Trouble> {
    let name = checked.lock_name();
    let path = folder.path().join(&name);
    let what = format!("lock {}", path.display());
    let file = folder
        .open(&name, OFlag::O_RDWR | OFlag::O_CREAT)?
        .ok_or_else(|| Trouble::os(&what, nix::errno::Errno::ENOENT))?;
    match patiently(|| file.try_lock()) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(&what)),
        Err(TryLockError::Error(problem)) => return Err(Trouble::io(&what, &problem)),
    }
    if is_the_lock(folder.open(&name, OFlag::O_RDWR)?.as_ref(), &file) {
        Ok(file)
    } else {
        Err(busy(&what))
    }
}

/// Tries for half a second: a write takes milliseconds, a look at the lock less. Who holds it for
/// longer may be stopped, and is not waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "milliseconds on a thread for blocking work, which no decision and no clock rests on"
)]
fn patiently(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
            done => return done,
        }
    }
    attempt()
}

/// Whether the lock is free just now. Who may not open it is no worker, and only looks.
pub(super) fn nobody_writes(folder: &Folder, checked: &Checked) -> Result<(), Trouble> {
    let name = checked.lock_name();
    let Ok(Some(file)) = folder.open(&name, OFlag::O_RDONLY) else { return Ok(()) };
    match patiently(|| file.try_lock_shared()) {
        Err(TryLockError::WouldBlock) => {
            Err(busy(&format!("read beside {}", folder.path().join(&name).display())))
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Whether the file that is there by the lock's name is the one that was locked: somebody may have
/// removed that, and another worker can hold a newer one.
pub(super) fn is_the_lock(there: Option<&File>, locked: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    let there = there.and_then(identity);
    there.is_some() && there == identity(locked)
}

fn busy(what: &str) -> Trouble {
    Trouble {
        class: Class::Transient,
        code: Code::Unavailable,
        detail: format!("{what}: another worker is writing there now"),
    }
}

/// Refuses what a rename could not replace: another user's file in a sticky directory, and a file
/// that is itself a mount point (a bind mount of a single file into a container).
fn replaceable(folder: &Folder, checked: &Checked, name: &str) -> Result<(), Trouble> {
    let path = folder.path().join(name);
    let Some(file) = folder.open(name, OFlag::O_PATH)? else {
        return Ok(());
    };
    let what = format!("look at {}", path.display());
    let meta = file.metadata().map_err(|problem| Trouble::io(&what, &problem))?;
    let around = folder.meta()?;
    let us = geteuid().as_raw();
    let sticky = around.mode() & 0o1000 != 0;
    if sticky && us != 0 && around.uid() != us && meta.uid() != us {
        return Err(Trouble::terminal(format!(
            "{} belongs to another user, and the sticky bit of {} keeps it from being replaced; \
             remove it, or name a directory of Scimitar's own",
            path.display(),
            checked.folder.display(),
        )));
    }
    if is_mount_point(&path) {
        return Err(Trouble::terminal(format!(
            "{} is a mount point and cannot be replaced atomically; mount its directory instead",
            path.display()
        )));
    }
    Ok(())
}

fn is_mount_point(path: &std::path::Path) -> bool {
    // Without /proc nothing can be said, and the write itself will tell.
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return false;
    };
    let escaped = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(escaped.as_str()))
}
