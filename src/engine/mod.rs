//! The shell: carries out what the core decides, one step after another.

mod agenda;
pub mod at_hooks;
mod audited;
pub mod daemon;
mod deliver;
mod hooks;
pub mod live;
mod look;
mod operate;
mod pages;
pub mod peek;
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
