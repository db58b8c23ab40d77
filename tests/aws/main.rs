//! The sink for AWS Secrets Manager against moto, and against a stricter server that answers as
//! AWS's documents say where moto does not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[cfg(test)]
mod conforms;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/sink_conformance.rs"]
mod sink_conformance;
#[cfg(test)]
mod site;
#[path = "../support/venv.rs"]
mod venv;
#[cfg(test)]
mod versions;
