//! What `monitoring/` holds, against the real Prometheus and promtool: they accept it, and it asks
//! for nothing that is not exported.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[cfg(test)]
mod exposition;
#[cfg(test)]
mod files;
mod prometheus;
mod site;

use scimitar_test_support::{binary, debian};
