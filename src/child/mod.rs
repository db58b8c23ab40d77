//! Programs that are run: in a process group of their own, with a time limit, and nothing of them left.

pub mod children;
mod run;
pub mod trust;

pub use self::run::{Ended, NotRun, PATH, Program, Ran, badly, longest, run};
