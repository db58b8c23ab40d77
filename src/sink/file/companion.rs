//! `.NAME.scimitar.json`: the marks of a file that has no room for them.
//!
//! It names the token that is there and the one that is about to be, by the rules of all sinks; writers
//! wait for each other, so that there are never more.

use serde::{Deserialize, Serialize};

use crate::{
    sink::{Marks, rules::marks::stale},
    token::Digest,
};

/// How many values have marks: that of the file, and that which replaces it.
const MOST: usize = 2;

/// The companion's content. Members that a later version adds are no reason to disbelieve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Companion {
    marks: Vec<Mark>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    token_id: crate::token::TokenId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_token_id: Option<crate::token::TokenId>,
    generation: u64,
    ledger: crate::token::LedgerId,
    connection_id: crate::token::ConnectionId,
    sha256: Digest,
}

impl Mark {
    /// The marks of one value.
    pub(super) fn new(marks: &Marks, value: Digest) -> Self {
        Self {
            token_id: marks.token_id.clone(),
            previous_token_id: marks.previous_token_id.clone(),
            generation: marks.generation,
            ledger: marks.ledger.clone(),
            connection_id: marks.connection_id.clone(),
            sha256: value,
        }
    }

    /// Whether they are those of this value.
    pub(super) fn is_of(&self, value: &Digest) -> bool {
        self.sha256 == *value
    }

    pub(super) fn marks(&self) -> Marks {
        Marks {
            token_id: self.token_id.clone(),
            previous_token_id: self.previous_token_id.clone(),
            generation: self.generation,
            ledger: self.ledger.clone(),
            connection_id: self.connection_id.clone(),
        }
    }
}

impl Companion {
    /// What the bytes say; nothing when they cannot be read.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The marks of the value with this digest.
    pub(super) fn marks_of(&self, value: &Digest) -> Option<Marks> {
        self.marks.iter().find(|mark| mark.is_of(value)).map(Mark::marks)
    }

    /// The companion to write before `value` replaces `held`.
    pub(super) fn announcing(&self, marks: &Marks, value: Digest, held: Option<&Digest>) -> Self {
        let name = |mark: &Mark| mark.sha256.as_str().to_owned();
        let kept = self.marks.iter().map(|mark| (name(mark), Some(mark.marks()))).collect();
        let stale = stale(&kept, value.as_str(), held.map(Digest::as_str), MOST);
        let stays = |mark: &&Mark| mark.sha256 != value && !stale.contains(&name(mark));
        let others: Vec<Mark> = self.marks.iter().filter(stays).cloned().collect();
        let new = Mark::new(marks, value);
        Self { marks: std::iter::once(new).chain(others).collect() }
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
