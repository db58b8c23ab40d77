//! The host's wall clock, which may jump, and the pauses that every call into the world makes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use chrono::DateTime;
use scimitar::clock::{AgreedClock, Clock, Entropy, ProviderTime, Timestamp};

use super::{
    rng::Rng,
    world::{Ms, Pid, Sim},
};

/// Milliseconds since 1970 as the product's type.
pub(crate) fn timestamp(at: Ms) -> Timestamp {
    DateTime::from_timestamp_millis(at).unwrap_or_default()
}

/// The same by the provider's clock.
pub(crate) fn told(at: Ms) -> ProviderTime {
    ProviderTime::told(timestamp(at))
}

/// The clock of its host as a process sees it.
#[derive(Clone)]
pub(crate) struct SimClock(pub(crate) Sim, pub(crate) Pid);

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimClock")
    }
}

impl SimClock {
    /// What a process goes by: its host's clock, until a ledger that it shares shows another time.
    pub(crate) fn agreed(sim: &Sim, pid: Pid) -> Arc<AgreedClock> {
        Arc::new(AgreedClock::new(Arc::new(Self(sim.clone(), pid))))
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        timestamp(self.0.lock().host_wall(self.1))
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let deadline = deadline.timestamp_millis();
        WallReaches { sim: self.0.clone(), pid: self.1, deadline, yielded: false }.await;
    }
}

/// Ready once the wall clock shows `deadline`, jumps included.
struct WallReaches {
    sim: Sim,
    pid: Pid,
    deadline: Ms,
    yielded: bool,
}

impl Future for WallReaches {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let left = {
            let mut world = self.sim.lock();
            let left = self.deadline - world.host_wall(self.pid);
            if left <= 0 && self.yielded {
                return Poll::Ready(());
            }
            let at = world.now + left.max(0);
            world.park(at);
            left
        };
        self.yielded = true;
        if left <= 0 {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Always pending at least once, then ready `for_ms` later in true time.
pub(crate) struct Pause {
    sim: Sim,
    for_ms: Ms,
    at: Option<Ms>,
}

impl Pause {
    pub(crate) fn new(sim: &Sim, for_ms: Ms) -> Self {
        Self { sim: sim.clone(), for_ms, at: None }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at = {
            let mut world = self.sim.lock();
            let at = self.at.unwrap_or(world.now + self.for_ms);
            if self.at.is_some() && world.now >= at {
                return Poll::Ready(());
            }
            world.park(at);
            at
        };
        self.at = Some(at);
        // Whoever polls children only when they were woken still comes back to this one.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Seeded randomness for the product.
pub(crate) struct SimEntropy(AtomicU64);

impl SimEntropy {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self(AtomicU64::new(rng.next()))
    }
}

impl fmt::Debug for SimEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimEntropy")
    }
}

impl Entropy for SimEntropy {
    fn bits(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Rng::new(state).next()
    }
}
