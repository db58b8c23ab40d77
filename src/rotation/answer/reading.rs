//! What a read of a place means: which token it holds, as far as that can be believed. Values stay
//! with whoever read them; only their digests come here.

use std::collections::BTreeMap;

use crate::{
    clock::Timestamp,
    place::{Container, Marks, Version},
    rotation::{
        decide::Situation,
        observe::{Held, Loss, OtherKey, SeenSink, Staging},
        record::Record,
    },
    token::{Digest, PlaceKey, TokenId},
};

/// A value that was read, without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadValue {
    /// SHA-256 of it.
    pub digest: Digest,
    /// The id that it carries in itself, where the provider's values do.
    pub own_id: Option<TokenId>,
    /// What it begins with, where that could be an id.
    pub begins: Option<TokenId>,
}

/// What a place was read to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadContents {
    /// Definitely nothing.
    Empty,
    /// A value with marks.
    Marked {
        /// The marks.
        marks: Marks,
        /// The value.
        value: ReadValue,
    },
    /// Something without marks.
    Unmarked(Option<ReadValue>),
}

/// What a place was read to keep beside what its readers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStaged {
    /// Nothing can be kept there.
    Impossible,
    /// Nothing of ours.
    Nothing,
    /// A value with marks.
    Token {
        /// The marks.
        marks: Marks,
        /// The value.
        value: ReadValue,
    },
}

/// Another string there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadElsewhere {
    /// The key that it stands under.
    pub key: String,
    /// What a payload has in front of the token to write it there.
    pub before: Option<&'static str>,
    /// The string.
    pub value: ReadValue,
}

/// One read of a place, without the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// The state that was seen.
    pub version: Version,
    /// What it held.
    pub contents: ReadContents,
    /// What it kept beside that.
    pub staged: ReadStaged,
    /// What the place is in.
    pub container: Option<Container>,
    /// What a promote would take away.
    pub loss: Loss,
    /// The other strings there.
    pub elsewhere: Vec<ReadElsewhere>,
}

/// What a read means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreted {
    /// For decisions.
    pub seen: SeenSink,
    /// The value that readers get is this token's, as far as is known.
    pub holds: Option<TokenId>,
    /// The value that is staged is this token's.
    pub stages: Option<TokenId>,
}

impl ReadContents {
    fn value(&self) -> Option<&ReadValue> {
        match self {
            Self::Empty => None,
            Self::Marked { value, .. } => Some(value),
            Self::Unmarked(value) => value.as_ref(),
        }
    }
}

/// What a read of a place means; `known` are the digests of the values in memory.
#[must_use]
pub fn interpret(
    s: &Situation<'_>,
    place: &PlaceKey,
    read: &Read,
    known: &BTreeMap<TokenId, Digest>,
) -> Interpreted {
    let named = named(s, read);
    let held = match &named {
        Some((id, marks, _)) => {
            Held::Token { id: id.clone(), marks: marks.cloned(), version: read.version.clone() }
        }
        None if read.contents == ReadContents::Empty => Held::Nothing(read.version.clone()),
        None => Held::Unknown(read.version.clone()),
    };
    let generation = match &read.contents {
        ReadContents::Marked { marks, .. } if marks.connection_id == s.record.key.connection => {
            marks.generation
        }
        ReadContents::Marked { .. } | ReadContents::Empty | ReadContents::Unmarked(_) => 0,
    };
    let seen = SeenSink {
        container: read.container.clone(),
        loss: read.loss.clone(),
        elsewhere: elsewhere(s, read),
        value: read.contents.value().map(|value| value.digest.clone()),
        generation,
        ..SeenSink::new(read.at, held)
    };
    // Nothing is learnt from a place that is not the one that was delivered to.
    let seen = s.record.believed(place, seen);
    if matches!(seen.held, Held::Unreadable(_)) {
        return Interpreted { seen, holds: None, stages: None };
    }
    let (staging, stages) = kept_beside(s, read);
    let seen = SeenSink { staging, ..seen };
    let Some((id, _, value)) = named else {
        let is_false = works_nowhere(s, &seen, read.contents.value());
        return Interpreted { seen: SeenSink { is_false, ..seen }, holds: None, stages };
    };
    let genuine = s.record.is_genuine(&id, &value.digest);
    let staged = match &read.staged {
        ReadStaged::Token { value, .. } if stages.as_ref() == Some(&id) => Some(&value.digest),
        ReadStaged::Token { .. } | ReadStaged::Nothing | ReadStaged::Impossible => None,
    };
    // Of two values that claim the same id one is not it; which one, only a digest tells.
    let another = staged.or_else(|| known.get(&id)).is_some_and(|other| *other != value.digest);
    if genuine == Some(false) || (genuine.is_none() && another) {
        let is_false = genuine == Some(false) && value.own_id == Some(id);
        let held = Held::Unknown(read.version.clone());
        return Interpreted { seen: SeenSink { held, is_false, ..seen }, holds: None, stages };
    }
    let is_genuine = genuine == Some(true);
    Interpreted { seen: SeenSink { is_genuine, ..seen }, holds: Some(id), stages }
}

/// The token that a read names, with the marks that go with it, and its value.
fn named<'a>(
    s: &Situation<'_>,
    read: &'a Read,
) -> Option<(TokenId, Option<&'a Marks>, &'a ReadValue)> {
    let value = read.contents.value()?;
    let marks = match &read.contents {
        ReadContents::Marked { marks, .. } => Some(marks),
        ReadContents::Empty | ReadContents::Unmarked(_) => None,
    };
    // A value that names itself is believed before what stands beside it, and where all values do,
    // one that does not is no token.
    let own = value.own_id.clone();
    let marks = marks.filter(|marks| own.as_ref().is_none_or(|id| *id == marks.token_id));
    let by_mark = marks.filter(|_| !s.policy.capabilities.id_in_value);
    let id = own.or_else(|| by_mark.map(|marks| marks.token_id.clone()))?;
    Some((id, marks, value))
}

/// What is kept beside what readers get, and whose value that is. What another left there is in
/// nobody's way.
fn kept_beside(s: &Situation<'_>, read: &Read) -> (Staging, Option<TokenId>) {
    match &read.staged {
        ReadStaged::Impossible => (Staging::Impossible, None),
        ReadStaged::Token { marks, value }
            if marks.connection_id == s.record.key.connection
                && may_be(s, &marks.token_id, value) =>
        {
            (Staging::Holds(marks.token_id.clone()), Some(marks.token_id.clone()))
        }
        ReadStaged::Nothing | ReadStaged::Token { .. } => (Staging::Free, None),
    }
}

/// Whether a value can be that token's.
fn may_be(s: &Situation<'_>, id: &TokenId, value: &ReadValue) -> bool {
    let named = match &value.own_id {
        Some(own) => own == id,
        None => !s.policy.capabilities.id_in_value,
    };
    named && s.record.is_genuine(id, &value.digest) != Some(false)
}

/// Whether readers of a place whose content names no token certainly get nothing that works: there
/// is no value at all, or what is left of one that is known.
fn works_nowhere(s: &Situation<'_>, seen: &SeenSink, value: Option<&ReadValue>) -> bool {
    let worthless = value.map_or(seen.loss == Loss::Nothing, |value| is_damaged(s, value));
    worthless && matches!(seen.held, Held::Unknown(_)) && seen.elsewhere.is_empty()
}

/// Whether a value begins with the id of a token that is known, and is that token no more: a part
/// of it, or more than it.
fn is_damaged(s: &Situation<'_>, value: &ReadValue) -> bool {
    let begins = value.begins.as_ref();
    s.policy.capabilities.id_in_value && begins.is_some_and(|id| s.record.knows(id))
}

/// What stands beside our value, or inside what others wrote, and is a listed token of this
/// connection.
fn elsewhere(s: &Situation<'_>, read: &Read) -> Vec<OtherKey> {
    let Some(Ok(list)) = &s.observed.list else { return Vec::new() };
    let own = read.contents.value().and_then(|value| value.own_id.as_ref());
    let mut found: Vec<OtherKey> = Vec::new();
    for other in &read.elsewhere {
        let by_digest = || of_digest(s.record, &other.value.digest);
        let Some(id) = other.value.own_id.clone().or_else(by_digest) else { continue };
        // Without keys, a part of the value is no other token.
        let a_part = other.key.is_empty() && own == Some(&id);
        let known = found.iter().any(|one| one.key == other.key && one.id == id);
        if list.get(&id).is_some() && !a_part && !known {
            found.push(OtherKey { key: other.key.clone(), before: other.before, id });
        }
    }
    found
}

fn of_digest(record: &Record, digest: &Digest) -> Option<TokenId> {
    let genuine = record.digests.iter().find(|(_, known)| *known == digest);
    genuine.map(|(id, _)| id.clone())
}
