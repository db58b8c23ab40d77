//! The inner steps, with crashes and swaps between them.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use super::{together::tests::SYNCED, *};
use crate::{
    clock::ProviderTime,
    sink::Marks,
    token::{
        ConnectionId, ConnectionName, LedgerId, ProviderName, Scope, SinkName, TokenId, TokenValue,
    },
};

fn sink(directory: &Path, format: Format) -> FileSink {
    sink_of(directory, target(format))
}

fn sink_of(directory: &Path, target: FileTarget) -> FileSink {
    FileSink::try_new(&SinkName::try_new("disk").unwrap(), directory, target).unwrap()
}

fn target(format: Format) -> FileTarget {
    FileTarget {
        file: "initech.token".into(),
        format,
        mode: Some(0o600),
        owner: None,
        group: None,
        shared: false,
        payload: None,
        overwrite: false,
    }
}

fn delivery(generation: u64) -> Delivery {
    Delivery {
        value: TokenValue::try_new(format!("tok_{generation}.value")).unwrap(),
        marks: Marks {
            token_id: TokenId::try_new(format!("tok_{generation}")).unwrap(),
            previous_token_id: None,
            generation,
            ledger: LedgerId::try_new("ledger").unwrap(),
            connection_id: ConnectionId::try_new("con_1").unwrap(),
        },
        connection: ConnectionName::try_new("initech").unwrap(),
        provider: ProviderName::try_new("acme").unwrap(),
        scim_endpoint: "https://acme.example.com/scim".to_owned(),
        scopes: [Scope::try_new("get:users").unwrap()].into(),
        created_at: ProviderTime::parse("2026-11-22T04:00:00Z").unwrap(),
        expires_at: None,
        owner: None,
    }
}

/// What a read says of the place.
fn read(checked: &Checked) -> Result<Reading, Trouble> {
    super::read(checked).map(|(reading, _)| reading)
}

/// A proof as `check --online` makes it, for whoever could not look before.
fn prove(sink: &FileSink) -> Result<(), Trouble> {
    write::prove(&sink.checked, &Version(Version::UNASKED.to_owned()), None)
}

/// A promote without a fence.
fn promote(sink: &FileSink, generation: u64) -> Result<Version, Trouble> {
    let delivery = delivery(generation);
    let seen = read(&sink.checked)?;
    let read_in = seen.container.as_ref();
    let held = write::hold(&sink.checked, &delivery.marks, &seen.version, read_in)?;
    write::replace(&sink.checked, &held, &delivery)
}

fn marked(sink: &FileSink) -> Option<u64> {
    match read(&sink.checked).unwrap().contents {
        Contents::Marked { marks, value } => {
            assert_eq!(value.expose(), format!("tok_{}.value", marks.generation));
            Some(marks.generation)
        }
        Contents::Empty | Contents::Unmarked { .. } => None,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_token_its_marks() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Format::Raw);
    promote(&sink, 1).unwrap();
    let seen = read(&sink.checked).unwrap().version;
    let second = delivery(2);
    let held = write::hold(&sink.checked, &second.marks, &seen, None).unwrap();
    let bytes = sink.checked.shape.encode(&second, b"", false).unwrap();
    let (temporary, is_marked) = write::fill(&sink.checked, &held.folder, &second, &bytes).unwrap();
    write::announce(&sink.checked, &held, &second, is_marked).unwrap();
    // The process dies here: nothing is cleaned up, but the system gives the lock back.
    std::mem::forget(temporary);
    drop(held);
    assert_eq!(names(dir.path()).len(), 4, "{:?}", names(dir.path()));
    assert_eq!(marked(&sink), Some(1));

    promote(&sink, 2).unwrap();
    assert_eq!(marked(&sink), Some(2));
    assert_eq!(
        names(dir.path()),
        [".initech.token.scimitar.json", ".initech.token.scimitar.lock", "initech.token"],
        "what the crash left is swept"
    );
    // Had the crash come after the rename, the companion would be the same.
    std::fs::write(dir.path().join("initech.token"), "tok_1.value").unwrap();
    assert_eq!(marked(&sink), Some(1));
}

#[test]
fn a_mark_of_another_value_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Format::Raw);
    promote(&sink, 1).unwrap();
    std::fs::write(dir.path().join("initech.token"), "tok_x.by_hand\n").unwrap();
    match read(&sink.checked).unwrap().contents {
        Contents::Unmarked { value: Some(value) } => assert_eq!(value.expose(), "tok_x.by_hand"),
        other @ (Contents::Empty | Contents::Marked { .. } | Contents::Unmarked { .. }) => {
            panic!("{other:?}")
        }
    }
    write_anew(&dir.path().join("initech.token"), "tok_1.value");
    std::fs::write(dir.path().join(".initech.token.scimitar.json"), "{ not json").unwrap();
    assert_eq!(marked(&sink), None);
}

/// Another file by that name, without attributes.
fn write_anew(path: &Path, content: &str) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

/// How often a delivery waits for the disk.
fn syncs(deliver: impl FnOnce()) -> usize {
    let before = SYNCED.get();
    deliver();
    SYNCED.get() - before
}

/// Whether files there can have marks.
fn has_attributes(directory: &Path) -> bool {
    let path = directory.join("trial");
    let file = std::fs::File::create(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let first = delivery(1);
    attribute::put(&file, &companion::Mark::new(&first.marks, first.value.digest()))
}

#[test]
fn without_its_companion_either_content_has_its_marks() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Format::Raw);
    let path = dir.path().join(".initech.token.scimitar.json");
    promote(&sink, 1).unwrap();
    let before = std::fs::read(dir.path().join("initech.token")).unwrap();
    std::fs::write(&path, "").unwrap();
    let has_attributes = has_attributes(dir.path());
    assert_eq!(marked(&sink), has_attributes.then_some(1));
    if !has_attributes {
        return;
    }
    promote(&sink, 2).unwrap();
    std::fs::write(&path, "").unwrap();
    assert_eq!(marked(&sink), Some(2));
    // The marks of the newer value say nothing of the older one.
    std::fs::write(dir.path().join("initech.token"), before).unwrap();
    assert_eq!(marked(&sink), None);
}

#[test]
fn a_delivery_waits_for_its_file_and_for_the_folder_once() {
    let dir = tempfile::tempdir().unwrap();
    let alone = usize::from(!has_attributes(dir.path()));
    let raw = sink(dir.path(), Format::Raw);
    assert_eq!(syncs(|| drop(promote(&raw, 1).unwrap())), 2 + alone);
    assert_eq!(syncs(|| drop(promote(&raw, 2).unwrap())), 2 + alone);
    // A file without marks of its own, such as an earlier version wrote: its only ones are in the
    // companion, which is not replaced by one that a power cut could take.
    write_anew(&dir.path().join("initech.token"), "tok_2.value");
    assert_eq!(marked(&raw), Some(2));
    assert_eq!(syncs(|| drop(promote(&raw, 3).unwrap())), 3);
    assert_eq!(syncs(|| drop(promote(&raw, 4).unwrap())), 2 + alone);
    // And one that is to have none.
    let (seen, fifth) = (read(&raw.checked).unwrap().version, delivery(5));
    let held = write::hold(&raw.checked, &fifth.marks, &seen, None).unwrap();
    assert_eq!(syncs(|| write::announce(&raw.checked, &held, &fifth, false).unwrap()), 1);
    let json =
        sink_of(dir.path(), FileTarget { file: "other.json".into(), ..target(Format::Json) });
    assert_eq!(syncs(|| drop(promote(&json, 1).unwrap())), 2, "it has its marks inside");
}

#[test]
fn the_lock_lets_one_in_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = [(); 2].map(|()| sink(dir.path(), Format::Raw));
    let absent = Version(ABSENT.to_owned());
    let held = write::hold(&one.checked, &delivery(1).marks, &absent, None).unwrap();
    let refused = write::hold(&two.checked, &delivery(1).marks, &absent, None).unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Transient, Code::Unavailable));
    drop(held);
    let held = write::hold(&two.checked, &delivery(1).marks, &absent, None).unwrap();
    // Without the file there is no lock: whoever comes now makes a new one.
    std::fs::remove_file(dir.path().join(".initech.token.scimitar.lock")).unwrap();
    assert!(write::hold(&one.checked, &delivery(1).marks, &absent, None).is_ok());
    drop(held);
}

#[tokio::test]
async fn nothing_is_said_of_the_file_while_somebody_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Format::Raw);
    let lock = dir.path().join(".initech.token.scimitar.lock");
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    // A writer that was stopped before its rename goes on whenever it likes.
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
    drop(held);
    assert!(matches!(sink.read().await.unwrap().contents, Contents::Empty));
}

#[test]
fn a_folder_swapped_under_the_lock_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (dir.path().join("folder"), dir.path().join("elsewhere"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let sink = sink(&folder, Format::Json);
    let delivery = delivery(1);
    let absent = Version(ABSENT.to_owned());
    let held = write::hold(&sink.checked, &delivery.marks, &absent, None).unwrap();
    std::fs::rename(&folder, dir.path().join("moved")).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    let refused = write::replace(&sink.checked, &held, &delivery).unwrap_err();
    assert_eq!(refused.class, Class::Conflict);
    assert!(names(&elsewhere).is_empty());
    assert!(!dir.path().join("moved/initech.token").exists());
}

#[test]
fn an_older_generation_of_the_same_ledger_never_wins() {
    for format in [Format::Raw, Format::Json, Format::Env] {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path(), format);
        promote(&sink, 5).unwrap();
        let refused = promote(&sink, 4).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed));
        assert_eq!(marked(&sink), Some(5));
        promote(&sink, 5).unwrap();
        promote(&sink, 6).unwrap();
        assert_eq!(marked(&sink), Some(6));
    }
}

#[test]
fn a_change_of_format_overwrites_and_keeps_the_mark_findable() {
    let dir = tempfile::tempdir().unwrap();
    promote(&sink(dir.path(), Format::Json), 1).unwrap();
    let raw = sink(dir.path(), Format::Raw);
    assert_eq!(marked(&raw), None, "a JSON document is no token");
    promote(&raw, 2).unwrap();
    assert_eq!(marked(&raw), Some(2));
    let env = sink(dir.path(), Format::Env);
    promote(&env, 3).unwrap();
    assert_eq!(marked(&env), Some(3));
}

#[test]
fn a_file_that_was_open_to_others_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("initech.token");
    std::fs::write(&path, "tok_0.value").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    promote(&sink(dir.path(), Format::Raw), 1).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read(&path).unwrap(), b"tok_1.value");
}

#[test]
fn owner_and_group_are_set_or_the_refusal_says_how() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = target(Format::Raw);
    asked.group = Some(nix::unistd::getegid().to_string());
    asked.owner = Some("12345".to_owned());
    asked.mode = Some(0o640);
    let sink = sink_of(dir.path(), asked.clone());
    if nix::unistd::geteuid().is_root() {
        prove(&sink).unwrap();
        promote(&sink, 1).unwrap();
        let meta = std::fs::metadata(dir.path().join("initech.token")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (12345, 0o640));
    } else {
        for refused in [prove(&sink).unwrap_err(), promote(&sink, 1).unwrap_err()] {
            assert_eq!(refused.class, Class::Terminal);
            assert!(refused.detail.contains("CAP_CHOWN"), "{refused:?}");
        }
    }
    asked.owner = Some("nobody-of-that-name".to_owned());
    let sink = sink_of(dir.path(), asked);
    let refused = prove(&sink).unwrap_err();
    assert!(refused.detail.contains("there is no user"), "{refused:?}");
}

#[test]
fn a_file_of_any_other_kind_is_a_fault_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("initech.token");
    let sink = sink(dir.path(), Format::Raw);
    let faults = |words: &str| {
        for trouble in [
            read(&sink.checked).unwrap_err(),
            prove(&sink).unwrap_err(),
            write::hold(&sink.checked, &delivery(1).marks, &Version(ABSENT.into()), None)
                .unwrap_err(),
        ] {
            assert_eq!(trouble.class, Class::Terminal);
            assert!(trouble.detail.contains(words), "{trouble:?}");
        }
    };
    symlink("/nowhere/at/all", &path).unwrap();
    faults("/nowhere/at/all");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    faults("is not a regular file");
    std::fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    faults("is not a regular file");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![b'x'; usize::try_from(LARGEST).unwrap() + 1]).unwrap();
    assert!(matches!(read(&sink.checked).unwrap().contents, Contents::Unmarked { value: None }));
    assert!(prove(&sink).unwrap_err().detail.contains("1 MiB"));
    assert!(promote(&sink, 1).unwrap_err().detail.contains("1 MiB"));
}

#[test]
fn a_folder_on_the_way_that_is_none_is_a_fault_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let through = sink(&dir.path().join("file/below"), Format::Raw);
    assert!(read(&through.checked).unwrap_err().detail.contains("ENOTDIR"));
    let missing = sink(&dir.path().join("not/there"), Format::Raw);
    let reading = read(&missing.checked).unwrap();
    assert!(matches!(reading.contents, Contents::Empty));
    prove(&missing).unwrap();
    assert_eq!(names(dir.path()), ["file"], "the trial leaves nothing");
    promote(&missing, 1).unwrap();
    let made = std::fs::metadata(dir.path().join("not/there")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o700);
}

#[test]
fn a_folder_that_everybody_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = |mode| {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let sink = sink(dir.path(), Format::Raw);
    open(0o777);
    for refused in [prove(&sink).unwrap_err(), promote(&sink, 1).unwrap_err()] {
        assert!(refused.detail.contains("chmod o-w"), "{refused:?}");
    }
    assert!(names(dir.path()).is_empty());
    open(0o1777);
    promote(&sink, 1).unwrap();
}

#[test]
fn a_place_is_reopened_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = target(Format::Env);
    asked.file = "team/initech.env".into();
    let sink = sink_of(dir.path(), asked);
    promote(&sink, 3).unwrap();
    let stored = serde_json::to_string(sink.place()).unwrap();
    let reopened = FileSink::reopen(&serde_json::from_str(&stored).unwrap()).unwrap();
    assert_eq!(reopened.place(), sink.place());
    assert_eq!(marked(&reopened), Some(3));
}

#[test]
fn a_lock_file_that_was_removed_is_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let locked = std::fs::File::create(&path).unwrap();
    let there = std::fs::File::open(&path).unwrap();
    assert!(write::is_the_lock(Some(&there), &locked));
    std::fs::remove_file(&path).unwrap();
    assert!(!write::is_the_lock(None, &locked));
    let newer = std::fs::File::create(&path).unwrap();
    assert!(!write::is_the_lock(Some(&newer), &locked));
}

#[test]
fn an_unmarked_file_counts_when_it_was_seen_twice() {
    let reading = |version: &str, contents| Reading::new(Version(version.to_owned()), contents);
    let unmarked = |version| reading(version, Contents::Unmarked { value: None });
    let marked = || {
        let Delivery { marks, value, .. } = delivery(3);
        reading("c", Contents::Marked { marks, value })
    };
    let run = |answers: Vec<Reading>| {
        let mut answers = answers.into_iter();
        let reading = settled(|| Ok(answers.next().unwrap())).unwrap();
        (reading.version.0, answers.count())
    };
    assert_eq!(run(vec![unmarked("a"), unmarked("b"), marked(), unmarked("x")]), ("c".into(), 1));
    assert_eq!(run(vec![unmarked("a"), unmarked("a"), marked()]), ("a".into(), 1));
    assert_eq!(run(vec![marked(), unmarked("x")]), ("c".into(), 1));
    let restless = ["a", "b", "c", "d", "e"].map(unmarked).into();
    assert_eq!(run(restless), ("d".into(), 1));
}
