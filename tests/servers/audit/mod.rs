//! The audit log and the logs: the real binary, real processes, and whatever can be done to a file.

#![expect(clippy::string_slice, reason = "helpers of tests fail as the tests themselves do")]

#[cfg(test)]
mod chain;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod log;
#[cfg(test)]
mod logrotate;
#[cfg(test)]
mod processes;

use scimitar_test_support::{binary, debian};

use super::rotation::world;
