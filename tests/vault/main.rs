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
mod conforms;
#[cfg(test)]
mod hazards;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod logins;
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
#[path = "../support/venv.rs"]
mod venv;
