//! What the README and the documents say is so: commands, keys, metrics, and the tour, which is run as
//! it stands.
//!
//! `UPDATE_README=1 cargo test readme::` rewrites the picture and the tour's output.

#[cfg(test)]
mod tables;
#[cfg(test)]
mod tour;

use scimitar_test_support::text;
