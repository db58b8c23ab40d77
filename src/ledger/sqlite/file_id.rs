//! Which file it is that is open.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use super::failure::Failure;

/// Which file it is, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }

    /// Whether the name still leads to the file that is open: what is written to one that was
    /// removed or replaced, nobody will ever read.
    pub(super) fn must_be(self, path: &Path) -> Result<(), Failure> {
        if Self::of(path).is_ok_and(|found| found == self) {
            return Ok(());
        }
        Err(Failure::Unavailable(
            "the file was removed or replaced while it was in use, so nothing was read or \
             written: move the same file back, or restart Scimitar to use the one that is there"
                .to_owned(),
        ))
    }
}
