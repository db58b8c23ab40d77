//! What may happen to one place, and what that changes.

use super::Refused;
use crate::{
    rotation::{
        event::PlaceEvent,
        record::{Begun, Phase, Record, SinkState},
        uptake::{Account, Client, Taken, Uptake},
    },
    token::{PlaceKey, TokenId},
};

/// So many tokens that a person was offered and another one replaced are remembered.
const MOST_OFFERED: usize = 8;

impl Record {
    /// What happened at one place.
    ///
    /// One that is unknown is refused: steps act on places of the record, and a write that could not
    /// be written down must not begin.
    pub(super) fn at_place(
        &mut self,
        phase: &Phase,
        key: &PlaceKey,
        what: PlaceEvent,
    ) -> Result<(), Refused> {
        let delivering = matches!(phase, Phase::Delivering(_));
        let phase = self.phase_name();
        let Some(sink) = self.sinks.get_mut(key) else {
            return Err(Refused(format!("{key} is not a sink location of this connection")));
        };
        if what.is_of_a_stage() && !delivering {
            return Err(Refused(phase.to_owned()));
        }
        let has = match &what {
            PlaceEvent::Delivered { id, provider, .. }
            | PlaceEvent::HandedOver { id, provider, .. } => Some((id.clone(), *provider)),
            PlaceEvent::Accepted { .. }
            | PlaceEvent::StageBegun { .. }
            | PlaceEvent::Staged { .. }
            | PlaceEvent::StageFailed { .. }
            | PlaceEvent::Forgotten { .. }
            | PlaceEvent::ForgetFailed { .. }
            | PlaceEvent::PromoteBegun { .. }
            | PlaceEvent::PromoteFailed { .. }
            | PlaceEvent::ClientAsked { .. }
            | PlaceEvent::ClientSilent { .. } => None,
        };
        if !sink.awaits(&what) {
            return Err(Refused(format!("no write of this token to {key} was announced")));
        }
        sink.changed_by(what);
        if let Some((id, at)) = has {
            self.handed_out(&id);
            self.note_superseded(at);
        }
        Ok(())
    }
}

impl Record {
    /// A place holds this token.
    pub(super) fn handed_out(&mut self, id: &TokenId) {
        if let Phase::Delivering(replacement) = &mut self.phase
            && replacement.token.id == *id
        {
            replacement.handed_out = true;
        }
    }
}

impl PlaceEvent {
    /// Only a token on its way is staged.
    fn is_of_a_stage(&self) -> bool {
        matches!(self, Self::StageBegun { .. } | Self::Staged { .. } | Self::StageFailed { .. })
    }
}

impl SinkState {
    /// Whether an outcome is one of what was announced: a write is announced, sent and its outcome
    /// written down in one step of one worker. What leads to a token that is gone is taken away
    /// without an announcement, so that may be done twice.
    fn awaits(&self, event: &PlaceEvent) -> bool {
        match event {
            PlaceEvent::PromoteFailed { .. } => self.begun.is_some(),
            PlaceEvent::Delivered { id, .. } => {
                self.begun.as_ref().is_some_and(|begun| begun.id == *id)
            }
            PlaceEvent::HandedOver { id, .. } => self.offers().any(|offered| offered.id == *id),
            PlaceEvent::ClientAsked { id, .. } => {
                self.uptake == Uptake::ByClient && self.holds.as_ref() == Some(id)
            }
            PlaceEvent::ClientSilent { .. } => self.uptake == Uptake::ByClient,
            PlaceEvent::Accepted { .. }
            | PlaceEvent::StageBegun { .. }
            | PlaceEvent::Staged { .. }
            | PlaceEvent::StageFailed { .. }
            | PlaceEvent::Forgotten { .. }
            | PlaceEvent::ForgetFailed { .. }
            | PlaceEvent::PromoteBegun { .. } => true,
        }
    }

    /// What is known of the place after an event there.
    fn changed_by(&mut self, event: PlaceEvent) {
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
                self.overtakes(at);
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
            PlaceEvent::HandedOver { id, at, by, provider: _ } => {
                // Those from before it are in the client no more; those after it may still be taken there.
                let place = self.offered.iter().position(|offered| offered.id == id);
                self.offered.drain(..place.map_or(self.offered.len(), |place| place + 1));
                self.taken = Some(Taken { id, at, by: Some(by) });
            }
            PlaceEvent::ClientAsked { id, at, account } => {
                if account == Account::Uses && !self.is_taken(&id) {
                    self.taken = Some(Taken { id, at, by: None });
                }
                self.client = Some(Client::said(self.client.take(), account, at));
            }
            PlaceEvent::ClientSilent { trouble } => {
                self.client = Some(Client::silent(self.client.take(), trouble));
            }
            PlaceEvent::Delivered { id, version, at, container, provider: _ } => {
                let known = self.container.take().filter(|known| !known.is_missing());
                self.container = known.or(container);
                self.was_ours = true;
                self.overwritten |= self.overwrite;
                self.replaces_offer(&id);
                self.since = Some(at);
                self.now_holds(Some(id), version);
                self.begun = None;
                self.drift = None;
                self.clear_trouble();
            }
        }
    }

    /// Another token waits for a person from now on: who has the one before in hand may still take it there.
    fn replaces_offer(&mut self, id: &TokenId) {
        self.offered = self.offers().filter(|offered| offered.id != *id).collect();
        let surplus = self.offered.len().saturating_sub(MOST_OFFERED);
        self.offered.drain(..surplus);
    }
}
