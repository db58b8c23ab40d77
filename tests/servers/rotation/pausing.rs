//! `pause` and `resume`: what an operator holds back, in every process and on every surface.

use std::fs;

use chrono::TimeDelta;
use serde_json::Value;

use super::world::{NAME, TOKENS, World, until};

const REASON: &str = "tenant migration CHG-1234";

/// A world with a current and a previous token.
fn in_overlap() -> World {
    let world = World::rotated();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    world
}

fn pause(world: &World, length: &str) -> Value {
    let arguments = ["pause", NAME, "--until", length, "--reason", REASON];
    let ended = world.run(&arguments).exits(0);
    let last = ended.stderr.lines().last();
    assert_eq!(last, Some(format!("{NAME}: paused").as_str()), "not \"unchanged\"");
    let row = ended.row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"unchanged".into(), &"paused".into()), "{row}");
    assert!(row["paused_until"].is_string() && row["why"].as_str().unwrap().contains(REASON));
    row
}

#[test]
fn a_pause_holds_for_every_process_until_it_is_ended() {
    let world = in_overlap();
    let until = pause(&world, "2h")["paused_until"].clone();
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    // Nobody has looked since, and it is shown all the same.
    let row = world.status();
    assert_eq!(row["paused_until"], until, "{row}");
    let all = row.to_string();
    assert!(all.contains(REASON), "{all}");
    for command in ["explain", "plan"] {
        let said = world.call(&[command, NAME]).run().exits(0).stdout;
        assert!(said.contains("aused until") && said.contains(REASON), "{command}: {said}");
    }
    let selected = world.run(&["status", "--where", "paused"]).exits(0).row();
    assert_eq!(selected["connection"], NAME);
    let refused = world.run(&["--rotate-now"]).exits(3).row();
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (&"refused".into(), &"paused".into()),
        "{refused}"
    );
    assert!(refused["why"].as_str().unwrap().contains(&format!("scimitar resume {NAME}")));
    // The overlap is over, and the older token stays.
    world.pass(TimeDelta::hours(1));
    let waits = world.run(&["--once", "--wait"]).exits(0).row();
    assert_eq!(
        (&waits["outcome"], &waits["reason"]),
        (&"waiting".into(), &"paused".into()),
        "{waits}"
    );
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    let metrics = world.textfile();
    for blocked in ["rotation", "revocation"] {
        let series = metrics.lines().find(|line| {
            line.starts_with(&format!("scimitar_{blocked}_blocked{{"))
                && line.contains("reason=\"paused\"")
        });
        assert!(series.is_some_and(|line| line.ends_with(" 1")), "{blocked}: {series:?}");
    }
    let ended = world.run(&["resume", NAME]).exits(0).row();
    assert!(ended["why"].as_str().unwrap().contains(REASON), "who and why it was: {ended}");
    assert_eq!(ended["paused_until"], Value::Null);
    let again = world.run(&["resume", NAME]).exits(0).row();
    assert_eq!(again["why"], "it is not paused");
    world.run(&["--once"]).exits(0);
    assert_eq!((world.creates(), world.deletes()), (0, 1));
    world.assert_sound("after the pause");
}

#[test]
fn a_running_daemon_honours_a_pause_and_its_end() {
    let world = in_overlap();
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let often = text.replacen("[engine]", "[engine]\nsurvey_interval = \"1s\"", 1);
    fs::write(world.path("scimitar.toml"), &often).unwrap();
    let daemon = world.start(&["run"]);
    until("the daemon looks", || world.asked("GET", TOKENS) > 1);
    pause(&world, "2h");
    world.pass(TimeDelta::hours(1));
    until("the daemon finds it paused", || {
        world.status()["why"].as_str().unwrap().contains("no token is revoked now")
    });
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    world.run(&["resume", NAME]).exits(0);
    until("the older token is revoked", || world.deletes() == 1);
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.assert_sound("after the daemon");
}

#[test]
fn a_token_about_to_expire_and_a_leak_wait_for_no_pause() {
    let world = World::rotated();
    let before = world.held();
    pause(&world, "2h");
    world.pass(TimeDelta::days(30) - TimeDelta::hours(1));
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_ne!(world.held(), before);
    let said = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(said.contains("for the rotation to wait"), "in its history: {said}");

    let world = in_overlap();
    pause(&world, "2h");
    let row = world.run(&["--rotate-now", "--compromised"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!(world.listed().len(), 1);
}

#[test]
fn a_pause_is_written_down_while_every_service_is_away() {
    let world = World::rotated();
    let away = scimitar::sandbox::Act::Status(503);
    world.fault(scimitar::sandbox::Rule::new("", "/api/", away));
    pause(&world, "2030-01-01T00:00:00Z");
    assert_eq!(world.status()["paused_until"], "2030-01-01T00:00:00Z");
    // A second one replaces the first, and so long a pause says that it does not hold a token back.
    let row = pause(&world, "2030-06-01");
    assert_eq!(row["paused_until"], "2030-06-01T00:00:00Z");
    let warned = row["warnings"].to_string();
    assert!(warned.contains("rotated anyway at "), "{row}");
}

#[test]
fn a_pause_needs_an_end_to_come_and_a_reason() {
    let world = World::rotated();
    for (arguments, words) in [
        (&["pause", NAME, "--until", "2h"][..], "--reason"),
        (&["pause", NAME, "--reason", REASON], "--until"),
        (&["pause", "--until", "2h", "--reason", REASON], "--provider"),
        (&["pause", NAME, "--until", "tomorrow", "--reason", REASON], "a duration (8h)"),
        (&["pause", NAME, "--until", "2001-01-01", "--reason", REASON], "must be in the future"),
        (&["pause", NAME, "--until", "2h", "--reason", " "], "give a reason"),
        (&["pause", NAME, "--until", "2h", "--reason", "a\nb"], "one line"),
        (
            &[
                "pause",
                NAME,
                "--until",
                "2h",
                "--reason",
                "x tok_1.0123456789abcdef0123456789abcdef",
            ],
            "looks like a token's value",
        ),
        (&["resume"], "--provider"),
        (&["resume", "nobody"], "no connection named \"nobody\""),
    ] {
        let ended = world.run(arguments).exits(2).json();
        let said = ended["error"]["message"].as_str().unwrap();
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("0123456789abcdef0123"), "{said}");
    }
    assert_eq!(world.status()["paused_until"], Value::Null);
    for all in [&["--all"][..], &["--provider", "acme"], &["initech-*"]] {
        let arguments = [&["pause", "--until", "2h", "--reason", REASON], all].concat();
        let row = world.run(&arguments).exits(0).row();
        assert_eq!(row["reason"], "paused", "{all:?}: {row}");
    }
}
