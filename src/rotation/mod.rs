//! The core: what happens next, and why. Pure: no I/O, no clock, no randomness.

pub mod answer;
pub mod backoff;
mod clocks;
pub mod decide;
pub mod decided;
pub mod due;
pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forecast;
mod intent;
mod known;
pub mod machine;
mod news;
pub mod notice;
pub mod observe;
pub mod operate;
mod places;
pub mod policy;
pub mod print;
mod probe;
pub mod record;
pub mod request;
pub mod retiring;
pub mod schedule;
pub mod sink_state;
mod skew;
pub mod status;
mod trouble;
pub mod view;
pub mod why;
