//! Whether what a place holds may be overwritten.

use super::Marks;
use crate::error::{Class, Code, Fault};

/// Why a token with marks is not to be overwritten.
pub(super) struct Refused {
    pub(super) class: Class,
    pub(super) code: Code,
    pub(super) words: String,
}

impl Refused {
    pub(super) fn of(self, operation: &str) -> Fault {
        Fault::new(operation, self.class, self.code, self.words)
    }
}

/// Whether a token with these marks may be overwritten by ours; `way_out` is that from another
/// connection's.
pub(super) fn may_overwrite(theirs: &Marks, ours: &Marks, way_out: &str) -> Result<(), Refused> {
    if theirs.connection_id != ours.connection_id {
        return Err(Refused {
            class: Class::Terminal,
            code: Code::ForeignOwner,
            words: format!(
                "it holds a token of connection {}, not of {}; {way_out} once nobody needs it",
                theirs.connection_id, ours.connection_id,
            ),
        });
    }
    if theirs.ledger == ours.ledger && theirs.generation > ours.generation {
        return Err(Refused {
            class: Class::Conflict,
            code: Code::Changed,
            words: format!(
                "it holds generation {} of this very ledger, which is newer than {}: somebody delivered \
                 it since the last look, and the next look decides anew",
                theirs.generation, ours.generation,
            ),
        });
    }
    Ok(())
}
