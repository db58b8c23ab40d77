//! The queues of the daemon, one for each set of connections that depend on the same tenant and
//! the same sinks: what the ledger says is due, and beside it the exceptions.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use chrono::TimeDelta;

use super::{
    agenda::Agenda,
    pool::{Lane, Pool, Seat},
    worker::{Connection, RotationRequest},
};
use crate::{
    clock::Timestamp,
    rotation::{backoff, due},
    token::{ConnectionKey, Tenant},
};

/// Of so many starts of a tenant one is an exception, so that the agenda never waits for an endless
/// queue.
const TURN: u32 = 4;

/// A connection that begins.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) key: ConnectionKey,
    pub(super) request: RotationRequest,
    pub(super) seat: Seat,
}

/// What is due, by lane.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    of: BTreeMap<ConnectionKey, Arc<Lane>>,
    queues: BTreeMap<Arc<Lane>, Queue>,
    tenants: BTreeMap<Tenant, u32>,
}

#[derive(Debug, Default)]
struct Queue {
    /// What the ledger last said is due and was not started yet, and the how-manieth it was.
    due: VecDeque<(usize, ConnectionKey)>,
    agenda: Agenda,
}

impl Lanes {
    /// These connections, and no others. What is on the agenda of those that stay is kept.
    pub(super) fn configure(&mut self, connections: &BTreeMap<ConnectionKey, Arc<Connection>>) {
        let before = std::mem::take(self);
        for (key, connection) in connections {
            let lane = connection.lane();
            let lane = match self.queues.get_key_value(&lane) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::new(lane),
            };
            self.tenants.entry(lane.tenant.clone()).or_default();
            self.queues.entry(Arc::clone(&lane)).or_default();
            self.of.insert(key.clone(), lane);
        }
        let agendas = before.queues.into_values().map(|queue| queue.agenda);
        for (key, at, request) in agendas.flat_map(Agenda::into_all) {
            if let Some(queue) = self.queue(&key) {
                queue.agenda.add(key, at, request);
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lane> {
        self.queues.keys().map(AsRef::as_ref)
    }

    /// It is to be looked at whole. Another time replaces the one before.
    pub(super) fn set(&mut self, key: &ConnectionKey, at: Timestamp) {
        if let Some(queue) = self.queue(key) {
            queue.agenda.set(key.clone(), at);
        }
    }

    /// It waits so long, although the queue would give it out, and then this is asked of it.
    pub(super) fn put(&mut self, key: &ConnectionKey, at: Timestamp, request: RotationRequest) {
        if let Some(queue) = self.queue(key) {
            queue.agenda.put(key.clone(), at, request);
        }
    }

    /// What the ledger says is due, most urgent first, takes the place of what it said before.
    pub(super) fn take_due(&mut self, due: Vec<ConnectionKey>) {
        for queue in self.queues.values_mut() {
            queue.due.clear();
        }
        for (rank, key) in due.into_iter().enumerate() {
            if let Some(queue) = self.queue(&key) {
                queue.due.push_back((rank, key));
            }
        }
    }

    /// Tells the pool in which lanes something waits to begin.
    pub(super) fn tell_waiting(
        &self,
        pool: &Pool,
        now: Timestamp,
        is_running: impl Fn(&ConnectionKey) -> bool,
    ) {
        pool.set_waiting(self.queues.iter().map(|(lane, Queue { due, agenda })| {
            let may_begin = |key: &ConnectionKey| {
                !is_running(key) && agenda.get(key).is_none_or(|at| at <= now)
            };
            let waits = due.iter().any(|(_, key)| may_begin(key))
                || agenda.next().is_some_and(|at| at <= now);
            (lane.as_ref(), waits)
        }));
    }

    /// The tenants of which one of these could begin now.
    pub(super) fn admitted<'a>(
        &self,
        pool: &Pool,
        keys: impl Iterator<Item = &'a ConnectionKey>,
    ) -> BTreeSet<Tenant> {
        let mut asked: BTreeMap<&Lane, bool> = BTreeMap::new();
        let lanes = keys.filter_map(|key| self.of.get(key));
        lanes
            .filter(|lane| *asked.entry(lane).or_insert_with(|| pool.admits(lane)))
            .map(|lane| lane.tenant.clone())
            .collect()
    }

    /// The tenants of which anything could begin now.
    pub(super) fn with_room(&self, pool: &Pool) -> BTreeSet<Tenant> {
        self.all().filter(|lane| pool.admits(lane)).map(|lane| lane.tenant.clone()).collect()
    }

    /// Whether anything that is due could begin now.
    pub(super) fn has_due(&self, pool: &Pool) -> bool {
        self.queues.iter().any(|(lane, queue)| !queue.due.is_empty() && pool.admits(lane))
    }

    /// When the next exception is that could begin now.
    pub(super) fn next_exception(&self, pool: &Pool) -> Option<Timestamp> {
        let next =
            |(lane, queue): (&Arc<Lane>, &Queue)| queue.agenda.next().filter(|_| pool.admits(lane));
        self.queues.iter().filter_map(next).min()
    }

    /// The tenants, in an order of their own.
    pub(super) fn tenants(&self) -> Vec<Tenant> {
        self.tenants.keys().cloned().collect()
    }

    /// The next one of a tenant to be started, if it may begin: what is due before exceptions, but
    /// for every so many starts. Exceptions that are worked on are put into `again`.
    pub(super) fn next(
        &mut self,
        tenant: &Tenant,
        now: Timestamp,
        pool: &Pool,
        is_running: impl Fn(&ConnectionKey) -> bool,
        again: &mut BTreeSet<ConnectionKey>,
    ) -> Option<Next> {
        let turn = self.tenants.get(tenant).is_some_and(|starts| starts % TURN == TURN - 1);
        let first = if turn { self.exception(tenant, now, pool, &is_running, again) } else { None };
        let found = first
            .or_else(|| self.due(tenant, now, pool, &is_running))
            .or_else(|| self.exception(tenant, now, pool, &is_running, again));
        let (lane, key, request) = found?;
        if let Some(starts) = self.tenants.get_mut(tenant) {
            *starts = starts.wrapping_add(1);
        }
        Some(Next { key, request, seat: pool.open(&lane) })
    }

    /// The most urgent of what is due.
    fn due(
        &mut self,
        tenant: &Tenant,
        now: Timestamp,
        pool: &Pool,
        is_running: impl Fn(&ConnectionKey) -> bool,
    ) -> Option<(Arc<Lane>, ConnectionKey, RotationRequest)> {
        let mut most_urgent: Option<(usize, Arc<Lane>)> = None;
        for (lane, queue) in of(&mut self.queues, tenant) {
            if queue.due.is_empty() || !pool.admits(lane) {
                continue;
            }
            while let Some((rank, key)) = queue.due.front() {
                let put_off = queue.agenda.get(key).is_some_and(|at| at > now);
                if put_off || is_running(key) {
                    queue.due.pop_front();
                    continue;
                }
                if most_urgent.as_ref().is_none_or(|(best, _)| rank < best) {
                    most_urgent = Some((*rank, Arc::clone(lane)));
                }
                break;
            }
        }
        let (_, lane) = most_urgent?;
        let queue = self.queues.get_mut(&lane)?;
        let (_, key) = queue.due.pop_front()?;
        let request = queue.agenda.remove(&key).unwrap_or(RotationRequest::Woken);
        Some((lane, key, request))
    }

    fn exception(
        &mut self,
        tenant: &Tenant,
        now: Timestamp,
        pool: &Pool,
        is_running: impl Fn(&ConnectionKey) -> bool,
        again: &mut BTreeSet<ConnectionKey>,
    ) -> Option<(Arc<Lane>, ConnectionKey, RotationRequest)> {
        loop {
            let soonest = of(&mut self.queues, tenant)
                .filter_map(|(lane, queue)| {
                    let at = queue.agenda.next().filter(|at| *at <= now)?;
                    pool.admits(lane).then(|| (at, Arc::clone(lane)))
                })
                .min();
            let (_, lane) = soonest?;
            let (key, request) = self.queues.get_mut(&lane)?.agenda.pop(now)?;
            if !is_running(&key) {
                return Some((lane, key, request));
            }
            again.insert(key);
        }
    }

    fn queue(&mut self, key: &ConnectionKey) -> Option<&mut Queue> {
        self.queues.get_mut(self.of.get(key)?)
    }
}

/// The queues of a tenant.
fn of<'a>(
    queues: &'a mut BTreeMap<Arc<Lane>, Queue>,
    tenant: &'a Tenant,
) -> impl Iterator<Item = (&'a Arc<Lane>, &'a mut Queue)> {
    queues
        .range_mut(Arc::new(Lane::first(tenant))..)
        .take_while(move |(lane, _)| lane.tenant == *tenant)
}

/// How much earlier than others a connection is due at the start, of a second. Replicas go through the connections
/// each in an order of its own: in the same one they would meet at each, and wait for one another.
pub(super) fn earlier(order: u64, key: &ConnectionKey) -> TimeDelta {
    let place = backoff::mix(order ^ due::salt(key)) % 1_000_000;
    TimeDelta::microseconds(i64::try_from(place).unwrap_or_default())
}

/// Connections by their keys.
pub(super) fn by_key(connections: &[Arc<Connection>]) -> BTreeMap<ConnectionKey, Arc<Connection>> {
    connections
        .iter()
        .map(|connection| (connection.policy.key.clone(), Arc::clone(connection)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ConnectionId, Tenant};

    #[test]
    fn each_replica_has_an_order_of_its_own() {
        let tenant = Tenant::try_new("acme.example").unwrap();
        let keys: Vec<ConnectionKey> = (0..100)
            .map(|nth| ConnectionKey {
                tenant: tenant.clone(),
                connection: ConnectionId::try_new(format!("con_{nth}")).unwrap(),
            })
            .collect();
        let ordered = |order: u64| {
            let mut ordered: Vec<(TimeDelta, usize)> =
                keys.iter().enumerate().map(|(nth, key)| (earlier(order, key), nth)).collect();
            ordered.sort_unstable();
            ordered
        };
        for order in [0, 1, u64::MAX] {
            let all = ordered(order);
            let within = TimeDelta::zero()..TimeDelta::seconds(1);
            assert!(all.iter().all(|(by, _)| within.contains(by)), "{all:?}");
            assert_eq!(all, ordered(order), "it stays");
            let ahead = |other: &[(TimeDelta, usize)]| {
                all.iter().zip(other).filter(|(one, other)| one.1 == other.1).count()
            };
            assert!(ahead(&ordered(order ^ 7)) < 10, "of 100 about one is at the same place");
        }
    }
}
