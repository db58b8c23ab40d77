//! Deterministic simulation: the real worker in a simulated world.
//!
//! `SCIMITAR_SEED=n` replays one life with every event printed; `SCIMITAR_SEEDS=n` lives as many.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "outside of #[test] functions, all of this is test code all the same"
)]

mod calls;
mod clock;
mod configuring;
mod conn;
mod ends;
mod enumerate;
mod executor;
mod faults;
mod fleet;
mod held;
mod hooks;
mod ledger;
mod life;
mod mending;
mod naive;
mod observe;
mod outages;
mod people;
mod places;
mod process;
mod promises;
mod provider;
mod replicas;
mod saboteurs;
mod seeds;
mod sinks;
mod soak;
mod staging;
mod uptake;
mod well;
mod world;
mod writing;

use scimitar_test_support::{memory_ledger, rng};
