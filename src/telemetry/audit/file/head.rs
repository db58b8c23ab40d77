//! What is remembered beside the log: where the chain ended.

use std::{fmt::Write, fs::File, io, os::unix::fs::FileExt};

use super::super::chain::{Link, START, sha256};

/// Longer than any head: it is always written over its whole length.
const LENGTH: usize = 192;

/// Where the chain ended, and in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// `None`: no line was ever written.
    pub(super) link: Option<Link>,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Lines that could not be written since; a head of an older version does not say.
    pub(super) missed: u64,
}

impl Head {
    /// `None` when there is none, or a crash left a part of one: its sum is then wrong.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?.trim_end();
        let (said, sum) = text.rsplit_once(' ')?;
        if sha256(said.as_bytes()).get(..16) != Some(sum) {
            return None;
        }
        let mut words = said.split(' ');
        let mut word = || words.next();
        let link = Link { hash: word()?.to_owned(), seq: word()?.parse().ok()? };
        Some(Self {
            link: Some(link).filter(|link| link.seq > 0),
            device: word()?.parse().ok()?,
            inode: word()?.parse().ok()?,
            missed: word().map_or(Some(0), |missed| missed.parse().ok())?,
        })
    }

    /// Writes over what was there: the file is what is locked, so it is never replaced. Not synced:
    /// only a machine that loses power within seconds of both a line and a rotation misses it.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let (hash, seq) =
            self.link.as_ref().map_or((START, 0), |link| (link.hash.as_str(), link.seq));
        let mut said = format!("{hash} {seq} {} {}", self.device, self.inode);
        if self.missed > 0 {
            // Writing to a String cannot fail.
            let _ = write!(said, " {}", self.missed);
        }
        let sum = sha256(said.as_bytes());
        let text = format!("{said} {}", sum.get(..16).unwrap_or_default());
        file.write_all_at(format!("{text:<width$}\n", width = LENGTH - 1).as_bytes(), 0)
    }
}
