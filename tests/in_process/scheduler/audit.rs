//! The audit log's head is told by the scheduler as it goes round, and nobody wakes for that alone.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use scimitar::telemetry::audit::{Audit, entry::Entry};

use super::{seconds, world::World};

/// An audit log that counts who asks for its head.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

#[async_trait]
impl Audit for Asked {
    fn is_on(&self) -> bool {
        true
    }

    async fn note(&self, _: Entry) {}

    async fn leave(&self) {}

    async fn head(&self) -> Option<String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }
}

#[tokio::test]
async fn the_head_is_asked_for_every_hour() {
    let mut world = World::new(seconds(0));
    let asked = Arc::new(Asked::default());
    world.engine.audit = asked.clone();
    world.start(Vec::new(), 4);
    world.pass(seconds(5 * 3_600 + 300)).await;
    assert_eq!(asked.0.load(Ordering::SeqCst), 5);
    let jumps = world.clock.jumps();
    assert!(jumps <= 5 * 60 + 5 + 2, "{jumps} wake-ups");
}
