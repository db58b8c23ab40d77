//! Token ids in words: the audit log names tokens by their hashes, in words as well.

use std::collections::BTreeSet;

use super::hashed;
use crate::{
    rotation::record::{Phase, Record},
    token::TokenId,
};

/// How much of a hash is enough for words; the line's members hold the whole.
const SHORT: usize = 12;

/// Every token that a record names.
pub(super) fn of(record: &Record) -> impl Iterator<Item = &TokenId> {
    let delivering = match &record.phase {
        Phase::Delivering(delivery) => Some(&delivery.token.id),
        Phase::Steady | Phase::Minting(_) => None,
    };
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    let sinks = record.sinks.values().flat_map(|sink| {
        sink.holds
            .iter()
            .chain(sink.begun.as_ref().map(|begun| &begun.id))
            .chain(sink.residue.keys())
            .chain(&sink.may_return)
    });
    record
        .current
        .iter()
        .map(|current| &current.token.id)
        .chain(record.retiring.iter().map(|retiring| &retiring.token.id))
        .chain(delivering)
        .chain(listed.map(|token| &token.id))
        .chain(record.deleted.keys())
        .chain(&record.condemned)
        .chain(record.unmanaged.keys())
        .chain(&record.refused)
        .chain(sinks)
        .chain(record.last_rotation.as_ref().map(|last| &last.id))
}

/// The words with each of these ids replaced by the beginning of its hash.
pub(super) fn hidden<'a>(words: &str, ids: impl Iterator<Item = &'a TokenId>) -> String {
    let ids: BTreeSet<&TokenId> = ids.filter(|id| words.contains(id.as_str())).collect();
    if ids.is_empty() {
        return words.to_owned();
    }
    let mut hidden = String::with_capacity(words.len());
    let mut rest = words;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        // The longest first: one id may be the beginning of another.
        let found = ids.iter().rev().find(|id| {
            let after = rest.strip_prefix(id.as_str());
            after.is_some_and(|after| is_word(before, after.chars().next()))
        });
        let taken = if let Some(id) = found {
            hidden.push_str("sha256:");
            hidden.push_str(hashed(id).get(..SHORT).unwrap_or_default());
            id.as_str().len()
        } else {
            hidden.push(first);
            first.len_utf8()
        };
        let (seen, left) = rest.split_at(taken);
        before = seen.chars().next_back();
        rest = left;
    }
    hidden
}

/// Whether what stands between these two is a word of its own: ids may be short numbers.
fn is_word(before: Option<char>, after: Option<char>) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '/');
    !before.is_some_and(inside)
        && !after.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_words_becomes_the_beginning_of_its_hash() {
        let ids = ["tok_a", "tok_ab", "42"].map(|id| TokenId::try_new(id).unwrap());
        let short = |at: usize| format!("sha256:{}", hashed(&ids[at]).get(..SHORT).unwrap());
        let words =
            "tok_a, then tok_ab; `revoke x --token-id tok_ab` at 08:42:00Z, not tok_abc, 42";
        assert_eq!(
            hidden(words, ids.iter()),
            format!(
                "{}, then {}; `revoke x --token-id {}` at 08:42:00Z, not tok_abc, {}",
                short(0),
                short(1),
                short(1),
                short(2)
            )
        );
        assert_eq!(hidden("nothing", ids.iter()), "nothing");
    }
}
