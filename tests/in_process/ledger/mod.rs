//! What every ledger must do, and what SQLite's must do beside it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

mod durability;
mod golden;
mod in_memory;
mod moving;
mod sqlite;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use scimitar::{
    clock::SystemEntropy,
    ledger::sqlite::{LeaseClock, SqliteLedger},
    token::LedgerId,
};
use scimitar_test_support::{
    ledger_conformance::{Lab, Process, run, sample},
    memory_ledger::MemoryLedger,
};

fn passing(milliseconds: Arc<AtomicU64>) -> Box<dyn Fn(Duration)> {
    Box::new(move |time| {
        let more = u64::try_from(time.as_millis()).unwrap();
        milliseconds.fetch_add(more, Ordering::SeqCst);
    })
}

fn memory_lab() -> Lab {
    let milliseconds = Arc::new(AtomicU64::new(1_000));
    let now = Arc::clone(&milliseconds);
    let id = LedgerId::try_new("00112233445566778899aabbccddeeff").unwrap();
    let boot = Arc::new(move || Duration::from_millis(now.load(Ordering::SeqCst)));
    let first = MemoryLedger::shared(&id, boot, 1).remove(0);
    Lab {
        start: Box::new(move || {
            let ledger = Arc::new(first.another());
            let dying = Arc::clone(&ledger);
            Process { ledger, kill: Box::new(move || dying.die()) }
        }),
        pass: passing(milliseconds),
    }
}

fn sqlite_lab() -> Lab {
    let milliseconds = Arc::new(AtomicU64::new(1_000));
    let now = Arc::clone(&milliseconds);
    let clock = LeaseClock::new("8c1d2a34-1111-4000-8000-000000000000", move || {
        Duration::from_millis(now.load(Ordering::SeqCst))
    });
    let folder = tempfile::tempdir().unwrap();
    Lab {
        start: Box::new(move || {
            let path = folder.path().join("ledger.db");
            let ledger = SqliteLedger::open_with(&path, &SystemEntropy, clock.clone()).unwrap();
            Process {
                ledger: Arc::new(ledger),
                // The process is gone when the last handle is; a real SIGKILL is in `durability`.
                kill: Box::new(|| {}),
            }
        }),
        pass: passing(milliseconds),
    }
}

mod memory {
    scimitar_test_support::ledger_conforms!(
        super::memory_lab(),
        a_dead_holders_claim_is_free_at_once
    );
}

mod on_disk {
    scimitar_test_support::ledger_conforms!(
        super::sqlite_lab(),
        a_dead_holders_claim_is_free_at_once
    );
}
