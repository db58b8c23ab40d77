//! The real binary against a tenant that the test controls: files, SQLite, HTTP, signals, kill -9.
//! Each test is named after the promise that it holds the program to.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod dbt;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod leak;
#[cfg(test)]
mod limited;
#[cfg(test)]
mod looking;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod spoken;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod together;
#[cfg(test)]
mod tour;
#[cfg(test)]
pub(crate) mod world;

use scimitar_test_support::binary;
