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
    // Where the mark names a token of ours, others changed the mark: the token stays ours.
    let own = theirs.token_id == ours.token_id
        || ours.previous_token_id.as_ref() == Some(&theirs.token_id);
    if theirs.connection_id != ours.connection_id && !own {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sink::payload::tests::parcel, token::ConnectionId};

    #[test]
    fn a_mark_of_another_connection_says_nothing_beside_a_token_of_ours() {
        let ours = parcel(true).marks;
        let connection_id = ConnectionId::try_new("con_another").unwrap();
        let theirs =
            |token_id| Marks { connection_id: connection_id.clone(), token_id, ..ours.clone() };
        let before = ours.previous_token_id.clone().unwrap();
        for own in [ours.token_id.clone(), before] {
            assert!(may_overwrite(&theirs(own), &ours, "remove it").is_ok());
        }
        let unknown = crate::token::TokenId::try_new("tok_theirs").unwrap();
        let refused = may_overwrite(&theirs(unknown), &ours, "remove it").err().unwrap();
        assert_eq!(refused.code, Code::ForeignOwner);
        assert!(refused.words.contains("con_another"), "{}", refused.words);
    }
}
