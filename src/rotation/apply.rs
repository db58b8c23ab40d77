//! What the record is after an event: the state machine's edges.

use std::collections::BTreeSet;

use super::{
    event::{ConfiguredPlace, Event, PlaceEvent},
    policy::Retire,
    print,
    record::{Begun, Cause, Missing, Older, Phase, Probe, Proof, Record, SinkState, Trouble},
};
use crate::{
    clock::{ProviderTime, Timestamp},
    error::Code,
    token::{ConnectionName, Listed, PlaceKey, ProviderName, TokenId},
};

/// An event that cannot happen in the record's phase: a defect, or a record that was tampered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen while {phase}")]
pub struct IllegalTransition {
    event: &'static str,
    phase: &'static str,
}

impl Record {
    /// The record after `event`.
    ///
    /// # Errors
    /// When the event cannot happen in this phase.
    pub fn apply(self, event: Event) -> Result<Self, IllegalTransition> {
        let news = self.news(&event);
        let of_a_rest = matches!(
            event,
            Event::Rested { .. }
                | Event::NoticeBegun { .. }
                | Event::Notified { .. }
                | Event::NotifyFailed { .. }
                | Event::NoticeDropped { .. }
        );
        let before = matches!(event, Event::Configured { .. }).then(|| self.clone());
        let mut after = self.changed_by(event)?;
        // What is to be done next is not known any more until a pass rests again.
        if !of_a_rest && before.is_none_or(|before| before != after) {
            after.work_at = None;
        }
        after.tell(news);
        Ok(after)
    }

    fn changed_by(mut self, event: Event) -> Result<Self, IllegalTransition> {
        let illegal = IllegalTransition { event: event.name(), phase: self.phase_name() };
        match (&mut self.phase, event) {
            (_, Event::Configured { name, provider, places, unreachable, hooks }) => {
                self.notices.subscribe(hooks);
                self.configured(name, provider, places, &unreachable)
            }
            (_, Event::Looked { list, sinks, troubles }) => self.looked(list, sinks, troubles),
            (_, Event::LookFailed(trouble)) => self.troubles.look = Some(trouble),
            (_, Event::Condemned(ids)) => self.condemned.extend(ids),
            (Phase::Steady, Event::Intended(intent)) => {
                self.phase = Phase::Minting(intent);
            }
            (Phase::Minting(_), Event::Minted { token, retire, verify, digest }) => {
                self.minted(token, retire, verify, digest);
            }
            (Phase::Steady | Phase::Minting(_), Event::MintFailed { trouble, no_slot }) => {
                self.troubles.mint = Some(trouble);
                self.slot_denied = no_slot;
                self.tally.failed += 1;
                self.phase = Phase::Steady;
            }
            (Phase::Minting(_), Event::MintLost(trouble)) => {
                self.troubles.mint = Some(trouble);
                self.tally.failed += 1;
                self.open_intent();
            }
            (Phase::Minting(_), Event::IntentOpened) => self.open_intent(),
            (_, Event::IntentsExpired(at)) => self.intents.retain(|i| print::kept_until(i) > at),
            (_, Event::OrphanFound { token, intent, retire }) => {
                self.intents.retain(|open| open.at != intent);
                self.strangers.remove(&token.id);
                self.push_older(token, Cause::Orphan, retire, None);
            }
            (Phase::Steady, event @ Event::TakenOver { .. }) => self.taken_over(event),
            (_, Event::ProbeAnnounced { sent, arrives_by }) => {
                self.probe_announced(sent, arrives_by)
            }
            (Phase::Delivering(delivery), Event::Proven(proof)) => {
                if matches!(proof, Proof::Good | Proof::Waived) {
                    self.troubles.mint = None;
                }
                delivery.proof = proof;
            }
            (_, Event::ValueKnown { id, digest }) => {
                self.digests.insert(id, digest);
            }
            (_, Event::Judged { unsatisfied_since }) => self.unsatisfied_since = unsatisfied_since,
            (phase, Event::Place { place, what }) => {
                let staging = matches!(
                    what,
                    PlaceEvent::StageBegun { .. }
                        | PlaceEvent::Staged { .. }
                        | PlaceEvent::StageFailed { .. }
                );
                if staging && !matches!(phase, Phase::Delivering(_)) {
                    return Err(illegal);
                }
                self.happened_at(&place, what);
            }
            (Phase::Delivering(_), Event::Settled { at, host }) => {
                self.settled(Some((at, host)), at)
            }
            (Phase::Delivering(_), Event::SettledInPart { at }) => self.settled(None, at),
            (Phase::Delivering(_), Event::GivenUp { cause, trouble }) => {
                self.given_up(cause, trouble)
            }
            (_, Event::CurrentAskFailed(trouble)) => self.troubles.ask = Some(trouble),
            (_, Event::FoundRefused(id)) => {
                self.refused.insert(id);
            }
            (Phase::Steady, Event::CurrentAsked { refused }) => {
                self.troubles.ask = None;
                self.missing = self.missing.take().filter(|_| refused).map(|mut missing| {
                    missing.refused = true;
                    missing
                });
            }
            (_, Event::Retired { token, cause, retire, at }) => {
                self.strangers.remove(&token.id);
                self.may_be_where_nobody_looks(&token.id);
                let id = token.id.clone();
                let before = self.older.iter().find(|older| older.token.id == id).cloned();
                let now = self.not_before(at);
                // A previous token stays known as one, whatever an operator asks.
                let was = before.as_ref().map(|older| (older.cause, older.superseded_at));
                let since = match (cause, was) {
                    (Cause::Stranger, _) => Some(now),
                    (Cause::Asked, Some((Cause::Superseded, since))) => since.or(Some(now)),
                    (Cause::Asked, Some((Cause::Asked, since))) => since,
                    (_, _) => None,
                };
                self.older.retain(|older| older.token.id != id);
                self.push_older(token, cause, retire, since);
                let again = self.older.iter_mut().find(|older| older.token.id == id);
                if let Some(again) = again {
                    // Our own probe is no use of it, and what has to be shown stays so.
                    let current = self.current.as_ref().filter(|current| current.token.id == id);
                    let probe = current.and_then(|current| current.probe.clone());
                    again.on_evidence = before.as_ref().is_some_and(|before| before.on_evidence);
                    again.probe = before.map_or(probe, |before| before.probe);
                }
                self.note_superseded(at);
            }
            (_, Event::RevokeAnnounced { id, at }) => {
                for older in self.older.iter_mut().filter(|older| older.token.id == id) {
                    older.announced_at = Some(at);
                }
            }
            (_, Event::Revoked { id, at }) => self.revoked(&id, at),
            (_, Event::NotFound(id)) => {
                for older in self.older.iter_mut().filter(|older| older.token.id == id) {
                    older.not_found = true;
                }
            }
            (_, Event::RevokeFailed(trouble)) => self.troubles.revoke = Some(trouble),
            (_, Event::Expired(id)) => {
                self.note_gone(&id);
                self.condemned.remove(&id);
                self.older.retain(|older| older.token.id != id);
            }
            (_, Event::NoticeBegun { hook, number, begun }) => {
                self.notices.begun(&hook, number, begun)
            }
            (_, Event::Notified { hook, number, at }) => self.notices.told(&hook, number, at),
            (_, Event::NotifyFailed { hook, number, trouble }) => {
                self.notices.failed(&hook, number, &trouble)
            }
            (_, Event::NoticeDropped { hook, number }) => self.notices.dropped(&hook, number),
            (_, Event::Rested { at, wake_at, work_at, next_rotation, decided, warnings }) => {
                let was_refused = self.refusal().is_some();
                if decided.is_some() {
                    self.decided = decided;
                }
                if self.refusal().is_some() && !was_refused {
                    self.tally.refused += 1;
                }
                self.note_refusal(at);
                self.wake_at = wake_at;
                self.work_at = work_at;
                self.next_rotation = next_rotation;
                self.warnings = warnings;
            }
            (
                Phase::Steady | Phase::Minting(_) | Phase::Delivering(_),
                Event::Intended(_)
                | Event::Minted { .. }
                | Event::MintFailed { .. }
                | Event::MintLost(_)
                | Event::IntentOpened
                | Event::TakenOver { .. }
                | Event::Proven(_)
                | Event::Settled { .. }
                | Event::SettledInPart { .. }
                | Event::GivenUp { .. }
                | Event::CurrentAsked { .. },
            ) => return Err(illegal),
        }
        Ok(self)
    }

    fn happened_at(&mut self, place: &PlaceKey, what: PlaceEvent) {
        let provider = match &what {
            PlaceEvent::Delivered { provider, .. } => Some(*provider),
            PlaceEvent::Accepted { .. }
            | PlaceEvent::StageBegun { .. }
            | PlaceEvent::Staged { .. }
            | PlaceEvent::StageFailed { .. }
            | PlaceEvent::Forgotten { .. }
            | PlaceEvent::ForgetFailed { .. }
            | PlaceEvent::PromoteBegun { .. }
            | PlaceEvent::PromoteFailed { .. } => None,
        };
        if let Some(sink) = self.sinks.get_mut(place) {
            sink.apply(what);
        }
        if let Some(at) = provider {
            self.note_superseded(at);
        }
    }

    fn configured(
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
        for ConfiguredPlace { place, readable, lingers, keeps_earlier, overwrite } in places {
            let new = || SinkState::new(place.clone(), readable);
            let state = self.sinks.entry(place.key.clone()).or_insert_with(new);
            // Said again, it may be made use of again.
            state.overwritten &= overwrite;
            state.overwrite = overwrite;
            state.readable = readable;
            state.lingers = lingers;
            state.keeps_earlier = keeps_earlier;
            state.place = place;
        }
        // A place that left the policy is remembered only as long as it may hold a token of ours:
        // one that was emptied can be restored, for as long as what it held is alive.
        self.sinks.retain(|key, sink| {
            let reachable = !unreachable.contains(key);
            let may_return = !sink.may_return.is_empty() && reachable;
            // What cannot be asked any more is remembered for what it was seen with, not for ever.
            let strangers = &self.strangers;
            let holds = sink
                .holds
                .as_ref()
                .is_some_and(|id| reachable || alive.contains(id) || strangers.contains_key(id));
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

    fn open_intent(&mut self) {
        if let Phase::Minting(intent) = std::mem::replace(&mut self.phase, Phase::Steady) {
            self.intents.push(intent);
        }
    }

    pub(super) fn push_older(
        &mut self,
        token: Listed,
        cause: Cause,
        retire: Retire,
        since: Option<ProviderTime>,
    ) {
        if self.older.iter().any(|older| older.token.id == token.id) {
            return;
        }
        self.older.push(Older {
            token,
            cause,
            retire,
            superseded_at: since,
            announced_at: None,
            not_found: false,
            on_evidence: false,
            probe: None,
        });
    }

    fn probe_announced(&mut self, sent: ProviderTime, arrives_by: ProviderTime) {
        let (probe, first_sent) = match &mut self.phase {
            Phase::Delivering(delivery) => {
                let first = delivery.probe.as_ref().map_or(sent, |before| before.first_sent);
                (&mut delivery.probe, first)
            }
            // Clients have used it since: only a mark from now on can be this probe's.
            Phase::Steady | Phase::Minting(_) => match &mut self.current {
                Some(current) => (&mut current.probe, sent),
                None => return,
            },
        };
        *probe = Some(Probe { first_sent, sent, arrives_by, mark: None });
    }

    fn revoked(&mut self, id: &TokenId, at: Timestamp) {
        self.troubles.revoke = None;
        self.slot_denied = false;
        // The slot that was wanting is free.
        self.troubles.mint =
            self.troubles.mint.take().filter(|mint| mint.fault.code != Code::NoSlot);
        self.condemned.remove(id);
        self.note_gone(id);
        self.deleted.insert(id.clone(), at);
        let orphan =
            self.older.iter().any(|older| older.token.id == *id && older.cause.is_orphan());
        self.tally.orphans_revoked += u64::from(orphan);
        self.older.retain(|older| older.token.id != *id);
        if self.current.as_ref().is_some_and(|current| current.token.id == *id) {
            // An operator forced it: what the sinks hold is dead, and the connection due at once.
            let last = self.provider_clock().to_provider(at);
            let first = last - chrono::TimeDelta::minutes(1);
            self.missing = Some(Missing { first, last, refused: true });
        }
    }
}

impl SinkState {
    /// What is known of the place after an event there.
    fn apply(&mut self, event: PlaceEvent) {
        match event {
            PlaceEvent::Accepted { container } => {
                self.container = Some(container);
                self.clear_trouble();
            }
            PlaceEvent::StageBegun { id } => {
                self.residue.entry(id).or_default();
            }
            PlaceEvent::Staged { .. } => {}
            PlaceEvent::StageFailed { trouble } => self.write_failed(trouble),
            PlaceEvent::Forgotten { id } => {
                self.residue.remove(&id);
            }
            PlaceEvent::ForgetFailed { id, trouble } => {
                if let Some(residue) = self.residue.get_mut(&id) {
                    residue.trouble = Some(trouble);
                }
            }
            PlaceEvent::PromoteBegun { id, at, replaces, container } => {
                // A folder that is made for this delivery is known once it is there.
                let container = container.filter(|container| !container.is_missing());
                self.container = self.container.take().or(container);
                let spends = self.overwrite && !self.overwritten;
                self.begun = Some(Begun { id, at, replaces, spends });
                // Made use of from now on: nobody may live to write down that it was.
                self.overwritten |= spends;
            }
            PlaceEvent::PromoteFailed { trouble, certain } => {
                self.write_failed(trouble);
                if certain {
                    self.did_not_land();
                }
            }
            PlaceEvent::Delivered { id, version, at, container, provider: _ } => {
                let known = self.container.take().filter(|known| !known.is_missing());
                self.container = known.or(container);
                self.was_ours = true;
                self.overwritten |= self.overwrite;
                self.since = Some(at);
                self.now_holds(Some(id), version);
                self.begun = None;
                self.drift = None;
                self.clear_trouble();
            }
        }
    }

    fn write_failed(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        self.unwritable = true;
    }
}
