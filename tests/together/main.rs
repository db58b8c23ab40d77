//! One connection, three kinds of sink, each a real server or the real file system, through the real
//! binary: all of them get the token, one that is away holds no other up, and a value that one of
//! them has is never lost.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[path = "../support/bao.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod bao;
#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod binary;
#[cfg(test)]
mod holes;
#[path = "../support/moto.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod moto;
#[cfg(test)]
mod three;
#[path = "../support/venv.rs"]
mod venv;
