//! Which connections a command is about: names, patterns, `--provider`, `--match`, `--where`.

use std::{
    fs,
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
        assert!(ended.stderr.contains("none of the 2 connections"), "{}", ended.stderr);
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
    let ended = Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
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
    assert_eq!(piped.matches("unchanged").count(), 3, "{piped}");
    let small = on_a_terminal(path, 6, "status");
    assert!(small.contains("3 connections: 3 unchanged"), "{small}");
    assert!(small.contains("Next to expire: cust-one"), "{small}");
    assert!(small.contains("`--all` shows each connection"), "{small}");
    assert!(!small.contains("STANDING"), "{small}");
    for whole in [on_a_terminal(path, 6, "status --all"), on_a_terminal(path, 40, "status")] {
        assert!(whole.contains("STANDING") && whole.contains("staff"), "{whole}");
    }
}
