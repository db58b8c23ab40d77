//! The sandbox from outside: over HTTP, as a provider and as an identity provider see it.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod dbt;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod misbehaviour;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod scim;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod support;

use scimitar_test_support::venv;
