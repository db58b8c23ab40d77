//! Tokens that Terraform made are taken over: what `import` prints, and `adopt --all-from`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;

use serde_json::json;

use super::world::{OKTA, WAAD, World};

/// A state of Terraform with a token of each of these connections.
fn state(world: &World, tokens: &[(&str, &str, &str)]) {
    let resources: Vec<_> = tokens
        .iter()
        .enumerate()
        .map(|(nth, (connection, id, value))| {
            let attributes = json!({
                "connection_id": connection, "token_id": id, "token": value, "scopes": ["get:users"],
            });
            json!({
                "mode": "managed", "type": "auth0_connection_scim_token", "name": format!("t{nth}"),
                "instances": [{ "attributes": attributes }],
            })
        })
        .collect();
    let state = json!({ "version": 4, "serial": 3, "lineage": "a", "resources": resources });
    fs::write(world.path("terraform.tfstate"), state.to_string()).unwrap();
}

#[test]
fn what_import_prints_is_a_configuration_without_a_value() {
    let mut world = World::new();
    let (id, value) = world.mint(WAAD);
    state(&world, &[(WAAD, &id, &value)]);
    let printed = world.call(&["import", "terraform", "terraform.tfstate"]).run().exits(0);
    assert!(printed.stdout.contains(&id) && !printed.stdout.contains(&value), "{}", printed.stdout);
    assert!(!printed.stderr.contains(&value));
    let document = world.run(&["import", "terraform", "terraform.tfstate"]).exits(0).json();
    assert_eq!(document["artefact"]["text"], printed.stdout.as_str(), "{document}");

    let renamed = printed.stdout.replace("provider = \"auth0\"", "provider = \"acme\"");
    world.config.more = renamed;
    world.configure();
    world.run(&["check"]).exits(0);
    // Neither is what the state says believed nor is anything done before an operator asks for it.
    assert_eq!(world.faults.requests().len(), 0);
}

#[test]
fn a_state_that_is_none_is_bad_usage_and_quotes_nothing() {
    let world = World::new();
    fs::write(world.path("x"), "{\"token\": \"tok_1.canary-5f0c8be1\"").unwrap();
    let ended = world.call(&["import", "pulumi", "x"]).run().exits(2);
    assert!(ended.stderr.contains("x: this is not JSON") && !ended.stderr.contains("canary"));
    world.call(&["import", "pulumi", "nowhere"]).run().exits(1);
    world.run(&["adopt", "--all-from", "x"]).exits(2);
}

/// The client's token lies in no sink: it is replaced first, then retired once the new one is in use.
#[test]
fn a_token_that_no_sink_holds_becomes_a_previous_one() {
    let world = World::new();
    let (id, value) = world.mint(OKTA);
    state(&world, &[(OKTA, &id, &value), ("con_0000000000000000", "tok_0000000000000000", "x")]);

    let early = world.run(&["adopt", "--all-from", "terraform.tfstate"]).exits(3);
    assert_eq!(early.row()["outcome"], "refused", "{}", early.row());
    world.run(&["--rotate-now"]).exits(0);
    let current = world.held();

    let taken = world.run(&["adopt", "--all-from", "terraform.tfstate"]).exits(0);
    let row = taken.row();
    assert_eq!(
        (&row["token_id"], &row["previous_token_id"]),
        (&json!(current), &json!(id)),
        "{row}"
    );
    assert!(taken.stderr.contains("no configured connection matches"), "{}", taken.stderr);
    assert!(!taken.stderr.contains(&value) && !taken.stdout.contains(&value));
    assert_eq!(world.use_token(&value), 200, "it lives through the overlap");

    let again = world.run(&["adopt", "--all-from", "terraform.tfstate"]).exits(0).row();
    assert_eq!(again["outcome"], "unchanged", "{again}");
    world.pass(chrono::TimeDelta::seconds(61));
    world.run(&["--once"]).exits(0);
    assert_eq!(world.listed(), [current].into(), "the policy retired it");
}

#[test]
fn a_token_that_a_sink_holds_becomes_the_current_one() {
    let world = World::new();
    let (id, value) = world.mint(OKTA);
    world.put(&value);
    state(&world, &[(OKTA, &id, &value)]);
    let row = world.run(&["adopt", "--all-from", "terraform.tfstate"]).exits(0).row();
    assert_eq!(row["token_id"], id, "{row}");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    world.assert_sound("after the takeover");
}

#[test]
fn a_state_without_any_of_our_tokens_is_said() {
    let world = World::rotated();
    state(&world, &[(WAAD, "tok_0000000000000001", "x")]);
    let ended = world.run(&["adopt", "--all-from", "terraform.tfstate"]).exits(2);
    assert!(ended.stderr.contains("names no token of a configured connection"), "{}", ended.stderr);
    assert_eq!(world.faults.requests().len(), 0);
}
