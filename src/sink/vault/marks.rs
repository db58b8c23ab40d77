//! Marks in `custom_metadata`, for payloads that have no room for them.
//!
//! There are two slots. The marks of what is about to be written go into the one that does not
//! belong to what is there, before the secret itself is written: whichever of the two values a
//! crash leaves, its marks are found by its SHA-256, and those of any other are never believed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    sink::{Marks, payload::marks_in},
    token::Digest,
};

/// The custom metadata of a secret.
pub(super) type Custom = BTreeMap<String, String>;

const SLOTS: [&str; 2] = ["scimitar_a_", "scimitar_b_"];

const SHA256: &str = "sha256";

/// The marks of the value with this digest.
pub(super) fn of_value(custom: &Custom, value: &Digest) -> Option<Marks> {
    let slot = SLOTS.into_iter().find(|slot| is_of(custom, slot, value))?;
    marks_in(|field| custom.get(&format!("{slot}{field}")).cloned())
}

/// The merge-patch that puts the marks of `value` beside those of what is `held`, and touches no
/// key but our own.
pub(super) fn announcing(
    custom: &Custom,
    marks: &Marks,
    value: &Digest,
    held: Option<&Digest>,
) -> Zeroizing<Vec<u8>> {
    let own = SLOTS.into_iter().find(|slot| is_of(custom, slot, value));
    let free = SLOTS.into_iter().find(|slot| !held.is_some_and(|held| is_of(custom, slot, held)));
    let slot = own.or(free).unwrap_or(SLOTS[0]);
    let fields = [
        ("token_id", Some(marks.token_id.to_string())),
        ("previous_token_id", marks.previous_token_id.as_ref().map(ToString::to_string)),
        ("generation", Some(marks.generation.to_string())),
        ("ledger", Some(marks.ledger.to_string())),
        ("connection_id", Some(marks.connection_id.to_string())),
        (SHA256, Some(value.as_str().to_owned())),
    ];
    let members: Map<String, Value> = fields
        .into_iter()
        // What is null goes.
        .map(|(field, text)| (format!("{slot}{field}"), text.map_or(Value::Null, Value::String)))
        .collect();
    Zeroizing::new(json!({ "custom_metadata": members }).to_string().into_bytes())
}

/// A patch that no server accepts, whoever sends it: metadata must not be empty.
pub(super) fn unacceptable() -> Zeroizing<Vec<u8>> {
    let patch = json!({ "custom_metadata": { "scimitar_proof": "" } });
    Zeroizing::new(patch.to_string().into_bytes())
}

fn is_of(custom: &Custom, slot: &str, value: &Digest) -> bool {
    custom.get(&format!("{slot}{SHA256}")).is_some_and(|sha256| sha256 == value.as_str())
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
    fn the_marks_of_what_is_there_and_of_what_is_to_come_and_no_others() {
        let [one, two, three] = [&b"1"[..], b"2", b"3"].map(Digest::of);
        let mut custom = Custom::from([("theirs".to_owned(), "x".to_owned())]);
        patch(&mut custom.clone(), &unacceptable());
        let first = announcing(&custom, &marks(2), &one, None);
        patch(&mut custom, &first);
        assert_eq!(of_value(&custom, &one), Some(marks(2)));
        let second = announcing(&custom, &marks(3), &two, Some(&one));
        patch(&mut custom, &second);
        assert_eq!(of_value(&custom, &one), Some(marks(2)));
        assert_eq!(of_value(&custom, &two), Some(marks(3)));
        let again = announcing(&custom, &marks(3), &two, Some(&one));
        patch(&mut custom, &again);
        assert_eq!(of_value(&custom, &one), Some(marks(2)), "a replay costs nothing");
        let third = announcing(&custom, &marks(1), &three, Some(&two));
        patch(&mut custom, &third);
        assert_eq!(of_value(&custom, &one), None);
        assert_eq!(of_value(&custom, &three), Some(marks(1)), "without one before it");
        assert_eq!(custom["theirs"], "x");
    }
}
