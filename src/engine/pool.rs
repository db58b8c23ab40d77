//! Who may begin work: a pool of workers for each provider tenant, so that no tenant waits for
//! another one, and in it room for every set of sinks, so that no sink waits for another one.
//!
//! A connection that is open holds a worker of its tenant, except while it waits: for a pause to
//! end, for a hook, or for a sink or a SCIM endpoint that does not answer at once. What is open in
//! all is bounded, and with it memory and sockets.
//!
//! So what waits takes a place of all, for as long as it likes. Of these places some are kept for
//! others: a tenant that has as many open as it has workers keeps as many for every other tenant, at
//! most half of all; one that has fewer keeps one for each that has nothing open. In the same way
//! one set of sinks keeps places for the others of its tenant, at most a quarter of all.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

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
    /// The lanes of each tenant, and whether something waits to begin there.
    lanes: BTreeMap<Tenant, BTreeMap<Lane, bool>>,
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
    waiting: usize,
}

impl Pool {
    /// Gives every tenant so many workers. `lanes` are those of the configuration.
    pub fn share_out<'a>(&self, limit: NonZeroUsize, lanes: impl Iterator<Item = &'a Lane>) {
        let mut state = self.lock();
        state.limit = limit.get();
        state.lanes = BTreeMap::new();
        for lane in lanes {
            state.lanes.entry(lane.tenant.clone()).or_default().insert(lane.clone(), true);
        }
    }

    /// Says of which lanes something waits to begin; at first, it is taken to be so of all.
    pub(super) fn set_waiting<'a>(&self, lanes: impl Iterator<Item = (&'a Lane, bool)>) {
        let mut state = self.lock();
        for (lane, waits) in lanes {
            let of_tenant = state.lanes.get_mut(&lane.tenant);
            if let Some(known) = of_tenant.and_then(|of_tenant| of_tenant.get_mut(lane)) {
                *known = waits;
            }
        }
    }

    /// Says that nothing more of that lane is going to begin: nothing is kept for it.
    pub fn done(&self, lane: &Lane) {
        let mut state = self.lock();
        if let Some(of_tenant) = state.lanes.get_mut(&lane.tenant) {
            of_tenant.remove(lane);
            if of_tenant.is_empty() {
                state.lanes.remove(&lane.tenant);
            }
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
        *state.open_lanes.entry(lane.clone()).or_default() += 1;
        state.tenants.entry(lane.tenant.clone()).or_default().connections += 1;
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
        // The last worker of a tenant is for a lane that has none and that something waits in: its
        // sinks may be the only ones that answer.
        let has_one = self.open_lanes.contains_key(lane);
        if has_one && free == 1 && self.limit > 1 && self.waits_for_its_first(&lane.tenant) {
            return false;
        }
        self.open + self.kept(lane) < self.limit.saturating_mul(OPEN)
    }

    /// Whether a lane of this tenant has nothing open and something that waits to begin.
    fn waits_for_its_first(&self, tenant: &Tenant) -> bool {
        let mut lanes = self.lanes.get(tenant).into_iter().flatten();
        lanes.any(|(lane, waits)| *waits && !self.open_lanes.contains_key(lane))
    }

    /// How many places are kept for others when one more of that lane would begin.
    fn kept(&self, lane: &Lane) -> usize {
        let most = self.limit.saturating_mul(OPEN);
        let of_tenant = |tenant| self.tenants.get(tenant).map_or(0, |open| open.connections);
        let of_lane = |lane| self.open_lanes.get(lane).copied().unwrap_or_default();
        let each = self.kept_for_each(of_tenant(&lane.tenant));
        let others = self.lanes.keys().filter(|tenant| **tenant != lane.tenant);
        let tenants: usize = others.map(|tenant| each.saturating_sub(of_tenant(tenant))).sum();
        let each = self.kept_for_each(of_lane(lane));
        let others = self.lanes.get(&lane.tenant).into_iter().flat_map(BTreeMap::keys);
        let others = others.filter(|other| *other != lane);
        let lanes: usize = others.map(|other| each.saturating_sub(of_lane(other))).sum();
        tenants.min(most / 2) + lanes.min(most / 4)
    }

    /// How many places each of the others is to have, where this one has so many.
    fn kept_for_each(&self, open: usize) -> usize {
        if open >= self.limit { self.limit } else { open.min(1) }
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
            take_one(&mut state.open_lanes, &self.lane);
            if let Some(tenant) = state.tenants.get_mut(&self.lane.tenant) {
                tenant.connections = tenant.connections.saturating_sub(1);
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
        self.0.pool.change(|state| take_one(&mut state.slow, &self.1));
    }
}

/// Counts one less.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
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
    fn no_last_worker_is_kept_for_a_sink_that_nothing_waits_for() {
        let (vault, disk) = (lane("one.example", &["vault"]), lane("one.example", &["disk"]));
        let pool = pool_of(4, &[&vault, &disk]);
        pool.set_waiting([(&vault, true), (&disk, false)].into_iter());
        let held = fill(&pool, &vault);
        assert_eq!(held.len(), 4);
        drop(held);
        pool.set_waiting([(&vault, true), (&disk, true)].into_iter());
        assert_eq!(fill(&pool, &vault).len(), 3);
        // Nothing of it is left, and nothing will come.
        pool.done(&disk);
        assert_eq!(fill(&pool, &vault).len(), 4);
    }

    /// Opens so many that wait for ever, as far as they are admitted.
    fn sleepers(pool: &Pool, lane: &Lane, count: usize) -> Vec<Seat> {
        let sleeper = || {
            let seat = pool.open(lane);
            std::mem::forget(seat.waits());
            seat
        };
        std::iter::from_fn(|| pool.admits(lane).then(sleeper)).take(count).collect()
    }

    #[test]
    fn who_waits_at_one_tenant_takes_no_worker_of_another() {
        let (one, other) = (lane("one.example", &["vault"]), lane("other.example", &["vault"]));
        let pool = pool_of(16, &[&one, &other]);
        let held = sleepers(&pool, &one, 300);
        assert_eq!(held.len(), 16 * OPEN - 16);
        assert_eq!(fill(&pool, &other).len(), 16);
        // Alone it has all seats.
        let pool = pool_of(16, &[&one]);
        assert_eq!(sleepers(&pool, &one, 300).len(), 16 * OPEN);
    }

    #[test]
    fn who_waits_for_one_sink_takes_no_worker_of_the_tenants_others() {
        let (vault, disk) = (lane("one.example", &["vault"]), lane("one.example", &["disk"]));
        let pool = pool_of(16, &[&vault, &disk]);
        let held = sleepers(&pool, &vault, 300);
        assert_eq!(held.len(), 16 * OPEN - 16);
        assert_eq!(fill(&pool, &disk).len(), 16);
        drop(held);
        pool.done(&disk);
        assert_eq!(sleepers(&pool, &vault, 300).len(), 16 * OPEN, "nothing is kept any more");
    }

    #[test]
    fn a_sink_that_sleepers_wait_for_leaves_room_for_many_tenants() {
        let tenants: Vec<Lane> =
            (0..40).map(|number| lane(&format!("t{number:02}.example"), &["vault"])).collect();
        let disk = lane("t00.example", &["disk"]);
        let pool = pool_of(4, &tenants.iter().chain([&disk]).collect::<Vec<_>>());
        let held = sleepers(&pool, &tenants[0], 300);
        assert!(held.len() >= 4 * OPEN / 4, "{}", held.len());
        assert_eq!(fill(&pool, &disk).len(), 4);
        assert!(tenants[1..].iter().all(|tenant| pool.admits(tenant)));
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
    fn what_is_open_is_bounded_and_the_last_is_for_those_with_none() {
        let tenants: Vec<Lane> =
            (0..12).map(|number| lane(&format!("t{number:02}.example"), &["vault"])).collect();
        let pool = pool_of(2, &tenants.iter().collect::<Vec<_>>());
        let mut held = sleepers(&pool, &tenants[0], 300);
        // The others' workers, but no more than half of all.
        assert_eq!(held.len(), 2 * OPEN - OPEN);
        for tenant in &tenants[1..] {
            assert!(pool.admits(tenant), "each of the others begins");
            held.push(pool.open(tenant));
        }
        for tenant in &tenants[1..] {
            held.extend(fill(&pool, tenant));
        }
        assert_eq!(held.len(), 2 * OPEN);
        assert!(!tenants.iter().any(|tenant| pool.admits(tenant)));
    }
}
