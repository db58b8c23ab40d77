//! Temporary files: complete, with owner and mode, before they get their name.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{PermissionsExt, fchown},
    },
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{folder::Folder, trouble::Trouble};
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
    pub(super) fn temporary(
        &self,
        prefix: &str,
        mode: u32,
        owner: Option<u32>,
        group: Option<u32>,
    ) -> Result<Temporary<'_>, Trouble> {
        let name = format!("{prefix}{:016x}", SystemEntropy.bits());
        let what = format!("make a temporary file in {}", self.path().display());
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.dir, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| Trouble::os(&what, errno))?;
        let temporary = Temporary { folder: self, name, file, placed: false };
        if owner.is_some() || group.is_some() {
            fchown(&temporary.file, owner, group).map_err(|problem| not_given(&problem))?;
        }
        temporary
            .file
            .set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(|problem| Trouble::io("set the mode of a temporary file", &problem))?;
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
    /// Writes all of it, durably.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let what = format!("write a temporary file in {}", self.folder.path().display());
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_all())
            .map_err(|problem| Trouble::io(&what, &problem))
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

fn not_given(problem: &io::Error) -> Trouble {
    let trouble = Trouble::io("give the file to its owner and group", problem);
    if problem.raw_os_error() == Some(Errno::EPERM as i32) {
        return Trouble::terminal(
            "only root (CAP_CHOWN) may give a file to another owner, and only a member of a group \
             may give it to that group; let Scimitar run so, or leave owner and group out",
        );
    }
    trouble
}

#[cfg(test)]
mod tests {
    use std::{fs::Metadata, os::unix::fs::MetadataExt};

    use super::super::folder::tests::folder;

    #[test]
    fn a_temporary_file_has_its_mode_before_content_and_goes_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mut temporary = folder.temporary(".x.tmp-", 0o640, None, None).unwrap();
        let seen = || -> Vec<Metadata> {
            let entries = std::fs::read_dir(dir.path()).unwrap();
            entries.map(|entry| entry.unwrap().metadata().unwrap()).collect()
        };
        assert_eq!(seen()[0].len(), 0);
        assert_eq!(seen()[0].mode() & 0o7777, 0o640);
        temporary.fill(b"content").unwrap();
        assert_eq!(seen()[0].len(), 7);
        drop(temporary);
        assert!(seen().is_empty());
    }
}
