//! The shell: carries out what the core decides, one step after another.

mod agenda;
mod audited;
pub mod daemon;
mod deliver;
mod guard;
mod hooks;
mod lanes;
pub mod live;
pub(crate) mod look;
mod operate;
mod pages;
pub mod peek;
pub mod pool;
pub mod progress;
pub mod report;
mod rest;
pub mod row;
mod run;
pub mod scrape;
pub mod standing;
mod standstill;
mod steps;
pub mod worker;
