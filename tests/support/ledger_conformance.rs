//! What every ledger must do, over any kind of store.

pub mod pieces;
pub mod properties;
pub mod sample;

use std::{future::Future, sync::Arc, time::Duration};

use scimitar::ledger::Ledger;

/// A store that processes can be started on, with a lease clock that the test moves.
pub struct Lab {
    pub start: Box<dyn Fn() -> Process>,
    /// Lets lease time pass.
    pub pass: Box<dyn Fn(Duration)>,
}

/// One process's handle on the store, and how it dies.
pub struct Process {
    pub ledger: Arc<dyn Ledger>,
    pub kill: Box<dyn FnOnce()>,
}

impl Lab {
    pub fn process(&self) -> Process {
        (self.start)()
    }

    pub fn pass(&self, time: Duration) {
        (self.pass)(time);
    }
}

impl Process {
    pub fn die(self) {
        let Self { ledger, kill } = self;
        drop(ledger);
        kill();
    }
}

/// Runs a test's future as the binary would.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Makes a test of each property, in a lab that `$lab` makes; those of `$own` hold for some stores only.
#[macro_export]
macro_rules! ledger_conforms {
    ($lab:expr, $($own:ident),+ $(,)?) => {
        $crate::ledger_conforms!(@each $lab;
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
            what_is_due_comes_most_urgent_first,
            pages_and_next_rotations_leave_nobody_out,
            history_is_newest_first_and_bounded,
            looks_that_change_nothing_are_one_line,
            losses_are_counted_by_tenant,
            a_connection_is_found_at_another_tenant_by_id_and_name,
            two_never_hold_one_claim,
            $($own),+
        );
    };
    (@each $lab:expr; $($property:ident),+) => {
        $(#[test]
        fn $property() {
            $crate::ledger_conformance::run(async {
                $crate::ledger_conformance::properties::$property(&$lab).await;
            });
        })+
    };
}
