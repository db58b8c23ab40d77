//! Scimitar rotates SCIM bearer tokens.
//!
//! The library exists for the `scimitar` binary and its tests; it has no stable API.
#![doc = include_str!("../docs/architecture.md")]

pub mod app;
pub mod aws_identity;
pub mod child;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod engine;
pub mod error;
pub mod hook;
pub mod http;
pub mod import;
pub mod kind;
pub mod ledger;
pub mod pattern;
pub mod place;
pub mod probe;
pub mod provider;
pub mod revision;
pub mod rotation;
pub mod sandbox;
pub mod secret;
pub mod shared;
pub mod shown;
pub mod sink;
pub mod table;
pub mod telemetry;
mod template;
pub mod token;
pub mod web;
pub mod words;
