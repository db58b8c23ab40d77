//! Marks in `custom_metadata`, for payloads that have no room for them.
//!
//! Each value has keys of its own, named after its SHA-256. A server takes 64 of them, and some are the
//! users'. What is put there and taken away again, the rules of all sinks say.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    sink::{
        Marks,
        payload::{MARKS, Said, marks_in, texts_of},
        rules::marks::{MOST, stale},
    },
    token::Digest,
};

/// The custom metadata of a secret.
pub(super) type Custom = BTreeMap<String, String>;

/// What every key of ours begins with.
const PREFIX: &str = "scimitar_";

/// How much of the SHA-256 stands in the keys.
const SHOWN: usize = 12;

/// The field that says of which value the marks beside it are.
const SHA256: &str = "sha256";

/// The marks of the value with this digest.
pub(super) fn of_value(custom: &Custom, value: &Digest) -> Option<Marks> {
    let slot = slot(value);
    let text = |field: &str| custom.get(&key(&slot, field)).cloned();
    let proven = text(SHA256).is_some_and(|sha256| sha256 == value.as_str());
    proven.then(|| marks_in(text)).flatten()
}

/// The merge-patch that puts the marks of `value` beside those of what is `held`, and touches no
/// key but our own.
pub(super) fn announcing(
    custom: &Custom,
    marks: &Marks,
    value: &Digest,
    held: Option<&Digest>,
) -> Zeroizing<Vec<u8>> {
    let (own, held) = (slot(value), held.map(slot));
    let mut members: Map<String, Value> = stale(&kept(custom), &own, held.as_deref(), MOST)
        .iter()
        // What is null goes.
        .flat_map(|slot| fields().map(|field| (key(slot, field), Value::Null)))
        .filter(|(key, _)| custom.contains_key(key))
        .collect();
    let sha256 = (SHA256, Some(value.as_str().to_owned()));
    for (field, text) in texts_of(marks).into_iter().chain([sha256]) {
        members.insert(key(&own, field), text.map_or(Value::Null, Value::String));
    }
    Zeroizing::new(json!({ "custom_metadata": members }).to_string().into_bytes())
}

/// The marks that are there, by their slots.
fn kept(custom: &Custom) -> BTreeMap<String, Option<Marks>> {
    let slots = custom
        .keys()
        .filter_map(|name| name.strip_prefix(PREFIX)?.strip_suffix(SHA256)?.strip_suffix('_'))
        .filter(|slot| slot.len() == SHOWN);
    let marks = |slot: &str| marks_in(|field| custom.get(&key(slot, field)).cloned());
    slots.map(|slot| (slot.to_owned(), marks(slot))).collect()
}

fn fields() -> impl Iterator<Item = &'static str> {
    MARKS.into_iter().chain([SHA256])
}

fn slot(value: &Digest) -> String {
    value.as_str().chars().take(SHOWN).collect()
}

fn key(slot: &str, field: &str) -> String {
    format!("{PREFIX}{slot}_{field}")
}

/// The merge-patch that puts there what a delivery says of itself, and takes away what it no longer says.
pub(super) fn saying(said: &Said) -> Zeroizing<Vec<u8>> {
    let put = said.put.iter().map(|(key, text)| (key.clone(), json!(text)));
    let gone = said.gone.iter().map(|key| (key.clone(), Value::Null));
    let members: Map<String, Value> = put.chain(gone).collect();
    Zeroizing::new(json!({ "custom_metadata": members }).to_string().into_bytes())
}

/// A patch that no server accepts, whoever sends it: metadata must not be empty.
pub(super) fn unacceptable() -> Zeroizing<Vec<u8>> {
    let patch = json!({ "custom_metadata": { "scimitar_proof": "" } });
    Zeroizing::new(patch.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ConnectionId, LedgerId, TokenId};

    fn marks(generation: u64) -> Marks {
        Marks {
            token_id: TokenId::try_new(format!("tok_{generation}")).unwrap(),
            previous_token_id: (generation > 1)
                .then(|| TokenId::try_new(format!("tok_{}", generation - 1)).unwrap()),
            generation,
            ledger: LedgerId::try_new("l").unwrap(),
            connection_id: ConnectionId::try_new("con").unwrap(),
        }
    }

    /// As the server applies it.
    fn patch(custom: &mut Custom, patch: &[u8]) {
        let patch: Value = serde_json::from_slice(patch).unwrap();
        for (key, value) in patch["custom_metadata"].as_object().unwrap() {
            match value.as_str() {
                Some(text) => drop(custom.insert(key.clone(), text.to_owned())),
                None => drop(custom.remove(key)),
            }
        }
    }

    #[test]
    fn only_what_is_held_and_what_is_to_come_have_marks() {
        let [one, two, three] = [&b"1"[..], b"2", b"3"].map(Digest::of);
        let mut custom = Custom::from([
            ("theirs".to_owned(), "x".to_owned()),
            ("scimitar_note_sha256".to_owned(), "theirs too".to_owned()),
        ]);
        let first = announcing(&custom, &marks(1), &one, None);
        patch(&mut custom, &first);
        assert_eq!(of_value(&custom, &one), Some(marks(1)));
        let second = announcing(&custom, &marks(2), &two, Some(&one));
        patch(&mut custom, &second);
        assert_eq!(of_value(&custom, &one), Some(marks(1)));
        assert_eq!(of_value(&custom, &two), Some(marks(2)));
        let again = announcing(&custom, &marks(2), &two, Some(&one));
        patch(&mut custom, &again);
        assert_eq!(of_value(&custom, &one), Some(marks(1)), "a replay costs nothing");
        let third = announcing(&custom, &marks(3), &three, Some(&two));
        patch(&mut custom, &third);
        assert_eq!(of_value(&custom, &one), None);
        assert_eq!(of_value(&custom, &two), Some(marks(2)));
        assert_eq!(of_value(&custom, &three), Some(marks(3)));
        assert_eq!(custom.len(), 2 + 2 * 6);
        assert_eq!(custom["theirs"], "x");
    }

    /// Both have read the same; each announces, one of them writes.
    #[test]
    fn two_writers_do_not_take_each_others_marks() {
        let [old, one, other] = [&b"0"[..], b"1", b"2"].map(Digest::of);
        let mut custom = Custom::new();
        let first = announcing(&custom, &marks(1), &old, None);
        patch(&mut custom, &first);
        let seen = custom.clone();
        let by_one = announcing(&seen, &marks(2), &one, Some(&old));
        patch(&mut custom, &by_one);
        let late = announcing(&custom, &marks(3), &other, Some(&old));
        for by_other in [announcing(&seen, &marks(3), &other, Some(&old)), late] {
            patch(&mut custom, &by_other);
            assert_eq!(of_value(&custom, &one), Some(marks(2)));
            assert_eq!(of_value(&custom, &other), Some(marks(3)));
        }
    }

    /// Another ledger's marks cannot be told old or new; they are kept as long as there is room.
    #[test]
    fn the_room_does_not_run_out() {
        let held = Digest::of(b"held");
        let mut custom = Custom::new();
        for n in 0..40_u64 {
            let mut marks = marks(n);
            marks.ledger = LedgerId::try_new(format!("l{n}")).unwrap();
            let next = announcing(&custom, &marks, &Digest::of(&n.to_be_bytes()), Some(&held));
            patch(&mut custom, &next);
            assert_eq!(of_value(&custom, &Digest::of(&n.to_be_bytes())), Some(marks));
            assert!(custom.len() <= MOST * fields().count(), "{}", custom.len());
        }
    }
}
