//! The sink that is a program: what it is given, what its exit status means, and that nothing of the
//! value is anywhere but on its standard input.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use scimitar::{
    error::{Class, Code, Fault},
    sink::{
        Place, Sink, Version,
        exec::{ExecSettings, ExecSink, ExecTarget, Format},
        payload::PayloadTemplate,
    },
    token::SinkName,
};
use scimitar_test_support::{
    heard::Heard,
    sink_conformance::{CANARY, Gate, delivery},
};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);

/// A program that is this script, in a folder that is its first argument.
struct Script {
    folder: tempfile::TempDir,
    timeout: Duration,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("push");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, timeout: LONG }
    }

    fn sink(&self, format: Format, payload: Option<PayloadTemplate>) -> ExecSink {
        let folder = self.folder.path().canonicalize().unwrap();
        let arguments =
            [folder.to_str().unwrap(), "--to={{ target }}", "{{ connection }} {{ token_id }}", ""];
        let arguments = arguments.map(str::to_owned);
        let name = SinkName::try_new("push").unwrap();
        let settings = ExecSettings::try_new(&name, folder.join("push"), &arguments, self.timeout);
        let target = ExecTarget { target: "an item".to_owned(), format, payload };
        ExecSink::try_new(&Arc::new(settings.unwrap()), target).unwrap()
    }

    async fn promote(&self, generation: u64) -> Result<Version, Fault> {
        let unasked = Version(Version::UNASKED.to_owned());
        let sink = self.sink(Format::Raw, None);
        sink.promote(&delivery(generation), &unasked, &Gate::open()).await
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

const NOTES: &str = "cat > \"$1/stdin\"; cat /proc/$$/environ > \"$1/environ\"; cat /proc/$$/cmdline > \"$1/cmdline\"; pwd > \"$1/pwd\"; \
                     cut -d ' ' -f 5 /proc/$$/stat > \"$1/group\"; echo $$ > \"$1/pid\"";

#[tokio::test]
async fn the_value_is_on_standard_input_and_nowhere_else() {
    let script = Script::new(NOTES);
    let made = script.promote(1).await.unwrap();
    assert_eq!(made.0, "tok_1");
    assert!(
        script.read("stdin") == delivery(1).value.expose(),
        "the value alone, without a line end"
    );
    assert!(script.read("environ").split('\0').all(|one| one.is_empty()
        || one.starts_with("PATH=")
        || one.starts_with("PWD=")
        || one.starts_with("OLDPWD=")
        || one.starts_with("_=")));
    let given = script.read("cmdline");
    let given: Vec<&str> = given.split('\0').collect();
    assert_eq!(given[3..], ["--to=an item", "initech tok_1", "", ""], "no shell read them");
    for name in ["environ", "cmdline"] {
        assert!(!script.read(name).contains(CANARY), "{name}");
    }
    assert_eq!(script.read("group"), script.read("pid"), "a process group of its own");
    assert_eq!(script.read("pwd"), "/\n");
}

#[tokio::test]
async fn an_object_holds_all_fields_or_those_of_a_payload() {
    let script = Script::new(NOTES);
    let source = [("T".to_owned(), "Bearer {{ token }}".to_owned())];
    let payload = PayloadTemplate::parse(&source.into()).unwrap();
    for (payload, key, text) in [
        (None, "token", delivery(2).value.expose().to_owned()),
        (Some(payload), "T", format!("Bearer {}", delivery(2).value.expose())),
    ] {
        let sink = script.sink(Format::Json, payload);
        let unasked = Version(Version::UNASKED.to_owned());
        sink.promote(&delivery(2), &unasked, &Gate::open()).await.unwrap();
        let given: Value = serde_json::from_str(&script.read("stdin")).unwrap();
        assert!(given[key] == text.as_str(), "{key}");
    }
}

#[tokio::test]
async fn an_exit_status_says_whether_it_was_delivered() {
    for (ending, class, words) in [
        ("exit 75", Class::Transient, "status 75 (EX_TEMPFAIL): nothing was delivered"),
        ("exit 69", Class::Transient, "EX_UNAVAILABLE"),
        ("exit 65", Class::Terminal, "EX_DATAERR"),
        ("exit 77", Class::Terminal, "EX_NOPERM"),
        ("exit 78", Class::Terminal, "EX_CONFIG"),
        ("no-such-command", Class::Terminal, "127"),
        ("exit 1", Class::Ambiguous, "status 1: the token may have been delivered"),
        ("kill -9 $$", Class::Ambiguous, "SIGKILL: the token may"),
    ] {
        let fault = Script::new(ending).promote(1).await.unwrap_err();
        assert_eq!(fault.class, class, "{ending}: {fault}");
        assert!(fault.detail.contains(words), "{ending}: {fault}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let mut script = Script::new("sleep 1000 & echo $! > \"$1/child\"; sleep 1000");
    script.timeout = Duration::from_millis(500);
    let fault = script.promote(1).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Ambiguous, Code::Timeout), "{fault}");
    assert!(fault.detail.contains("was killed by SIGTERM") && fault.detail.contains("`timeout`"));
    let stat = format!("/proc/{}/stat", script.read("child").trim());
    let gone = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    // Both got the signal; whose end is seen first is for the kernel to say.
    let ends = async {
        while !gone() {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(LONG, ends).await;
    assert!(ended.is_ok(), "what it started is gone as well");
}

#[tokio::test]
async fn it_is_not_run_without_a_claim_nor_where_others_change_it() {
    let script = Script::new(NOTES);
    let sink = script.sink(Format::Raw, None);
    let seen = sink.read().await.unwrap();
    assert!(!sink.readable() && !seen.version.is_of_something());
    sink.prove_writable(&seen).await.unwrap();
    let refused = sink.promote(&delivery(1), &seen.version, &Gate::shut()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClaimLost);
    let path = script.folder.path().join("push");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
        assert!(fault.detail.contains("every user"), "{fault}");
    }
    fs::remove_file(&path).unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Io), "{fault}");
    }
    assert!(!script.folder.path().join("stdin").exists(), "it was never run");
}

#[tokio::test]
async fn a_remembered_program_is_plain_data() {
    let script = Script::new("cat > /dev/null");
    let sink = script.sink(Format::Raw, None);
    script.promote(1).await.unwrap();
    let stored = serde_json::to_string(sink.place()).unwrap();
    assert!(!stored.contains(CANARY));
    let back: Place = serde_json::from_str(&stored).unwrap();
    assert_eq!(&back, sink.place());
    assert!(back.location.ends_with("/push an item"), "{}", back.location);
}

/// It says what it was given, in its own words and in base64, and its words are not shown.
#[tokio::test]
async fn what_a_program_says_of_the_value_is_not_shown() {
    let (heard, guard) = Heard::listen();
    let mut shown = String::new();
    for status in [0, 1, 65, 75] {
        let script = Script::new(&format!("tee \"$1/kept\" | tee /dev/stderr; exit {status}"));
        let done = script.promote(1).await;
        let words = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
        writeln!(shown, "{done:?} {words} {:?}", script.sink(Format::Raw, None)).unwrap();
        assert!(script.read("kept").contains(CANARY));
    }
    drop(guard);
    let logged = heard.text();
    assert!(logged.contains("bytes to its standard output"), "its length is told: {logged}");
    for text in [&logged, &shown] {
        assert!(!text.contains(CANARY), "{}", text.replace(CANARY, "[the value]"));
    }
}
