//! A provider's clock, as its answers show it.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::{
    clock::{ProviderClock, Timestamp},
    http::Reply,
};

/// The provider's clock by its newest answer; before one, the host's.
#[derive(Debug, Default)]
pub(super) struct NewestClock {
    skew_ms: AtomicI64,
}

impl NewestClock {
    /// Learns what an answer shows that came at `here`.
    pub(super) fn see(&self, reply: &Reply, here: Timestamp) {
        if let Some(date) = reply.date() {
            let skew = ProviderClock::seen(date, here).skew();
            self.skew_ms.store(skew.num_milliseconds(), Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> ProviderClock {
        ProviderClock::ahead_by(TimeDelta::milliseconds(self.skew_ms.load(Ordering::Relaxed)))
    }
}
