//! The shell: carries out what the core decides, one step after another.

mod audited;
pub mod daemon;
mod deliver;
pub mod live;
mod look;
mod operate;
pub mod peek;
pub mod progress;
pub mod report;
mod run;
pub mod scrape;
mod steps;
pub mod worker;
