//! What the record knows of its places and tokens.

use super::{
    observe::SeenList,
    print::{self, Fidelity, Likeness},
    record::{Missing, Phase, Record, SinkState},
    why::Reason,
};
use crate::{
    clock::Timestamp,
    token::{Listed, TokenId},
};

impl Record {
    /// The places of the policy.
    pub fn places(&self) -> impl Iterator<Item = &SinkState> {
        self.sinks.values().filter(|sink| !sink.removed)
    }

    /// The token that the places are to hold: the one on its way, else the current one.
    #[must_use]
    pub fn target(&self) -> Option<&TokenId> {
        match &self.phase {
            Phase::Delivering(replacement) => Some(&replacement.token.id),
            Phase::Steady | Phase::Minting(_) => {
                self.current.as_ref().map(|current| &current.token.id)
            }
        }
    }

    /// Whether every place of the policy is known to hold this token.
    #[must_use]
    pub fn all_hold(&self, id: &TokenId) -> bool {
        self.places().all(|sink| sink.was_given(id))
    }

    /// How exactly the provider keeps what it is asked for, as our own creates showed.
    pub(super) fn fidelity(&self) -> Fidelity {
        Fidelity { life_off: self.life_error.unwrap_or(0), names: !self.names_changed }
    }

    /// The tokens of ours that are alive as far as is known.
    pub(super) fn alive(&self) -> impl Iterator<Item = &TokenId> {
        let replaced = match &self.phase {
            Phase::Delivering(replacement) => replacement.previous.as_slice(),
            Phase::Steady | Phase::Minting(_) => &[],
        };
        let current = self.current.as_ref().map(|current| &current.token.id);
        let retiring = self.retiring.iter().map(|retiring| &retiring.token.id);
        let replaced = replaced.iter().map(|previous| &previous.token.id);
        self.on_its_way().into_iter().chain(current).chain(retiring).chain(replaced)
    }

    /// Whether the last look at the provider did not show the current token.
    #[must_use]
    pub fn has_lost_current(&self) -> bool {
        self.current.is_some() && self.missing.as_ref().is_some_and(Missing::listed_twice)
    }

    /// When the current token was lost, as far as that may speak against its whole tenant: one that
    /// expired died by itself, and what is held up by a brake is lost anew with each look.
    #[must_use]
    pub fn lost_at(&self) -> Option<Timestamp> {
        let missing = self.missing.as_ref().filter(|missing| missing.listed_twice())?;
        let survey = self.survey.as_ref()?;
        if self.expires_at().is_some_and(|until| until <= missing.first) {
            return None;
        }
        let braked = self.refused_for() == Some(Reason::Brake);
        let first = survey.clock().to_host(missing.first);
        Some(if braked { survey.at } else { first })
    }

    /// Whether this token is one that the record knows as ours.
    #[must_use]
    pub fn knows(&self, id: &TokenId) -> bool {
        self.alive().any(|alive| alive == id) || self.deleted.contains_key(id)
    }

    /// The listed tokens that are the certain effect of an open intent, each with its intent's
    /// moment: exactly one token fits the intent.
    #[must_use]
    pub fn recognised(&self, list: &SeenList) -> Vec<(Listed, Timestamp)> {
        let unknown: Vec<&Listed> =
            list.tokens.iter().filter(|token| !self.knows(&token.id)).collect();
        let mut found = Vec::new();
        for intent in &self.intents {
            let fits =
                |token: &&&Listed| print::likeness(token, intent, self.fidelity()) != Likeness::No;
            let mut candidates = unknown.iter().filter(fits);
            if let (Some(token), None) = (candidates.next(), candidates.next())
                && print::likeness(token, intent, self.fidelity()) == Likeness::Ours
                && !found.iter().any(|(other, _): &(Listed, Timestamp)| other.id == token.id)
            {
                found.push(((*token).clone(), intent.at));
            }
        }
        found
    }
}
