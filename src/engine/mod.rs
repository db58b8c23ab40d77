//! The shell: carries out what the core decides, one step after another.

pub mod progress;
pub mod report;
pub mod worker;
