//! What only the ledger in memory can do, for the simulation.

use std::{future::Future, pin::pin, sync::Arc, task, time::Duration};

use scimitar::{
    ledger::{Claim, Claimed, Ledger, LedgerError},
    token::{ConnectionId, ConnectionKey, LedgerId, Tenant},
};
use scimitar_test_support::memory_ledger::MemoryLedger;

fn now<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut task::Context::from_waker(task::Waker::noop())) {
        task::Poll::Ready(answer) => answer,
        task::Poll::Pending => panic!("a ledger in memory never pends"),
    }
}

/// What a simulation does to the ledger itself, beside what the conformance suite requires.
#[test]
fn a_memory_ledger_can_die_go_away_and_be_restored() {
    let id = LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap();
    let key = ConnectionKey {
        tenant: Tenant::try_new("acme.example").unwrap(),
        connection: ConnectionId::try_new("con_1").unwrap(),
    };
    let lease = Duration::from_secs(60);
    let ledger = MemoryLedger::shared(&id, Arc::new(|| Duration::from_secs(7)), 1).remove(0);
    let other = ledger.another();
    let old = ledger.backup();

    assert!(matches!(
        now(ledger.claim(&key, lease)),
        Ok(Claimed::Yes(Claim { fence: 1, .. }, None))
    ));
    assert_eq!(now(other.claim(&key, lease)).unwrap(), Claimed::Held(lease));
    ledger.die();
    assert!(matches!(now(ledger.load(&key)), Err(LedgerError::Unavailable { .. })));
    assert!(matches!(
        now(other.claim(&key, lease)),
        Ok(Claimed::Yes(Claim { fence: 2, .. }, None))
    ));

    other.set_reachable(false);
    assert!(matches!(now(other.load(&key)), Err(LedgerError::Unavailable { .. })));
    other.set_reachable(true);
    other.restore(old);
    assert!(matches!(
        now(other.claim(&key, lease)),
        Ok(Claimed::Yes(Claim { fence: 1, .. }, None))
    ));
}
