//! What is said beside the answer: a daemon's lines have the form of its log, whoever speaks.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::world::{NAME, World, until};

/// A warning of the configuration.
const IN_VAIN: &str = "`timezone` has no effect without `schedule`";

fn lines(text: &str) -> Vec<Value> {
    let parse = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\nof:\n{text}"))
    };
    text.lines().map(parse).collect()
}

/// The levels of the lines with this in their message.
fn levels(lines: &[Value], words: &str) -> Vec<String> {
    let said = lines.iter().filter(|line| line["message"].as_str().unwrap().contains(words));
    said.map(|line| line["level"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_line_of_a_daemons_log_is_one_object() {
    let mut world = World::new();
    world.config.set("timezone", "\"UTC\"");
    world.configure();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    let lines = lines(&ended.stderr);
    assert_eq!(levels(&lines, IN_VAIN), ["WARN", "WARN"], "{}", ended.stderr);
    let of_it = |line: &&Value| line["message"].as_str().unwrap().contains(IN_VAIN);
    let warning = lines.iter().find(of_it).unwrap();
    let (line, column) = (warning["line"].as_u64().unwrap(), warning["column"].as_u64().unwrap());
    assert_eq!(warning["file"], "scimitar.toml");
    let help = warning["help"].as_str().unwrap();
    let whole = format!("scimitar.toml:{line}:{column}: {IN_VAIN}; {help}");
    assert_eq!(warning["message"], whole, "who sees the message alone sees it all");
    assert_eq!(levels(&lines, "shutting down"), ["INFO"]);
    // To people it is text, and only where they ask about the configuration.
    let ended = world.run(&["check"]).exits(0);
    assert!(ended.stderr.contains("warning: scimitar.toml:"), "{}", ended.stderr);
    for command in
        [&["--once"][..], &["status"], &["tokens"], &["explain", NAME], &["history", NAME]]
    {
        let said = world.run(command).exits(0).stderr;
        assert!(!said.contains(IN_VAIN), "{command:?}: {said}");
    }
}

#[test]
fn the_journal_learns_how_bad_it_is() {
    let mut world = World::new();
    world.config.set("timezone", "\"UTC\"");
    world.configure();
    let said = |arguments: &[&str]| {
        let path = world.path("stderr");
        let file = File::create(&path).unwrap();
        let meta = file.metadata().unwrap();
        let stream = format!("{}:{}", meta.dev(), meta.ino());
        let status = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .args(["--config", "scimitar.toml"])
            .args(arguments)
            .current_dir(world.folder.path())
            .env_clear()
            .env("JOURNAL_STREAM", stream)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .unwrap();
        (status.code(), fs::read_to_string(path).unwrap())
    };
    let (status, text) = said(&["check"]);
    assert_eq!(status, Some(0));
    let warned = |line: &str| line.starts_with("<4>");
    assert!(text.starts_with("<4>warning: ") && text.lines().all(warned), "{text}");
    fs::write(world.path("scimitar.toml"), "nonsense = 1\n").unwrap();
    let (status, text) = said(&["--once"]);
    assert_eq!(status, Some(2));
    assert!(text.starts_with("<3>error: ") && text.lines().all(|l| l.starts_with("<3>")), "{text}");
}

#[test]
fn a_removed_connection_is_named_until_its_tokens_are_revoked() {
    let mut world = World::rotated();
    world.config.set("overlap", "\"5d\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let words = "is no longer in the configuration, but has tokens that are still to be revoked";
    let daemon = world.start(&["run"]);
    daemon.err.until_text("running");
    let whole = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let (without, _) = whole.split_once("[[connections]]").unwrap();
    fs::write(world.path("scimitar.toml"), without).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text(words);
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    assert_eq!(levels(&lines(&ended.stderr), words), ["WARN"]);
    // From then on whoever starts says so.
    let daemon = world.start(&["run"]);
    daemon.err.until_text(words);
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    assert_eq!(levels(&lines(&ended.stderr), words), ["WARN"]);
    let ended = world.run(&["--once"]).exits(0);
    assert!(ended.stderr.contains(&format!("warning: {NAME} (")), "{}", ended.stderr);
    let ended = world.call(&["status"]).run().exits(0);
    assert!(ended.stdout.contains(words), "{}", ended.stdout);
    // Back again, nothing is said.
    fs::write(world.path("scimitar.toml"), whole).unwrap();
    let ended = world.call(&["status"]).run().exits(0);
    assert!(!ended.stdout.contains(words), "{}", ended.stdout);
    assert_eq!(world.tokens_of(super::world::OKTA).len(), 2, "nobody touched them");
}
