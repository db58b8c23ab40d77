//! The control socket: the real daemon, and callers that have no secret.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[cfg(test)]
mod alone;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod trouble;

use std::fs;

use scimitar_test_support::binary::Running;
use serde_json::Value;

use super::rotation::world::{CLIENT_SECRET, World, until};

/// A tenant whose secret is in the environment of whoever has it, with a socket in the configuration.
fn world() -> World {
    let mut world = World::new();
    world
        .config
        .more
        .push_str("[control]\nsocket = \"control.sock\"\n[log]\naudit = \"audit.jsonl\"\n");
    configure(&world, "");
    world
}

/// Writes the configuration, with something behind it.
fn configure(world: &World, more: &str) {
    world.configure();
    let path = world.path("scimitar.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("{ file = \"client-secret\" }", "{ env = \"CLIENT_SECRET\" }");
    fs::write(path, text + more).unwrap();
}

/// The daemon, which has the secret.
fn daemon(world: &World) -> Running {
    let daemon = world.call(&["run"]).env("CLIENT_SECRET", CLIENT_SECRET).start();
    daemon.err.until_text("the control socket is open at");
    daemon
}

/// The same once it has rotated for the first time.
fn rotated(world: &World) -> Running {
    let daemon = daemon(world);
    // Before the first rotation it is steady too.
    until("the first rotation", || {
        let row = world.status();
        row["phase"] == "steady" && row["token_id"].is_string()
    });
    daemon
}

/// The lines of the audit log.
fn audited(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.path("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
