//! A place, and what is known of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{
    trouble::Trouble,
    uptake::{Account, Client, Offered, Taken, Uptake},
};
use crate::{
    clock::{ProviderTime, Timestamp, stored},
    place::{Container, Place, Version},
    token::TokenId,
};

/// A place and what it is known to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkState {
    /// The place.
    pub place: Place,
    /// Whether it can be asked.
    pub readable: bool,
    /// When it is asked whether it would take a write, while none is to be made.
    #[serde(default, skip_serializing_if = "WriteCheck::is_now_and_then")]
    pub write_check: WriteCheck,
    /// How long a promote whose answer was lost may still land.
    pub lingers: Duration,
    /// The token that it was last seen or told to hold.
    pub holds: Option<TokenId>,
    /// The state in which it was last seen.
    pub version: Option<Version>,
    /// When it got the token that it holds, or was first seen with it.
    #[serde(default, with = "stored")]
    pub since: Option<Timestamp>,
    /// A promote that was announced and whose outcome is not known yet.
    pub begun: Option<Begun>,
    /// The tokens of earlier ones whose outcome was never known, at a place that cannot be asked, and when
    /// each began: until it has settled, such a write may land over a later one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub astray: BTreeMap<TokenId, Timestamp>,
    /// What is wrong with what it holds.
    pub drift: Option<Drift>,
    /// What went wrong there.
    pub trouble: Option<Trouble>,
    /// That was a write: a read that succeeds says nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unwritable: bool,
    /// It is in the policy no more: read before anything is revoked, never written.
    pub removed: bool,
    /// The tokens that were alive when it left the policy, or were found elsewhere since: until they
    /// are gone, one may be there or be brought back there, whatever it holds now.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may_return: BTreeSet<TokenId>,
    /// Whether an earlier state stays there for readers to go back to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_earlier: bool,
    /// What the place was in when it last held a token of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// It has held a token of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_ours: bool,
    /// What others put there may be lost, once: the delivery says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// That was made use of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwritten: bool,
    /// The token that it holds is in no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<Unlisted>,
    /// What has to happen there before the client behind it uses what it was given.
    #[serde(default, skip_serializing_if = "Uptake::is_at_once")]
    pub uptake: Uptake,
    /// That this happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// What waited there for a person before the token that it holds, and was never said to be taken: a
    /// person may have it in hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<Offered>,
    /// What the client behind it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// What leads, or may lead, to tokens that readers do not get: taken away once they are gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub residue: BTreeMap<TokenId, Residue>,
}

/// When a place is asked whether it would take a write, while none is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteCheck {
    /// With each check: it is on this host, and answers without a request.
    Each,
    /// With one check of many: to ask costs requests.
    #[default]
    NowAndThen,
    /// Only while it has refused: to ask is a write, which others may be told of.
    Refused,
}

impl WriteCheck {
    fn is_now_and_then(&self) -> bool {
        *self == Self::NowAndThen
    }
}

/// A promote, written down before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The token.
    pub id: TokenId,
    /// When.
    #[serde(with = "stored")]
    pub at: Timestamp,
    /// The state that it was to replace: while the place is in it, the promote has not landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Version>,
    /// With it, what others put there may be lost, this once: the permission is spent by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spends: bool,
}

/// A sink holds what it should not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// What, in words.
    pub what: String,
    /// Since when.
    #[serde(with = "stored")]
    pub since: Timestamp,
}

/// Complete lists that did not show the token that a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlisted {
    /// The first one.
    pub first: ProviderTime,
    /// The last one.
    pub last: ProviderTime,
}

impl Unlisted {
    /// Two lists at least 5 s apart: it is gone.
    #[must_use]
    pub fn twice(&self) -> bool {
        self.last - self.first >= TimeDelta::seconds(5)
    }
}

/// What is left of a token in a place that readers do not get it from any more, or not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residue {
    /// The state in which readers got it; `None`: it was only staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Version>,
    /// The token works no more: what leads to it is to be taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Why it could not be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

impl SinkState {
    /// A place of the configuration that nothing is known of.
    #[must_use]
    pub fn new(place: Place, readable: bool) -> Self {
        Self {
            place,
            readable,
            write_check: WriteCheck::default(),
            lingers: Duration::ZERO,
            holds: None,
            version: None,
            since: None,
            begun: None,
            astray: BTreeMap::new(),
            drift: None,
            trouble: None,
            unwritable: false,
            removed: false,
            may_return: BTreeSet::new(),
            keeps_earlier: false,
            container: None,
            was_ours: false,
            overwrite: false,
            overwritten: false,
            unlisted: None,
            uptake: Uptake::AtOnce,
            taken: None,
            offered: Vec::new(),
            client: None,
            residue: BTreeMap::new(),
        }
    }

    /// All that went wrong there.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let residue = self.residue.values().filter_map(|residue| residue.trouble.as_ref());
        self.trouble.iter().chain(residue)
    }

    /// Whether the readers of this place have this token, as far as their place can say so: one that a
    /// person takes the token from has it once that person says so.
    #[must_use]
    pub fn has(&self, id: &TokenId) -> bool {
        let by_hand = matches!(self.uptake, Uptake::ByPerson { .. });
        self.was_given(id) && (!by_hand || self.is_taken(id))
    }

    /// Whether it holds this token, and no other write can have come after that one.
    #[must_use]
    pub fn was_given(&self, id: &TokenId) -> bool {
        let alone = self.astray.keys().all(|other| other == id);
        self.holds.as_ref() == Some(id) && self.begun.is_none() && alone
    }

    /// Until when a write of another token than this one may still land at a place that cannot be asked. A
    /// clock that was set back makes none last longer.
    #[must_use]
    pub fn unsettled_until(&self, id: &TokenId, now: Timestamp) -> Option<Timestamp> {
        let lingers = TimeDelta::from_std(self.lingers).unwrap_or_default();
        let begun = self.begun.iter().map(|begun| (&begun.id, begun.at));
        let all = begun.chain(self.astray.iter().map(|(other, at)| (other, *at)));
        all.filter(|(other, at)| *other != id && !self.readable && (now - *at).abs() < lingers)
            .map(|(_, at)| at.min(now) + lingers)
            .max()
    }

    /// A write is announced: one whose outcome was never known may still come after it.
    pub(super) fn overtakes(&mut self, at: Timestamp) {
        let lingers = TimeDelta::from_std(self.lingers).unwrap_or_default();
        let before = self.begun.take().filter(|_| !self.readable);
        self.astray.extend(before.map(|begun| (begun.id, begun.at)));
        self.astray.retain(|_, began| (at - *began).abs() < lingers);
    }

    /// Every token that was offered to a person there since the last one that is known to be taken, the
    /// newest last.
    pub fn offers(&self) -> impl Iterator<Item = Offered> {
        let by_person = matches!(self.uptake, Uptake::ByPerson { .. });
        let newest = self.holds.clone().filter(|id| !self.is_taken(id));
        let newest = newest.map(|id| Offered { id, since: self.since });
        self.offered.iter().cloned().chain(newest).filter(move |_| by_person)
    }

    /// Whether the client behind it is known to use this token.
    #[must_use]
    pub fn is_taken(&self, id: &TokenId) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.id == *id)
    }

    /// The token that waits there for a person, and what the person has to do with it.
    #[must_use]
    pub fn waits_for_person(&self) -> Option<(&TokenId, &str)> {
        let Uptake::ByPerson { instructions } = &self.uptake else { return None };
        let id = self.holds.as_ref().filter(|id| self.begun.is_none() && !self.is_taken(id))?;
        Some((id, instructions))
    }

    /// What the client behind it says of having stopped, and since when.
    #[must_use]
    pub fn stopped(&self) -> Option<(&str, Timestamp)> {
        let client = self.client.as_ref()?;
        let Some(Account::Stopped(words)) = &client.account else { return None };
        Some((words, client.stopped_since?))
    }

    /// The write that was announced changed nothing, and what it would have spent is left.
    pub(super) fn did_not_land(&mut self) {
        if let Some(Begun { spends: true, .. }) = self.begun.take() {
            self.overwritten = false;
        }
    }

    /// It was seen, or made, to hold this in this state.
    pub(super) fn now_holds(&mut self, id: Option<TokenId>, version: Version) {
        if self.holds != id
            && self.keeps_earlier
            && let (Some(before), Some(earlier)) = (self.holds.take(), self.version.take())
        {
            // One earlier state is all that stays.
            self.residue.retain(|_, residue| residue.earlier.is_none());
            self.residue.insert(before, Residue { earlier: Some(earlier), ..Residue::default() });
        }
        if let Some(id) = &id {
            self.residue.remove(id);
        }
        if self.holds != id {
            self.unlisted = None;
        }
        self.holds = id;
        self.version = Some(version);
    }

    /// It was asked whether it would take a write: one that does not is one that could not be written.
    pub(super) fn would_take(&mut self, refused: Option<Trouble>) {
        match refused {
            Some(trouble) => self.write_failed(trouble),
            None if self.unwritable => self.clear_trouble(),
            None => {}
        }
    }

    pub(super) fn write_failed(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        self.unwritable = true;
    }

    /// Nothing is wrong there any more.
    pub(super) fn clear_trouble(&mut self) {
        self.trouble = None;
        self.unwritable = false;
    }
}
