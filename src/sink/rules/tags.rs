//! Marks in tags, for payloads that have no room for them.
//!
//! Each value has one tag, named after its SHA-256. A secret takes few of them, and most are the users'.
//! What is put there and taken away again, the rules of all sinks say.

use std::collections::BTreeMap;

use super::marks::{MOST, stale};
use crate::{
    sink::{Marks, payload::marks_in},
    token::Digest,
};

/// A secret's tags.
pub(in crate::sink) type Tags = BTreeMap<String, String>;

/// What every tag of ours begins with.
const PREFIX: &str = "scimitar:";

/// The longest value of a tag.
const LONGEST: usize = 256;

/// A tag that a proof puts there and takes away again.
pub(in crate::sink) const PROOF: &str = "scimitar:proof";

/// What is done to the tags.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::sink) struct Change {
    /// These are put there.
    pub(in crate::sink) put: Tags,
    /// These are taken away.
    pub(in crate::sink) remove: Vec<String>,
}

/// The marks of the value with this digest.
pub(in crate::sink) fn of_value(tags: &Tags, value: &Digest) -> Option<Marks> {
    decode(tags.get(&key(value))?)
}

/// What puts the marks of `value` beside those of what is held; nothing when they are there. `None`
/// when they do not fit into a tag.
pub(in crate::sink) fn announcing(
    tags: &Tags,
    marks: &Marks,
    value: &Digest,
    held: Option<&Digest>,
) -> Option<Change> {
    let own = key(value);
    let text = encode(marks);
    if text.len() > LONGEST {
        return None;
    }
    if tags.get(&own) == Some(&text) {
        return Some(Change::default());
    }
    let remove = stale(&kept(tags), &own, held.map(key).as_deref(), MOST);
    Some(Change { put: Tags::from([(own, text)]), remove })
}

/// Whether a tag is one that Scimitar writes.
pub(in crate::sink) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The marks that are there, by their tags.
fn kept(tags: &Tags) -> BTreeMap<String, Option<Marks>> {
    let ours = tags.iter().filter(|(name, _)| is_ours(name) && *name != PROOF);
    ours.map(|(name, text)| (name.clone(), decode(text))).collect()
}

fn key(value: &Digest) -> String {
    format!("{PREFIX}{}", value.as_str())
}

/// In characters that tags may hold: words with a space between them.
fn encode(marks: &Marks) -> String {
    let previous = marks.previous_token_id.as_ref().map(|id| id.as_str());
    let generation = marks.generation.to_string();
    let words = [
        generation.as_str(),
        marks.token_id.as_str(),
        previous.unwrap_or_default(),
        marks.ledger.as_str(),
        marks.connection_id.as_str(),
    ];
    words.map(word).join(" ")
}

fn decode(text: &str) -> Option<Marks> {
    let words: Vec<String> = text.split(' ').map(unword).collect::<Option<_>>()?;
    let [generation, token, previous, ledger, connection] = words.try_into().ok()?;
    marks_in(|field| match field {
        "generation" => Some(generation.clone()),
        "token_id" => Some(token.clone()),
        "previous_token_id" => Some(previous.clone()).filter(|id| !id.is_empty()),
        "ledger" => Some(ledger.clone()),
        "connection_id" => Some(connection.clone()),
        _ => None,
    })
}

/// A word that stands alone and in which `=` begins the two digits of a byte.
fn word(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:/+-@".contains(byte);
    if text.is_empty() {
        return "=".to_owned();
    }
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).into() } else { format!("={byte:02x}") })
        .collect()
}

fn unword(text: &str) -> Option<String> {
    if text == "=" {
        return Some(String::new());
    }
    let mut parts = text.split('=');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ConnectionId, LedgerId, TokenId};

    fn marks(generation: u64) -> Marks {
        Marks {
            token_id: TokenId::try_new(format!("tok|{generation}=?")).unwrap(),
            previous_token_id: (generation > 1)
                .then(|| TokenId::try_new(format!("tok,{}", generation - 1)).unwrap()),
            generation,
            ledger: LedgerId::try_new("ledger").unwrap(),
            connection_id: ConnectionId::try_new("con").unwrap(),
        }
    }

    fn apply(tags: &mut Tags, change: Change) {
        tags.extend(change.put);
        tags.retain(|name, _| !change.remove.contains(name));
    }

    #[test]
    fn marks_are_written_in_characters_that_tags_may_hold() {
        for generation in [1, 2, u64::MAX] {
            let text = encode(&marks(generation));
            assert!(
                text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)),
                "{text}"
            );
            assert_eq!(decode(&text), Some(marks(generation)));
        }
        for bad in ["", "1 a = l", "x a = l c", "1 a=g = l c", "1 a=0 = l c", "1 a = l c d"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_is_held_and_what_is_to_come_have_marks() {
        let [one, two, three] = [&b"1"[..], b"2", b"3"].map(Digest::of);
        let mut tags = Tags::from([("theirs".to_owned(), "x".to_owned())]);
        let first = announcing(&tags, &marks(1), &one, None).unwrap();
        apply(&mut tags, first);
        let second = announcing(&tags, &marks(2), &two, Some(&one)).unwrap();
        apply(&mut tags, second);
        assert_eq!(of_value(&tags, &one), Some(marks(1)));
        assert_eq!(of_value(&tags, &two), Some(marks(2)));
        let again = announcing(&tags, &marks(2), &two, Some(&one)).unwrap();
        assert_eq!(again, Change::default(), "a replay writes nothing");
        let third = announcing(&tags, &marks(3), &three, Some(&two)).unwrap();
        apply(&mut tags, third);
        assert_eq!(of_value(&tags, &one), None);
        assert_eq!(of_value(&tags, &two), Some(marks(2)));
        assert_eq!((tags.len(), tags["theirs"].as_str()), (3, "x"));
    }

    #[test]
    fn the_room_does_not_run_out() {
        let held = Digest::of(b"held");
        let mut tags = Tags::new();
        for n in 0..40_u64 {
            let mut marks = marks(n);
            marks.ledger = LedgerId::try_new(format!("l{n}")).unwrap();
            let value = Digest::of(&n.to_be_bytes());
            let next = announcing(&tags, &marks, &value, Some(&held)).unwrap();
            apply(&mut tags, next);
            assert_eq!(of_value(&tags, &value), Some(marks));
            assert!(tags.len() <= MOST, "{}", tags.len());
        }
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let mut long = marks(1);
        long.token_id = TokenId::try_new("t".repeat(250)).unwrap();
        assert_eq!(announcing(&Tags::new(), &long, &Digest::of(b"1"), None), None);
    }
}
