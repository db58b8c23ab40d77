//! The end of a log: its last line, and what is behind it.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use super::{
    super::chain::{self, Link, Torn, sha256},
    AppendError,
};

/// The last line is found in this much, unless it is damaged or very long.
const FIRST_LOOK: u64 = 64 * 1024;

/// How far back a whole line is looked for.
const LAST_LOOK: u64 = 16 * 1024 * 1024;

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no line, but perhaps the beginning of a first one.
    NoLine { torn: Option<Torn>, ends_a_line: bool },
    /// The last whole line, and the bytes behind it that are none.
    Line { link: Link, torn: Option<Torn>, ends_a_line: bool },
}

impl End {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::NoLine { torn: None, .. })
    }

    pub(super) fn torn(&self) -> Option<&Torn> {
        match self {
            Self::NoLine { torn, .. } | Self::Line { torn, .. } => torn.as_ref(),
        }
    }

    /// Whether the next byte begins a line.
    pub(super) fn ends_a_line(&self) -> bool {
        match self {
            Self::NoLine { ends_a_line, .. } | Self::Line { ends_a_line, .. } => *ends_a_line,
        }
    }
}

/// Finds the end.
///
/// # Errors
/// When the file cannot be read, or is no audit log: nothing is added to somebody else's file.
pub(super) fn end(log: &File, path: &Path) -> Result<End, AppendError> {
    let length = log.metadata().map_err(AppendError::io("look at", path))?.len();
    let mut look = FIRST_LOOK;
    loop {
        let from = length.saturating_sub(look);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
        log.read_exact_at(&mut bytes, from).map_err(AppendError::io("read", path))?;
        if let Some(end) = within(&bytes, from == 0) {
            return Ok(end);
        }
        if from == 0 || look >= LAST_LOOK {
            return Err(AppendError::NotOurs(format!(
                "{} does not end with an audit line: Scimitar does not append to it; move it away, \
                 or name another file as `audit` in [log]",
                path.display()
            )));
        }
        look *= 8;
    }
}

/// The end that these last bytes show; `None` when they hold no whole line. `whole`: they are all.
fn within(bytes: &[u8], whole: bool) -> Option<End> {
    let ends_a_line = bytes.last().is_none_or(|last| *last == b'\n');
    // Whole but for its line break: what there is of it needs no excuse.
    let begin = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if let Some(Ok(read)) = bytes.get(begin..).filter(|_| !ends_a_line).map(chain::read) {
        return Some(End::Line { link: read.link, torn: None, ends_a_line });
    }
    let mut line_end = bytes.len();
    while let Some(at) = bytes.get(..line_end)?.iter().rposition(|byte| *byte == b'\n') {
        let begin = bytes.get(..at)?.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // The first line of a part may lack its beginning; its hash is then wrong.
        if let Ok(read) = bytes.get(begin..at).ok_or(String::new()).and_then(chain::read) {
            return Some(End::Line {
                link: read.link,
                torn: torn(bytes.get(at + 1..)?),
                ends_a_line,
            });
        }
        line_end = at;
    }
    let begun = bytes.len().min(chain::OPENING.len());
    let ours = bytes.get(..begun) == chain::OPENING.get(..begun);
    // Nothing, or what a crash left of the very first line.
    (whole && ours && !bytes.contains(&b'\n'))
        .then(|| End::NoLine { torn: torn(bytes), ends_a_line })
}

fn torn(bytes: &[u8]) -> Option<Torn> {
    let count = u64::try_from(bytes.len()).ok().filter(|count| *count > 0)?;
    Some(Torn { bytes: count, sha256: sha256(bytes) })
}
