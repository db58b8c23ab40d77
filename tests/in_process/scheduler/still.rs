//! A ledger whose answer does not come: neither failing nor working, as a disk that hangs is. Only
//! who looks at the scheduler's own progress can tell.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    clock::Timestamp,
    ledger::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored},
    rotation::record::Record,
    token::{ConnectionKey, LedgerId, Tenant},
};
use tokio::sync::watch;

use super::{
    days,
    memory_ledger::MemoryLedger,
    seconds,
    world::{World, noon},
};

/// The same ledger; what is due is not said while it hangs.
#[derive(Debug)]
struct Hanging {
    ledger: Arc<MemoryLedger>,
    hangs: watch::Sender<bool>,
}

#[async_trait]
impl Ledger for Hanging {
    fn id(&self) -> &LedgerId {
        self.ledger.id()
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        self.ledger.load(key).await
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        self.ledger.all().await
    }

    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        self.ledger.claim(key, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        self.ledger.renew(claim, lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        self.ledger.release(claim).await
    }

    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError> {
        self.ledger.store(claim, version, record, entry).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        self.ledger.due(now, limit).await
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        self.ledger.history(key, limit).await
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        self.ledger.losses(tenant, since).await
    }
}

#[tokio::test]
async fn nobody_is_told_that_it_lives_while_it_stands_still() {
    let mut world = World::new(seconds(0));
    world.record("one", seconds(0), days(60)).await;
    let ledger =
        Arc::new(Hanging { ledger: Arc::clone(&world.ledger), hangs: watch::Sender::new(false) });
    world.engine.ledger = ledger.clone();
    let connection = world.connection("one");
    world.start(vec![connection], 4);
    world.pass(seconds(600)).await;
    assert_eq!(world.visited(), ["con_one"]);
    let before = world.told.rounds();
    assert!(before >= 10, "{before} rounds in ten minutes");
    // It goes into its next round and does not come out of it, however much time passes.
    ledger.hangs.send_replace(true);
    world.pass(seconds(60)).await;
    let (rounds, beat) = (world.told.rounds(), world.live.beat());
    let since = noon() + world.clock.since();
    world.pass(days(1)).await;
    assert_eq!(world.told.rounds(), rounds, "the watchdog is not fed");
    assert_eq!(world.live.beat(), beat, "nor does /livez see it go on");
    assert!(beat <= since);
    assert_eq!(world.visited(), [""; 0]);
    // The answer comes after all.
    ledger.hangs.send_replace(false);
    world.pass(seconds(60)).await;
    assert!(world.told.rounds() > rounds);
    assert!(world.live.beat() >= since + days(1));
    assert_eq!(world.visited(), ["con_one"], "what has become due meanwhile");
}
