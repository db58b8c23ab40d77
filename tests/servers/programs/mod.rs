//! The real program with a program as its sink, beside a file that can be read back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use scimitar_test_support::delivery::configured;
use serde_json::Value;

/// Notes what it is given, and fails the first time.
const PUSH: &str = "#!/bin/sh\n\
    cat /proc/$$/environ /proc/$$/cmdline >> \"$1/seen\"\n\
    if ! test -e \"$1/tried\"; then touch \"$1/tried\"; cat > /dev/null; exit 75; fi\n\
    echo \"$2\" >> \"$1/ids\"\n\
    tee \"$1/got\"\n";

fn folder() -> tempfile::TempDir {
    let sink = "[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n[sinks.x]\ntype = \"exec\"\n\
                command = [\"push\", \"FOLDER\", \"{{ token_id }}\"]";
    let to = "overlap = \"1s\"\nrevoke_after_use = false\n\
              deliver_to = [{ sink = \"disk\", file = \"t\" }, { sink = \"x\", target = \"item\" }]";
    let folder = configured(sink, to);
    let path = folder.path().canonicalize().unwrap();
    let config = fs::read_to_string(path.join("c.toml")).unwrap();
    fs::write(path.join("c.toml"), config.replace("FOLDER", path.to_str().unwrap())).unwrap();
    fs::write(path.join("push"), PUSH).unwrap();
    fs::set_permissions(path.join("push"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn scimitar(folder: &Path, arguments: &[&str], status: i32) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml"]).args(arguments).current_dir(folder);
    command.env_clear().env("HOME", folder).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[&ended.stdout[..], &ended.stderr].concat()).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{said}");
    (ended, said)
}

#[tokio::test]
async fn a_rotation_ends_in_a_program_too() {
    let folder = folder();
    let folder = folder.path();
    scimitar(folder, &["check", "--online"], 0).await;
    assert!(!folder.join("seen").exists(), "a proof runs nothing");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let arguments = ["--rotate-now", "--output", "json", "-vvv"];
        let (ended, said) = scimitar(folder, &arguments, 0).await;
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let row = &document["results"][0];
        assert_eq!(row["outcome"], "rotated", "{document}");
        let id = row["token_id"].as_str().unwrap();
        let value = fs::read_to_string(folder.join("tokens/t")).unwrap();
        assert!(fs::read_to_string(folder.join("got")).unwrap() == value, "the same token");
        ids.push(id.to_owned());
        for sink in row["sinks"].as_array().unwrap() {
            assert_eq!(sink["state"], "delivered", "{document}");
        }
        let secret = value.split_once('.').map_or(value.as_str(), |(_, secret)| secret);
        let seen = fs::read(folder.join("seen")).unwrap();
        let ledger = fs::read(folder.join("ledger.db")).unwrap();
        for (what, bytes) in
            [("what was printed", said.as_bytes()), ("the process", &seen), ("the ledger", &ledger)]
        {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{what} holds the value");
        }
    }
    let told = fs::read_to_string(folder.join("ids")).unwrap();
    assert_eq!(told.lines().collect::<Vec<_>>(), ids);
    scimitar(folder, &["--once", "--wait"], 0).await;
    for arguments in [&["--once"][..], &["status"], &["plan"], &["explain", "initech"]] {
        scimitar(folder, arguments, 0).await;
    }
    let again = fs::read_to_string(folder.join("ids")).unwrap();
    assert_eq!(again, told, "nothing is delivered twice");
}
