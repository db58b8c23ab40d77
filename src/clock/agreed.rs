//! The host's clock, set by the one that several hosts share.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{Clock, Timestamp};

/// A host's clock that goes by another one as soon as that was read.
///
/// Replicas write moments into one record and compare them with their own: each of them would have to
/// allow for what the other's clock is off by. They go by the ledger's instead.
#[derive(Debug)]
pub struct AgreedClock {
    host: Arc<dyn Clock>,
    /// What the shared clock is ahead of the host's, in milliseconds.
    ahead: AtomicI64,
}

impl AgreedClock {
    /// The host's time, until another was read.
    #[must_use]
    pub fn new(host: Arc<dyn Clock>) -> Self {
        Self { host, ahead: AtomicI64::new(0) }
    }

    /// The time of the host, whatever was agreed on.
    #[must_use]
    pub fn host_time(&self) -> Timestamp {
        self.host.now()
    }

    /// What the shared clock shows at a time of the host's, as far as is known.
    #[must_use]
    pub fn at(&self, host: Timestamp) -> Timestamp {
        host.checked_add_signed(self.ahead()).unwrap_or(host)
    }

    /// What the shared clock is ahead of the host's.
    #[must_use]
    pub fn ahead(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.ahead.load(Ordering::Relaxed))
    }

    /// The shared clock showed this after it was `asked` for, by the host's time, and before now. What
    /// it may be ahead by lies between the two; what is agreed on stays as it is if it does, so that
    /// an answer that took long moves nothing.
    pub fn learn(&self, asked: Timestamp, shown: Timestamp) {
        let came = self.host.now();
        let (least, most) = ((shown - came).num_milliseconds(), (shown - asked).num_milliseconds());
        // The host's clock was set back meanwhile: that shows nothing.
        if least <= most {
            let ahead = self.ahead.load(Ordering::Relaxed);
            self.ahead.store(ahead.clamp(least, most), Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Clock for AgreedClock {
    fn now(&self) -> Timestamp {
        self.at(self.host.now())
    }

    /// What is learnt meanwhile makes nobody sleep longer; whoever goes by it looks again.
    async fn sleep_until(&self, deadline: Timestamp) {
        let there = deadline.checked_sub_signed(self.ahead()).unwrap_or(deadline);
        self.host.sleep_until(there).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::parse_timestamp;

    #[derive(Debug)]
    struct Host(Mutex<Timestamp>);

    #[async_trait]
    impl Clock for Host {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        async fn sleep_until(&self, deadline: Timestamp) {
            *self.0.lock().unwrap() = deadline;
        }
    }

    fn noon() -> Timestamp {
        parse_timestamp("2026-11-30T12:00:00Z").unwrap()
    }

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    #[tokio::test]
    async fn it_shows_the_shared_time_and_sleeps_by_it() {
        let host = Arc::new(Host(Mutex::new(noon())));
        let clock = AgreedClock::new(Arc::clone(&host) as _);
        assert_eq!(clock.now(), noon());
        clock.learn(noon(), noon() + seconds(3_600));
        assert_eq!(clock.now(), noon() + seconds(3_600));
        assert_eq!(clock.host_time(), noon());
        clock.sleep_until(noon() + seconds(3_660)).await;
        assert_eq!(host.now(), noon() + seconds(60));
        assert_eq!(clock.now(), noon() + seconds(3_660));
    }

    #[test]
    fn an_answer_that_took_long_moves_no_more_than_it_shows() {
        let host = Arc::new(Host(Mutex::new(noon())));
        let clock = AgreedClock::new(Arc::clone(&host) as _);
        clock.learn(noon(), noon() + seconds(100));
        // Ten seconds on their way: it is 92 to 102 s ahead, and 100 s may be right.
        *host.0.lock().unwrap() = noon() + seconds(10);
        clock.learn(noon(), noon() + seconds(102));
        assert_eq!(clock.ahead(), seconds(100));
        // 102 to 112 s.
        clock.learn(noon(), noon() + seconds(112));
        assert_eq!(clock.ahead(), seconds(102));
        // 80 to 90 s.
        clock.learn(noon(), noon() + seconds(90));
        assert_eq!(clock.ahead(), seconds(90));
        // Set back while the answer was on its way.
        clock.learn(noon() + seconds(11), noon() + seconds(5_000));
        assert_eq!(clock.ahead(), seconds(90));
    }

    #[test]
    fn no_time_at_all_is_beyond_it() {
        let clock = AgreedClock::new(Arc::new(Host(Mutex::new(Timestamp::MAX_UTC))));
        clock.learn(Timestamp::MAX_UTC, Timestamp::MIN_UTC);
        let _ = clock.now();
        clock.learn(Timestamp::MIN_UTC, Timestamp::MAX_UTC);
        let _ = clock.now();
    }
}
