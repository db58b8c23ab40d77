//! The core: what happens next, and why. Pure: no I/O, no clock, no randomness.

#[cfg(test)]
pub(crate) mod fixture;
pub mod policy;
pub mod record;
pub mod schedule;
pub mod view;
pub mod why;
