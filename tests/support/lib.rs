//! What several test binaries share: servers that tests start, doubles, and the suites that every
//! provider and every sink has to pass.
//!
//! A crate, so that it is compiled once and each test binary uses what it needs of it. It depends on
//! `scimitar` as the test binaries do; unit tests in `src/` must not use it, since they would see two
//! versions of each type.

#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests fail as the tests themselves do, and are named after what they do"
)]

pub mod bao;
pub mod binary;
pub mod built;
pub mod cloud;
pub mod debian;
pub mod delivery;
pub mod door;
pub mod graph;
pub mod heard;
pub mod hostile;
pub mod image;
pub mod issuers;
pub mod key_vault;
pub mod kubernetes;
pub mod ledger_conformance;
pub mod memory_ledger;
pub mod moto;
pub mod node;
pub mod okta;
pub mod own_process;
pub mod pace;
pub mod postgres;
pub mod provider_conformance;
pub mod receiver;
pub mod rng;
pub mod root;
pub mod secret_manager;
pub mod secrets_manager;
pub mod sink_conformance;
pub mod text;
pub mod venv;
