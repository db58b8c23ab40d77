//! The real binary against a tenant that the test controls: files, SQLite, HTTP, signals, kill -9.
//! Each test is named after the promise that it holds the program to.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod dbt;
#[cfg(test)]
mod discover;
#[cfg(test)]
mod entra;
mod handoff;
mod hooks;
#[cfg(test)]
mod inventory;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod leak;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod limited;
#[cfg(test)]
mod looking;
#[cfg(test)]
mod okta;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod pausing;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod scim_config;
#[cfg(test)]
mod selecting;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod spoken;
#[cfg(test)]
mod stops;
mod takeover;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod together;
#[cfg(test)]
mod tour;
#[cfg(test)]
mod watching;
mod webhooks;
#[cfg(test)]
pub(crate) mod world;
#[cfg(test)]
mod writing;

use scimitar_test_support::binary;
