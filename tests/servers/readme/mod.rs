//! What the documents say is so: the tour and the walks through a first rotation and through operations are run
//! as they stand, and the metrics are those of the program.
//!
//! `UPDATE_README=1 cargo test readme::` rewrites what they show.

#[cfg(test)]
mod metrics;
#[cfg(test)]
mod tour;
#[cfg(test)]
mod walks;

use scimitar_test_support::{bao, text, venv};
