//! The README's picture of the state machine.
//!
//! `UPDATE_README=1 cargo test readme::` writes it, and what else the README takes from the program.

#[cfg(test)]
mod diagram;

use scimitar_test_support::text;
