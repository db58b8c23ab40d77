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
mod pieces;
mod properties;
mod sample;
mod sqlite;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use scimitar::{
    clock::SystemEntropy,
    ledger::{
        Ledger,
        sqlite::{LeaseClock, SqliteLedger},
    },
    token::LedgerId,
};
use scimitar_test_support::memory_ledger::MemoryLedger;

/// A store that processes can be started on, with a lease clock that the test moves.
pub(crate) struct Lab {
    start: Box<dyn Fn() -> Process>,
    milliseconds: Arc<AtomicU64>,
}

/// One process's handle on the store, and how it dies.
pub(crate) struct Process {
    pub(crate) ledger: Arc<dyn Ledger>,
    kill: Box<dyn FnOnce()>,
}

impl Lab {
    pub(crate) fn process(&self) -> Process {
        (self.start)()
    }

    /// Lets lease time pass.
    pub(crate) fn pass(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap();
        self.milliseconds.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Process {
    pub(crate) fn die(self) {
        let Self { ledger, kill } = self;
        drop(ledger);
        kill();
    }
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
        milliseconds,
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
        milliseconds,
    }
}

/// Runs a test's future as the binary would.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

macro_rules! conformance {
    ($($property:ident),+ $(,)?) => {
        mod memory {
            $(#[test]
            fn $property() {
                super::run(super::properties::$property(&super::memory_lab()));
            })+
        }

        mod on_disk {
            $(#[test]
            fn $property() {
                super::run(super::properties::$property(&super::sqlite_lab()));
            })+
        }
    };
}

conformance! {
    all_handles_show_one_id,
    versions_are_compare_and_set,
    records_come_back_as_they_were,
    records_of_other_connections_stay,
    claims_are_exclusive,
    a_claim_brings_the_record_that_it_covers,
    what_is_written_in_one_piece_is_there_or_not,
    side_by_side_each_call_has_its_own_answer,
    claims_end_by_the_lease_clock,
    renewing_keeps_a_claim,
    an_ended_claim_is_lost_though_nobody_took_it,
    an_old_claim_is_fenced_off,
    a_claim_covers_its_own_connection_only,
    a_released_claim_is_free,
    a_dead_holders_claim_is_free_at_once,
    what_is_due_comes_most_urgent_first,
    pages_and_next_rotations_leave_nobody_out,
    history_is_newest_first_and_bounded,
    losses_are_counted_by_tenant,
    a_connection_is_found_at_another_tenant_by_id_and_name,
    two_never_hold_one_claim,
}
