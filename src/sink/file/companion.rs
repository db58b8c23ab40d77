//! `.NAME.scimitar.json`: the marks of a file that has no room for them.
//!
//! It is written *before* the file itself and then names both the token that is there and the one
//! that is about to be: whichever of the two a crash leaves, its mark is found by the value's
//! SHA-256, and a mark of any other value is never believed.

use serde::{Deserialize, Serialize};

use crate::{sink::Marks, token::Digest};

/// The companion's content. Members that a later version adds are no reason to disbelieve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Companion {
    marks: Vec<Mark>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    token_id: crate::token::TokenId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_token_id: Option<crate::token::TokenId>,
    generation: u64,
    ledger: crate::token::LedgerId,
    connection_id: crate::token::ConnectionId,
    sha256: Digest,
}

impl Companion {
    /// What the bytes say; nothing when they cannot be read.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The marks of the value with this digest.
    pub(super) fn marks_of(&self, value: &Digest) -> Option<Marks> {
        let mark = self.marks.iter().find(|mark| mark.sha256 == *value)?.clone();
        Some(Marks {
            token_id: mark.token_id,
            previous_token_id: mark.previous_token_id,
            generation: mark.generation,
            ledger: mark.ledger,
            connection_id: mark.connection_id,
        })
    }

    /// The companion to write before `value` replaces `held`: at most two entries.
    pub(super) fn announcing(&self, marks: &Marks, value: Digest, held: Option<&Digest>) -> Self {
        let believed = held
            .filter(|held| **held != value)
            .and_then(|held| self.marks.iter().find(|mark| mark.sha256 == *held))
            .cloned();
        let new = Mark {
            token_id: marks.token_id.clone(),
            previous_token_id: marks.previous_token_id.clone(),
            generation: marks.generation,
            ledger: marks.ledger.clone(),
            connection_id: marks.connection_id.clone(),
            sha256: value,
        };
        Self { marks: std::iter::once(new).chain(believed).collect() }
    }

    /// The bytes to write.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ConnectionId, LedgerId, TokenId};

    fn marks(generation: u64) -> Marks {
        Marks {
            token_id: TokenId::try_new(format!("tok_{generation}")).unwrap(),
            previous_token_id: None,
            generation,
            ledger: LedgerId::try_new("l").unwrap(),
            connection_id: ConnectionId::try_new("con").unwrap(),
        }
    }

    #[test]
    fn it_names_the_old_and_the_new_and_nothing_else() {
        let [one, two, three] = [&b"1"[..], b"2", b"3"].map(Digest::of);
        let first = Companion::default().announcing(&marks(1), one.clone(), Some(&three));
        assert_eq!(first.marks.len(), 1, "a value that it has no mark of gets none");
        let second = first.announcing(&marks(2), two.clone(), Some(&one));
        let read = Companion::parse(&second.bytes());
        assert_eq!(read, second);
        assert_eq!(read.marks_of(&one), Some(marks(1)));
        assert_eq!(read.marks_of(&two), Some(marks(2)));
        assert_eq!(read.marks_of(&three), None);
        let third = second.announcing(&marks(3), three, Some(&two));
        assert_eq!(third.marks_of(&one), None);
        assert_eq!(third.marks.len(), 2);
        let again = second.announcing(&marks(2), two.clone(), Some(&two));
        assert_eq!(again.marks.len(), 1, "a replay does not name one value twice");
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        assert_eq!(Companion::parse(b"{\"marks\": [{}]}"), Companion::default());
        assert_eq!(Companion::parse(b""), Companion::default());
    }
}
