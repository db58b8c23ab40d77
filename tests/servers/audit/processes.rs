//! Several processes on one file, processes that die, and files that cannot be written.

use std::{collections::BTreeSet, fs, io::Write as _, process::Command};

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    binary::Call,
    chain::lines,
    log::{audited, entries, verify},
    world::{World, until},
};

fn size(world: &World) -> u64 {
    fs::metadata(world.path("audit.jsonl")).map_or(0, |meta| meta.len())
}

#[test]
fn the_daemon_and_one_shots_share_one_chain() {
    let world = audited();
    let daemon = world.start(&["run"]);
    let begun =
        || world.path("audit.jsonl").exists() && world.path("tokens/initech.token").exists();
    until("the daemon has rotated", begun);
    let held = world.held();
    // As long as the daemon acts on the connection itself, an operator is asked to wait.
    until("an operator was heard", || {
        world.run(&["revoke", super::world::NAME, "--token-id", &held]).status == Some(3)
    });
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    let entries = entries(&world);
    let stopped = entries.iter().rfind(|entry| entry["event"] == "stopped").unwrap();
    let head = format!("audit log head: {}", stopped["hash"].as_str().unwrap());
    assert!(ended.stderr.contains(&head), "{head}: {}", ended.stderr);
    let pids: BTreeSet<u64> =
        entries.iter().map(|entry| entry["actor"]["pid"].as_u64().unwrap()).collect();
    assert!(pids.len() >= 2, "{pids:?}");
    let of = |event: &str| -> Vec<&Value> {
        entries.iter().filter(|entry| entry["event"] == event).collect()
    };
    let started = of("started");
    assert_eq!(started[0]["actor"]["kind"], "daemon");
    let config = fs::read(world.path("scimitar.toml")).unwrap();
    let said = scimitar::telemetry::audit::chain::sha256(&config);
    assert_eq!(started[0]["config_sha256"], said);
    assert_eq!(of("stopped").len(), 1);
    assert!(!of("revoke_asked").is_empty());
    verify(&world, &["audit.jsonl"]).exits(0);
}

#[test]
fn a_reload_is_in_it_with_the_configuration_that_is_in_force() {
    let mut world = audited();
    let daemon = world.start(&["run"]);
    until("the daemon has rotated", || world.path("tokens/initech.token").exists());
    world.config.set("overlap", "\"2h\"");
    world.configure();
    let config = fs::read(world.path("scimitar.toml")).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    let reloads = || -> Vec<Value> {
        entries(&world).into_iter().filter(|entry| entry["event"] == "reloaded").collect()
    };
    until("the reload is in it", || !reloads().is_empty());
    // One with a mistake is not in force.
    fs::write(world.path("scimitar.toml"), "mistaken").unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("reload rejected");
    daemon.signal("TERM");
    daemon.ended().exits(0);
    let reloads = reloads();
    assert_eq!(reloads.len(), 1, "{reloads:?}");
    assert_eq!(reloads[0]["config_sha256"], scimitar::telemetry::audit::chain::sha256(&config));
    assert_eq!(reloads[0]["actor"]["kind"], "daemon");
    assert_eq!(reloads[0]["why"], "SIGHUP received");
    verify(&world, &["audit.jsonl"]).exits(0);
}

#[test]
fn many_processes_at_once_leave_one_intact_chain() {
    let world = audited();
    world.run(&["--rotate-now"]).exits(0);
    let held = world.held();
    let name = super::world::NAME;
    let before = entries(&world).len();
    // Each notes that it was refused.
    let calls: Vec<_> =
        (0..8).map(|_| world.start(&["revoke", name, "--token-id", &held])).collect();
    for call in calls {
        call.ended();
    }
    let refused =
        entries(&world).iter().skip(before).filter(|it| it["outcome"] == "refused").count();
    assert!(refused > 0);
    verify(&world, &["audit.jsonl"]).exits(0);
}

#[test]
fn a_process_killed_at_any_line_leaves_a_chain_that_goes_on() {
    let world = audited();
    world.run(&["--rotate-now"]).exits(0);
    for more in [1, 700, 1_500, 2_500, 4_000] {
        world.pass(TimeDelta::seconds(120));
        let before = size(&world);
        let running = world.start(&["--rotate-now", "--timeout", "30s"]);
        until("lines are written", || size(&world) >= before + more);
        running.kill_9();
        world.run(&["--once"]);
        verify(&world, &["audit.jsonl"]).exits(0);
    }
}

/// A world whose log is longer than its ledger, and how long it is.
fn with_a_long_log() -> (World, u64) {
    let world = audited();
    let (long, _) = lines(4_000);
    fs::write(world.path("audit.jsonl"), long.concat()).unwrap();
    let length = size(&world);
    (world, length)
}

/// A run that may make no file longer than this.
fn limited(world: &World, limit: u64) -> std::process::Output {
    Command::new("prlimit")
        .args([&format!("--fsize={limit}"), env!("CARGO_BIN_EXE_scimitar")])
        .args(["--config", "scimitar.toml", "--rotate-now", "--output", "json"])
        .current_dir(world.folder.path())
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_keeps_nobody_from_a_rotation_and_the_gap_is_told() {
    let (world, length) = with_a_long_log();
    let ended = limited(&world, length + 100);
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{words}");
    assert!(words.contains("cannot write to the audit log; rotations continue"), "{words}");
    assert!(words.contains("File too large"), "{words}");
    assert_eq!(size(&world), length, "no part of a line is left behind");
    let metrics = world.textfile();
    let missed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("scimitar_audit_missed_lines_total "))
        .unwrap();
    let missed: u64 = missed.parse().unwrap();
    assert!(missed >= 7, "{missed}");
    world.file();
    // The process that missed them is gone; the hole is known, before and after the next line.
    let mut known = Vec::new();
    for _ in 0..2 {
        let broken = verify(&world, &["audit.jsonl"]).exits(1).json();
        let words = broken["error"]["message"].as_str().unwrap().to_owned();
        assert!(words.contains(&format!("incomplete: {missed} lines could not be")), "{words}");
        known.push(broken["error"]["problems"][0]["line"].as_u64());
        world.run(&["--rotate-now"]);
    }
    assert_eq!((known[0], known[1].is_some()), (None, true), "{known:?}");
}

#[test]
fn lines_lost_to_a_missing_folder_are_reported_when_it_is_back() {
    let mut world = World::new();
    world.config.more = "[log]\naudit = \"mount/audit.jsonl\"\n".to_owned();
    world.configure();
    world.call(&["--rotate-now"]).run().exits(0);
    world.file();
    fs::create_dir(world.path("mount")).unwrap();
    world.pass(TimeDelta::hours(1));
    world.run(&["--once"]);
    world.run(&["--rotate-now", "--compromised"]);
    let broken = verify(&world, &["mount/audit.jsonl"]).exits(1).json();
    let words = broken["error"]["message"].as_str().unwrap();
    assert!(words.contains("incomplete: "), "{words}");
}

#[test]
fn a_write_that_was_torn_is_told_of_by_the_next_process() {
    let (world, length) = with_a_long_log();
    // Power that goes between two parts of one line leaves the first.
    let torn = &fs::read(world.path("audit.jsonl")).unwrap()[..100];
    let mut log = fs::OpenOptions::new().append(true).open(world.path("audit.jsonl")).unwrap();
    log.write_all(torn).unwrap();
    assert_eq!(size(&world), length + 100);
    verify(&world, &["audit.jsonl"]).exits(1);
    world.run(&["--rotate-now"]).exits(0);
    let found = verify(&world, &["audit.jsonl"]).exits(0).json();
    let remark = found["audit"]["remarks"][0]["message"].as_str().unwrap();
    assert!(remark.starts_with("100 bytes"), "{remark}");
}

#[test]
fn an_unwritable_log_is_reported_first_and_blocks_no_rotation() {
    let mut world = World::new();
    world.config.more = "[log]\naudit = \"none/audit.jsonl\"\n".to_owned();
    world.configure();
    let checked = world.call(&["check"]).run().exits(2);
    assert!(checked.stderr.contains("`audit` cannot be written"), "{}", checked.stderr);
    assert!(checked.stderr.contains("No such file or directory"), "{}", checked.stderr);
    assert!(checked.stderr.contains("scimitar.toml:"), "{}", checked.stderr);
    let ended = world.call(&["--rotate-now"]).run().exits(0);
    let words = "cannot write to the audit log; rotations continue without it: could not open ";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    world.file();
    let daemon = Call::new(world.folder.path(), &["--config", "scimitar.toml", "run"]).start();
    daemon.err.until_text("running");
    daemon.signal("TERM");
    daemon.ended().exits(0);
}
