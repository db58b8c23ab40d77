//! What may happen in several phases of the rotation.

use std::collections::{BTreeMap, BTreeSet};

use super::Refused;
use crate::{
    clock::{ProviderTime, Timestamp},
    rotation::{
        event::{ConfiguredPlace, Event},
        policy::Retire,
        print,
        record::{Cause, Decided, Missing, Phase, Probe, Record, SinkState, Trouble},
    },
    token::{ConnectionName, Listed, PlaceKey, ProviderName, TokenId},
};

impl Record {
    /// What may happen in several phases; every other pair of a phase and an event is illegal.
    ///
    /// A run that finds a create announced first writes down that its outcome is not known, so between
    /// the two only an operator can come, and the end of the call.
    pub(super) fn in_several_phases(&mut self, phase: Phase, event: Event) -> Result<(), Refused> {
        use Phase::{Delivering, Minting, Steady};
        match (phase, event) {
            // What is decided or asked: no create is under way then.
            (Delivering(mut replacement), Event::ProbeAnnounced { id, sent, arrives_by })
                if replacement.token.id == id =>
            {
                let first_sent = replacement.probe.map_or(sent, |before| before.first_sent);
                replacement.probe = Some(Probe { first_sent, sent, arrives_by, mark: None });
                self.phase = Delivering(replacement);
            }
            (Steady | Delivering(_), Event::ProbeAnnounced { id, sent, arrives_by }) => {
                let current = self.current.as_mut().filter(|current| current.token.id == id);
                let Some(current) = current else {
                    return Err(Refused(format!("{id} is neither being delivered nor current")));
                };
                // Clients have used it since: only a mark from now on can be this probe's.
                current.probe = Some(Probe { first_sent: sent, sent, arrives_by, mark: None });
            }
            (Steady | Delivering(_), Event::IntentsExpired(at)) => self.intents_expired(at),
            (Steady | Delivering(_), Event::OrphanFound { token, intent, retire }) => {
                self.orphan_found(token, intent, retire);
            }
            (Steady | Delivering(_), Event::Judged { unsatisfied_since }) => {
                self.unsatisfied_since = unsatisfied_since;
            }
            (Steady | Delivering(_), Event::CurrentProbeFailed(trouble)) => {
                self.troubles.probe = Some(trouble);
            }
            (Steady | Delivering(_), Event::FoundRefused(id)) => {
                self.refused.insert(id);
            }
            (Steady | Delivering(_), Event::CurrentProbed { refused }) => {
                self.current_asked(refused)
            }

            // An operator may come in every phase, and a call may have to end in any.
            (Steady | Minting(_) | Delivering(_), Event::Condemned(ids)) => {
                self.condemned.extend(ids);
            }
            (Steady | Minting(_) | Delivering(_), Event::Paused(pause)) => {
                // Whoever waits for something else looks at once.
                self.wake_at = Some(pause.since);
                self.pause = Some(pause);
            }
            (Steady | Minting(_) | Delivering(_), Event::Resumed { at }) => {
                self.wake_at = Some(at);
                self.pause = None;
            }
            (Steady | Minting(_) | Delivering(_), Event::ValueKnown { id, digest }) => {
                self.digests.insert(id, digest);
            }
            (Steady | Minting(_) | Delivering(_), Event::Retired { token, cause, retire, at }) => {
                self.retired(token, cause, retire, at);
            }
            (
                Steady | Minting(_) | Delivering(_),
                Event::Rested {
                    at,
                    wake_at,
                    work_at,
                    next_rotation,
                    decided,
                    warnings,
                    noticed: _,
                },
            ) => {
                self.rested(at, decided);
                (self.wake_at, self.work_at) = (wake_at, work_at);
                (self.next_rotation, self.warnings) = (next_rotation, warnings);
            }
            _ => return Err(Refused(self.phase_name().to_owned())),
        }
        Ok(())
    }

    pub(super) fn configured(
        &mut self,
        name: ConnectionName,
        provider: ProviderName,
        places: Vec<ConfiguredPlace>,
        unreachable: &BTreeSet<PlaceKey>,
    ) {
        self.name = name;
        self.provider = provider;
        let alive: BTreeSet<TokenId> = self.alive().cloned().collect();
        for (key, sink) in &mut self.sinks {
            let removed = places.iter().all(|configured| configured.place.key != *key);
            if removed && !sink.removed && sink.readable {
                sink.may_return.clone_from(&alive);
            }
            sink.may_return.retain(|id| removed && alive.contains(id));
            sink.removed = removed;
        }
        if places.iter().any(|configured| !self.sinks.contains_key(&configured.place.key)) {
            self.writes_checked = None;
        }
        for configured in places {
            let ConfiguredPlace { place, readable, write_check, .. } = configured;
            let ConfiguredPlace { lingers, keeps_earlier, overwrite, uptake, .. } = configured;
            let new = || SinkState::new(place.clone(), readable);
            let state = self.sinks.entry(place.key.clone()).or_insert_with(new);
            state.write_check = write_check;
            // Said again, it may be made use of again.
            state.overwritten &= overwrite;
            state.overwrite = overwrite;
            state.readable = readable;
            state.lingers = lingers;
            state.uptake = uptake;
            state.keeps_earlier = keeps_earlier;
            state.place = place;
        }
        // A place that left the policy is remembered only as long as it may hold a token of ours:
        // one that was emptied can be restored, for as long as what it held is alive.
        self.sinks.retain(|key, sink| {
            let reachable = !unreachable.contains(key);
            let may_return = !sink.may_return.is_empty() && reachable;
            // What cannot be asked any more is remembered for what it was seen with, not for ever.
            let unmanaged = &self.unmanaged;
            let holds = sink
                .holds
                .as_ref()
                .is_some_and(|id| reachable || alive.contains(id) || unmanaged.contains_key(id));
            !sink.removed || holds || sink.begun.is_some() || may_return
        });
        if self.places().any(|sink| sink.holds.is_none()) {
            self.forget_superseded();
        }
    }

    /// Whoever made this token may have put it into a place that left the policy, too.
    pub(super) fn may_be_where_nobody_looks(&mut self, id: &TokenId) {
        for sink in self.sinks.values_mut().filter(|sink| sink.removed && sink.readable) {
            sink.may_return.insert(id.clone());
        }
    }

    /// A pass rests: what it came to.
    pub(super) fn rested(&mut self, at: Timestamp, decided: Option<Decided>) {
        let was_refused = self.refusal().is_some();
        if decided.is_some() {
            self.decided = decided;
        }
        if self.refusal().is_some() && !was_refused {
            self.tally.refused += 1;
        }
        self.note_refusal(at);
    }

    /// What kept the last rotation from beginning is shown mended, or is known of its place from now on.
    pub(super) fn writes_checked(
        &mut self,
        all_at: Option<Timestamp>,
        places: BTreeMap<PlaceKey, Option<Trouble>>,
    ) {
        if self.places().all(|sink| places.contains_key(&sink.place.key)) {
            self.troubles.mint.take_if(|trouble| trouble.of_sink);
        }
        for (key, refused) in places {
            if let Some(sink) = self.sinks.get_mut(&key) {
                sink.would_take(refused);
            }
        }
        self.writes_checked = all_at.or(self.writes_checked);
    }

    pub(super) fn intents_expired(&mut self, at: ProviderTime) {
        self.intents.retain(|intent| print::kept_until(intent) > at);
    }

    /// A listed token is the late or lost effect of a create of ours.
    pub(super) fn orphan_found(&mut self, token: Listed, intent: Timestamp, retire: Retire) {
        self.intents.retain(|open| open.at != intent);
        self.unmanaged.remove(&token.id);
        self.push_retiring(token, Cause::Orphan, retire);
    }

    /// The current token's value was sent to the SCIM endpoint, because a list did not show it.
    pub(super) fn current_asked(&mut self, refused: bool) {
        self.troubles.probe = None;
        let missing = self.missing.take();
        if !refused && let Some(missing) = &missing {
            self.unshown_since.get_or_insert(missing.first);
        }
        self.missing =
            missing.filter(|_| refused).map(|missing| Missing { refused: true, ..missing });
    }
}
