//! Whatever is done to a file is found, but for lines cut off its end, which `--head` shows.

use std::{io::Cursor, path::Path, process::Command};

use proptest::{prelude::*, sample::Index};
use scimitar::{
    clock::parse_timestamp,
    telemetry::audit::{
        actor::{Actor, Kind},
        chain::{self, Link, Remarks},
        entry::Entry,
        verify::{Broken, Verified, Verifier},
    },
};

/// Lines of a chain, from its beginning.
pub(crate) fn lines(count: usize) -> (Vec<Vec<u8>>, Link) {
    let actor = Actor::this_process(Kind::Daemon, "run");
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let mut lines = Vec::new();
    let mut before = None;
    for number in 0..count {
        let event = if number == 0 { chain::OPENED } else { "started" };
        let entry = Entry::of_process(event, at, format!("line {number} — \"quoted\""));
        let (line, link) =
            chain::line(before.as_ref(), &actor, &entry, &Remarks::default()).unwrap();
        lines.push(line);
        before = Some(link);
    }
    (lines, before.unwrap())
}

fn verify(bytes: &[u8], head: Option<&Link>) -> Result<Verified, Broken> {
    let mut verifier = Verifier::new(head.map(|head| head.hash.clone()));
    verifier.file("audit.jsonl", Cursor::new(bytes))?;
    verifier.finish("audit.jsonl")
}

/// The page's own script, on a file.
fn python(path: &Path) -> std::process::Output {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs-and-audit.md"),
    )
    .unwrap();
    let (_, script) = page.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    Command::new("python3").args(["-c", script]).arg(path).output().unwrap()
}

#[test]
fn the_script_of_the_page_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (good, last) = lines(5);
    let good = good.concat();
    std::fs::write(&path, &good).unwrap();
    let said = python(&path);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), last.hash);
    // A torn line that the next one tells of.
    let half = &good[..good.len() / 2];
    std::fs::write(&path, half).unwrap();
    assert!(!python(&path).status.success());
    let actor = Actor::this_process(Kind::Daemon, "run");
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let entry = Entry::of_process("started", at, "again");
    scimitar::telemetry::audit::file::append(&path.clone().into(), &actor, &[entry], 0).unwrap();
    let healed = std::fs::read(&path).unwrap();
    assert!(python(&path).status.success(), "{:?}", python(&path));
    assert_eq!(verify(&healed, None).unwrap().remarks.len(), 1);
    for at in (0..healed.len()).step_by(97) {
        let mut bytes = healed.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!python(&path).status.success(), "byte {at}");
        verify(&bytes, None).unwrap_err();
    }
}

#[test]
fn a_head_noted_earlier_is_found_with_what_stands_behind_it() {
    let (good, last) = lines(5);
    let (_, third) = lines(3);
    let bytes = good.concat();
    assert_eq!(verify(&bytes, Some(&last)).unwrap().after_head, Some(0));
    assert_eq!(verify(&bytes, Some(&third)).unwrap().after_head, Some(2));
    // The line in front of a file is named by the file's first line.
    let elsewhere = Link { seq: 9, hash: "ab".repeat(32) };
    let broken = verify(&bytes, Some(&elsewhere)).unwrap_err();
    assert!(broken.what.contains("no line has the hash"), "{broken:?}");
    assert_eq!(verify(b"", None).unwrap().last, None);
    verify(b"", Some(&last)).unwrap_err();
}

#[test]
fn the_first_broken_line_is_named() {
    let (mut good, _) = lines(6);
    good[3][40] ^= 1;
    good[5][40] ^= 1;
    let broken = verify(&good.concat(), None).unwrap_err();
    assert_eq!((broken.file.as_str(), broken.line), ("audit.jsonl", Some(4)));
    assert!(broken.what.contains("the line was changed"), "{broken:?}");
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Deed {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    DeleteByte(Index),
    DeleteLine(Index),
    RepeatLine(Index, Index),
    Swap(Index, Index),
    Cut(Index),
}

fn deed() -> impl Strategy<Value = Deed> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 1..=255_u8).prop_map(|(at, bits)| Deed::Flip(at, bits)),
        (place(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Deed::Insert(at, bytes)),
        place().prop_map(Deed::DeleteByte),
        place().prop_map(Deed::DeleteLine),
        (place(), place()).prop_map(|(line, at)| Deed::RepeatLine(line, at)),
        (place(), place()).prop_map(|(one, other)| Deed::Swap(one, other)),
        place().prop_map(Deed::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_is_found(deed in deed()) {
        let (good, last) = lines(5);
        let whole = good.concat();
        let mut at_the_end = false;
        let done: Vec<u8> = match &deed {
            Deed::Flip(at, bits) => {
                let mut bytes = whole.clone();
                bytes[at.index(whole.len())] ^= bits;
                bytes
            }
            Deed::Insert(at, put) => {
                let at = at.index(whole.len() + 1);
                [&whole[..at], put, &whole[at..]].concat()
            }
            Deed::DeleteByte(at) => {
                let mut bytes = whole.clone();
                bytes.remove(at.index(whole.len()));
                bytes
            }
            Deed::DeleteLine(at) => {
                let mut lines = good;
                let at = at.index(lines.len());
                lines.remove(at);
                at_the_end = at == lines.len();
                lines.concat()
            }
            Deed::RepeatLine(line, at) => {
                let mut lines = good.clone();
                let line = lines[line.index(good.len())].clone();
                lines.insert(at.index(good.len() + 1), line);
                lines.concat()
            }
            Deed::Swap(one, other) => {
                let mut lines = good.clone();
                lines.swap(one.index(good.len()), other.index(good.len()));
                lines.concat()
            }
            Deed::Cut(at) => {
                let at = at.index(whole.len());
                at_the_end = at == 0 || whole[at - 1] == b'\n';
                whole[..at].to_vec()
            }
        };
        prop_assume!(done != whole);
        prop_assert_eq!(verify(&done, None).is_ok(), at_the_end, "{:?}", deed);
        prop_assert!(verify(&done, Some(&last)).is_err(), "{:?}", deed);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(bytes.is_empty() || verify(&bytes, None).is_err());
    }
}
