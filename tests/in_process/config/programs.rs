//! Programs as sinks: what is run, what it may be told, and that a readable sink stands beside it.

use std::time::Duration;

use scimitar::sink::exec::{ExecConfig, ExecTarget, Format};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused_in};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.program("push", 0o755);
    bench
}

/// `to`: where the connection goes, beside the file or instead of it.
fn delivering(sink: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!("{HEAD}[sinks.x]\ntype = \"exec\"\n{sink}\n{connection}{LIFETIME}")
}

const COMMAND: &str = "command = [\"push\", \"{{ target }}\", \"{{ token_id }}\", \"\"]";
const BOTH: &str = "{ sink = \"disk\", file = \"one.token\" }, { sink = \"x\", target = \"t\" }";

#[test]
fn a_program_and_what_it_is_given_are_read() {
    let bench = bench();
    let to = BOTH.replace(
        "target = \"t\"",
        "target = \"t\", format = \"json\", payload = { T = \"{{ token }}\" }",
    );
    let text = delivering(&format!("{COMMAND}\ntimeout = \"1m\""), &to);
    let config = bench.load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let sink = config.sinks.iter().find(|(name, _)| name.as_str() == "x").unwrap().1;
    let sink: &dyn std::any::Any = &**sink;
    let exec = sink.downcast_ref::<ExecConfig>().unwrap();
    assert_eq!(exec.program, bench.path("push"));
    assert_eq!(exec.arguments, ["{{ target }}", "{{ token_id }}", ""]);
    assert_eq!(exec.timeout, Duration::from_secs(60));
    let target: &ExecTarget = config.connections[0].deliveries[1].to.of_kind().unwrap();
    assert_eq!((target.target.as_str(), target.format), ("t", Format::Json));
    assert!(target.payload.is_some());
}

#[test]
fn the_token_is_no_argument() {
    let hint = "an argument may use target, connection, token_id and the other fields of the payload, except \
                the token";
    for (argument, words) in [
        (
            "{{ token }}",
            "arguments must not hold the token, because every user of the machine can read them; the program receives \
             it on its standard input",
        ),
        (
            "{{ token",
            "the template cannot be used: unexpected end of input, expected end of variable block",
        ),
    ] {
        refused_in(
            &bench(),
            &delivering(&format!("command = [\"push\", «\"{argument}\"]"), BOTH),
            &format!("`command`: {words}"),
            hint,
        );
    }
}

/// What a program did with a token cannot be asked.
#[test]
fn a_readable_sink_stands_beside_a_program() {
    refused_in(
        &bench(),
        &delivering(COMMAND, "«{ sink = \"x\", target = \"t\" }").replace("[«", "«["),
        "`deliver_to` has no sink that can be read back: a connection needs at least one sink that can \
         be read back",
        "add one, such as a file or a secret",
    );
    assert_eq!(bench().problems(&delivering(COMMAND, BOTH)), [""; 0]);
}

#[test]
fn a_program_that_cannot_be_run_is_refused_at_its_place() {
    let how =
        "write command = [\"/usr/local/bin/push-token\", \"{{ target }}\"]; no shell is involved";
    for (command, message, hint) in [
        ("«\"push\"", "`command` must be a list: the program and its arguments", how),
        ("«[]", "`command` is empty", how),
        (
            "[«\"gone\"]",
            "`command`: FOLDER/gone cannot be used: No such file or directory",
            "write the program's path, absolute or relative to this file's folder; $PATH is not \
             searched",
        ),
    ] {
        let bench = bench();
        let message = message.replace("FOLDER/", "");
        refused_in(&bench, &delivering(&format!("command = {command}"), BOTH), &message, hint);
    }
    let bench = bench();
    bench.program("push", 0o757);
    let problems = bench.problems(&delivering(COMMAND, BOTH));
    assert!(problems.len() == 1 && problems[0].contains("by every user"), "{problems:?}");
    refused_in(
        &self::bench(),
        &delivering(&format!("{COMMAND}\ntimeout = «\"10m\""), BOTH),
        "`timeout` must be at most 1m 30s",
        "this is 10m",
    );
    let bare = BOTH.replace("target = \"t\"", "target = \"t\", «payload = { T = \"{{ token }}\" }");
    refused_in(
        &self::bench(),
        &delivering(COMMAND, &bare),
        "`payload` needs keys, and `format = \"raw\"` has none",
        "write format = \"json\" beside it",
    );
    let twice = format!("{BOTH}, {{ sink = \"x\", target = \"t\" }}");
    let problems = self::bench().problems(&delivering(COMMAND, &twice));
    assert!(
        problems.len() == 1 && problems[0].contains("two deliveries go to one place"),
        "{problems:?}"
    );
}
