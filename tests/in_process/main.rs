//! What runs inside the test process: the state machines, the simulation, the ledger, the
//! configuration, the providers and sinks against doubles, the scheduler, the sandbox over HTTP, and
//! the rules for the sources.

mod config;
mod hostile;
mod layers;
mod ledger;
mod machine;
mod messages;
mod provider;
mod providers;
mod readme;
mod release;
mod sandbox;
mod scheduler;
mod security;
mod simulation;
mod sinks;
mod small_worlds;
