//! Temporary files: complete, with owner and mode, before they get their name.

use std::{
    fs::{File, TryLockError},
    io::Write,
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, OFlag, fallocate, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{
    attribute, companion::Mark, folder::Folder, looks::Looks, together::synced, trouble::Trouble,
};
use crate::clock::{Entropy, SystemEntropy};

impl Folder {
    /// Removes temporary files that a crash left behind. Best effort: one that stays is in
    /// nobody's way and goes next time.
    pub(super) fn sweep(&self, prefix: &str) {
        // By descriptor, so that it is this folder and no other of the same path.
        let listing = std::fs::read_dir(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
        for entry in listing.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
                let _ = unlinkat(&self.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            }
        }
    }

    /// Makes a new, empty temporary file with its final owner and mode: before any content, so
    /// that nobody who may not read the result can open it first.
    pub(super) fn temporary(&self, prefix: &str, looks: &Looks) -> Result<Temporary<'_>, Trouble> {
        let name = format!("{prefix}{:016x}", SystemEntropy.bits());
        let what = format!("make a temporary file in {}", self.path().display());
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.dir, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| Trouble::os(&what, errno))?;
        let temporary = Temporary { folder: self, name, file, placed: false };
        looks.give(&temporary.file)?;
        Ok(temporary)
    }
}

/// A temporary file; removed when dropped, unless it was put in place.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    placed: bool,
}

impl Temporary<'_> {
    /// Writes all of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.file.write_all(bytes).map_err(|problem| self.not_written(&problem))
    }

    /// Writes all of it, durably.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.write(bytes)?;
        synced(&self.file).map_err(|problem| self.not_written(&problem))
    }

    /// Puts marks on it, before its content. `false`: it cannot have any.
    pub(super) fn mark(&self, mark: &Mark) -> bool {
        attribute::put(&self.file, mark)
    }

    fn not_written(&self, problem: &std::io::Error) -> Trouble {
        let what = format!("write a temporary file in {}", self.folder.path().display());
        Trouble::io(&what, problem)
    }

    /// Shows that the disk has room for so much. The file system gives the room away at once, so that
    /// nothing has to be written for it; on one that cannot, it is written.
    pub(super) fn reserve(&mut self, size: usize) -> Result<(), Trouble> {
        let length = i64::try_from(size).unwrap_or(i64::MAX);
        match fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => self.fill(&vec![0; size]),
            Err(errno) => {
                let what = format!("write a temporary file in {}", self.folder.path().display());
                Err(Trouble::os(&what, errno))
            }
        }
    }

    /// Shows that files of this file system can be locked; some network ones cannot.
    pub(super) fn prove_lockable(&self) -> Result<(), Trouble> {
        let what = format!("lock a file in {}", self.folder.path().display());
        self.file.try_lock().map_err(|problem| match problem {
            TryLockError::Error(problem) => Trouble::io(&what, &problem),
            TryLockError::WouldBlock => Trouble::os(&what, Errno::EWOULDBLOCK),
        })
    }

    /// Puts it in the place of `name`, atomically; readers see the old file or this one.
    pub(super) fn place(mut self, name: &str) -> Result<(), Trouble> {
        let dir = &self.folder.dir;
        renameat(dir, self.name.as_str(), dir, name).map_err(|errno| {
            let path = self.folder.path().join(name);
            let trouble = Trouble::os(&format!("replace {}", path.display()), errno);
            // Only a failing device leaves it open whether the rename happened.
            if errno == Errno::EIO { trouble.ambiguous() } else { trouble }
        })?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.placed {
            let _ = unlinkat(&self.folder.dir, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Metadata, os::unix::fs::MetadataExt};

    use super::super::{folder::tests::folder, looks::Looks};

    #[test]
    fn a_temporary_file_has_its_mode_first_and_goes_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mut temporary = folder.temporary(".x.tmp-", &Looks::private()).unwrap();
        let seen = || -> Vec<Metadata> {
            let entries = std::fs::read_dir(dir.path()).unwrap();
            entries.map(|entry| entry.unwrap().metadata().unwrap()).collect()
        };
        assert_eq!(seen()[0].len(), 0);
        assert_eq!(seen()[0].mode() & 0o7777, 0o600);
        temporary.fill(b"content").unwrap();
        assert_eq!(seen()[0].len(), 7);
        temporary.reserve(100_000).unwrap();
        assert!(seen()[0].blocks() * 512 >= 100_000, "the room is taken");
        drop(temporary);
        assert!(seen().is_empty());
    }
}
