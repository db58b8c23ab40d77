//! Who may begin work: a pool of workers for each provider tenant, so that no tenant waits for
//! another one, and in it room for every set of sinks, so that no sink waits for another one.
//!
//! A connection that is open holds a worker of its tenant, except while it waits: for a pause to
//! end, for a hook, or for a sink or a SCIM endpoint that does not answer at once. What is open in
//! all is bounded, and with it memory and sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::worker::Connection;
use crate::token::{SinkName, Tenant};

/// So many times the workers of one tenant are open at once, at most, over all tenants.
const OPEN: usize = 16;

/// What a connection's work depends on: its tenant and the sinks that it delivers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub(super) tenant: Tenant,
    pub(super) sinks: BTreeSet<SinkName>,
}

impl Lane {
    /// That of a connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let sinks = connection.sinks.iter().map(|sink| sink.place().sink.clone());
        Self::new(connection.policy.key.tenant.clone(), sinks)
    }

    /// That of connections of this tenant that are delivered to these sinks.
    #[must_use]
    pub fn new(tenant: Tenant, sinks: impl IntoIterator<Item = SinkName>) -> Self {
        Self { tenant, sinks: sinks.into_iter().collect() }
    }

    /// The first of a tenant, in their order.
    pub(super) fn first(tenant: &Tenant) -> Self {
        Self::new(tenant.clone(), [])
    }
}

/// The workers of all tenants. Clones are one pool.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many workers a tenant has; without it nothing is admitted.
    limit: usize,
    /// How many lanes each tenant has in the configuration.
    lanes: BTreeMap<Tenant, usize>,
    /// How much is open, by tenant and by lane; what has nothing open is not there.
    tenants: BTreeMap<Tenant, Open>,
    open_lanes: BTreeMap<Lane, usize>,
    open: usize,
    /// How many calls each sink has not answered at once.
    slow: BTreeMap<SinkName, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    connections: usize,
    lanes: usize,
    waiting: usize,
}

impl Pool {
    /// Gives every tenant so many workers. `lanes` are those of the configuration.
    pub fn share_out<'a>(&self, limit: NonZeroUsize, lanes: impl Iterator<Item = &'a Lane>) {
        let lanes: BTreeSet<&Lane> = lanes.collect();
        let mut state = self.lock();
        state.limit = limit.get();
        state.lanes = BTreeMap::new();
        for lane in lanes {
            *state.lanes.entry(lane.tenant.clone()).or_default() += 1;
        }
    }

    /// Whether one more connection of that lane may begin.
    #[must_use]
    pub fn admits(&self, lane: &Lane) -> bool {
        self.lock().admits(lane)
    }

    /// Begins work on a connection of that lane, whether it is admitted or not.
    #[must_use]
    pub fn open(&self, lane: &Lane) -> Seat {
        let mut state = self.lock();
        state.open += 1;
        let of_lane = state.open_lanes.entry(lane.clone()).or_default();
        *of_lane += 1;
        let first = *of_lane == 1;
        let tenant = state.tenants.entry(lane.tenant.clone()).or_default();
        tenant.connections += 1;
        tenant.lanes += usize::from(first);
        drop(state);
        Seat { pool: self.clone(), lane: lane.clone(), waits: AtomicUsize::new(0) }
    }

    /// Returns when there may be more room than before.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave it half changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how much waits, and says so where that makes room.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.notify_one();
    }
}

impl State {
    fn admits(&self, lane: &Lane) -> bool {
        let open = self.tenants.get(&lane.tenant).copied().unwrap_or_default();
        let free = self.limit.saturating_sub(open.connections.saturating_sub(open.waiting));
        let is_slow = |sink| self.slow.get(sink).is_some_and(|calls| *calls >= self.limit);
        if free == 0 || lane.sinks.iter().any(is_slow) {
            return false;
        }
        // The last worker of a tenant is for a lane that has none: its sinks may be the only ones
        // that answer.
        let lanes = self.lanes.get(&lane.tenant).copied().unwrap_or_default();
        let others = lanes.saturating_sub(open.lanes);
        let has_one = self.open_lanes.contains_key(lane);
        if has_one && others > 0 && free == 1 && self.limit > 1 {
            return false;
        }
        // What is left over all is for tenants that have nothing open.
        let most = self.limit.saturating_mul(OPEN);
        let idle = self.lanes.keys().filter(|tenant| !self.tenants.contains_key(tenant)).count();
        let kept = if open.connections == 0 { 0 } else { idle.min(most / 2) };
        self.open + kept < most
    }
}

/// A connection that is open, for as long as it is held.
#[derive(Debug)]
pub struct Seat {
    pool: Pool,
    lane: Lane,
    /// How many of its waits are under way, one within the other.
    waits: AtomicUsize,
}

impl Seat {
    /// Gives the worker to others for as long as the wait is held.
    #[must_use]
    pub(super) fn waits(&self) -> Waiting<'_> {
        self.pool.change(|state| {
            if self.waits.fetch_add(1, Ordering::SeqCst) == 0
                && let Some(tenant) = state.tenants.get_mut(&self.lane.tenant)
            {
                tenant.waiting += 1;
            }
        });
        Waiting(self)
    }

    /// Notes that a sink does not answer at once, for as long as it is held.
    #[must_use]
    pub(super) fn slow(&self, sink: &SinkName) -> Slow<'_> {
        let sink = sink.clone();
        self.pool.change(|state| *state.slow.entry(sink.clone()).or_default() += 1);
        Slow(self, sink)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.change(|state| {
            state.open = state.open.saturating_sub(1);
            let last = take_one(&mut state.open_lanes, &self.lane);
            if let Some(tenant) = state.tenants.get_mut(&self.lane.tenant) {
                tenant.connections = tenant.connections.saturating_sub(1);
                tenant.lanes = tenant.lanes.saturating_sub(usize::from(last));
                if tenant.connections == 0 {
                    state.tenants.remove(&self.lane.tenant);
                }
            }
        });
    }
}

/// A connection that waits.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Seat);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pool.change(|state| {
            if self.0.waits.fetch_sub(1, Ordering::SeqCst) == 1
                && let Some(tenant) = state.tenants.get_mut(&self.0.lane.tenant)
            {
                tenant.waiting = tenant.waiting.saturating_sub(1);
            }
        });
    }
}

/// A call that a sink has not answered at once.
#[derive(Debug)]
pub(super) struct Slow<'a>(&'a Seat, SinkName);

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        self.0.pool.change(|state| {
            take_one(&mut state.slow, &self.1);
        });
    }
}

/// Counts one less; `true` where none is left.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let left = counts.get_mut(key).map(|count| {
        *count = count.saturating_sub(1);
        *count
    });
    if left == Some(0) {
        counts.remove(key);
    }
    left == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(tenant: &str, sinks: &[&str]) -> Lane {
        Lane::new(Tenant::try_new(tenant).unwrap(), sinks.iter().map(|name| sink(name)))
    }

    fn pool_of(limit: usize, lanes: &[&Lane]) -> Pool {
        let pool = Pool::default();
        pool.share_out(NonZeroUsize::new(limit).unwrap(), lanes.iter().copied());
        pool
    }

    /// Opens as many as are admitted.
    fn fill(pool: &Pool, lane: &Lane) -> Vec<Seat> {
        std::iter::from_fn(|| pool.admits(lane).then(|| pool.open(lane))).take(10_000).collect()
    }

    #[test]
    fn a_tenant_takes_all_of_its_own_workers_and_none_of_another() {
        let (one, other) = (lane("one.example", &["vault"]), lane("other.example", &["vault"]));
        let pool = pool_of(4, &[&one, &other]);
        let held = fill(&pool, &one);
        assert_eq!(held.len(), 4);
        assert_eq!(fill(&pool, &other).len(), 4);
        drop(held);
        assert_eq!(fill(&pool, &one).len(), 4);
        assert_eq!(fill(&Pool::default(), &one).len(), 0, "nothing was shared out");
    }

    #[tokio::test]
    async fn who_waits_holds_no_worker_until_it_goes_on() {
        let one = lane("one.example", &["vault"]);
        let pool = pool_of(2, &[&one]);
        let held = fill(&pool, &one);
        let outer = held[0].waits();
        let inner = held[0].waits();
        pool.changed().await;
        assert!(pool.admits(&one));
        drop(inner);
        assert!(pool.admits(&one), "it still waits");
        drop(outer);
        assert!(!pool.admits(&one));
        let waiting: Vec<_> = held.iter().map(Seat::waits).collect();
        assert_eq!(fill(&pool, &one).len(), 2);
        drop(waiting);
        drop(held);
        assert_eq!(fill(&pool, &one).len(), 2, "nothing is left counted");
    }

    #[test]
    fn the_last_worker_of_a_tenant_is_for_sinks_that_have_none() {
        let (vault, disk) = (lane("one.example", &["vault"]), lane("one.example", &["disk"]));
        let pool = pool_of(4, &[&vault, &disk]);
        let held = fill(&pool, &vault);
        assert_eq!(held.len(), 3);
        assert_eq!(fill(&pool, &disk).len(), 1);
        let alone = pool_of(1, &[&vault, &disk]);
        assert_eq!(fill(&alone, &vault).len(), 1, "with one worker there is no other way");
    }

    #[test]
    fn a_sink_that_does_not_answer_is_given_no_further_work_for_now() {
        let (hung, fine) = (lane("one.example", &["hung"]), lane("one.example", &["fine"]));
        let both = lane("other.example", &["hung", "fine"]);
        let pool = pool_of(3, &[&hung, &fine, &both]);
        let held = [pool.open(&hung), pool.open(&hung), pool.open(&hung)];
        assert!(!pool.admits(&fine), "all workers are taken");
        let waiting: Vec<_> = held.iter().map(Seat::waits).collect();
        assert!(pool.admits(&fine) && pool.admits(&hung));
        let slow: Vec<_> = held.iter().map(|seat| seat.slow(&sink("hung"))).collect();
        assert!(pool.admits(&fine));
        assert!(!pool.admits(&hung) && !pool.admits(&both));
        drop(slow);
        assert!(pool.admits(&hung) && pool.admits(&both));
        drop(waiting);
    }

    fn sink(name: &str) -> SinkName {
        SinkName::try_new(name).unwrap()
    }

    #[test]
    fn what_is_open_in_all_is_bounded_and_the_last_of_it_is_for_those_with_nothing_open() {
        let tenants: Vec<Lane> =
            (0..12).map(|number| lane(&format!("t{number:02}.example"), &["vault"])).collect();
        let pool = pool_of(2, &tenants.iter().collect::<Vec<_>>());
        // They wait for ever, so that further ones begin.
        let mut held: Vec<Seat> = Vec::new();
        while pool.admits(&tenants[0]) {
            let seat = pool.open(&tenants[0]);
            std::mem::forget(seat.waits());
            held.push(seat);
            assert!(held.len() <= 2 * OPEN);
        }
        assert_eq!(held.len(), 2 * OPEN - 11);
        for tenant in &tenants[1..] {
            assert!(pool.admits(tenant), "each of the others begins");
            held.push(pool.open(tenant));
        }
        assert_eq!(held.len(), 2 * OPEN);
        assert!(!tenants.iter().any(|tenant| pool.admits(tenant)));
    }
}
