//! The real binary against a tenant that the test controls: files, SQLite, HTTP, signals, kill -9.
//! Each test is named after the promise that it holds the program to.

mod answers;
#[path = "../support/binary.rs"]
mod binary;
mod canary;
mod kill;
mod looking;
mod operator;
mod signals;
mod sinks;
mod together;
mod tour;
mod world;
