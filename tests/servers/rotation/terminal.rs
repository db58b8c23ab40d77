//! What only a person can mend ends a call at once, in words; once it is mended the next call tries.

use std::{fs, os::unix::fs::PermissionsExt};

use chrono::TimeDelta;
use scimitar::{
    clock::parse_timestamp,
    sandbox::{Act, Rule},
};
use serde_json::Value;

use super::{
    binary::Ended,
    world::{CLIENT_SECRET, TOKENS, World, side_by_side},
};

/// The row of a call that ended at once with exit status 1: it would have tried for two minutes.
fn at_once(ended: Ended, words: &str) -> Value {
    let ended = ended.exits(1);
    let document = ended.json();
    let at = |key: &str| parse_timestamp(document[key].as_str().unwrap()).unwrap();
    let took = at("finished_at") - at("started_at");
    assert!(took < TimeDelta::seconds(45), "{took}: {document}");
    let row = document["results"][0].clone();
    assert_eq!(
        (&row["outcome"], &row["error"]["class"]),
        (&"failed".into(), &"terminal".into()),
        "{row}"
    );
    let said = row["error"]["message"].as_str().unwrap();
    assert!(said.contains(words), "{words}: {row}");
    assert_ne!(row["reason"], "timeout", "{row}");
    row
}

fn secret(world: &World, text: &str) {
    let path = world.path("client-secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

const CALLS: [&str; 2] = ["--once", "--rotate-now"];

#[test]
fn a_wrong_client_secret_fails_at_once_and_is_re_read() {
    side_by_side(CALLS, |call| {
        let world = World::new();
        secret(&world, "another-secret");
        at_once(world.run(&[call]), "401");
        // Nobody waits for a pause that began before it was mended.
        secret(&world, CLIENT_SECRET);
        let row = world.run(&[call, "--timeout", "30s"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{row}");
    });
}

#[test]
fn a_connection_that_does_not_exist_ends_a_call_at_once() {
    side_by_side(CALLS, |call| {
        let mut world = World::new();
        world.config.connection_id = "con_nosuch0000000001".to_owned();
        world.configure();
        at_once(world.run(&[call]), "connection");
        assert_eq!(world.creates(), 0);
    });
}

#[test]
fn a_folder_that_cannot_be_written_to_ends_a_call_at_once() {
    side_by_side(CALLS, |call| {
        let world = World::new();
        // Nobody makes files there, root included.
        let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
        let elsewhere = text.replace("directory = \"tokens\"", "directory = \"/sys/kernel\"");
        assert_ne!(elsewhere, text);
        fs::write(world.path("scimitar.toml"), elsewhere).unwrap();
        at_once(world.run(&[call]), "/sys/kernel");
        assert_eq!(world.creates(), 0);
    });
}

#[test]
fn a_missing_right_ends_a_call_at_once() {
    side_by_side(CALLS, |call| {
        let world = World::new();
        world.fault(Rule::new("POST", "", Act::Status(403)).ending(TOKENS));
        at_once(world.run(&[call]), "403");
        assert_eq!(world.creates(), 1);
    });
}

#[test]
fn what_may_pass_is_waited_for() {
    let world = World::rotated();
    world.fault(Rule::new("GET", "", Act::Status(503)).ending(TOKENS).nth(1));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "what is transient is tried again: {row}");
}
