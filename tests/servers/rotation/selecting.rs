//! Which connections a command is about: names, patterns, `--provider`, `--match`, `--where`.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::binary::{Call, Ended};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let connection = |name: &str, provider: &str, id: &str, life: &str| {
        format!(
            "[[connections]]\nname = \"{name}\"\nprovider = \"{provider}\"\nconnection_id = \"{id}\"\n\
             scopes = [\"get:users\"]\ntoken_lifetime = \"{life}\"\n\
             deliver_to = [{{ sink = \"disk\", file = \"{name}\" }}]\n"
        )
    };
    let text = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n\
         [providers.box]\ntype = \"sandbox\"\ndata_dir = \"box\"\n\
         [providers.other]\ntype = \"sandbox\"\ndata_dir = \"other\"\n\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n{}{}{}",
        connection("cust-two", "box", "con_okta000000000001", "90d"),
        connection("cust-one", "box", "con_waad000000000001", "60d"),
        connection("staff", "other", "con_okta000000000001", "120d"),
    );
    fs::write(folder.path().join("scimitar.toml"), text).unwrap();
    folder
}

fn call(folder: &Path, arguments: &[&str]) -> Ended {
    let all: Vec<&str> = ["--config", "scimitar.toml", "--output", "json"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    Call::new(folder, &all).run()
}

/// The connections of the one document.
fn names(ended: Ended) -> Vec<String> {
    let document = ended.exits(0).json();
    let rows = document["results"].as_array().unwrap().iter();
    rows.map(|row| row["connection"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_command_takes_the_same_ways_of_selecting() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(names(call(path, &["--rotate-now", "--provider", "box"])), ["cust-two", "cust-one"]);
    assert!(!path.join("tokens/staff").exists(), "only those of the provider");
    // What was never looked at is due.
    for command in [&["status"][..], &["plan"], &["explain"], &["--once"]] {
        let due = [command, &["--where", "due"]].concat();
        assert_eq!(names(call(path, &due)), ["staff"], "{command:?}");
        let both = [command, &["--match", "*-o*", "--where", "expiring<61d"]].concat();
        assert_eq!(names(call(path, &both)), ["cust-one"], "{command:?}");
        // That none stands so is no error, and is said.
        let none = [command, &["--match", "cust-*", "--where", "due"]].concat();
        let ended = call(path, &none).exits(0);
        assert!(ended.stderr.contains("none of the 2 selected connections"), "{}", ended.stderr);
        assert_eq!(names(ended), [""; 0], "{command:?}");
        // That none is called so is one.
        let nobody = [command, &["--match", "nobody-*"]].concat();
        let refused = call(path, &nobody).exits(2).json();
        assert_eq!(refused["error"]["class"], "usage");
        let words = refused["error"]["message"].as_str().unwrap();
        assert!(words.contains("no connection matches pattern nobody-*"), "{words}");
    }
    let ordered = |sort| names(call(path, &["status", "--sort", sort]));
    assert_eq!(ordered("name"), ["cust-one", "cust-two", "staff"]);
    assert_eq!(ordered("expiry"), ["cust-one", "cust-two", "staff"]);
    assert_eq!(ordered("next"), ["cust-one", "cust-two", "staff"]);
}

#[test]
fn a_provider_or_a_pattern_says_whose_tokens_leaked() {
    let folder = folder();
    let path = folder.path();
    call(path, &["--rotate-now"]).exits(0);
    let held = |name: &str| fs::read_to_string(path.join("tokens").join(name)).unwrap();
    let before = (held("cust-one"), held("staff"));
    // How they stand says nothing of that.
    let refused = call(path, &["--rotate-now", "--compromised", "--where", "expiring<121d"]);
    let words = refused.exits(2).json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(words.contains("--match"), "{words}");
    let leaked = call(path, &["--rotate-now", "--compromised", "--match", "cust-*"]);
    assert_eq!(names(leaked), ["cust-two", "cust-one"]);
    assert_ne!(held("cust-one"), before.0);
    assert_eq!(held("staff"), before.1);
}

/// `status` on a terminal of so many lines.
fn on_a_terminal(folder: &Path, lines: u32, arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_scimitar");
    let typed = format!("stty rows {lines} cols 200; {program} --config scimitar.toml {arguments}");
    on_a_terminal_typed(folder, &typed)
}

/// What a terminal shows of it.
fn on_a_terminal_typed(folder: &Path, typed: &str) -> String {
    let ended = Command::new("script")
        .args(["-qec", typed, "/dev/null"])
        .env_remove("NO_COLOR")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&ended.stdout).replace('\r', "")
}

#[test]
fn status_sums_up_what_a_terminal_cannot_show() {
    let folder = folder();
    let path = folder.path();
    call(path, &["--rotate-now"]).exits(0);
    let piped = Call::new(path, &["--config", "scimitar.toml", "status"]).run().exits(0).stdout;
    assert!(piped.starts_with("3 connections: 3 healthy; next rotation in "), "{piped}");
    assert_eq!(piped.matches("  healthy  ").count(), 3, "{piped}");
    assert!(!piped.contains('\x1b'), "no colour when piped: {piped:?}");
    let small = on_a_terminal(path, 5, "status");
    let plain = small.replace("\x1b[32m", "").replace("\x1b[0m", "");
    assert!(plain.contains("3 connections: 3 healthy; next rotation in "), "{small}");
    assert!(small.contains("3 without trouble: `scimitar status --all` lists them"), "{small}");
    assert!(!small.contains("STATE"), "{small}");
    for whole in [on_a_terminal(path, 5, "status --all"), on_a_terminal(path, 40, "status")] {
        assert!(whole.contains("STATE") && whole.contains("staff"), "{whole}");
        assert!(whole.contains("\x1b[32mhealthy"), "{whole:?}");
    }
    let uncoloured = on_a_terminal(path, 40, "status -q | cat");
    assert!(!uncoloured.contains('\x1b'), "{uncoloured:?}");
    let program = env!("CARGO_BIN_EXE_scimitar");
    let typed =
        format!("stty rows 40 cols 200; NO_COLOR=1 {program} --config scimitar.toml status");
    let unwanted = on_a_terminal_typed(path, &typed);
    assert!(unwanted.contains("healthy") && !unwanted.contains('\x1b'), "{unwanted:?}");
}

#[test]
fn a_watch_tells_what_changes_until_it_is_stopped() {
    let folder = folder();
    let path = folder.path();
    call(path, &["--rotate-now"]).exits(0);
    let all = ["--config", "scimitar.toml", "status", "--watch"];
    let watching = Call::new(path, &all).start();
    watching.out.until_text("3 connections: 3 healthy");
    call(path, &["pause", "staff", "--until", "8h", "--reason", "CHG-1"]).exits(0);
    watching.out.until_text("staff: healthy -> paused: ");
    call(path, &["rotate", "cust-one"]).exits(0);
    watching.out.until_text("cust-one: healthy -> waiting");
    watching.signal("INT");
    let ended = watching.ended().exits(0);
    let changes: Vec<&str> = ended.stdout.lines().skip(1).collect();
    let told = |line: &&str| line.contains(" UTC staff: ") || line.contains(" UTC cust-one: ");
    assert!(changes.len() > 1 && changes.iter().all(told), "changes alone: {}", ended.stdout);
    // On a terminal it is drawn again and again, until Ctrl-C.
    let program = env!("CARGO_BIN_EXE_scimitar");
    // The shell tells how it ended; the trap keeps the shell alive for that.
    let typed = format!(
        "trap : INT; stty rows 40 cols 200; {program} --config scimitar.toml status --watch; echo exited $?"
    );
    let mut drawing = Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
        .current_dir(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut shown) = (drawing.stdin.take().unwrap(), drawing.stdout.take().unwrap());
    let (mut drawn, mut piece) = (String::new(), [0; 4096]);
    while drawn.matches("(Ctrl-C ends)").count() < 2 {
        let read = shown.read(&mut piece).unwrap();
        assert_ne!(read, 0, "it ended: {drawn:?}");
        drawn.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(drawn.contains("staff") && drawn.contains("paused"), "{drawn:?}");
    keys.write_all(b"\x03").unwrap();
    let mut rest = Vec::new();
    shown.read_to_end(&mut rest).unwrap();
    drawn.push_str(&String::from_utf8_lossy(&rest));
    drawing.wait().unwrap();
    assert!(drawn.trim_end().ends_with("exited 0"), "{drawn:?}");
    // What never ends is no document.
    let refused = call(path, &["status", "--watch"]).exits(2).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("--watch"), "{refused}");
}

#[test]
fn rotate_and_once_are_commands_and_results_are_counted() {
    let folder = folder();
    let path = folder.path();
    let text = |arguments: &[&str]| {
        let all = [&["--config", "scimitar.toml"], arguments].concat();
        Call::new(path, &all).run()
    };
    let ended = text(&["rotate", "cust-*"]).exits(0).stdout;
    let counted: Vec<&str> = ended.lines().filter(|line| line.contains("rotated  ")).collect();
    assert!(counted[0].starts_with("1/2  cust-"), "{ended}");
    assert!(counted[1].starts_with("2/2  cust-"), "{ended}");
    assert_eq!(counted.len(), 2, "each is printed once: {ended}");
    assert!(ended.ends_with("\n2 rotated\n"), "{ended}");
    assert!(!path.join("tokens/staff").exists());
    // Without names or --all nothing is rotated.
    let refused = text(&["rotate"]).exits(2).stderr;
    assert!(refused.contains("--all"), "{refused}");
    assert_eq!(names(call(path, &["once", "staff"])), ["staff"]);
    assert!(path.join("tokens/staff").exists());
    let quiet = text(&["-q", "rotate", "--all"]).exits(0);
    assert_eq!(quiet.stderr, "", "no progress and no notes");
    let wrong = text(&["rotate", "stuff"]).exits(2).stderr;
    assert!(wrong.contains("no connection named \"stuff\" (did you mean staff?)"), "{wrong}");
    let listed = text(&["__names"]).exits(0).stdout;
    assert_eq!(listed, "cust-two\ncust-one\nstaff\n");
}

#[test]
fn history_tells_changes_and_counts_the_looks_between() {
    let folder = folder();
    let path = folder.path();
    call(path, &["rotate", "staff"]).exits(0);
    for _ in 0..3 {
        call(path, &["once", "staff"]).exits(0);
    }
    let pause = ["pause", "staff", "--until", "8h", "--reason", "CHG-1"];
    call(path, &pause).exits(0);
    call(path, &["resume", "staff"]).exits(0);
    let document = call(path, &["history", "staff"]).exits(0).json();
    let history = &document["history"][0];
    assert_eq!(history["connection"], "staff");
    let changes = history["changes"].as_array().unwrap();
    let what: Vec<&str> = changes.iter().map(|one| one["what"].as_str().unwrap()).collect();
    let at = |word| what.iter().position(|one| *one == word).unwrap_or_else(|| panic!("{what:?}"));
    assert!(at("started") < at("delivered") && at("delivered") < at("rotated"), "{what:?}");
    assert!(at("rotated") < at("paused") && at("paused") < at("resumed"), "{what:?}");
    // By whom is said of all that a person asked for.
    let by = scimitar::telemetry::audit::actor::person();
    for word in ["started", "paused", "resumed"] {
        let words = changes[at(word)]["words"].as_str().unwrap();
        assert!(words.contains(&format!("by {by}")), "{word}: {words}");
    }
    assert!(changes[at("paused")]["words"].as_str().unwrap().contains("CHG-1"));
    let all = ["--config", "scimitar.toml", "history", "staff"];
    let text = Call::new(path, &all).run().exits(0).stdout;
    assert!(text.lines().any(|line| line.contains(" UTC") && line.contains("  rotated")), "{text}");
    assert_eq!(text.lines().count(), changes.len(), "{text}");
    assert!(!text.contains("looked"), "{text}");
}
