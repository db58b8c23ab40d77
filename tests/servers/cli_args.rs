//! The command line: which combinations mean what, and what a wrong one is answered.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command as Process, Output as Ended, Stdio},
    time::Duration,
};

use nix::sys::{prctl, resource};
use scimitar::{
    cli::{self, Command, Invocation, OneShot, Output},
    commands::{
        self,
        process::{self, Interrupt, Stop},
        progress::Console,
    },
};
use scimitar_test_support::own_process;
use serde_json::{Value, json};

fn args(line: &str) -> Vec<OsString> {
    std::iter::once("scimitar").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn parse(line: &str) -> Result<Invocation, String> {
    cli::parse(args(line)).map_err(|error| error.to_string())
}

/// The command as its `Debug` shows it; secrets do not show there.
fn command(line: &str) -> String {
    format!("{:?}", parse(line).unwrap().command)
}

/// The program itself, away from this process' environment.
fn scimitar(line: &str) -> Ended {
    program(line).output().unwrap()
}

fn program(line: &str) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_scimitar"));
    process
        .args(line.split_whitespace())
        .env_remove("SCIMITAR_CONFIG")
        .env_remove("SCIMITAR_LOG")
        .stdin(Stdio::null());
    process
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A selection by names alone, as its `Debug` shows it.
fn of(names: &[&str]) -> String {
    let names: Vec<String> =
        names.iter().map(|name| format!("Name(ConnectionName(\"{name}\"))")).collect();
    let names = names.join(", ");
    format!("Selection {{ named: [{names}], provider: None, matching: None, conditions: [] }}")
}

#[test]
fn each_command_is_what_it_says() {
    let shot = "OneShot { wait: false, timeout: Some(120s), dry_run: false }";
    let rotate = |names: &[&str], all: bool, compromised: bool, each: &str| {
        let of = of(names);
        let bulk = format!("Bulk {{ batch: None, stop_after: None, since: None, each: {each} }}");
        format!(
            "RotateNow {{ of: {of}, all: {all}, compromised: {compromised}, bulk: {bulk}, shot: {shot} }}"
        )
    };
    let each = "Some(120s)";
    let none = of(&[]);
    let list = "List { sort: None, all: false }";
    for (line, wanted) in [
        ("", "Run".to_owned()),
        ("run", "Run".to_owned()),
        ("--rotate-now", rotate(&[], false, false, each)),
        ("--rotate-now a b", rotate(&["a", "b"], false, false, each)),
        // A connection may be called like a command.
        ("--rotate-now check", rotate(&["check"], false, false, each)),
        ("--rotate-now a --compromised", rotate(&["a"], false, true, each)),
        // Names may stand behind the other flags as well.
        ("--rotate-now --compromised a", rotate(&["a"], false, true, each)),
        (
            "--rotate-now a --compromised b --timeout 2m c",
            rotate(&["b", "c", "a"], false, true, "None"),
        ),
        ("--rotate-now --all --compromised", rotate(&[], true, true, each)),
        ("--once", format!("Once {{ of: {none}, shot: {shot} }}")),
        // The commands are the flags.
        ("rotate a b", rotate(&["a", "b"], false, false, each)),
        ("rotate --all --compromised", rotate(&[], true, true, each)),
        ("rotate a --timeout 2m", rotate(&["a"], false, false, "None")),
        ("once", format!("Once {{ of: {none}, shot: {shot} }}")),
        ("once a", format!("Once {{ of: {}, shot: {shot} }}", of(&["a"]))),
        ("history a", format!("History {{ of: {} }}", of(&["a"]))),
        ("__names", "Names".to_owned()),
        ("check", "Check { online: false }".to_owned()),
        ("check --online", "Check { online: true }".to_owned()),
        ("plan", format!("Plan {{ of: {none}, until: 7776000s }}")),
        ("plan a --until 2w", format!("Plan {{ of: {}, until: 1209600s }}", of(&["a"]))),
        ("status", format!("Status {{ of: {none}, list: {list}, exit_code: false, watch: false }}")),
        (
            "status a --exit-code --sort expiry --all",
            format!(
                "Status {{ of: {}, list: List {{ sort: Some(Expiry), all: true }}, exit_code: true, watch: false }}",
                of(&["a"])
            ),
        ),
        (
            "status --watch",
            format!("Status {{ of: {none}, list: {list}, exit_code: false, watch: true }}"),
        ),
        ("explain a", format!("Explain {{ of: {} }}", of(&["a"]))),
        ("explain a b", format!("Explain {{ of: {} }}", of(&["a", "b"]))),
        (
            "adopt a --token-id tok_1",
            "Adopt { connection: ConnectionName(\"a\"), token_id: TokenId(\"tok_1\") }".to_owned(),
        ),
        (
            "adopt a --token-id tok_1 --retire",
            "Retire { connection: ConnectionName(\"a\"), token_id: TokenId(\"tok_1\") }".to_owned(),
        ),
        (
            "adopt a --place vault",
            "AcceptPlace { connection: ConnectionName(\"a\"), place: \"vault\" }".to_owned(),
        ),
        (
            "adopt a --user-gone scimitar-probe-00000000000000ab@scimitar.invalid",
            "AcceptUserGone { connection: ConnectionName(\"a\"), user: ProbeUserName(\"scimitar-probe-00000000000000ab@scimitar.invalid\") }".to_owned(),
        ),
        ("adopt --all-from x.tfstate", "AdoptAll { state: \"x.tfstate\" }".to_owned()),
        (
            "import terraform x.tfstate",
            "Import { tool: Terraform, state: \"x.tfstate\" }".to_owned(),
        ),
        (
            "revoke a --token-id tok_1 --force",
            "Revoke { connection: ConnectionName(\"a\"), token_id: TokenId(\"tok_1\"), force: \
             true }"
                .to_owned(),
        ),
        ("permissions", "Permissions".to_owned()),
        ("healthcheck", "Healthcheck".to_owned()),
        ("audit verify a.1 a", "AuditVerify { files: [\"a.1\", \"a\"], head: None }".to_owned()),
        ("schema", "Print(Schema)".to_owned()),
        ("completions fish", "Print(Completions(Fish))".to_owned()),
        ("man", "Print(Man)".to_owned()),
        (
            "sandbox",
            "Sandbox(Sandbox { listen: 127.0.0.1:4400, data_dir: None, client: None, rate: None })"
                .to_owned(),
        ),
        (
            "sandbox --listen 127.0.0.1:0 --data-dir d --client-id me --client-secret canary \
             --rate 16 --burst 50",
            "Sandbox(Sandbox { listen: 127.0.0.1:0, data_dir: Some(\"d\"), client: Some((\"me\", \
             [redacted])), rate: Some(Rate { per_second: 16, burst: 50 }) })"
                .to_owned(),
        ),
    ] {
        assert_eq!(command(line), wanted, "{line}");
    }
}

#[test]
fn connections_are_selected_alike_by_every_command() {
    let selected = "named: [Name(ConnectionName(\"a\")), Like(Pattern(\"cust-*\"))], \
                    provider: Some(ProviderName(\"acme\")), matching: Some(Pattern(\"*-okta\")), \
                    conditions: [Due, Expiring(2592000s)]";
    let flags = "--provider acme --match *-okta --where due --where expiring<30d";
    for asked in
        ["plan", "status", "explain", "tokens", "history", "rotate", "once", "--rotate-now"]
    {
        for line in [format!("{asked} a cust-* {flags}"), format!("{asked} {flags} a cust-*")] {
            let shown = command(&line);
            assert!(shown.contains(selected), "{line}: {shown}");
        }
    }
    let once = command(&format!("--once {flags}"));
    assert!(
        once.contains(
            &selected.replace("Name(ConnectionName(\"a\")), Like(Pattern(\"cust-*\"))", "")
        ),
        "{once}"
    );
    // One of the selecting flags is as good as a name.
    assert!(command("explain --where failing").contains("conditions: [Failing]"));
}

#[test]
fn a_one_shot_tries_two_minutes_and_waits_as_long_as_it_takes() {
    let shot = |line: &str| {
        let command = parse(line).unwrap().command;
        let (Command::Once { shot, .. } | Command::RotateNow { shot, .. }) = command else {
            panic!("{command:?}");
        };
        shot
    };
    let plain = OneShot { wait: false, timeout: Some(Duration::from_secs(120)), dry_run: false };
    assert_eq!(shot("--once"), plain);
    let waiting = OneShot { wait: true, timeout: None, ..plain };
    assert_eq!(shot("--rotate-now --wait"), waiting);
    let bounded = OneShot { timeout: Some(Duration::from_secs(900)), ..waiting };
    assert_eq!(shot("--once --wait --timeout 15m"), bounded);
    let dry = OneShot { dry_run: true, ..plain };
    assert_eq!(shot("--once --dry-run"), dry);
}

#[test]
fn what_applies_to_all_may_come_before_or_after() {
    for line in [
        "--config f.toml --output json -vv check",
        "check --config f.toml --output json -vv",
        "--config f.toml check -vv --output=json",
        "-o json check -vv --config f.toml",
    ] {
        let invocation = parse(line).unwrap();
        assert_eq!(invocation.config, Path::new("f.toml"), "{line}");
        assert_eq!(invocation.output, Output::Json, "{line}");
        assert_eq!(invocation.verbosity, 2, "{line}");
    }
    for line in ["--rotate-now --config f.toml", "--config f.toml --rotate-now"] {
        let invocation = parse(line).unwrap();
        assert_eq!(invocation.config, Path::new("f.toml"), "{line}");
        assert!(matches!(invocation.command, Command::RotateNow { .. }));
    }
}

#[test]
fn contradictions_are_refused_and_named() {
    for (line, words) in [
        ("--rotate-now --once", "cannot be used with"),
        ("--rotate-now -v check --online", "a command cannot be used with --rotate-now"),
        ("--once check", "a command cannot be used with --once"),
        ("--wait check", "a command cannot be used with --wait"),
        ("--dry-run status", "a command cannot be used with --dry-run"),
        ("check --once", "unexpected argument '--once'"),
        ("--wait", "--wait needs --rotate-now or --once"),
        ("--timeout 5m", "--timeout needs --rotate-now or --once"),
        ("--dry-run", "--dry-run needs --rotate-now or --once"),
        ("--compromised", "--compromised needs --rotate-now"),
        ("--once --compromised", "--compromised needs --rotate-now"),
        ("--all", "--all needs --rotate-now"),
        ("--once --all", "--all needs --rotate-now"),
        ("--rotate-now a --all", "--all cannot be used with names"),
        ("--all check", "a command cannot be used with --all"),
        ("--once --dry-run --wait", "cannot be used with"),
        ("--once --timeout 0s", "more than zero"),
        ("--once --timeout 101years", "at most 100 years"),
        ("--once --timeout soon", "90s, 15m, 24h, 30d or 2w"),
        ("--once a", "use `scimitar once a`"),
        ("rotate", "--all"),
        ("rotate a --all", "cannot be used with"),
        ("rotat a", "'rotate'"),
        ("rotate a --compromisd", "a similar argument exists: '--compromised'"),
        ("once --all", "unexpected argument '--all'"),
        ("--all rotate a", "a command cannot be used with --all"),
        ("status --watch --exit-code", "cannot be used with"),
        ("check -q -v", "cannot be used with"),
        ("history", "<CONNECTION|--provider <NAME>|--match <GLOB>|--where <STATE>>"),
        ("audit", "verify"),
        ("audit verify", "<FILE>..."),
        ("audit verify a --head c0ffee", "64 hexadecimal digits"),
        (
            "--rotate-now --compromised tok_1.0123456789abcdef0123456789abcdef",
            "looks like a token's value",
        ),
        ("--compromised --rotate-now --wait --bogus", "unexpected argument '--bogus'"),
        ("--compromised chek", "similar subcommands exist: 'schema', 'check'"),
        ("chek", "similar subcommands exist: 'schema', 'check'"),
        ("explain", "<CONNECTION|--provider <NAME>|--match <GLOB>|--where <STATE>>"),
        ("status --where dew", "due, failing, refused, waiting"),
        ("plan --where expiring<soon", "90s, 15m, 24h, 30d or 2w"),
        ("status --sort age", "[possible values: name, expiry, next, standing]"),
        ("status --provider a --provider b", "cannot be used multiple times"),
        ("--provider a status", "a command cannot be used with --provider"),
        ("--match a*", "--match needs --rotate-now or --once"),
        ("--once --batch 5", "--batch needs --rotate-now"),
        ("--stop-after 5", "--stop-after needs --rotate-now"),
        ("--rotate-now --batch 0", "--batch <N>"),
        ("--rotate-now --since yesterday", "a time such as 2026-12-24T06:00:00Z"),
        ("pause a --all --until 2h --reason x", "cannot be used with"),
        ("status --match tok_1.0123456789abcdef0123456789abcdef", "looks like a token's value"),
        ("adopt a", "--token-id <ID>"),
        ("adopt a --retire", "--token-id <ID>"),
        ("adopt a --token-id tok_1 --place b", "cannot be used with"),
        ("adopt a --user-gone ada@acme.example", "scimitar-probe-…"),
        (
            "adopt a --user-gone scimitar-probe-00000000000000ab@scimitar.invalid --place b",
            "cannot be used with",
        ),
        ("revoke a", "--token-id <ID>"),
        ("sandbox --client-id me", "--client-secret <SECRET>"),
        ("sandbox --client-secret x", "--client-id <ID>"),
        ("sandbox --burst 5", "--rate <N>"),
        ("sandbox --rate 0", "--rate <N>"),
        ("sandbox --listen here", "--listen <ADDRESS>"),
        ("check --output yaml", "[possible values: text, json]"),
    ] {
        let error = parse(line).map(|_| ()).unwrap_err();
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_with_json_says_so_in_a_document() {
    let plain = scimitar("--once --compromised");
    assert_eq!(plain.status.code(), Some(2));
    assert!(plain.stdout.is_empty());
    assert!(text(&plain.stderr).starts_with("error: --compromised needs --rotate-now"));

    for line in [
        "--once --compromised --output json",
        "--output=json --once --compromised",
        "-o json --once --compromised",
        "-ojson --once --compromised",
    ] {
        let ended = scimitar(line);
        assert_eq!(ended.status.code(), Some(2));
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let members: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            ["error", "exit_status", "finished_at", "results", "schema", "started_at"]
        );
        assert_eq!(document["schema"], 1);
        assert_eq!(document["exit_status"], 2);
        assert_eq!(document["results"], json!([]));
        assert_eq!(document["error"]["class"], "usage");
        assert_eq!(document["error"]["problems"], json!([]));
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("--compromised needs --rotate-now"), "{message}");
        assert!(text(&ended.stderr).starts_with("error: --compromised needs"));
    }
}

#[test]
fn what_asks_nobody_needs_no_rights() {
    let plain = scimitar("permissions --config config.example.toml");
    assert_eq!(plain.status.code(), Some(0));
    assert!(text(&plain.stdout).starts_with("no permissions needed"));
    let ended = scimitar("permissions --config config.example.toml --output json");
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["permissions"], json!([]));
    assert_eq!(document["results"], json!([]));
    assert_eq!(document["exit_status"], 0);
}

#[test]
fn a_secret_that_was_typed_is_not_repeated() {
    let value = format!("tok_0123456789abcdef.{}", "c0ffee00".repeat(8));
    for line in [
        format!("revoke a --token-id {value}"),
        format!("revoke a {value} --output json"),
        format!("adopt {value} --token-id tok_1"),
        format!("--rotate-now {value} --output json"),
        format!("--token={value}"),
        "sandbox --client-secret=c0ffee00 --client-id --output json".to_owned(),
        "sandbox --client-secrt c0ffee00".to_owned(),
        "sandbox --client-secrt=c0ffee00".to_owned(),
    ] {
        let ended = scimitar(&line);
        assert_eq!(ended.status.code(), Some(2), "{line}");
        let said = text(&ended.stdout) + &text(&ended.stderr);
        assert!(!said.contains("c0ffee00"), "{line}: {said}");
        assert!(said.contains("error"), "{line}: {said}");
    }
    let refused = text(&scimitar(&format!("revoke a --token-id {value}")).stderr);
    assert!(refused.contains("the token's id, which is the part before the dot"), "{refused}");
}

#[test]
fn help_and_version_are_answers() {
    let version = scimitar("--version");
    assert_eq!(version.status.code(), Some(0));
    // The commit stands behind the version, or that it is unknown.
    let wanted = concat!("scimitar ", env!("CARGO_PKG_VERSION"), " (");
    let said = text(&version.stdout);
    assert!(said.starts_with(wanted) && said.ends_with(")\n"), "{said}");
    let help = scimitar("--help");
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    for word in [
        "--rotate-now",
        "--once",
        "check",
        "plan",
        "status",
        "explain",
        "adopt",
        "revoke",
        "sandbox",
        "Exit status:",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn check_lists_every_mistake_and_calls_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scimitar.toml");
    fs::write(&path, "[stat]\nurl = 1\n[engin]\n").unwrap();
    let line = format!("check --config {} --output json", path.display());
    let ended = scimitar(&line);
    assert_eq!(ended.status.code(), Some(2));
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["error"]["class"], "configuration");
    let problems = document["error"]["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{problems:?}");
    assert_eq!(problems[0]["line"], 1);
    assert_eq!(problems[0]["file"], path.to_str().unwrap());
    let shown = text(&ended.stderr);
    let place = format!("error: {}:1:", path.display());
    assert!(shown.starts_with(&place), "{shown}");

    // The same file by way of the environment.
    let ended = program("check").env("SCIMITAR_CONFIG", &path).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(text(&ended.stderr).contains(&place));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn check_is_content_with_the_example() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let ended = scimitar(&format!("check --config {}", example.display()));
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(text(&ended.stdout).contains("no errors; 1 connection, 1 provider, 1 sink"));
}

#[test]
fn a_configuration_without_connections_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scimitar.toml");
    fs::write(&path, "[state]\nurl = \"sqlite://ledger.db\"\n").unwrap();
    for (command, warned) in [("check", true), ("--once", true), ("-q once", false)] {
        let ended = scimitar(&format!("{command} --config {}", path.display()));
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("connections: nothing is rotated"), warned, "{command}: {said}");
    }
    let ended = scimitar(&format!("status --config {}", path.display()));
    assert_eq!((text(&ended.stdout).trim_end(), &*text(&ended.stderr)), ("no connections", ""));
}

#[test]
fn filter_directives_that_cannot_be_read_are_bad_usage() {
    let ended = program("check").env("SCIMITAR_LOG", "scimitar=loudly").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(text(&ended.stderr).contains("SCIMITAR_LOG"));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let mut child = program(&format!("check --config {}", example.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn nothing_of_the_process_outlives_it() {
    if !own_process::is_this("cli_args::nothing_of_the_process_outlives_it") {
        return;
    }
    process::harden().unwrap();
    assert_eq!(resource::getrlimit(resource::Resource::RLIMIT_CORE).unwrap(), (0, 0));
    assert!(!prctl::get_dumpable().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    fs::write(&made, "").unwrap();
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn the_first_signal_asks_to_stop() {
    if !own_process::is_this("cli_args::the_first_signal_asks_to_stop") {
        return;
    }
    let stop = Stop::default();
    let voice = commands::voice(&Command::Run, &Console::stderr());
    stop.listen(voice, std::sync::Arc::new(scimitar::clock::SystemClock), Some(0)).unwrap();
    assert_eq!(stop.interrupt(), None);
    let sent = Process::new("sh").args(["-c", "kill -TERM $PPID"]).status().unwrap();
    assert!(sent.success());
    stop.token.cancelled().await;
    assert_eq!(stop.interrupt(), Some(Interrupt::Term));
}
