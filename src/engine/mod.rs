//! The shell: carries out what the core decides, one step after another.

mod operate;
pub mod report;
mod run;
mod steps;
pub mod worker;
