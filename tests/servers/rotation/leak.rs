//! `--compromised` over more than one connection: it is meant, and a person at a terminal says so.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::binary::{Call, Ended};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let connection = |name: &str, id: &str, places: &str| {
        format!(
            "[[connections]]\nname = \"{name}\"\nprovider = \"box\"\nconnection_id = \"{id}\"\n\
             scopes = [\"get:users\"]\ntoken_lifetime = \"30d\"\ndeliver_to = [{places}]\n"
        )
    };
    let place = |file: &str| format!("{{ sink = \"disk\", file = \"{file}\" }}");
    let text = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n\
         [providers.box]\ntype = \"sandbox\"\ndata_dir = \"box\"\n\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n{}{}",
        connection("one", "con_okta000000000001", &format!("{}, {}", place("1"), place("2"))),
        connection("two", "con_waad000000000001", &place("3")),
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

fn held(folder: &Path) -> Vec<String> {
    ["1", "2", "3"].map(|file| fs::read_to_string(folder.join("tokens").join(file)).unwrap()).into()
}

#[test]
fn without_names_or_all_it_is_refused_and_nothing_is_done() {
    let folder = folder();
    let path = folder.path();
    // Without a leak, no name is all of them, as ever.
    call(path, &["--rotate-now"]).exits(0);
    let before = held(path);
    for more in [&[][..], &["--dry-run"]] {
        let arguments = [&["--rotate-now", "--compromised"], more].concat();
        let refused = call(path, &arguments).exits(2).json();
        assert_eq!(refused["error"]["class"], "usage");
        let words = refused["error"]["message"].as_str().unwrap();
        assert!(words.contains("all 2 connections") && words.contains("add --all"), "{words}");
    }
    assert_eq!(held(path), before);
    let one = call(path, &["--rotate-now", "one", "--compromised"]).exits(0).json();
    assert_eq!(one["results"].as_array().unwrap().len(), 1);
    let after = held(path);
    assert!(after[0] != before[0] && after[2] == before[2], "only the one that was named");
    let all = call(path, &["--rotate-now", "--all", "--compromised"]).exits(0).json();
    assert_eq!(all["results"].as_array().unwrap().len(), 2);
    assert!(held(path).iter().zip(&after).all(|(now, before)| now != before));
}

/// The same on a terminal, where this is typed.
fn typed(folder: &Path, arguments: &str, line: &str) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_scimitar");
    let mut script = Command::new("script")
        .args(["-qec", &format!("{program} --config scimitar.toml {arguments}"), "/dev/null"])
        .current_dir(folder)
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let ended = script.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn a_terminal_prompt_names_the_number_of_clients_cut_off() {
    let folder = folder();
    let path = folder.path();
    call(path, &["--rotate-now"]).exits(0);
    let before = held(path);
    let (status, said) = typed(path, "--rotate-now --all --compromised", "n\n");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("tokens of 2 connections and revokes the old ones at once"), "{said}");
    assert!(said.contains("at least 3 clients") && said.contains("[y/N]"), "{said}");
    assert!(said.contains("not confirmed; nothing was done"), "{said}");
    assert_eq!(held(path), before);
    let (status, said) = typed(path, "--rotate-now one two --compromised", "y\n");
    assert_eq!(status, Some(0), "{said}");
    assert!(held(path).iter().zip(&before).all(|(now, before)| now != before));
    // One connection is not asked for.
    let (status, said) = typed(path, "--rotate-now one --compromised", "");
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("[y/N]"), "{said}");
}
