//! The machine of a token on its way out: what may happen to it, and what that changes.

use super::Refused;
use crate::{
    clock::{ProviderTime, Timestamp},
    error::Code,
    rotation::{
        event::OlderEvent,
        policy::Retire,
        record::{Cause, Missing, Older, OlderState, Record},
    },
    token::{Listed, TokenId},
};

/// What an event makes of an older token.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is in this state.
    Is(OlderState),
    /// It is gone.
    Gone,
}

impl OlderState {
    /// The state after an event; `None`: it cannot happen in this one.
    ///
    /// A DELETE is announced, sent and its outcome written down in one step of one worker, so no
    /// outcome is known of a DELETE that was not announced. Everything else can come about: one that
    /// failed is sent again, one that was answered 404 too if a list still shows the token, and a
    /// token may expire at any moment.
    fn after(self, event: &OlderEvent) -> Option<Next> {
        let next = match (self, event) {
            (Self::Waiting | Self::Announced { .. }, OlderEvent::RevokeAnnounced { at }) => {
                Next::Is(Self::Announced { at: *at })
            }
            // Until a DELETE is answered otherwise, a list without the token makes it gone.
            (Self::NotFound { .. }, OlderEvent::RevokeAnnounced { at }) => {
                Next::Is(Self::NotFound { announced_at: *at })
            }
            (
                Self::Announced { at: announced_at } | Self::NotFound { announced_at },
                OlderEvent::NotFound,
            ) => Next::Is(Self::NotFound { announced_at }),
            (Self::Announced { .. } | Self::NotFound { .. }, OlderEvent::RevokeFailed { .. }) => {
                Next::Is(self)
            }
            (Self::Announced { .. } | Self::NotFound { .. }, OlderEvent::Revoked { .. })
            | (_, OlderEvent::Expired) => Next::Gone,
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
    pub(super) fn of_older(&mut self, id: &TokenId, what: OlderEvent) -> Result<(), Refused> {
        let Some(older) = self.older.iter_mut().find(|older| older.token.id == *id) else {
            return Err(Refused(format!("{id} is not on its way out")));
        };
        let state = older.state;
        match state.after(&what) {
            Some(Next::Is(state)) => older.state = state,
            Some(Next::Gone) => {}
            None => return Err(Refused(format!("{id} is {}", state.as_str()))),
        }
        match what {
            OlderEvent::RevokeAnnounced { .. } | OlderEvent::NotFound => {}
            OlderEvent::RevokeFailed { trouble } => self.troubles.revoke = Some(trouble),
            OlderEvent::Revoked { at } => self.revoked(id, at),
            OlderEvent::Expired => self.dropped(id),
        }
        Ok(())
    }

    /// A token is on its way out from now on, if it was not before.
    pub(in crate::rotation) fn push_older(&mut self, token: Listed, cause: Cause, retire: Retire) {
        if self.older.iter().all(|older| older.token.id != token.id) {
            self.older.push(Older::new(token, cause, retire));
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
        let place = self.older.iter().position(|older| older.token.id == id);
        let before = place.map(|place| self.older.remove(place));
        let now = self.not_before(at);
        // A previous token stays known as one, whatever an operator asks.
        let was = before.as_ref().map(|older| (older.cause, older.superseded_at));
        let superseded_at = match (cause, was) {
            (Cause::Unmanaged, _) => Some(now),
            (Cause::Asked, Some((Cause::Superseded, since))) => since.or(Some(now)),
            (Cause::Asked, Some((Cause::Asked, since))) => since,
            (_, _) => None,
        };
        // Our own probe is no use of it, and what has to be shown stays so.
        let current = self.current.as_ref().filter(|current| current.token.id == id);
        let probe = current.and_then(|current| current.probe.clone());
        let on_evidence = before.as_ref().is_some_and(|before| before.on_evidence);
        let probe = before.map_or(probe, |before| before.probe);
        let again = Older::new(token, cause, retire);
        self.older.push(Older { superseded_at, on_evidence, probe, ..again });
        self.note_superseded(at);
    }

    fn revoked(&mut self, id: &TokenId, at: Timestamp) {
        self.troubles.revoke = None;
        self.slot_denied = false;
        // The slot that was wanting is free.
        self.troubles.mint =
            self.troubles.mint.take().filter(|mint| mint.fault.code != Code::NoSlot);
        self.deleted.insert(id.clone(), at);
        let orphan =
            self.older.iter().any(|older| older.token.id == *id && older.cause.is_orphan());
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
        self.older.retain(|older| older.token.id != *id);
    }
}
