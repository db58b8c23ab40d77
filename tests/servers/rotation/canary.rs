//! No value anywhere but in the sinks: whole lives of a connection at the highest verbosity, and
//! then a search through everything that was written or printed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::{
    binary::Ended,
    world::{CLIENT_SECRET, NAME, TOKENS, World, files, side_by_side},
};

/// Everything that a world's runs printed.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn run(&mut self, world: &World, arguments: &[&str]) -> i32 {
        let all: Vec<&str> = arguments.iter().copied().chain(["-vvv"]).collect();
        let ended = world.call(&all).env("SCIMITAR_LOG", "trace").run();
        self.note(&ended);
        ended.status.unwrap()
    }

    fn note(&mut self, ended: &Ended) {
        self.0.push_str(&ended.stdout);
        self.0.push_str(&ended.stderr);
    }
}

/// Whatever the tenant drew for values of tokens and log-ins, and the client's secret.
fn secrets(world: &World) -> BTreeSet<String> {
    let mut secrets = world.entropy.drawn();
    secrets.insert(CLIENT_SECRET.to_owned());
    secrets
}

fn assert_silent(what: &str, text: &str, secrets: &BTreeSet<String>) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what} holds the secret part {secret}");
    }
}

/// Searches every file but the sinks' own, the client's secret and the tenant (which holds
/// digests, and is not ours).
fn assert_only_in_sinks(world: &World, printed: &Printed, sinks: &[&str]) {
    let secrets = secrets(world);
    let value = world.file();
    let (_, part) = value.split_once('.').unwrap();
    assert!(
        (0..4).all(|quarter| secrets.contains(part.get(quarter * 16..quarter * 16 + 16).unwrap())),
        "the search would find the value in the sink"
    );
    assert!(printed.0.len() > 2_000, "the highest verbosity says something");
    assert_silent("what was printed", &printed.0, &secrets);
    let exempt = |path: &Path| {
        path.starts_with(world.path("tenant"))
            || path == world.path("client-secret")
            || sinks.iter().any(|sink| path == world.path(sink))
    };
    let searched: Vec<PathBuf> = files(world.folder.path())
        .into_iter()
        .filter(|(path, _)| !exempt(path))
        .map(|(path, bytes)| {
            let shown = path.display().to_string();
            assert_silent(&shown, &String::from_utf8_lossy(&bytes), &secrets);
            path
        })
        .collect();
    for name in ["ledger.db", "scimitar.prom", "tokens/.initech.token.scimitar.json"] {
        assert!(searched.contains(&world.path(name)), "{name} was searched: {searched:?}");
    }
}

#[test]
fn a_whole_life_leaves_no_value_outside_the_sinks() {
    let mut world = World::new();
    world
        .config
        .deliver_to
        .push("{ sink = \"disk\", file = \"initech.json\", format = \"json\" }".into());
    world
        .config
        .deliver_to
        .push("{ sink = \"disk\", file = \"initech.env\", format = \"env\" }".into());
    world.configure();
    let sinks = ["tokens/initech.token", "tokens/initech.json", "tokens/initech.env"];
    let mut printed = Printed::default();
    for arguments in [&["--rotate-now"][..], &["--rotate-now", "--output", "json"]] {
        assert_eq!(printed.run(&world, arguments), 0);
    }
    for (arguments, status) in [
        (&["--rotate-now"][..], 3),
        (&["check"], 0),
        (&["check", "--online"], 0),
        (&["plan"], 0),
        (&["plan", "--output", "json"], 0),
        (&["explain", NAME], 0),
        (&["status"], 0),
        (&["status", "--output", "json"], 0),
        (&["--once", "--dry-run"], 0),
        (&["revoke", NAME, "--token-id", &world.held()], 3),
    ] {
        assert_eq!(printed.run(&world, arguments), status, "{arguments:?}");
    }
    world.pass(TimeDelta::seconds(61));
    assert_eq!(printed.run(&world, &["--once"]), 0, "the older one is revoked");
    assert_eq!(printed.run(&world, &["--rotate-now", "--compromised"]), 0);
    assert_only_in_sinks(&world, &printed, &sinks);
}

#[test]
fn failing_runs_leave_no_value_outside_the_sinks() {
    let acts = [
        Act::Status(401),
        Act::Status(400),
        Act::ErrorAfter,
        Act::Truncate,
        Act::CutAfter(200),
        Act::ExtraMembers,
    ];
    side_by_side(acts, |act| {
        let world = World::rotated();
        let mut printed = Printed::default();
        world.fault(Rule::new("POST", "", act.clone()).ending(TOKENS));
        // What does no harm has all the time that it needs.
        let harmless = act == Act::ExtraMembers;
        let arguments = ["--rotate-now", "--timeout", "1s"];
        let arguments = if harmless { &arguments[..1] } else { &arguments };
        let status = printed.run(&world, arguments);
        assert_eq!(status, i32::from(!harmless), "{act:?}");
        world.faults.clear();
        assert_eq!(printed.run(&world, &["--once"]), 0, "{act:?}");
        assert_only_in_sinks(&world, &printed, &["tokens/initech.token"]);
    });
}

#[test]
fn refused_credentials_are_not_repeated_by_anybody() {
    const WRONG: &str = "wrong-secret-canary-77aa";
    let world = World::rotated();
    let mut printed = Printed::default();
    fs::write(world.path("client-secret"), WRONG).unwrap();
    assert_eq!(printed.run(&world, &["--rotate-now", "--timeout", "1s"]), 1);
    assert_eq!(printed.run(&world, &["check", "--online"]), 1);
    assert!(!printed.0.contains(WRONG));
    fs::write(world.path("client-secret"), CLIENT_SECRET).unwrap();
    let mut refuses = Rule::new("GET", "/scim/", Act::Status(401));
    refuses.skip = 1;
    world.fault(refuses);
    assert_eq!(printed.run(&world, &["--rotate-now", "--timeout", "1s"]), 1);
    // A value in place of an id, by mistake: what was typed is not said again.
    let value = world.file();
    let mistaken = world.call(&["revoke", NAME, "--token-id", &value]).run().exits(2);
    printed.note(&mistaken);
    assert_only_in_sinks(&world, &printed, &["tokens/initech.token"]);
}

#[test]
fn a_process_with_a_value_in_memory_shows_it_nowhere() {
    let world = World::rotated();
    // The first question comes without the token, the second with it.
    world.fault(Rule::new("GET", "/scim/", Act::HoldBefore).nth(2));
    let running = world.call(&["--rotate-now", "-vvv"]).env("SCIMITAR_LOG", "trace").start();
    world.until_held(1);
    let secrets = secrets(&world);
    let mut read = 0;
    for name in ["cmdline", "environ", "status", "maps"] {
        // What may not even be read holds nothing for anybody.
        if let Ok(bytes) = fs::read(format!("/proc/{}/{name}", running.pid())) {
            assert_silent(name, &String::from_utf8_lossy(&bytes), &secrets);
            read += 1;
        }
    }
    assert!(read > 0, "/proc shows a command line to everybody");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(cores.split_whitespace().filter(|word| *word == "0").count() >= 2, "{cores}");
    // Killed now, with the write-ahead log of the ledger left as it is.
    let ended = running.kill_9();
    world.release();
    let mut printed = Printed::default();
    printed.note(&ended);
    assert_only_in_sinks(&world, &printed, &["tokens/initech.token"]);
}
