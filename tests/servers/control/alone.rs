//! Without a daemon: the ledger answers what it can, and the rest says what to do.

use super::{configure, daemon, rotated, world};

#[test]
fn without_a_daemon_and_secrets_the_ledger_answers() {
    let world = world();
    let daemon = rotated(&world);
    let held = world.held();
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.faults.forget_requests();
    for command in [&["explain", "initech-okta"][..], &["plan", "--until", "30d"]] {
        let told = world.call(command).run().exits(0);
        assert!(told.stderr.contains("providers and sinks were not asked"), "{}", told.stderr);
        assert!(
            told.stderr.contains("`client_secret`: the environment variable"),
            "why: {}",
            told.stderr
        );
        assert!(told.stderr.contains("there is no control socket at"), "{}", told.stderr);
        assert!(told.stdout.contains("initech-okta"), "{}", told.stdout);
    }
    let ended = world.run(&["explain", "initech-okta"]).exits(0);
    let said = ended.json()["from_ledger"].clone();
    assert_eq!(said["complete"], true, "every connection is there: {said}");
    assert!(said["why"].as_str().unwrap().contains("were not asked, because"), "{said}");
    let row = ended.row();
    assert_eq!(row["token_id"], held.as_str(), "{row}");
    let steps = world.run(&["plan", "--until", "30d"]).exits(0).row()["steps"].clone();
    let minted = steps
        .as_array()
        .unwrap()
        .iter()
        .any(|step| step["call"].as_str().unwrap().contains("create a token"));
    assert!(minted, "{steps}");
    // What was delivered since the provider was last asked is not taken for lost.
    assert_eq!(steps[0]["slots_used"], 1, "{steps}");
    assert!(steps[0]["why"].as_str().unwrap().contains("rotate_before"), "{steps}");
    let told = world.call(&["status"]).run().exits(0);
    let sums = told.stdout.lines().next().unwrap();
    assert!(sums.contains("; no daemon answered, last check "), "{sums}");
    let refused = world.run(&["--rotate-now", "initech-okta"]).exits(2);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    for words in
        ["there is no control socket at", "Run `sudo scimitar", "--rotate-now initech-okta"]
    {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(world.creates(), 0, "nobody was asked");
}

#[test]
fn with_errors_in_the_file_status_and_explain_still_answer() {
    let world = world();
    let daemon = rotated(&world);
    daemon.signal("TERM");
    daemon.ended().exits(0);
    let held = world.held();
    for broken in ["nonsense = 1\n", "[engine\n"] {
        configure(&world, broken);
        for command in [&["status"][..], &["explain", "initech-okta"]] {
            let told = world.call(command).run().exits(0);
            let first = told.stderr.lines().next().unwrap_or_default();
            assert!(first.contains("scimitar.toml has 1 error (line "), "{first}");
            assert!(told.stdout.contains(&held), "{}", told.stdout);
        }
        // Nor does the document look whole.
        let document = world.run(&["status"]).exits(0).json();
        let said = &document["from_ledger"];
        assert_eq!(said["complete"], false, "{document}");
        assert!(said["why"].as_str().unwrap().contains("scimitar.toml has 1 error"), "{said}");
        assert_eq!(said["problems"].as_array().unwrap().len(), 1, "{said}");
        let told = world.call(&["history", "initech-okta"]).run().exits(0);
        assert!(told.stdout.contains("  rotated  "), "{}", told.stdout);
        assert!(told.stderr.contains("This answer is from the ledger alone"), "{}", told.stderr);
        // Who asks by the exit status is not told that all is well.
        world.call(&["status", "--exit-code"]).run().exits(2);
    }
    // What changes something does not.
    world.run(&["--rotate-now"]).exits(2);
    // Where no connection is left, that is not taken for a configuration without any.
    configure(&world, "");
    let path = world.path("scimitar.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("[[connections]]", "[[conections]]")).unwrap();
    for command in [&["status"][..], &["plan"], &["tokens"]] {
        let told = world.call(command).run().exits(2);
        let said =
            "scimitar.toml: none of its connections can be read, so there is nothing to show";
        assert!(told.stderr.contains(said), "{command:?}: {}", told.stderr);
        assert!(told.stderr.contains("keeps its previous configuration"), "{}", told.stderr);
        assert!(told.stderr.contains("conections"), "which error: {}", told.stderr);
        assert!(!told.stdout.contains("no connections"), "{}", told.stdout);
    }
    // Without a ledger there is nothing to answer from.
    std::fs::remove_file(world.path("ledger.db")).unwrap();
    world.run(&["status"]).exits(2);
}

#[test]
fn without_a_socket_a_missing_secret_is_the_callers() {
    let mut world = world();
    world.config.more.clear();
    configure(&world, "");
    for (secret, error) in [(None, "is not set"), (Some(""), "is empty")] {
        let call = world.call(&["rotate", "initech-okta"]);
        let call = if let Some(value) = secret { call.env("CLIENT_SECRET", value) } else { call };
        let said = call.run().exits(2).stderr;
        assert!(said.contains(error), "{said}");
        assert!(said.contains("This command reads the secrets itself"), "{said}");
        for wrong in ["while the daemon runs", "sudo", "control socket"] {
            assert!(!said.contains(wrong), "{wrong}: {said}");
        }
    }
    assert_eq!(world.creates(), 0, "nobody was asked");
}

#[test]
fn a_socket_that_cannot_be_had_stops_nobody() {
    let mut world = world();
    world.config.more = "[control]\nsocket = \"/proc/control.sock\"\n".to_owned();
    configure(&world, "");
    let call = world.call(&["run"]).env("CLIENT_SECRET", super::CLIENT_SECRET).start();
    call.err.until_text("no control socket, so commands need the secrets themselves");
    super::until("the first rotation", || world.path("tokens/initech.token").exists());
    call.signal("TERM");
    call.ended().exits(0);
    world.config.more = "[control]\nsocket = \"off\"\n".to_owned();
    configure(&world, "");
    let call = world.call(&["run"]).env("CLIENT_SECRET", super::CLIENT_SECRET).start();
    call.err.until_text("running");
    call.signal("TERM");
    assert!(!call.ended().exits(0).stderr.contains("control socket"));
    world.config.more = "[control]\nsocket = \"control.sock\"\n".to_owned();
    configure(&world, "");
    let again = daemon(&world);
    again.signal("TERM");
    again.ended().exits(0);
}
