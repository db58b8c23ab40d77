//! What every ledger must do.

#[path = "support/memory_ledger.rs"]
mod memory_ledger;
