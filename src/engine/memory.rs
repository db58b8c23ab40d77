//! What one run has seen, and the values in its memory: until a sink has a value, it is nowhere else.

use std::{collections::BTreeMap, sync::Arc};

use super::lease::Stop;
use crate::{
    clock::{Entropy, Timestamp},
    place::{Container, Version},
    rotation::{
        answer::{
            Interpreted, Read, ReadContents, ReadElsewhere, ReadStaged, ReadValue, interpret,
        },
        decide::{Draw, Promote, Situation},
        observe::{Held, Observed, SeenList, SeenSink, Staging},
    },
    sink::{Contents, Delivery, Reading, Sink, Staged},
    token::{Digest, Listed, PlaceKey, TokenId, TokenValue},
};

/// What one call has seen, and the values that it has.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) observed: Observed,
    /// What was read of places, values included.
    readings: BTreeMap<PlaceKey, Reading>,
    values: BTreeMap<TokenId, TokenValue>,
    /// A token made by this run, with no stage or promote begun: revoked if the run cannot go on.
    pub(super) unplaced: Option<TokenId>,
    /// Chance, for the next create.
    pub(super) draw: Draw,
    /// What is to be said beside tokens that this run delivered: the newest of each place.
    pub(super) beside: BTreeMap<PlaceKey, (Arc<dyn Sink>, Delivery)>,
}

impl Memory {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self {
            observed: Observed::default(),
            readings: BTreeMap::new(),
            values: BTreeMap::new(),
            unplaced: None,
            draw: drawn(entropy),
            beside: BTreeMap::new(),
        }
    }

    /// Drops what was seen; keeps the values.
    pub(super) fn forget_looks(&mut self) {
        self.observed = Observed::default();
        self.readings.clear();
    }

    /// Drops all: others may act on the connection from now on.
    pub(super) fn forget(&mut self) {
        self.forget_looks();
        self.values.clear();
    }

    /// The value of a token that a step acts on.
    pub(super) fn value(&self, id: &TokenId) -> Result<&TokenValue, Stop> {
        let missing = || Stop::Defect(format!("the value of {id} is needed, but not in memory"));
        self.values.get(id).ok_or_else(missing)
    }

    /// SHA-256 of a token's value, where that is in memory.
    pub(super) fn digest(&self, id: &TokenId) -> Option<Digest> {
        self.values.get(id).map(TokenValue::digest)
    }

    pub(super) fn has(&self, id: &TokenId) -> bool {
        self.values.contains_key(id)
    }

    /// The last reading of a place, values included.
    pub(super) fn reading(&self, place: &PlaceKey) -> Option<&Reading> {
        self.readings.get(place)
    }

    /// A list came.
    pub(super) fn list(&mut self, list: SeenList) {
        self.observed.list = Some(Ok(list));
        self.observed.list_is_old = false;
    }

    /// A place was read or could not be.
    pub(super) fn saw(&mut self, place: &PlaceKey, seen: SeenSink) {
        self.observed.old_places.remove(place);
        self.observed.sinks.insert(place.clone(), seen);
    }

    /// Every value in memory, by its digest.
    pub(super) fn digests(&self) -> BTreeMap<TokenId, Digest> {
        self.values.iter().map(|(id, value)| (id.clone(), value.digest())).collect()
    }

    /// Keeps a reading, and the values in it that are tokens of ours.
    pub(super) fn keep(&mut self, place: &PlaceKey, meant: &Interpreted, reading: Reading) {
        if matches!(meant.seen.held, Held::Unreadable(_)) {
            return;
        }
        if let (Some(id), Staged::Token { value, .. }) = (&meant.stages, &reading.staged) {
            self.values.insert(id.clone(), value.clone());
        }
        if let (Some(id), Some(value)) = (&meant.holds, reading.contents.value()) {
            self.values.insert(id.clone(), value.clone());
        }
        self.readings.insert(place.clone(), reading);
    }

    /// This token was made just now.
    pub(super) fn made(&mut self, token: &Listed, value: TokenValue) {
        self.unplaced = Some(token.id.clone());
        self.values.insert(token.id.clone(), value);
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.push(token.clone());
        }
    }

    /// The next create asks for another life and name than the last.
    pub(super) fn draw_anew(&mut self, entropy: &dyn Entropy) {
        self.draw = drawn(entropy);
    }

    /// This token was deleted just now.
    pub(super) fn deleted(&mut self, id: &TokenId) {
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.retain(|token| token.id != *id);
        }
        self.unplaced.take_if(|unplaced| unplaced == id);
        self.values.remove(id);
    }

    /// This place got a token just now.
    pub(super) fn promoted(
        &mut self,
        promote: &Promote,
        version: Version,
        container: Option<Container>,
        now: Timestamp,
    ) {
        let before = self.observed.sinks.get(&promote.place).map(|seen| &seen.staging);
        let staging = match before {
            None | Some(Staging::Impossible) => Staging::Impossible,
            Some(Staging::Free | Staging::Holds(_)) => Staging::Free,
        };
        let marks = promote.metadata.marks.clone();
        let held = Held::Token { id: marks.token_id.clone(), marks: Some(marks), version };
        let seen = SeenSink { staging, container, is_genuine: true, ..SeenSink::new(now, held) };
        self.observed.sinks.insert(promote.place.clone(), seen);
    }

    /// This place keeps a token beside what its readers get.
    pub(super) fn staged(&mut self, place: &PlaceKey, id: &TokenId) {
        if let Some(seen) = self.observed.sinks.get_mut(place) {
            seen.staging = Staging::Holds(id.clone());
        }
    }

    /// The SCIM endpoint accepted a token's value just now.
    pub(super) fn vouched(&mut self, id: &TokenId, now: Timestamp, was_found: bool) {
        self.observed.vouched = Some((id.clone(), now));
        for seen in self.observed.sinks.values_mut().filter(|_| was_found) {
            seen.is_genuine |= seen.held.id() == Some(id);
        }
    }
}

fn drawn(entropy: &dyn Entropy) -> Draw {
    Draw { life: entropy.bits(), name: entropy.bits() }
}

/// What a reading means for this connection.
pub(super) fn meaning(
    s: &Situation<'_>,
    place: &PlaceKey,
    (at, reading): (Timestamp, &Reading),
    id_in: impl Fn(&TokenValue) -> Option<TokenId>,
    known: &BTreeMap<TokenId, Digest>,
) -> Interpreted {
    let of = |value: &TokenValue| ReadValue {
        digest: value.digest(),
        own_id: id_in(value),
        begins: value.expose().split('.').next().and_then(|id| TokenId::try_new(id).ok()),
    };
    let read = Read {
        at,
        version: reading.version.clone(),
        contents: match &reading.contents {
            Contents::Empty => ReadContents::Empty,
            Contents::Marked { marks, value } => {
                ReadContents::Marked { marks: marks.clone(), value: of(value) }
            }
            Contents::Unmarked { value } => ReadContents::Unmarked(value.as_ref().map(of)),
        },
        staged: match &reading.staged {
            Staged::Impossible => ReadStaged::Impossible,
            Staged::Nothing => ReadStaged::Nothing,
            Staged::Token { marks, value } => {
                ReadStaged::Token { marks: marks.clone(), value: of(value) }
            }
        },
        container: reading.container.clone(),
        loss: reading.loss.clone(),
        elsewhere: (reading.elsewhere.iter())
            .map(|other| ReadElsewhere {
                key: other.key.clone(),
                before: other.before,
                value: of(&other.value),
            })
            .collect(),
    };
    interpret(s, place, &read, known)
}
