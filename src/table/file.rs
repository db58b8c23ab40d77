//! Files that somebody else names, opened so that reading them comes to an end.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Opens a regular file; `None`: it is something else. A pipe may wait for ever, and a device have no end.
pub(crate) fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // Without O_NONBLOCK the open itself could wait for ever on a pipe.
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}
