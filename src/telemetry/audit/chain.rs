//! How lines are linked.
//!
//! A line is one JSON object whose last member is `hash`: the SHA-256, in lower-case hex, of the bytes
//! of the line in front of `,"hash":"`. `prev` is the `hash` of the line before, 64 zeros in the first
//! line of all. Bytes are hashed, not values: nobody has to agree on how JSON is written.

use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{actor::Actor, entry::Entry};

/// What the first line of all follows.
pub const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The version of the lines' format.
const FORMAT: u32 = 1;

/// How every line begins.
pub const OPENING: &[u8] = b"{\"v\":1,\"seq\":";

/// What stands between a line's body and its hash.
const MARK: &[u8] = b",\"hash\":\"";

/// How a line ends.
const END: &[u8] = b"\"}";

/// The digits of a hash.
const DIGITS: usize = 64;

/// The first line of a chain.
pub const OPENED: &str = "log_opened";

/// The first line of a file that goes on where another ended.
pub const CONTINUED: &str = "log_continued";

/// A line that says what damaged bytes are in front of it.
pub const TORN: &str = "log_torn";

/// A line that says that lines are gone from the end of the file.
pub const CUT: &str = "log_cut";

/// A place in the chain: a line's number and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The line's number, from 1, through all files.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// Bytes that are no line: what a crash left of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// What a line says of the log itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The bytes in front of it that are no line.
    pub torn: Option<Torn>,
    /// How many lines before it are not known to have been written.
    pub missed: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    seq: u64,
    prev: &'a str,
    actor: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    torn: Option<&'a Torn>,
    #[serde(skip_serializing_if = "is_none")]
    missed: u64,
    #[serde(flatten)]
    entry: &'a Entry,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(missed: &u64) -> bool {
    *missed == 0
}

/// The line that follows `before`, with its line break, and its place in the chain.
///
/// # Errors
/// When it cannot be serialised; a defect.
pub fn line(
    before: Option<&Link>,
    actor: &Actor,
    entry: &Entry,
    remarks: &Remarks,
) -> Result<(Vec<u8>, Link), serde_json::Error> {
    let seq = before.map_or(1, |before| before.seq + 1);
    let line = Line {
        v: FORMAT,
        seq,
        prev: before.map_or(START, |before| before.hash.as_str()),
        actor,
        torn: remarks.torn.as_ref(),
        missed: remarks.missed,
        entry,
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.pop();
    let hash = sha256(&bytes);
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_slice(END);
    bytes.push(b'\n');
    Ok((bytes, Link { seq, hash }))
}

/// A line as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its place.
    pub link: Link,
    /// The hash that it follows.
    pub prev: String,
    /// Its event.
    pub event: String,
    /// What it says of bytes in front of it.
    pub torn: Option<Torn>,
    /// How many lines it says are not known to have been written.
    pub missed: u64,
}

#[derive(Deserialize)]
struct Members {
    v: u32,
    seq: u64,
    prev: String,
    event: String,
    torn: Option<Torn>,
    #[serde(default)]
    missed: u64,
}

/// Reads a line without its line break.
///
/// # Errors
/// In words: what is wrong with it.
pub fn read(line: &[u8]) -> Result<Read, String> {
    let not_ours = || "this is not a line of an audit log".to_owned();
    let length = line.len().checked_sub(MARK.len() + DIGITS + END.len());
    let (body, tail) =
        length.and_then(|length| line.split_at_checked(length)).ok_or_else(not_ours)?;
    let hash = tail.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(END));
    let hash = hash.and_then(|hash| std::str::from_utf8(hash).ok()).ok_or_else(not_ours)?;
    let counted = sha256(body);
    if hash != counted {
        return Err(format!(
            "the line was changed: it records the hash {hash}, but its content has the hash {counted}"
        ));
    }
    let members: Members = serde_json::from_slice(line)
        .map_err(|_| "the line lacks fields that every line has".to_owned())?;
    if members.v != FORMAT {
        return Err(format!(
            "the line has format {}, this version reads {FORMAT}: use the version that wrote it",
            members.v
        ));
    }
    Ok(Read {
        link: Link { seq: members.seq, hash: counted },
        prev: members.prev,
        event: members.event,
        torn: members.torn,
        missed: members.missed,
    })
}

/// The SHA-256 of bytes that come one behind the other.
pub struct Digester(Context);

impl Default for Digester {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digester {
    /// Further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The SHA-256 of all of them, in lower-case hex.
    #[must_use]
    pub fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// The SHA-256 of these bytes, in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
