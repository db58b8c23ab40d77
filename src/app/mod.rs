//! What runs, built from a configuration: providers, sinks, hooks, the ledger and the engine. Commands
//! and the daemon use it and build nothing themselves.

mod budgets;
mod build;
mod error;
mod hooks;
mod ledger;
mod rebuild;

pub use self::{
    budgets::Budgets,
    build::{App, Reached, build, build_on},
    error::AppError,
    ledger::{Use, open_ledger},
    rebuild::{Before, rebuild},
};
