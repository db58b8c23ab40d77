//! What `monitoring/` holds, against the real Prometheus and promtool: they accept it, and it asks
//! for nothing that is not exported.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod binary;
#[path = "../support/debian.rs"]
mod debian;
#[cfg(test)]
mod exposition;
#[cfg(test)]
mod files;
mod prometheus;
mod site;
