//! The ledger in PostgreSQL, on a real server: what every ledger must do, what only this one can, and
//! what it does when the server, the network or another replica does not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

mod claims;
mod clock;
mod commands;
mod conforms;
mod document;
mod faults;
mod limits;
mod moving;
mod opening;
mod pooler;
mod races;
mod replicas;
mod silent;
pub(crate) mod site;
mod tls;
