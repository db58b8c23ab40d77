//! The status page and what is beside it: a real server over a real ledger, asked by a client, by the
//! real binary, and looked at in a browser.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

mod agree;
mod api;
mod browser;
mod chromium;
mod end_to_end;
mod fleet;
mod limits;
mod looks;
mod openapi;
mod page;
mod palette;
mod pictures;
mod promises;
mod sample;
mod site;
mod watched;

use scimitar_test_support::{binary, debian};
