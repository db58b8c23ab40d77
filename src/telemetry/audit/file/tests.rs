use std::{fs, io::Cursor, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    clock::parse_timestamp,
    telemetry::audit::{
        actor::Kind,
        verify::{Broken, Verified, Verifier},
    },
};

fn add(path: &Path) -> Result<Link, AppendError> {
    add_with(path, 0)
}

fn add_with(path: &Path, missed: u64) -> Result<Link, AppendError> {
    let actor = Actor::this_process(Kind::OneShot, "test");
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let entry = Entry::of_process("started", at, "a test");
    append(&path.to_owned().into(), &actor, &[entry], missed).map(|_| last(path).unwrap())
}

fn verified(paths: &[&Path]) -> Result<Verified, Broken> {
    let mut verifier = Verifier::new(None);
    for path in paths {
        let bytes = fs::read(path).unwrap_or_default();
        verifier.file(&path.display().to_string(), Cursor::new(bytes))?;
    }
    verifier.finish("")
}

fn events(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect()
}

struct Bench {
    folder: tempfile::TempDir,
    log: PathBuf,
}

impl Bench {
    fn with_lines(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.jsonl");
        for _ in 0..count {
            add(&log).unwrap();
        }
        Self { folder, log }
    }

    fn cut(&self, keep: u64) {
        OpenOptions::new().write(true).open(&self.log).unwrap().set_len(keep).unwrap();
    }
}

#[test]
fn a_new_chain_is_for_its_owner_alone_from_its_first_line() {
    let bench = Bench::with_lines(3);
    assert_eq!(events(&bench.log), ["log_opened", "started", "started", "started"]);
    let found = verified(&[&bench.log]).unwrap();
    assert_eq!((found.lines, found.follows, found.remarks), (4, None, Vec::new()));
    assert_eq!(found.last, last(&bench.log));
    for file in [bench.log.clone(), head_path(&bench.log)] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_renamed_file_is_gone_on_with_where_it_ended() {
    let bench = Bench::with_lines(2);
    let old = bench.folder.path().join("audit.jsonl.1");
    fs::rename(&bench.log, &old).unwrap();
    // As logrotate's `create` does.
    fs::write(&bench.log, "").unwrap();
    let before = last(&bench.log).unwrap();
    add(&bench.log).unwrap();
    assert_eq!(events(&bench.log), ["log_continued", "started"]);
    let found = verified(&[&old, &bench.log]).unwrap();
    assert_eq!((found.lines, found.remarks), (5, Vec::new()));
    let alone = verified(&[&bench.log]).unwrap();
    assert_eq!(alone.follows, Some(before.hash));
    assert!(verified(&[&bench.log, &old]).unwrap_err().what.contains("in a different order"));
}

#[test]
fn a_file_emptied_where_it_lay_is_told_of() {
    let bench = Bench::with_lines(2);
    bench.cut(0);
    add(&bench.log).unwrap();
    let text = fs::read_to_string(&bench.log).unwrap();
    assert!(text.contains("log_continued") && text.contains("copytruncate"), "{text}");
    verified(&[&bench.log]).unwrap();
}

/// Wherever a write was torn, the next line tells of it and the chain holds.
#[test]
fn a_torn_line_is_told_of_by_the_next() {
    let whole = Bench::with_lines(2);
    let length = fs::metadata(&whole.log).unwrap().len();
    let bytes = fs::read(&whole.log).unwrap();
    let last_line = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let first = u64::try_from(last_line).unwrap() + 1;
    // Each is written to the disk: every so many, and the last ones.
    for keep in (first..length - 2).step_by(29).chain(length - 2..length) {
        let bench = Bench::with_lines(1);
        let good = fs::metadata(&bench.log).unwrap().len();
        let torn = &bytes[last_line..usize::try_from(keep).unwrap()];
        let mut text = fs::read(&bench.log).unwrap();
        text.extend_from_slice(torn);
        fs::write(&bench.log, &text).unwrap();
        assert!(verified(&[&bench.log]).unwrap_err().what.contains("incomplete"));
        add(&bench.log).unwrap();
        if keep == length - 1 {
            // Nothing but its line break was missing.
            assert_eq!(verified(&[&bench.log]).unwrap().remarks, []);
            continue;
        }
        let events = events(&bench.log);
        assert!(events.ends_with(&["log_torn".to_owned(), "started".to_owned()]), "{events:?}");
        let found = verified(&[&bench.log]).unwrap();
        assert_eq!(found.remarks.len(), 1, "{keep}");
        // What was torn cannot be changed any more either.
        let mut text = fs::read(&bench.log).unwrap();
        text[usize::try_from(good).unwrap()] ^= 1;
        fs::write(&bench.log, &text).unwrap();
        verified(&[&bench.log]).unwrap_err();
    }
}

#[test]
fn damage_of_any_kind_behind_the_last_line_is_told_of() {
    for damage in [&b"\0\0\0\0"[..], b"\n", b"garbage\nand more\n", b"{\"v\":1,\"seq\":9}\n\xff"] {
        let bench = Bench::with_lines(2);
        let mut text = fs::read(&bench.log).unwrap();
        text.extend_from_slice(damage);
        fs::write(&bench.log, &text).unwrap();
        add(&bench.log).unwrap();
        let found = verified(&[&bench.log]).unwrap();
        assert_eq!(found.remarks.len(), 1, "{damage:?}");
        add(&bench.log).unwrap();
        assert_eq!(verified(&[&bench.log]).unwrap().lines, 6);
    }
}

#[test]
fn a_first_line_that_was_torn_is_told_of_by_the_next_first_line() {
    let bench = Bench::with_lines(0);
    fs::write(&bench.log, "{\"v\":1,\"seq\":1,\"pre").unwrap();
    add(&bench.log).unwrap();
    assert_eq!(verified(&[&bench.log]).unwrap().remarks.len(), 1);
}

#[test]
fn lines_taken_from_the_end_are_reported_as_a_broken_chain() {
    let bench = Bench::with_lines(1);
    let keep = fs::metadata(&bench.log).unwrap().len();
    add(&bench.log).unwrap();
    bench.cut(keep);
    // Nothing in the file shows it, until the next line is written.
    verified(&[&bench.log]).unwrap();
    add(&bench.log).unwrap();
    let broken = verified(&[&bench.log]).unwrap_err();
    assert_eq!(broken.line, Some(3));
    assert!(broken.what.contains("the log itself records"), "{broken:?}");
}

#[test]
fn a_head_that_is_behind_is_caught_up_with() {
    let bench = Bench::with_lines(1);
    let head = fs::read(head_path(&bench.log)).unwrap();
    add(&bench.log).unwrap();
    // A process that died between the line and the head.
    fs::write(head_path(&bench.log), &head).unwrap();
    add(&bench.log).unwrap();
    assert_eq!(verified(&[&bench.log]).unwrap().lines, 4);
    fs::write(head_path(&bench.log), "damaged").unwrap();
    assert_eq!(last(&bench.log), None);
    add(&bench.log).unwrap();
    assert_eq!(verified(&[&bench.log]).unwrap().lines, 5);
    assert!(last(&bench.log).is_some());
}

#[test]
fn nothing_is_added_to_what_is_no_audit_log() {
    let bench = Bench::with_lines(0);
    for text in ["Nov 22 04:00:00 host kernel: up\n", "x", "\n"] {
        fs::write(&bench.log, text).unwrap();
        assert!(matches!(add(&bench.log), Err(AppendError::NotOurs(_))), "{text:?}");
        assert!(matches!(probe(&bench.log), Err(AppendError::NotOurs(_))), "{text:?}");
        assert_eq!(fs::read_to_string(&bench.log).unwrap(), text);
    }
    fs::remove_file(&bench.log).unwrap();
    nix::unistd::mkfifo(&bench.log, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(add(&bench.log), Err(AppendError::NotOurs(_) | AppendError::Io { .. })));
}

#[test]
fn asking_makes_no_file_and_says_what_is_missing() {
    let bench = Bench::with_lines(0);
    probe(&bench.log).unwrap();
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0);
    let error = probe(&bench.folder.path().join("none/audit.jsonl")).unwrap_err();
    assert!(error.to_string().contains("No such file or directory"), "{error}");
    add(&bench.log).unwrap();
    probe(&bench.log).unwrap();
}

#[test]
fn one_writer_at_a_time() {
    let bench = Bench::with_lines(1);
    let lock = open_head(&head_path(&bench.log)).unwrap();
    assert!(matches!(add(&bench.log), Err(AppendError::Locked)));
    drop(lock);
    add(&bench.log).unwrap();
}

#[test]
fn missed_lines_are_counted_in_the_next() {
    let bench = Bench::with_lines(1);
    add_with(&bench.log, 3).unwrap();
    let found = verified(&[&bench.log]).unwrap();
    assert!(found.holes[0].what.contains("3 lines"), "{found:?}");
    assert_eq!((found.missed, found.remarks.len()), (3, 0));
}

#[test]
fn what_one_process_missed_is_told_by_the_next_line_of_any() {
    let bench = Bench::with_lines(2);
    let end = last(&bench.log);
    let paths = Paths::from(bench.log.clone());
    miss(&paths, 2).unwrap();
    miss(&paths, 1).unwrap();
    assert_eq!((last(&bench.log), missed(&bench.log)), (end.clone(), 3));
    let mut verifier = Verifier::new(None);
    verifier.file("", Cursor::new(fs::read(&bench.log).unwrap())).unwrap();
    verifier.missed_after("", end.as_ref(), 3);
    assert_eq!(verifier.finish("").unwrap().missed, 3);
    add_with(&bench.log, 1).unwrap();
    assert_eq!(missed(&bench.log), 0);
    assert_eq!(verified(&[&bench.log]).unwrap().missed, 4);
    add(&bench.log).unwrap();
    assert_eq!(verified(&[&bench.log]).unwrap().missed, 4, "each is told once");
}

#[test]
fn what_was_missed_before_the_first_line_of_all_is_told_by_it() {
    let bench = Bench::with_lines(0);
    miss(&bench.log.clone().into(), 5).unwrap();
    assert_eq!((last(&bench.log), missed(&bench.log)), (None, 5));
    add(&bench.log).unwrap();
    assert_eq!(events(&bench.log), ["log_opened", "started"]);
    assert_eq!(verified(&[&bench.log]).unwrap().missed, 5);
}

#[test]
fn what_cannot_be_counted_beside_the_log_is_counted_elsewhere() {
    let bench = Bench::with_lines(0);
    let away = bench.folder.path().join("mount");
    let aside = missed_beside(&bench.folder.path().join("ledger.db"));
    let paths = Paths { log: away.join("audit.jsonl"), aside: Some(aside.clone()) };
    miss(&paths, 2).unwrap();
    miss(&paths, 1).unwrap();
    assert_eq!(fs::metadata(&aside).unwrap().len(), 3);
    fs::create_dir(&away).unwrap();
    let actor = Actor::this_process(Kind::OneShot, "test");
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let entry = Entry::of_process("started", at, "a test");
    append(&paths, &actor, std::slice::from_ref(&entry), 0).unwrap();
    append(&paths, &actor, &[entry], 0).unwrap();
    assert_eq!(verified(&[&paths.log]).unwrap().missed, 3);
    assert_eq!(fs::metadata(&aside).unwrap().len(), 0);
}

#[test]
fn what_the_superuser_makes_belongs_to_the_owner_of_the_folder() {
    let bench = Bench::with_lines(0);
    let folder = bench.folder.path();
    let own = fs::metadata(folder).unwrap().uid();
    let wanted = if geteuid().is_root() { (12_345, 12_346) } else { (own, own) };
    if geteuid().is_root() {
        std::os::unix::fs::chown(folder, Some(wanted.0), Some(wanted.1)).unwrap();
    }
    let paths =
        Paths { log: bench.log.clone(), aside: Some(missed_beside(&folder.join("ledger.db"))) };
    add(&paths.log).unwrap();
    aside::add(paths.aside.as_ref().unwrap(), 1).unwrap();
    for file in [&paths.log, &head_path(&paths.log), paths.aside.as_ref().unwrap()] {
        let found = fs::metadata(file).unwrap();
        assert_eq!(found.uid(), wanted.0, "{}", file.display());
        assert!(!geteuid().is_root() || found.gid() == wanted.1, "{}", file.display());
    }
    // What an administrator made beforehand stays theirs.
    let made = folder.join("made.jsonl");
    fs::write(&made, "").unwrap();
    add(&made).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().uid(), geteuid().as_raw());
}
