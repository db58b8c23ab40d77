//! Real programs: what they are given, and that nothing of them is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use super::*;

/// A hook that runs a shell's script in a folder, `$1`.
fn script(folder: &Path, script: &str, timeout: Duration) -> Exec {
    Exec::new(ExecSettings {
        name: name(),
        program: "/bin/sh".into(),
        arguments: ["-c", script, "hook", folder.to_str().unwrap()].map(str::to_owned).into(),
        timeout,
    })
}

const LONG: Duration = Duration::from_secs(60);

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Whether the process that wrote its number there is gone; a zombie is nobody's work.
fn is_gone(folder: &Path, file: &str) -> bool {
    let stat = format!("/proc/{}/stat", read(folder, file).trim());
    fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}

/// Waits until the kernel has ended it.
fn ends(folder: &Path, file: &str) {
    for _ in 0..2_000 {
        if is_gone(folder, file) {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("{file} still runs");
}

#[tokio::test]
async fn it_is_given_names_and_ids_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = "cat /proc/$$/environ > $1/environ; cat > $1/event; pwd > $1/pwd; \
                readlink /proc/$$/fd/0 /proc/$$/fd/2 > $1/fds; \
                cut -d ' ' -f 5 /proc/$$/stat > $1/group; echo $$ >> $1/group";
    script(path, text, LONG).run(&message()).await.unwrap();
    let given: BTreeMap<String, String> = read(path, "environ")
        .split_terminator('\0')
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut expected: BTreeMap<String, String> = message().variables().into_iter().collect();
    expected.insert("PATH".to_owned(), crate::child::PATH.to_owned());
    assert_eq!(given, expected);
    assert_eq!(given["SCIMITAR_TOKEN_ID"], "tok_2");
    assert_eq!(given["SCIMITAR_PREVIOUS_TOKEN_ID"], "tok_1");
    assert!(!given.contains_key("SCIMITAR_REASON"), "there is none");
    let event: serde_json::Value = serde_json::from_str(&read(path, "event")).unwrap();
    assert_eq!(event, message().cloud_event());
    assert_eq!(read(path, "pwd"), "/\n");
    assert!(read(path, "fds").lines().all(|fd| fd.starts_with("pipe:")), "{}", read(path, "fds"));
    let group = read(path, "group");
    let (group, leader) = group.trim().split_once('\n').unwrap();
    assert_eq!(group, leader, "a group of its own");
}

#[tokio::test]
async fn one_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo $$ > $1/pid; exec sleep 1000";
    let hook = script(folder.path(), text, Duration::from_secs(3));
    let fault = hook.run(&message()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Timeout), "{fault}");
    assert!(fault.detail.contains("SIGTERM"), "{fault}");
    assert!(is_gone(folder.path(), "pid"));
}

#[tokio::test]
async fn one_that_will_not_end_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let text = "trap '' TERM; echo $$ > $1/pid; sleep 1000 & echo $! > $1/child; wait; wait";
    let hook = script(folder.path(), text, Duration::from_secs(3));
    let fault = hook.run(&message()).await.unwrap_err();
    assert!(fault.detail.contains("SIGKILL"), "{fault}");
    assert!(is_gone(folder.path(), "pid"));
    ends(folder.path(), "child");
}

#[tokio::test]
async fn what_it_leaves_behind_neither_delays_it_nor_stays() {
    let folder = tempfile::tempdir().unwrap();
    // It holds the outputs open.
    let text = "sleep 1000 & echo $! > $1/child; exit 0";
    let began = fixture_instant();
    script(folder.path(), text, LONG).run(&message()).await.unwrap();
    assert!(began.elapsed() < LONG / 2);
    ends(folder.path(), "child");
}

#[tokio::test]
async fn what_is_started_as_the_documents_say_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = "setsid -f sh -c 'until [ -e \"$0/go\" ]; do sleep 0.05; done; echo > \"$0/$1\"' \
                \"$1\" lived-$2 >/dev/null 2>&1; exit 0";
    for number in 0..10 {
        let text = text.replace("$2", &number.to_string());
        script(folder.path(), &text, LONG).run(&message()).await.unwrap();
    }
    fs::write(folder.path().join("go"), "").unwrap();
    for _ in 0..2_000 {
        if (0..10).all(|number| folder.path().join(format!("lived-{number}")).exists()) {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("something that left the group was ended with it");
}

#[expect(clippy::disallowed_methods, reason = "how long something took")]
fn fixture_instant() -> std::time::Instant {
    std::time::Instant::now()
}

#[tokio::test]
async fn one_that_is_let_go_of_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let hook =
        script(folder.path(), "echo $$ > $1/pid.new; mv $1/pid.new $1/pid; sleep 1000", LONG);
    let message = message();
    let mut run = Box::pin(hook.run(&message));
    while !folder.path().join("pid").exists() {
        let _ = tokio::time::timeout(Duration::from_millis(5), &mut run).await;
    }
    drop(run);
    ends(folder.path(), "pid");
}

#[tokio::test]
async fn how_it_ended_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("exit 7", "ended with exit status 7"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("cat > /dev/null; echo of no use >&2; exit 1", "ended with exit status 1"),
    ];
    for (text, words) in cases {
        let fault = script(folder.path(), text, LONG).run(&message()).await.unwrap_err();
        assert!(fault.detail.contains(words), "{text}: {fault}");
        assert!(!fault.to_string().contains("of no use"), "what it said stays out of the record");
        assert_eq!(fault.class, Class::Transient);
    }
    let missing = Exec::new(ExecSettings {
        name: name(),
        program: folder.path().join("gone"),
        arguments: Vec::new(),
        timeout: LONG,
    });
    let fault = missing.run(&message()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Io));
    assert!(fault.to_string().starts_with("could not run the hook after-rotation: /"), "{fault}");
    assert!(fault.to_string().ends_with("No such file or directory"), "{fault}");
}

#[tokio::test]
async fn one_that_another_account_could_replace_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let program = inner.join("after");
    fs::write(&program, "#!/bin/sh\necho ran > \"$1\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = folder.path().join("ran");
    let hook = Exec::new(ExecSettings {
        name: name(),
        program,
        arguments: vec![ran.to_str().unwrap().to_owned()],
        timeout: LONG,
    });
    hook.run(&message()).await.unwrap();
    fs::remove_file(&ran).unwrap();
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
    let fault = hook.run(&message()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    let words = format!("is not run: {} can be changed by every user", inner.display());
    assert!(fault.detail.contains(&words) && !ran.exists(), "{fault}");
}

#[tokio::test]
async fn much_that_it_says_and_nothing_that_it_reads_stops_it_not() {
    let folder = tempfile::tempdir().unwrap();
    let text = "exec <&-; head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2";
    script(folder.path(), text, LONG).run(&message()).await.unwrap();
}

#[tokio::test]
async fn many_at_once_end_each_with_its_own_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = tokio::task::JoinSet::new();
    for status in 0..20 {
        let hook = script(folder.path(), &format!("exit {status}"), LONG);
        running.spawn(async move { (status, hook.run(&message()).await) });
    }
    let mut seen = BTreeSet::new();
    while let Some(ended) = running.join_next().await {
        let (status, outcome) = ended.unwrap();
        match outcome {
            Ok(()) => assert_eq!(status, 0),
            Err(fault) => assert!(fault.detail.ends_with(&format!("exit status {status}"))),
        }
        seen.insert(status);
    }
    assert_eq!(seen.len(), 20);
}
