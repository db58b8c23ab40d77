//! The sink for AWS Secrets Manager against moto, and against a stricter server that answers as
//! AWS's documents say where moto does not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[cfg(test)]
mod canary;
#[cfg(test)]
mod conforms;
#[cfg(test)]
mod credentials;
#[cfg(test)]
#[path = "../support/delivery.rs"]
mod delivery;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod identity;
#[path = "../support/moto.rs"]
mod moto;
#[cfg(test)]
mod places;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod races;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rotates;
#[path = "../support/secrets_manager/mod.rs"]
mod secrets_manager;
#[path = "../support/sink_conformance.rs"]
mod sink_conformance;
#[cfg(test)]
mod site;
#[cfg(test)]
mod strict;
#[path = "../support/venv.rs"]
mod venv;
#[cfg(test)]
mod versions;
