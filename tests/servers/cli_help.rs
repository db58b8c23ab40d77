//! Help, completions, and what a terminal is shown: how a person finds the way in.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command as Process, Output as Ended, Stdio},
};

use scimitar::cli::{self, Invocation};

fn parse(line: &str) -> Result<Invocation, String> {
    let args = std::iter::once("scimitar").chain(line.split_whitespace()).map(OsString::from);
    cli::parse(args).map_err(|error| error.to_string())
}

/// The program itself, away from this process' environment.
fn scimitar(line: &str) -> Ended {
    let mut process = Process::new(env!("CARGO_BIN_EXE_scimitar"));
    process.args(line.split_whitespace()).env_remove("SCIMITAR_CONFIG").stdin(Stdio::null());
    process.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The program on a terminal of its own.
fn on_a_terminal(typed: &str) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_scimitar");
    let ended = Process::new("script")
        .args(["-qec", &typed.replace("scimitar", program), "/dev/null"])
        .env_remove("SCIMITAR_CONFIG")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).replace('\r', ""))
}

#[test]
fn without_a_configuration_a_terminal_shows_help() {
    let missing = Path::new("/etc/scimitar/scimitar.toml");
    assert!(!missing.exists(), "this machine has one");
    let (status, shown) = on_a_terminal("scimitar");
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("Commands:") && shown.contains("rotate"), "{shown}");
    assert!(
        shown.contains("There is no configuration yet (/etc/scimitar/scimitar.toml"),
        "{shown}"
    );
    // A unit or a script is told what is wrong.
    let piped = scimitar("");
    assert_eq!(piped.status.code(), Some(2));
    assert!(piped.stdout.is_empty());
    // Whoever asks for something gets it, or the error.
    let (status, shown) = on_a_terminal("scimitar run");
    assert_eq!(status, Some(2), "{shown}");
}

#[test]
fn a_terminal_has_colours_unless_nobody_wants_them() {
    for asked in ["scimitar status --help", "scimitar statsu"] {
        let (_, shown) = on_a_terminal(asked);
        assert!(shown.contains("\x1b["), "{shown:?}");
        let (_, plain) = on_a_terminal(&format!("NO_COLOR=1 {asked}"));
        assert!(plain.contains("Usage") && !plain.contains("\x1b["), "{plain:?}");
        // An empty one asks for nothing.
        let (_, shown) = on_a_terminal(&format!("NO_COLOR= {asked}"));
        assert!(shown.contains("\x1b["), "{shown:?}");
    }
}

#[test]
fn a_typo_is_answered_with_what_was_meant() {
    for (typed, meant) in [
        ("statsu", "'status'"),
        ("rotat a", "'rotate'"),
        ("--rotat-now", "'--rotate-now'"),
        ("check --onlin", "'--online'"),
        ("status --were due", "'--where'"),
        ("status -o jsn", "'json'"),
    ] {
        let ended = scimitar(typed);
        assert_eq!(ended.status.code(), Some(2), "{typed}");
        assert!(ended.stdout.is_empty(), "{typed}");
        let said = text(&ended.stderr);
        let tip = said.lines().find(|line| line.trim_start().starts_with("tip: "));
        assert!(tip.is_some_and(|tip| tip.contains(meant)), "{typed}: {said}");
    }
    // A name behind a flag that takes none is no command.
    let refused = parse("--once initech-okta").unwrap_err();
    assert!(refused.contains("use `scimitar once initech-okta`"), "{refused}");
}

#[test]
fn what_an_operator_decides_is_asked_for_several_at_once() {
    let selected = "named: [Name(ConnectionName(\"a\")), Like(Pattern(\"cust-*\"))], \
                    provider: Some(ProviderName(\"acme\")), matching: Some(Pattern(\"*-okta\")), \
                    conditions: [Due]";
    for (asked, more) in
        [("pause", "--until 8h --reason change"), ("resume", ""), ("handoff", "--done")]
    {
        let flags = "--provider acme --match *-okta --where due";
        let shown = format!("{:?}", parse(&format!("{asked} a cust-* {flags} {more}")).unwrap());
        assert!(shown.contains(selected), "{asked}: {shown}");
        // One of the flags is as good as a name; without any of them nothing is done.
        let shown = format!("{:?}", parse(&format!("{asked} --provider acme {more}")).unwrap());
        assert!(shown.contains("named: [], provider: Some"), "{asked}: {shown}");
        assert!(parse(&format!("{asked} {more}")).is_err(), "{asked}");
    }
}

#[test]
fn each_command_ends_its_help_with_examples() {
    let mut command = cli::definition();
    command.build();
    let mut seen = 0;
    let mut left: Vec<&clap::Command> = command.get_subcommands().collect();
    while let Some(inner) = left.pop() {
        let name = inner.get_bin_name().unwrap_or_default();
        if inner.is_hide_set() || inner.get_name() == "help" {
            continue;
        }
        left.extend(inner.get_subcommands());
        seen += 1;
        let after = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.starts_with(&format!("Examples:\n  {name}")), "{name}: {after}");
        // What is shown there is what can be typed.
        for line in after.lines().skip(1) {
            let typed = line.split("  ").nth(1).unwrap_or_default();
            let typed = typed.split(['>', '|']).next().unwrap_or_default().replace('\'', "");
            let typed = typed.trim_start_matches("scimitar ").replace("maintenance at ", "");
            let typed = typed.replace("change freeze", "freeze").replace("HASH", &"0".repeat(64));
            assert!(parse(&typed).is_ok(), "{name}: {typed}: {:?}", parse(&typed).err());
        }
    }
    assert!(seen > 25, "{seen}: `state copy` and the like count");
}

#[test]
fn a_log_that_is_not_there_is_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsnol");
    let ended = scimitar(&format!("audit verify {}", path.display()));
    assert_eq!(ended.status.code(), Some(2));
    let words = format!("error: no such file: {}; nothing was verified\n", path.display());
    assert_eq!(text(&ended.stderr), words);
}

#[test]
fn bash_completes_names_of_connections() {
    let folder = tempfile::tempdir().unwrap();
    let script = scimitar("completions bash");
    fs::write(folder.path().join("scimitar.bash"), &script.stdout).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let program = env!("CARGO_BIN_EXE_scimitar");
    let completed = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source {}/scimitar.bash; COMP_WORDS=({}); COMP_CWORD={}; \
             _scimitar_with_names \"${{COMP_WORDS[0]}}\" \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            folder.path().display(),
            quoted.join(" "),
            words.len() - 1
        );
        let mut bash = Process::new("bash");
        bash.args(["--norc", "-c", &script]).env("SCIMITAR_CONFIG", &example);
        let ended = bash.current_dir(folder.path()).output().unwrap();
        assert!(ended.stderr.is_empty(), "{}", text(&ended.stderr));
        text(&ended.stdout)
    };
    assert_eq!(completed(&format!("{program} explain ini")), "initech-okta\n");
    assert_eq!(completed(&format!("{program} rotate ")), "initech-okta\n");
    assert_eq!(
        completed(&format!("{program} --config {} history i", example.display())),
        "initech-okta\n"
    );
    assert!(completed(&format!("{program} stat")).contains("status"));
    assert!(completed(&format!("{program} status --wa")).contains("--watch"));
    assert!(!completed(&format!("{program} sandbox ")).contains("initech"));
}
