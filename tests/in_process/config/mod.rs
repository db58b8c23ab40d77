//! The configuration, read as `scimitar` reads it: one test a refusal, with its exact place.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test ends where what it needs is not there"
)]

mod absent;
mod aws;
#[cfg(feature = "azure_key_vault")]
mod azure;
mod beside;
mod dbt_cloud;
mod declared;
mod discover;
mod example;
mod files;
#[cfg(feature = "gcp_secret_manager")]
mod gcp;
mod handoffs;
mod hooks;
mod http;
mod kubernetes;
mod okta;
mod parameters;
mod policies;
mod programs;
mod providers;
mod refusals;
mod schema;
mod scim_config;
mod secrets;
mod server;
mod services;
mod support;
mod tables;
mod vaults;
mod watches;

use scimitar_test_support::venv;
