//! Whether what a place holds may be overwritten.

use crate::{
    error::{Class, Code, Fault},
    sink::{Contents, Loss, Marks},
    token::TokenValue,
};

/// Why a token with marks is not to be overwritten.
pub(in crate::sink) struct Refused {
    pub(in crate::sink) class: Class,
    pub(in crate::sink) code: Code,
    pub(in crate::sink) words: String,
}

impl Refused {
    pub(in crate::sink) fn of(self, operation: &str) -> Fault {
        Fault::new(operation, self.class, self.code, self.words)
    }
}

/// The token that a place holds, where it may be overwritten by ours, and whether its marks are ours
/// already; `way_out` is that from another connection's.
pub(in crate::sink) fn yields(
    contents: Contents,
    ours: &Marks,
    way_out: &str,
) -> Result<Option<(TokenValue, bool)>, Refused> {
    match contents {
        Contents::Marked { marks, value } => {
            may_overwrite(&marks, ours, way_out)?;
            Ok(Some((value, marks == *ours)))
        }
        Contents::Unmarked { value } => Ok(value.map(|value| (value, false))),
        Contents::Empty => Ok(None),
    }
}

/// Why what others put there would be lost; `overwrite`: it may be, once.
pub(in crate::sink) fn lost(loss: &Loss, overwrite: bool) -> Option<&str> {
    match loss {
        Loss::Unparsed(why) if !overwrite => Some(why),
        Loss::Unparsed(_) | Loss::Value | Loss::Nothing => None,
    }
}

/// That a place is in another state than the one that was read.
pub(in crate::sink) fn changed(operation: &str) -> Fault {
    let words = "somebody else changed it after it was read";
    Fault::new(operation, Class::Conflict, Code::Changed, words)
}

/// Whether a token with these marks may be overwritten by ours; `way_out` is that from another
/// connection's.
fn may_overwrite(theirs: &Marks, ours: &Marks, way_out: &str) -> Result<(), Refused> {
    // Where the mark names a token of ours, others changed the mark: the token stays ours.
    let own = theirs.token_id == ours.token_id
        || ours.previous_token_id.as_ref() == Some(&theirs.token_id);
    if theirs.connection_id != ours.connection_id && !own {
        return Err(Refused {
            class: Class::Terminal,
            code: Code::ForeignOwner,
            words: format!(
                "it holds a token of connection {}, not of {}; {way_out} once nobody needs the token",
                theirs.connection_id, ours.connection_id,
            ),
        });
    }
    if theirs.ledger == ours.ledger && theirs.generation > ours.generation {
        return Err(Refused {
            class: Class::Conflict,
            code: Code::Changed,
            words: format!(
                "it holds generation {} of this ledger, which is newer than {}: it was delivered \
                 since the last check, and the next check decides again",
                theirs.generation, ours.generation,
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sink::payload::tests::delivery, token::ConnectionId};

    #[test]
    fn a_foreign_mark_says_nothing_beside_a_token_of_ours() {
        let ours = delivery(true).marks;
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
