//! How many workers wait for a hook: they hold a connection, but no place that a rotation needs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// So many at most give their place up: more hooks at once are held back by it.
const MOST: usize = 64;

/// A count that can be waited for.
#[derive(Clone, Debug, Default)]
pub struct AtHooks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    changed: Notify,
}

/// One that waits, for as long as it is held.
#[derive(Debug)]
pub(super) struct Waiting(AtHooks);

impl AtHooks {
    /// How many places are given up at this moment.
    pub(super) fn now(&self) -> usize {
        self.0.count.load(Ordering::SeqCst).min(MOST)
    }

    /// Returns when another one waits.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(super) fn enter(&self) -> Waiting {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_counted_until_it_goes_on() {
        let at_hooks = AtHooks::default();
        let held: Vec<_> = (0..MOST + 1).map(|_| at_hooks.enter()).collect();
        at_hooks.changed().await;
        assert_eq!(at_hooks.now(), MOST);
        drop(held);
        assert_eq!(at_hooks.now(), 0);
    }
}
