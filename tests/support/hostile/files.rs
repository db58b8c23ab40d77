//! What is read from files: their bytes are the input, and where one file is not enough, files that
//! stand behind one another with a line `%%` between them.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use scimitar::{
    clock::{SystemEntropy, parse_timestamp},
    config,
    import::{self, Tool},
    ledger::{Ledger, sqlite::SqliteLedger},
    sink::Contents,
    telemetry::audit::{chain, verify::Verifier},
};

use super::{
    sinks,
    wire::{self, block_on},
};

/// A folder for each thread that feeds.
pub(super) fn in_folder<T>(act: impl FnOnce(&Path) -> T) -> T {
    thread_local!(static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() });
    FOLDER.with(|folder| act(folder.get_or_init(|| tempfile::tempdir().unwrap()).path()))
}

/// Writes a file that only its owner can read.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What stands between lines of `%%`.
pub(super) fn parts(data: &[u8]) -> Vec<&[u8]> {
    const MARK: &[u8] = b"\n%%\n";
    let (mut parts, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind.get(MARK.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// A configuration, with one that it may include as `more.toml`.
pub(super) fn config(data: &[u8]) {
    // Nothing beside the folder is to be read: devices have no end, and pipes wait.
    if [&b"/dev"[..], b"/proc", b"/sys"].iter().any(|root| holds(data, root)) {
        return;
    }
    in_folder(|folder| {
        let parts = parts(data);
        let path = write(folder, "config/scimitar.toml", parts.first().unwrap_or(&&b""[..]));
        write(folder, "config/more.toml", parts.get(1).unwrap_or(&&b""[..]));
        write(folder, "config/secret", b"s3cret\n");
        let env = BTreeMap::from([("SECRET".to_owned(), "s3cret".to_owned())]);
        match config::load(&path, &env) {
            Ok(config) => drop(config.surveys()),
            Err(problems) => {
                let words = problems.to_string();
                assert!(!words.contains("s3cret"), "a secret in an error: {words}");
            }
        }
    });
}

/// The body of a webhook, with its content type in the first line.
pub(super) fn hook_body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (kind, body) = text.split_once('\n').unwrap_or(("application/json", text));
    // As TOML has it, which escapes as JSON does but for one control character.
    let quoted = |text: &str| serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f");
    let (kind, body) = (quoted(kind), quoted(body));
    let hook = format!(
        "[[hooks]]\nname = \"chat\"\non = [\"failed\"]\nwebhook = {{ url = \"https://chat.example.com\", \
         content_type = {kind}, secrets = {{ key = {{ env = \"SECRET\" }} }}, body = {body} }}\n"
    );
    drop(wire::read(&hook));
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

/// A state of Terraform or Pulumi.
pub(super) fn import(data: &[u8]) {
    in_folder(|folder| {
        let path = write(folder, "state.json", data);
        drop(import::read(Tool::Terraform, &path));
        drop(import::read(Tool::Pulumi, &path));
        drop(import::read_any(&path));
    });
}

/// An audit log of as many files as there are parts. A hash that is wrong ends the reading, so each line
/// gets the right one.
pub(super) fn audit(data: &[u8]) {
    let mut verifier = Verifier::new(None);
    for part in parts(data) {
        let lines: Vec<Vec<u8>> = part.split(|byte| *byte == b'\n').map(with_hash).collect();
        for bytes in [part, &lines.join(&b'\n')] {
            if verifier.file("audit.jsonl", bytes).is_err() {
                return;
            }
        }
    }
    drop(verifier.finish("audit.jsonl"));
}

fn with_hash(line: &[u8]) -> Vec<u8> {
    const TAIL: &[u8] = b",\"hash\":\"";
    match line.windows(TAIL.len()).rposition(|window| window == TAIL) {
        Some(at) => {
            let (body, _) = line.split_at(at);
            [body, TAIL, chain::sha256(body).as_bytes(), b"\"}"].concat()
        }
        None => line.to_vec(),
    }
}

/// A ledger: an SQLite file, looked at and opened for writing.
pub(super) fn ledger(data: &[u8]) {
    in_folder(|folder| {
        let folder = folder.join("ledger");
        drop(fs::remove_dir_all(&folder));
        let path = write(&folder, "ledger.db", data);
        if let Ok(Some(ledger)) = SqliteLedger::open_read_only(&path) {
            block_on(look(&ledger));
        }
        if let Ok(ledger) = SqliteLedger::open(&path, &SystemEntropy) {
            block_on(look(&ledger));
        }
    });
}

async fn look(ledger: &SqliteLedger) {
    let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    drop(ledger.next_wake(now).await);
    drop(ledger.due(now, 16).await);
    for stored in ledger.all().await.unwrap_or_default().iter().take(16) {
        let key = &stored.record.key;
        drop(ledger.load(key).await);
        drop(ledger.history(key, 16).await);
        drop(ledger.inventory(&key.tenant).await);
        drop(ledger.losses(&key.tenant, now).await);
    }
}

/// A place in a folder, and the companion beside it.
pub(super) fn companion(data: &[u8]) {
    in_folder(|folder| {
        let tokens = folder.join("tokens");
        for (format, file) in [("raw", "a.token"), ("json", "a.json"), ("env", "a.env")] {
            drop(fs::remove_dir_all(&tokens));
            let parts = parts(data);
            write(&tokens, file, parts.first().unwrap_or(&&b""[..]));
            if let Some(companion) = parts.get(1) {
                write(&tokens, &format!(".{file}.scimitar.json"), companion);
            }
            let sink = format!("type = \"file\"\ndirectory = \"{}\"\n", tokens.display());
            let to = format!("file = \"{file}\", format = \"{format}\"");
            sinks::alone(&sink, &to, async |sink, delivery, fence| {
                let Ok(seen) = sink.read().await else { return };
                drop(sink.prove_writable(&seen).await);
                if sink.promote(delivery, &seen.version, fence).await.is_ok() {
                    let read = sink.read().await.unwrap();
                    assert!(matches!(read.contents, Contents::Marked { .. }), "{read:?}");
                }
            });
        }
    });
}

/// A kubeconfig.
pub(super) fn kubeconfig(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        sinks::of_kubeconfig(text);
    }
}
