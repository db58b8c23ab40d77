//! The real binary against a tenant that the test controls: files, SQLite, HTTP, signals, kill -9.
//! Each test is named after the promise that it holds the program to.

#[path = "../support/binary.rs"]
mod binary;
mod kill;
mod signals;
mod together;
mod tour;
mod world;
