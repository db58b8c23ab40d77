//! Hand-offs: a token that a person takes to its client, in every process and on every surface.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use chrono::TimeDelta;
use serde_json::Value;

use super::world::{NAME, World};

/// One rotation is done, and a person is to take its token to Okta.
fn handed_to_people() -> World {
    let mut world = World::new();
    world.config.policy.remove("revoke_after_use");
    world.config.deliver_to.push(
        "{ sink = \"people\", client = \"Okta: initech\", link = \"https://acme-admin.okta.com/admin/app/1\", field = \"API Token\" }".to_owned(),
    );
    world.config.more = "[sinks.people]\ntype = \"handoff\"\n".to_owned();
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    world
}

/// The client uses the token that is in the file now.
fn client_uses_it(world: &World) {
    assert_eq!(world.use_token(&world.file()), 200);
}

fn state_of(row: &Value, sink: &str) -> String {
    let sinks = row["sinks"].as_array().unwrap();
    let found = sinks.iter().find(|one| one["sink"] == sink).unwrap();
    found["state"].as_str().unwrap().to_owned()
}

/// The token that a row is about.
fn row_token(row: &Value) -> String {
    row["token_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_previous_token_stays_until_a_person_says_it_is_done() {
    let world = handed_to_people();
    let row = world.status();
    assert_eq!((&row["outcome"], &row["reason"]), (&"waiting".into(), &"handoff".into()), "{row}");
    assert_eq!(
        (state_of(&row, "people"), state_of(&row, "disk")),
        ("pending".into(), "delivered".into())
    );
    let why = row["why"].as_str().unwrap();
    for words in [
        "paste it into the field \"API Token\" of Okta: initech (https://acme-admin.okta.com/admin/app/1)",
        "without the word \"Bearer\"",
        "tokens/initech.token",
        "scimitar handoff initech-okta --done",
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    let value = world.file();
    assert!(!row.to_string().contains(&value), "never the value");
    let explained = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(explained.contains("Okta: initech"), "{explained}");
    // A person does it, and the client uses the token.
    let done = world.run(&["handoff", NAME, "--done"]).exits(0).row();
    let words = format!("confirmed that Okta: initech has {}", row_token(&done));
    assert!(done["why"].as_str().unwrap().ends_with(&words), "{done}");
    assert_eq!(state_of(&done, "people"), "delivered");
    let again = world.run(&["handoff", NAME, "--done"]).exits(0).row();
    assert_eq!(again["why"], "no token needs to be handed over");
    client_uses_it(&world);

    // The next one: its overlap is over, others use the new token, and the client has the old one.
    world.pass(TimeDelta::hours(1));
    world.run(&["--rotate-now"]).exits(0);
    world.pass(TimeDelta::minutes(10));
    client_uses_it(&world);
    world.pass(TimeDelta::hours(3));
    let waits = world.run(&["--once"]).exits(0).row();
    assert_eq!(
        (&waits["outcome"], &waits["reason"]),
        (&"waiting".into(), &"handoff".into()),
        "{waits}"
    );
    assert_eq!(world.deletes(), 0);
    let metrics = world.textfile();
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("scimitar_handoff_waiting_since_timestamp_seconds{"))
    );
    let blocked = metrics.lines().find(|line| {
        line.starts_with("scimitar_revocation_blocked{") && line.contains("reason=\"handoff\"")
    });
    assert!(blocked.is_some_and(|line| line.ends_with(" 1")), "{blocked:?}");
    // Both slots are taken: another rotation says what it waits for.
    let refused = world.run(&["--rotate-now"]).exits(3).row();
    assert_eq!(refused["reason"], "previous_in_use", "{refused}");
    assert!(refused["why"].as_str().unwrap().contains("handoff initech-okta --done"), "{refused}");

    // A word for another token than the one that waits counts for none.
    let other = ["handoff", NAME, "--done", "--token-id", "tok_other"];
    let refused = world.run(&other).exits(3).row();
    let why = refused["why"].as_str().unwrap();
    assert!(
        why.contains("tok_other does not wait for Okta: initech; waiting are: tok_"),
        "{refused}"
    );
    let waits = row_token(&waits);
    let named = ["handoff", NAME, "--done", "--client", "Okta: initech", "--token-id", &waits];
    world.run(&named).exits(0);
    world.run(&["--once"]).exits(0);
    assert_eq!(world.deletes(), 0, "the overlap begins with the person's word");
    world.pass(TimeDelta::minutes(10));
    client_uses_it(&world);
    world.run(&["--once"]).exits(0);
    assert_eq!(world.deletes(), 1);
    world.assert_sound("after the hand-off");
    let history = world.call(&["history", NAME]).run().exits(0).stdout;
    let words = format!("confirmed that Okta: initech has {waits}");
    assert!(history.contains(&words), "who and when: {history}");
}

#[test]
fn a_leak_does_not_lock_out_a_client_that_a_person_serves() {
    let world = handed_to_people();
    world.run(&["handoff", NAME, "--done"]).exits(0);
    world.pass(TimeDelta::hours(1));
    let row = world.run(&["--rotate-now", NAME, "--compromised"]).exits(1).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"failed".into(), &"handoff".into()), "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 0), "{row}");
    let said = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(said.contains("--force"), "the way that costs an outage: {said}");
    world.run(&["handoff", NAME, "--done"]).exits(0);
    world.run(&["--once"]).exits(0);
    assert_eq!(world.deletes(), 1);
}

#[test]
fn what_nobody_waits_for_is_said() {
    let world = World::rotated();
    let row = world.run(&["handoff", NAME, "--done"]).exits(0).row();
    assert_eq!(row["why"], "no token needs to be handed over");
    let usage = world.call(&["handoff", NAME]).run().exits(2).stderr;
    assert!(usage.contains("--done"), "{usage}");
}
