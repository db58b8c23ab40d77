//! The machine of a token on its way out: what may happen to it, and what that changes.

use super::Refused;
use crate::{
    clock::{ProviderTime, Timestamp},
    error::Code,
    rotation::{
        event::RetiringEvent,
        policy::Retire,
        record::{Cause, Missing, Record, Retiring, RetiringState},
    },
    token::{Listed, TokenId},
};

/// What an event makes of an older token.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is in this state.
    Is(RetiringState),
    /// It is gone.
    Gone,
}

impl RetiringState {
    /// The state after an event; `None`: it cannot happen in this one.
    ///
    /// A DELETE is announced, sent and its outcome written down in one step of one worker, so no
    /// outcome is known of a DELETE that was not announced. Everything else can come about: one that
    /// failed is sent again, one that was answered 404 too if a list still shows the token, and a
    /// token may expire at any moment.
    fn after(self, event: &RetiringEvent) -> Option<Next> {
        let next = match (self, event) {
            (Self::Waiting | Self::Announced { .. }, RetiringEvent::RevokeAnnounced { at }) => {
                Next::Is(Self::Announced { at: *at })
            }
            // Until a DELETE is answered otherwise, a list without the token makes it gone.
            (Self::NotFound { .. }, RetiringEvent::RevokeAnnounced { at }) => {
                Next::Is(Self::NotFound { announced_at: *at })
            }
            (
                Self::Announced { at: announced_at } | Self::NotFound { announced_at },
                RetiringEvent::NotFound,
            ) => Next::Is(Self::NotFound { announced_at }),
            (
                Self::Announced { .. } | Self::NotFound { .. },
                RetiringEvent::RevokeFailed { .. },
            ) => Next::Is(self),
            (Self::Announced { .. } | Self::NotFound { .. }, RetiringEvent::Revoked { .. })
            | (_, RetiringEvent::Expired) => Next::Gone,
            (Self::Waiting, _) => return None,
        };
        Some(next)
    }
}

impl Record {
    /// What happened to a token on its way out.
    ///
    /// One that is unknown is refused: it is looked up in the very record that the event changes, and
    /// while a DELETE is under way nobody else may change that.
    pub(super) fn of_retiring(&mut self, id: &TokenId, what: RetiringEvent) -> Result<(), Refused> {
        let Some(retiring) = self.retiring.iter_mut().find(|retiring| retiring.token.id == *id)
        else {
            return Err(Refused(format!("{id} is not being retired")));
        };
        let state = retiring.state;
        match state.after(&what) {
            Some(Next::Is(state)) => retiring.state = state,
            Some(Next::Gone) => {}
            None => return Err(Refused(format!("{id} is {}", state.as_str()))),
        }
        match what {
            RetiringEvent::RevokeAnnounced { .. } | RetiringEvent::NotFound => {}
            RetiringEvent::RevokeFailed { trouble } => self.troubles.revoke = Some(trouble),
            RetiringEvent::Revoked { at } => self.revoked(id, at),
            RetiringEvent::Expired => self.dropped(id),
        }
        Ok(())
    }

    /// A token is on its way out from now on, if it was not before.
    pub(in crate::rotation) fn push_retiring(
        &mut self,
        token: Listed,
        cause: Cause,
        retire: Retire,
    ) {
        if self.retiring.iter().all(|retiring| retiring.token.id != token.id) {
            self.retiring.push(Retiring::new(token, cause, retire));
        }
    }

    /// A token that nobody needs any more is on its way out: an operator's wish, a dead one, or one
    /// that is not ours. What was known of it as an older token stays, but nothing is announced.
    pub(super) fn retired(
        &mut self,
        token: Listed,
        cause: Cause,
        retire: Retire,
        at: ProviderTime,
    ) {
        self.unmanaged.remove(&token.id);
        self.may_be_where_nobody_looks(&token.id);
        let id = token.id.clone();
        let place = self.retiring.iter().position(|retiring| retiring.token.id == id);
        let before = place.map(|place| self.retiring.remove(place));
        let now = self.not_before(at);
        // A previous token stays known as one, whatever an operator asks.
        let was = before.as_ref().map(|retiring| (retiring.cause, retiring.superseded_at));
        let superseded_at = match (cause, was) {
            (Cause::Unmanaged, _) => Some(now),
            // From now on it counts when that was asked.
            (Cause::Asked, Some((Cause::Superseded, _))) => Some(now),
            (Cause::Asked, Some((Cause::Asked, since))) => since.map(|_| now),
            (_, _) => None,
        };
        // Our own probe is no use of it, and what has to be shown stays so.
        let current = self.current.as_ref().filter(|current| current.token.id == id);
        let probe = current.and_then(|current| current.probe.clone());
        let on_evidence = before.as_ref().is_some_and(|before| before.on_evidence);
        let probe = before.map_or(probe, |before| before.probe);
        let again = Retiring::new(token, cause, retire);
        self.retiring.push(Retiring { superseded_at, on_evidence, probe, ..again });
        self.note_superseded(at);
    }

    fn revoked(&mut self, id: &TokenId, at: Timestamp) {
        self.troubles.revoke = None;
        self.slot_denied = false;
        // The slot that was wanting is free.
        self.troubles.mint =
            self.troubles.mint.take().filter(|mint| mint.fault.code != Code::NoSlot);
        self.deleted.insert(id.clone(), at);
        let orphan = self
            .retiring
            .iter()
            .any(|retiring| retiring.token.id == *id && retiring.cause.is_orphan());
        self.tally.orphans_revoked += u64::from(orphan);
        self.dropped(id);
        if self.current.as_ref().is_some_and(|current| current.token.id == *id) {
            // An operator forced it: what the sinks hold is dead, and the connection due at once.
            let last = self.provider_clock().to_provider(at);
            let first = last - chrono::TimeDelta::minutes(1);
            self.missing = Some(Missing { first, last, refused: true });
        }
    }

    /// It works no more, and is nobody's concern.
    fn dropped(&mut self, id: &TokenId) {
        self.note_gone(id);
        self.condemned.remove(id);
        self.retiring.retain(|retiring| retiring.token.id != *id);
    }
}
