//! Marks, wherever they are kept.
//!
//! They are among the keys of a delivery where these have room for them, else beside the value: each
//! value then has marks of its own, found by its SHA-256. Those of what is about to be written are put
//! there before the value itself: whichever of the two values a crash leaves has its marks, two writers
//! do not overwrite each other's, and those of any other value are never believed. What is taken away
//! again is only what can never be held any more. How marks are written there is the service's own.

use std::collections::BTreeMap;

use crate::{
    sink::{Contents, Marks},
    token::{Digest, TokenValue},
};

/// How many values may have marks beside them, where the room for these is shared with users.
pub(in crate::sink) const MOST: usize = 6;

/// What a place holds, by the value there, the marks among its own keys, and those that are kept
/// beside it for just this value.
pub(in crate::sink) fn understood(
    value: Option<TokenValue>,
    among: Option<Marks>,
    beside: impl FnOnce(&Digest) -> Option<Marks>,
) -> Contents {
    let Some(value) = value else { return Contents::Unmarked { value: None } };
    match among.or_else(|| beside(&value.digest())) {
        Some(marks) => Contents::Marked { marks, value },
        None => Contents::Unmarked { value: Some(value) },
    }
}

/// Whose marks go when those of `own` are put beside those of what is `held`: of more than `most`
/// values all but these two, else those that the ledger of what is held wrote before it, which never
/// come back. The marks of a write that is under way are newer, and those of another ledger can be
/// told neither old nor new.
///
/// `kept` are the marks that are there, as far as they can be read, by what the service calls them.
pub(in crate::sink) fn stale(
    kept: &BTreeMap<String, Option<Marks>>,
    own: &str,
    held: Option<&str>,
    most: usize,
) -> Vec<String> {
    let held = held.filter(|held| *held != own);
    let others = kept.iter().filter(|(name, _)| *name != own && Some(name.as_str()) != held);
    let others: Vec<_> = others.collect();
    let too_many = others.len() + 1 + usize::from(held.is_some()) > most;
    let held = held.unwrap_or(own);
    let held = kept.get(held).and_then(Option::as_ref);
    let is_before = |other: &Option<Marks>| {
        held.zip(other.as_ref()).is_some_and(|(held, other)| {
            other.ledger == held.ledger && other.generation < held.generation
        })
    };
    let go = others.into_iter().filter(|(_, other)| too_many || is_before(other));
    go.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sink::payload::tests::delivery, token::LedgerId};

    fn marks(ledger: &str, generation: u64) -> Option<Marks> {
        let ledger = LedgerId::try_new(ledger).unwrap();
        Some(Marks { ledger, generation, ..delivery(true).marks })
    }

    #[test]
    fn marks_that_can_still_be_needed_stay() {
        let kept = [
            ("older", marks("a", 1)),
            ("held", marks("a", 2)),
            ("under way", marks("a", 3)),
            ("of another", marks("b", 1)),
            ("unreadable", None),
        ];
        let kept = kept.map(|(name, marks)| (name.to_owned(), marks)).into();
        assert_eq!(stale(&kept, "new", Some("held"), 9), ["older"]);
        assert_eq!(stale(&kept, "new", None, 9), [""; 0], "nothing says what is old");
        let all = ["of another", "older", "under way", "unreadable"];
        assert_eq!(stale(&kept, "new", Some("held"), 5), all, "there is no room");
        assert_eq!(stale(&kept, "held", Some("held"), 9), ["older"], "a replay");
    }

    #[test]
    fn only_marks_of_the_very_value_are_believed() {
        let value = || Some(TokenValue::try_new("tok_1.x".to_owned()).unwrap());
        let of_it = value().unwrap().digest();
        let beside = |digest: &Digest| (*digest == of_it).then(|| marks("a", 1)).flatten();
        assert!(matches!(understood(value(), None, beside), Contents::Marked { .. }));
        let other = Some(TokenValue::try_new("tok_1.y".to_owned()).unwrap());
        assert!(matches!(understood(other, None, beside), Contents::Unmarked { value: Some(_) }));
        let nothing = understood(None, marks("a", 1), beside);
        assert!(matches!(nothing, Contents::Unmarked { value: None }), "marks of nothing");
    }
}
