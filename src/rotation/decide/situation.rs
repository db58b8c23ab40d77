//! What a decision rests on.

use std::time::Duration;

use chrono::TimeDelta;

use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp},
    rotation::{
        observe::{Held, Observed, SeenList, SeenSink, is_dead},
        policy::Policy,
        record::{Record, SinkState, Skew},
        request::RotationRequest,
    },
    token::{LedgerId, Listed, PlaceKey, TokenId},
};

/// Everything that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the operator asked for.
    pub policy: &'a Policy,
    /// What was written down.
    pub record: &'a Record,
    /// What was just seen.
    pub observed: &'a Observed,
    /// The moment.
    pub now: Timestamp,
    /// What the call wants.
    pub request: &'a RotationRequest,
    /// Whose rotations are ours.
    pub ledger: &'a LedgerId,
    /// Set when the call must come to an end.
    pub ending: Option<Ending>,
    /// How long an answer may take.
    pub timeouts: Timeouts,
    /// Chance, for what nobody else is to guess or to choose as well.
    pub draw: Draw,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One of the provider.
    pub request: Duration,
    /// After it was sent, a probe may arrive for so long.
    pub probe: Duration,
}

/// Random bits, each for one choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// For the life that a create asks for.
    pub life: u64,
    /// For the name that it asks for.
    pub name: u64,
}

/// Why a call must come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time is up.
    Timeout,
    /// The process was asked to stop.
    Interrupted,
}

impl Situation<'_> {
    /// The provider's clock, as the newest list showed it.
    #[must_use]
    pub fn shown_clock(&self) -> ProviderClock {
        match &self.observed.list {
            Some(Ok(list)) => list.clock(),
            Some(Err(_)) | None => self.record.provider_clock(),
        }
    }

    /// [`Record::believed_clock`] by the newest list.
    fn believed_clock(&self) -> ProviderClock {
        self.record.no_later_than_settled(self.shown_clock())
    }

    /// The provider's time, as far as it is believed.
    #[must_use]
    pub fn provider_now(&self) -> ProviderTime {
        self.believed_clock().to_provider(self.now)
    }

    /// The provider's time as the newest list showed it, and no earlier than it is: for what is written
    /// down of a moment from which time counts. [`Record`] makes it later where a skew that has lasted
    /// says so.
    #[must_use]
    pub fn provider_shown(&self) -> ProviderTime {
        let clock = match &self.observed.list {
            Some(Ok(list)) => list.latest_clock(),
            Some(Err(_)) | None => self.record.provider_clock(),
        };
        clock.to_provider(self.now)
    }

    /// A moment of the provider's clock on ours.
    #[must_use]
    pub fn on_our_clock(&self, at: ProviderTime) -> Timestamp {
        self.believed_clock().to_host(at)
    }

    /// The list, fresh enough to act on.
    #[must_use]
    pub fn list(&self) -> Option<&SeenList> {
        self.observed.fresh_list(self.now)
    }

    /// The live tokens listed, dead ones left out.
    pub fn live(&self) -> impl Iterator<Item = &Listed> {
        let now = self.provider_now();
        self.list()
            .into_iter()
            .flat_map(|list| &list.tokens)
            .filter(move |token| !is_dead(token, now))
    }

    /// Whether the provider allows one more token, by the fresh list.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        let live = self.live().count();
        self.policy.capabilities.cap.is_none_or(|cap| live < cap as usize)
    }

    /// The moment of the next survey.
    #[must_use]
    pub fn next_survey(&self) -> Timestamp {
        let interval =
            TimeDelta::from_std(self.policy.survey_interval).unwrap_or(TimeDelta::hours(1));
        // A clock that was set, ours or theirs, is looked at again soon: until then nothing rests on it.
        let settled = self.record.skew.as_ref().is_none_or(Skew::is_settled);
        let interval = if settled { interval } else { interval.min(TimeDelta::minutes(1)) };
        // A current token that the lists no longer show is looked at again soon, and then less and less
        // often: a deleted one may be accepted for a while.
        let first = self.record.missing.as_ref().map(|missing| missing.first);
        let unshown = self.record.unshown_since.or(first).zip(self.record.survey.as_ref());
        let interval = unshown.map_or(interval, |(since, survey)| {
            let lasted = survey.clock().to_provider(survey.at) - since;
            interval.min(lasted.max(TimeDelta::minutes(1)))
        });
        self.record.survey.as_ref().map_or(self.now, |survey| survey.at).min(self.now) + interval
    }

    /// The places of the policy that can be asked.
    pub fn readable(&self) -> impl Iterator<Item = &SinkState> {
        self.record.places().filter(|sink| sink.readable)
    }

    /// Whether a place was just seen with a value that works nowhere, whoever put it there.
    pub(super) fn is_false(&self, sink: &SinkState) -> bool {
        self.seen(&sink.place.key).is_some_and(|seen| seen.is_false)
    }

    /// All that was just seen of a place.
    #[must_use]
    pub fn seen(&self, place: &PlaceKey) -> Option<&SeenSink> {
        self.observed.seen(place, self.now)
    }

    /// What a place was just seen to hold.
    #[must_use]
    pub fn held(&self, place: &PlaceKey) -> Option<&Held> {
        self.observed.fresh_sink(place, self.now)
    }

    /// Whether the fresh list shows this token alive.
    #[must_use]
    pub fn is_live(&self, id: &TokenId) -> bool {
        self.live().any(|token| token.id == *id)
    }
}
