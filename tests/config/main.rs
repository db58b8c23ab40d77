//! The configuration, read as `scimitar` reads it: one test a refusal, with its exact place.

mod example;
mod files;
mod policies;
mod refusals;
mod secrets;
mod support;
