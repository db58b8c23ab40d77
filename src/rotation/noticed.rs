//! What stands when a pass rests and hooks are told of once, for as long as it stands: found by
//! `decide`, and remembered here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::why::Reason;
use crate::{
    clock::Timestamp,
    token::{PlaceKey, TokenId},
};

/// An unmanaged token that is listed no more is remembered for so long: a list may lag.
const REMEMBERED: TimeDelta = TimeDelta::days(30);

/// A person who has not done it is told of a hand-off again after so long.
const REMINDED: TimeDelta = TimeDelta::hours(24);

/// What stands now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// The token in use has less than this left: the nearest threshold that it has reached.
    pub expiring: Option<(TokenId, Duration)>,
    /// Tokens that nobody here owns.
    pub unmanaged: BTreeSet<TokenId>,
    /// Places that hold what they should not, and since when.
    pub drift: BTreeMap<PlaceKey, Timestamp>,
    /// Tokens that could have gone long ago, and why they did not.
    pub revocation_blocked: BTreeMap<TokenId, BTreeSet<Reason>>,
    /// Places where a token waits for a person, and which one.
    pub handoff: BTreeMap<PlaceKey, TokenId>,
}

/// What of it hooks were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Told {
    /// The nearest threshold of each token that is still known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expiring: BTreeMap<TokenId, Duration>,
    /// These tokens, and when each was last there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unmanaged: BTreeMap<TokenId, Timestamp>,
    /// These places' drift, that began then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    drift: BTreeMap<PlaceKey, Timestamp>,
    /// These tokens.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    revocation_blocked: BTreeSet<TokenId>,
    /// These places' tokens, and when they were last told of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    handoff: BTreeMap<PlaceKey, (TokenId, Timestamp)>,
}

impl Told {
    /// Whether nothing was told that still counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The threshold, if that is news: of several that are past, the nearest stands for all. A token
    /// that is not `known` any more is forgotten.
    pub(super) fn expiring(
        &mut self,
        reached: Option<(TokenId, Duration)>,
        known: impl Fn(&TokenId) -> bool,
    ) -> Option<Duration> {
        self.expiring.retain(|id, _| known(id));
        let (token, threshold) = reached?;
        if self.expiring.get(&token).is_some_and(|told| *told <= threshold) {
            return None;
        }
        self.expiring.insert(token, threshold);
        Some(threshold)
    }

    /// The tokens that are news.
    pub(super) fn unmanaged(&mut self, there: BTreeSet<TokenId>, at: Timestamp) -> Vec<TokenId> {
        self.unmanaged.retain(|id, seen| there.contains(id) || (at - *seen).abs() < REMEMBERED);
        let new = there.iter().filter(|id| !self.unmanaged.contains_key(id)).cloned().collect();
        self.unmanaged.extend(there.into_iter().map(|id| (id, at)));
        new
    }

    /// Whether they know of the drift that began then.
    pub(super) fn knows_drift(&self, place: &PlaceKey, since: Timestamp) -> bool {
        self.drift.get(place) == Some(&since)
    }

    /// The places whose drift is news. Drift that does not last is forgotten: a place that cannot be
    /// read for a while still has the one that it had.
    pub(super) fn drift(
        &mut self,
        stands: BTreeMap<PlaceKey, Timestamp>,
        lasts: impl Fn(&PlaceKey, Timestamp) -> bool,
    ) -> Vec<PlaceKey> {
        self.drift.retain(|place, since| lasts(place, *since));
        let is_new = |(place, since): &(&PlaceKey, &Timestamp)| !self.knows_drift(place, **since);
        let new = stands.iter().filter(is_new).map(|(place, _)| place.clone()).collect();
        self.drift.extend(stands);
        new
    }

    /// The tokens of which that is news; `leaving` are all on their way out.
    pub(super) fn revocation_blocked<'t>(
        &mut self,
        blocked: BTreeMap<TokenId, BTreeSet<Reason>>,
        leaving: impl Iterator<Item = &'t TokenId>,
    ) -> Vec<(TokenId, BTreeSet<Reason>)> {
        let leaving: BTreeSet<&TokenId> = leaving.collect();
        self.revocation_blocked.retain(|id| leaving.contains(id));
        let new = blocked.into_iter().filter(|(id, _)| self.revocation_blocked.insert(id.clone()));
        new.collect()
    }

    /// The places whose hand-off is news, or old enough that a person is reminded of it.
    pub(super) fn handoff(
        &mut self,
        waiting: BTreeMap<PlaceKey, TokenId>,
        at: Timestamp,
    ) -> Vec<PlaceKey> {
        self.handoff.retain(|place, (id, _)| waiting.get(place) == Some(id));
        let mut news = Vec::new();
        for (place, id) in waiting {
            let told = self.handoff.get(&place).map(|(_, told)| *told);
            if told.is_none_or(|told| at - told >= REMINDED) {
                self.handoff.insert(place.clone(), (id, at));
                news.push(place);
            }
        }
        news
    }
}
