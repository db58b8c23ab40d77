//! The sink for AWS Secrets Manager against moto, and against a stricter server that answers as
//! AWS's documents say where moto does not.

#[cfg(test)]
mod beside;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod conforms;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod parameters;
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
#[cfg(test)]
mod site;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod versions;

use scimitar_test_support::{delivery, moto, secrets_manager, sink_conformance};
