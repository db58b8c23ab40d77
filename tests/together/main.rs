//! One connection, three kinds of sink, each a real server or the real file system, through the real
//! binary: all of them get the token, one that is away holds no other up, and a value that one of
//! them has is never lost.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[path = "../support/bao.rs"]
mod bao;
#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/moto.rs"]
mod moto;
#[cfg(test)]
mod three;
#[path = "../support/venv.rs"]
mod venv;
