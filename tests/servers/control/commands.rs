//! What commands do over the socket is what they do without.

use std::fs;

use serde_json::Value;

use super::{super::rotation::world::CLIENT_SECRET, audited, configure, rotated, world};

/// A document without what differs from call to call. The provider's clock is read anew in each, to the
/// second, and by it the next rotation.
fn timeless(mut document: Value) -> Value {
    for key in ["started_at", "finished_at"] {
        document[key].take();
    }
    for row in document["results"].as_array_mut().into_iter().flatten() {
        let next = row["next_at"].take();
        if let (Some(next), Some(why)) = (next.as_str(), row["why"].as_str()) {
            // In words it is `2026-12-21 01:30:14 UTC`, without seconds where they are 0.
            let words = next.replace('T', " ").replace('Z', " UTC");
            let brief = words.replace(":00 UTC", " UTC");
            let timeless = why.replace(&words, "<next>").replace(&brief, "<next>");
            let names_it = why.starts_with("nothing is due before ");
            assert!(!names_it || timeless.contains("<next>"), "{next}: {why}");
            row["why"] = timeless.into();
        }
    }
    document
}

#[test]
fn a_caller_without_secrets_rotates_explains_and_revokes() {
    let world = world();
    let daemon = rotated(&world);
    let first = world.held();
    let rotated = world.run(&["--rotate-now", "initech-okta"]).exits(0);
    let row = rotated.row();
    assert_eq!(
        (&row["outcome"], &row["previous_token_id"]),
        (&"rotated".into(), &first.clone().into())
    );
    assert!(rotated.stderr.contains("initech-okta: rotated"), "progress: {}", rotated.stderr);
    let explained = world.call(&["explain", "initech-okta"]).run().exits(0);
    assert!(explained.stdout.contains(&world.held()), "{}", explained.stdout);
    assert!(!explained.stderr.contains("not asked"), "{}", explained.stderr);
    world.run(&["plan"]).exits(0);
    world.run(&["tokens"]).exits(0);
    world.run(&["pause", "initech-okta", "--until", "1h", "--reason", "a test"]).exits(0);
    world.run(&["resume", "initech-okta"]).exits(0);
    let revoked = world.run(&["revoke", "initech-okta", "--token-id", &first]).exits(0).row();
    assert_eq!(world.listed().len(), 1, "{revoked}");
    // Refusals have the exit status that they always have.
    world.run(&["revoke", "initech-okta", "--token-id", &world.held()]).exits(3);
    world.run(&["explain", "nope"]).exits(2);
    let mut actors: Vec<Value> =
        audited(&world).into_iter().map(|mut line| line["actor"].take()).collect();
    actors.retain(|actor| actor["command"] != "run");
    assert!(actors.iter().any(|actor| actor["command"] == "--rotate-now"), "{actors:?}");
    assert!(actors.iter().any(|actor| actor["command"] == "revoke" && actor["kind"] == "operator"));
    for actor in &actors {
        assert_eq!(actor["daemon_pid"], daemon.pid(), "{actor}");
        assert_ne!(actor["pid"], daemon.pid(), "{actor}");
        assert_eq!(actor["uid"], nix::unistd::geteuid().as_raw(), "{actor}");
    }
    assert!(daemon.err.text().contains("runs `scimitar --config scimitar.toml --rotate-now"));
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    assert!(!ended.stderr.contains(CLIENT_SECRET));
    assert!(!world.path("control.sock").exists(), "it goes with the daemon");
    world.assert_sound("after commands over the socket");
}

#[test]
fn the_document_is_the_same_with_the_daemon_and_without() {
    let world = world();
    let daemon = rotated(&world);
    for arguments in [
        &["status"][..],
        &["explain", "initech-okta"],
        &["tokens"],
        &["explain", "nope"],
        &["revoke", "initech-okta", "--token-id", &world.held()],
    ] {
        let all: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
        let served = world.call(&all).run();
        let alone = world.call(&all).env("CLIENT_SECRET", CLIENT_SECRET);
        let alone = alone.env("SCIMITAR_SOCKET", "off").run();
        assert_eq!(served.status, alone.status, "{arguments:?}");
        assert_eq!(timeless(served.json()), timeless(alone.json()), "{arguments:?}");
    }
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn commands_go_by_the_configuration_in_force_and_say_so() {
    let world = world();
    let daemon = rotated(&world);
    let explained = || world.call(&["explain", "initech-okta"]).run().exits(0).stderr;
    assert_eq!(explained(), "", "nothing to say");
    configure(&world, "# a remark\n");
    assert!(explained().contains("scimitar.toml was changed since the daemon read it"));
    configure(&world, "nonsense = 1\n");
    let said = explained();
    assert!(said.contains("scimitar.toml has 1 error (run `scimitar check`)"), "{said}");
    configure(&world, "# another remark\n");
    daemon.signal("HUP");
    super::super::rotation::world::until("the reload", || explained().is_empty());
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert!(fs::metadata(world.path("control.sock")).is_err());
}
