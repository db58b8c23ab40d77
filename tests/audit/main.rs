//! The audit log and the logs: the real binary, real processes, and whatever can be done to a file.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod binary;
#[cfg(test)]
mod chain;
#[path = "../support/debian.rs"]
#[cfg(test)]
mod debian;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod log;
#[cfg(test)]
mod logrotate;
#[cfg(test)]
mod processes;
#[path = "../rotation/world.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod world;
