//! The sinks, from outside: the conformance suite over each of them, and what is the file
//! sink's own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[cfg(feature = "azure_key_vault")]
mod azure;
mod contents;
mod entra;
mod exec;
#[cfg(feature = "gcp_secret_manager")]
mod gcp;
mod kubernetes;
mod looks;
mod okta;
mod places;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
};

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code},
    sink::{
        Contents, Sink, Version,
        file::{FileSink, FileTarget, Format},
        payload::PayloadTemplate,
    },
    token::SinkName,
};
use scimitar_test_support::sink_conformance::{
    self, CANARY, Gate, Site, assert_holds, delivery, everything, promote,
};

/// A file sink in a folder of its own.
struct FileSite {
    dir: tempfile::TempDir,
    format: Format,
    payload: Option<PayloadTemplate>,
}

impl FileSite {
    fn new(format: Format, payload: Option<&[(&str, &str)]>) -> Self {
        let payload = payload.map(|pairs| {
            let source: BTreeMap<String, String> =
                pairs.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
            PayloadTemplate::parse(&source).unwrap()
        });
        Self { dir: tempfile::tempdir().unwrap(), format, payload }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.dir.path().join("tokens")
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder().join("team/initech.token")
    }

    fn delivery(&self) -> FileTarget {
        FileTarget {
            file: "team/initech.token".into(),
            format: self.format,
            mode: Some(0o600),
            owner: None,
            group: None,
            shared: false,
            payload: self.payload.clone(),
            overwrite: false,
        }
    }

    fn sink(&self) -> FileSink {
        self.sink_of(self.delivery())
    }

    fn sink_of(&self, delivery: FileTarget) -> FileSink {
        sink_in(&self.folder(), delivery)
    }
}

fn sink_in(directory: &Path, delivery: FileTarget) -> FileSink {
    FileSink::try_new(&SinkName::try_new("disk").unwrap(), directory, delivery).unwrap()
}

#[async_trait]
impl Site for FileSite {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.sink())
    }

    async fn visible(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        look(self.dir.path(), &mut seen);
        // The lock file is nobody's content; it may come with the first attempt.
        seen.retain(|line| !line.contains(".scimitar.lock") && !line.ends_with('/'));
        seen
    }

    async fn add_foreign(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        let (foreign, text) = match self.format {
            Format::Raw => return None,
            Format::Json => {
                let foreign = r#""theirs": {"n" : 1.00000000000000000000001}"#;
                (foreign, text.replacen('{', &format!("{{ {foreign},"), 1))
            }
            Format::Env => {
                let foreign = "# theirs\nexport THEIRS='a $b'\n";
                (foreign, format!("{foreign}{text}"))
            }
        };
        std::fs::write(self.path(), text).unwrap();
        Some(foreign.to_owned())
    }

    async fn garble(&self) {
        std::fs::write(self.path(), b"\xff{ not a token").unwrap();
    }

    fn open_overwriting(&self) -> Option<Arc<dyn Sink>> {
        Some(Arc::new(self.sink_of(FileTarget { overwrite: true, ..self.delivery() })))
    }

    fn tells(&self) -> bool {
        true
    }

    async fn only_others(&self, text: &str) -> Option<String> {
        let (key, content) = match self.format {
            Format::Raw => return None,
            Format::Json => {
                let content = serde_json::json!({ "app": { "auth": [format!("Bearer {text}")] } });
                ("app.auth.0", content.to_string())
            }
            Format::Env => ("OKTA_TOKEN", format!("# theirs\nexport OKTA_TOKEN='{text}'\n")),
        };
        std::fs::write(self.path(), content).unwrap();
        Some(key.to_owned())
    }

    async fn forbid_writing(&self) {
        // Everybody may write to the folder: not even root is to put a token there.
        let folder = self.path().parent().unwrap().to_owned();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    }

    async fn forbid_reading(&self) {
        // In the way of root too, unlike permissions.
        std::fs::rename(self.path(), self.folder().join("aside")).unwrap();
        std::fs::create_dir(self.path()).unwrap();
    }
}

/// Every file below `folder` with its mode and content.
fn look(folder: &Path, seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            look(&path, seen);
            seen.insert(format!("{}/", path.display()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            seen.insert(format!("{} {:o}\n{text}", path.display(), meta.mode()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_raw_conforms() {
    everything(async || FileSite::new(Format::Raw, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_json_conforms() {
    everything(async || FileSite::new(Format::Json, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_env_conforms() {
    everything(async || FileSite::new(Format::Env, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_templates_conform() {
    let payload = [
        ("AUTHORIZATION", "Bearer {{ token }}"),
        ("UNTIL", "{{ expires_at or 'never' }}"),
        ("WHO", "{{ provider }}/{{ connection }}"),
    ];
    for format in [Format::Json, Format::Env] {
        everything(async || FileSite::new(format, Some(&payload))).await;
    }
}

#[tokio::test]
async fn each_format_looks_as_documented() {
    let delivered = async |format| {
        let site = FileSite::new(format, None);
        promote(&site.sink(), 1).await;
        promote(&site.sink(), 2).await;
        std::fs::read_to_string(site.path()).unwrap()
    };
    let value = delivery(2).value.expose().to_owned();
    assert_eq!(delivered(Format::Raw).await, value);
    let json: serde_json::Value = serde_json::from_str(&delivered(Format::Json).await).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "token": value,
            "token_id": "tok_2",
            "previous_token_id": "tok_1",
            "generation": 2,
            "ledger": "ledger1",
            "connection": "initech",
            "connection_id": "con_ours",
            "provider": "acme",
            "scim_endpoint": "https://acme.example.com/scim/v2/connections/con_ours",
            "scopes": "get:users post:users",
            "created_at": "2026-11-22T04:00:00Z",
            "expires_at": "2026-12-22T04:00:00Z",
        })
    );
    let env = delivered(Format::Env).await;
    for line in [
        "SCIM_TOKEN_ID=\"tok_2\"",
        "SCIM_PREVIOUS_TOKEN_ID=\"tok_1\"",
        "SCIM_SCOPES=\"get:users post:users\"",
        "SCIM_EXPIRES_AT=\"2026-12-22T04:00:00Z\"",
    ] {
        assert!(env.lines().any(|found| found == line), "{line} is not in the file");
    }
}

#[tokio::test]
async fn what_was_left_out_is_removed_again() {
    let site = FileSite::new(Format::Json, None);
    promote(&site.sink(), 2).await;
    assert!(std::fs::read_to_string(site.path()).unwrap().contains("expires_at"));
    promote(&site.sink(), 3).await;
    assert!(!std::fs::read_to_string(site.path()).unwrap().contains("expires_at"));
}

#[tokio::test]
async fn a_symlink_is_refused_and_its_target_untouched() {
    let site = FileSite::new(Format::Raw, None);
    let target = site.dir.path().join("target");
    std::fs::write(&target, "precious").unwrap();
    std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
    symlink(&target, site.path()).unwrap();
    let sink = site.sink();
    let read = sink.read().await.unwrap_err();
    let absent = Version("absent".to_owned());
    let write = sink.promote(&delivery(1), &absent, &Gate::open()).await.unwrap_err();
    for fault in [read, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Io));
        let words = fault.to_string();
        assert!(words.contains(target.to_str().unwrap()) && words.contains("symbolic link"));
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert!(std::fs::symlink_metadata(site.path()).unwrap().is_symlink());
}

#[tokio::test]
async fn an_empty_file_is_not_an_empty_place() {
    for format in [Format::Raw, Format::Json, Format::Env] {
        let site = FileSite::new(format, None);
        std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
        for content in ["", "\n", "two words", "{}", "[]", "A=1"] {
            std::fs::write(site.path(), content).unwrap();
            let seen = site.sink().read().await.unwrap();
            let value = match seen.contents {
                Contents::Unmarked { value } => value,
                Contents::Empty | Contents::Marked { .. } => panic!("{content:?}: {seen:?}"),
            };
            // To the raw format, anything without blanks may be somebody's token.
            let token = format == Format::Raw && ["{}", "[]", "A=1"].contains(&content);
            assert_eq!(value.is_some(), token, "{format:?} {content:?}");
        }
    }
}

#[tokio::test]
async fn a_document_that_lost_a_mark_still_shows_its_value() {
    for (format, mark) in [(Format::Json, "\"ledger\""), (Format::Env, "SCIM_LEDGER")] {
        let site = FileSite::new(format, None);
        promote(&site.sink(), 1).await;
        let text = std::fs::read_to_string(site.path()).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.contains(mark)).collect();
        std::fs::write(site.path(), without.join("\n")).unwrap();
        match site.sink().read().await.unwrap().contents {
            Contents::Unmarked { value: Some(value) } => assert!(value.expose().contains(CANARY)),
            other @ (Contents::Empty | Contents::Marked { .. } | Contents::Unmarked { .. }) => {
                panic!("{format:?}: {other:?}")
            }
        }
    }
}

#[tokio::test]
async fn the_folder_may_be_reached_by_a_link_of_our_own() {
    let site = FileSite::new(Format::Raw, None);
    let elsewhere = site.dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, site.folder()).unwrap();
    promote(&site.sink(), 1).await;
    assert!(elsewhere.join("team/initech.token").is_file());
    assert_holds(&site.sink().read().await.unwrap(), &delivery(1));
}

/// A reader that looks all the time sees a whole token, and its marks, at every moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_a_half() {
    let site = FileSite::new(Format::Raw, None);
    promote(&site.sink(), 1).await;
    let reader = {
        let sink = site.sink();
        tokio::spawn(async move {
            let (mut last, mut held_up) = (0, 0);
            while last < 40 {
                let seen = match sink.read().await {
                    Ok(seen) => seen,
                    // A writer that the machine holds up keeps its lock; each of these waited 0.5 s.
                    Err(fault) if fault.class == Class::Transient && held_up < 200 => {
                        held_up += 1;
                        continue;
                    }
                    Err(fault) => panic!("{fault}"),
                };
                match seen.contents {
                    Contents::Marked { marks, value } => {
                        assert_eq!(value.expose(), delivery(marks.generation).value.expose());
                        assert!(marks.generation >= last, "time goes forward");
                        last = marks.generation;
                    }
                    Contents::Empty | Contents::Unmarked { .. } => panic!("nothing to read"),
                }
            }
        })
    };
    for generation in 2..=40 {
        promote(&site.sink(), generation).await;
    }
    reader.await.unwrap();
}

const NO_ROOM: &str = "SCIMITAR_TEST_NO_ROOM";

/// A limit on file sizes is the full disk that can be had without a disk: the same calls fail, at
/// the same place. It binds a process, so this test runs itself again under it.
#[test]
fn without_room_the_old_token_stays_and_nothing_is_left_behind() {
    if let Some(folder) = std::env::var_os(NO_ROOM) {
        return without_room(Path::new(&folder));
    }
    let site = FileSite::new(Format::Raw, None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(promote(&site.sink(), 1));
    let before = runtime.block_on(site.visible());
    let again = Command::new("sh")
        // Ignored, the signal becomes an error of the write; that is inherited.
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sinks::without_room_the_old_token_stays_and_nothing_is_left_behind"])
        .arg("--nocapture")
        .env(NO_ROOM, site.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("1 passed") && said.contains("refused for want of room"), "{said}");
    assert_eq!(runtime.block_on(site.visible()), before);
    runtime.block_on(promote(&site.sink(), 2));
    assert_holds(&runtime.block_on(site.sink().read()).unwrap(), &delivery(2));
}

fn without_room(dir: &Path) {
    let target = FileSite::new(Format::Raw, None).delivery();
    let sink = sink_in(&dir.join("tokens"), target);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = runtime.block_on(sink.read()).unwrap();
    assert_holds(&seen, &delivery(1));
    let proof = runtime.block_on(sink.prove_writable(&seen)).unwrap_err();
    let write =
        runtime.block_on(sink.promote(&delivery(2), &seen.version, &Gate::open())).unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Transient, Code::Io), "{fault}");
        assert!(fault.detail.contains("free some space"), "{fault}");
    }
    let said = "refused for want of room\n";
    std::io::Write::write_all(&mut std::io::stdout(), said.as_bytes()).unwrap();
}
