//! What the ledger's own queue does not say: connections that it has no record of yet, and moments
//! at which one is to be attended to again although nothing was written down.

use std::collections::{BTreeMap, BTreeSet};

use super::worker::RotationRequest;
use crate::{clock::Timestamp, token::ConnectionKey};

/// Exceptions to the ledger's queue, soonest first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    wake: BTreeMap<ConnectionKey, (Timestamp, RotationRequest)>,
    /// The same, soonest first: with very many connections nothing may look at all of them.
    queue: BTreeSet<(Timestamp, ConnectionKey)>,
}

impl Agenda {
    /// It is to be looked at whole. Another time replaces the one before.
    pub(super) fn set(&mut self, key: ConnectionKey, at: Timestamp) {
        self.remove(&key);
        self.add(key, at, RotationRequest::Due);
    }

    /// It waits so long, although the queue would give it out, and then this is asked of it.
    pub(super) fn put(&mut self, key: ConnectionKey, at: Timestamp, request: RotationRequest) {
        // That it is to be looked at whole is not forgotten.
        let whole = self.remove(&key).filter(|asked| *asked != RotationRequest::Woken);
        self.add(key, at, whole.unwrap_or(request));
    }

    pub(super) fn add(&mut self, key: ConnectionKey, at: Timestamp, request: RotationRequest) {
        self.wake.insert(key.clone(), (at, request));
        self.queue.insert((at, key));
    }

    /// What was asked of it, if anything was.
    pub(super) fn remove(&mut self, key: &ConnectionKey) -> Option<RotationRequest> {
        let (at, request) = self.wake.remove(key)?;
        self.queue.remove(&(at, key.clone()));
        Some(request)
    }

    pub(super) fn get(&self, key: &ConnectionKey) -> Option<Timestamp> {
        self.wake.get(key).map(|(at, _)| *at)
    }

    /// When the soonest is.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the soonest out, if its time has come.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<(ConnectionKey, RotationRequest)> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        let (_, request) = self.wake.remove(&key)?;
        Some((key, request))
    }

    /// Everything on it.
    pub(super) fn into_all(
        self,
    ) -> impl Iterator<Item = (ConnectionKey, Timestamp, RotationRequest)> {
        self.wake.into_iter().map(|(key, (at, request))| (key, at, request))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{clock::parse_timestamp, rotation::fixture};

    #[test]
    fn the_agenda_gives_each_connection_once_and_the_soonest_first() {
        let key = |id: &str| {
            let mut key = fixture::empty().key;
            key.connection = crate::token::ConnectionId::try_new(id).unwrap();
            key
        };
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let second = TimeDelta::seconds(1);
        let mut agenda = Agenda::default();
        agenda.set(key("a"), now - second);
        agenda.set(key("b"), now + second);
        agenda.set(key("c"), now);
        agenda.set(key("gone"), now);
        // Another time replaces the one before.
        agenda.set(key("a"), now + second * 2);
        assert_eq!(agenda.get(&key("a")), Some(now + second * 2));
        assert!(agenda.remove(&key("gone")).is_some());
        assert_eq!(agenda.next(), Some(now));
        assert_eq!(agenda.pop(now), Some((key("c"), RotationRequest::Due)));
        assert_eq!(agenda.pop(now), None);
        assert_eq!(agenda.get(&key("c")), None);
        agenda.put(key("d"), now + second, RotationRequest::Woken);
        agenda.put(key("b"), now + second * 2, RotationRequest::Woken);
        assert_eq!(agenda.pop(now + second * 2), Some((key("d"), RotationRequest::Woken)));
        // That it is to be looked at whole is not forgotten.
        assert_eq!(agenda.remove(&key("b")), Some(RotationRequest::Due));
        let left: Vec<_> = agenda.into_all().collect();
        assert_eq!(left, [(key("a"), now + second * 2, RotationRequest::Due)]);
    }
}
