//! The configuration, read as `scimitar` reads it: one test a refusal, with its exact place.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test ends where what it needs is not there"
)]

mod aws;
mod dbt_cloud;
mod declared;
mod example;
mod files;
mod hooks;
mod http;
mod policies;
mod providers;
mod refusals;
mod schema;
mod secrets;
mod server;
mod support;
mod tables;
mod vaults;

use scimitar_test_support::venv;
