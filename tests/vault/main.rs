//! The Vault sink against a real OpenBao, and against a server that answers as told where a real
//! one cannot.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[path = "../support/bao.rs"]
mod bao;
#[cfg(test)]
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/binary.rs"]
mod binary;
#[cfg(test)]
mod conforms;
#[cfg(test)]
mod containers;
#[cfg(test)]
#[path = "../support/delivery.rs"]
mod delivery;
#[cfg(test)]
mod hazards;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod once;
#[cfg(test)]
mod raft;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rotates;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod session;
#[path = "../support/sink_conformance.rs"]
mod sink_conformance;
#[cfg(test)]
mod site;
#[cfg(test)]
mod troubles;
#[path = "../support/venv.rs"]
mod venv;
