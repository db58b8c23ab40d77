//! systemd's journal: whether standard error leads there, and the layer that writes to it.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixDatagram},
};

use nix::sys::stat::fstat;
use tracing_journald::{Layer, Priority, PriorityMappings};

/// What systemd sets for a process whose output it takes: the device and inode of the stream.
pub const VARIABLE: &str = "JOURNAL_STREAM";

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// What fields of ours begin with there, beside the journal's own.
const PREFIX: &str = "SCIMITAR";

/// What `journalctl -t` finds the lines by.
const IDENTIFIER: &str = "scimitar";

/// Whether standard error is the stream that `JOURNAL_STREAM` names: a shell started from a service
/// inherits the variable, but not the stream (systemd.exec(5)).
#[must_use]
pub fn is_stream_of(variable: Option<&str>, stream: impl AsFd) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else {
        return false;
    };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (device, inode))
}

/// The layer; tried out before it is used.
pub(super) fn layer() -> io::Result<Layer> {
    // The crate says nothing of where it looked.
    UnixDatagram::unbound()?.connect(SOCKET)?;
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    Ok(Layer::new()?
        .with_field_prefix(Some(PREFIX.to_owned()))
        .with_syslog_identifier(IDENTIFIER.to_owned())
        .with_priority_mappings(priorities))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_the_very_stream_that_is_named_is_the_journals() {
        let file = tempfile::tempfile().unwrap();
        let meta = file.metadata().unwrap();
        let own = format!("{}:{}", meta.dev(), meta.ino());
        assert!(is_stream_of(Some(&own), &file));
        let other = format!("{}:{}", meta.dev(), meta.ino() + 1);
        for wrong in [Some(other.as_str()), Some(""), Some("8"), Some("a:b"), None] {
            assert!(!is_stream_of(wrong, &file), "{wrong:?}");
        }
    }
}
