//! What is text and needs no file.

use std::{collections::BTreeMap, iter::once};

use scimitar::{
    clock::parse_timestamp,
    http::pem,
    ledger::format::{self, Columns},
    pattern::{Pattern, fits},
    rotation::schedule::Schedule,
    secret::Secret,
    sink::payload::PayloadTemplate,
};

use crate::sink_conformance::delivery;

/// The most that a template of a payload may come to.
const LARGEST: usize = 2 * 1024 * 1024;

/// A command line: an argument a line.
pub(super) fn arguments(data: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let arguments = data.split(|byte| *byte == b'\n').map(std::ffi::OsStr::from_bytes);
    let arguments = once(std::ffi::OsStr::new("scimitar")).chain(arguments);
    drop(scimitar::cli::parse(arguments.map(ToOwned::to_owned)));
}

/// A payload of one key, rendered; the other key is the token's.
pub(super) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let token = ("token".to_owned(), "{{ token }}".to_owned());
    let source = BTreeMap::from([token, ("key".to_owned(), text.to_owned())]);
    for source in [source, BTreeMap::from([("key".to_owned(), text.to_owned())])] {
        let Ok(template) = PayloadTemplate::parse(&source) else { continue };
        for generation in [1, 2] {
            let Ok(payload) = template.render(&delivery(generation)) else { continue };
            let length: usize = payload.values().map(|secret| secret.expose().len()).sum();
            assert!(length <= LARGEST + 2 * text.len(), "a payload of {length} bytes");
            let payload = payload.into_iter().map(|(key, it)| (key, it.expose().to_owned()));
            let read = template.token_in(&payload.collect());
            assert!(
                read.is_some_and(|read| { read.expose() == delivery(generation).value.expose() })
            );
        }
    }
}

/// A schedule, its time zone in the second line, and the ticks that it names.
pub(super) fn schedule(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (expression, zone) = text.split_once('\n').unwrap_or((text, "Europe/Berlin"));
    let Ok(schedule) = Schedule::parse(expression, zone) else { return };
    let mut at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    for _ in 0..16 {
        let Some(next) = schedule.next_after(at) else { break };
        assert!(next > at, "{expression:?} in {zone:?} goes back from {at} to {next}");
        at = next;
    }
    let (shortest, longest) = (schedule.shortest_gap(), schedule.longest_gap());
    assert!(shortest <= longest, "{expression:?} in {zone:?}: {shortest:?}, {longest:?}");
}

/// A record as the ledger keeps it, read, written and read again.
pub(super) fn record(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(record) = format::decode(text) else { return };
    let _ = Columns::of(&record);
    let written = format::encode(&record).unwrap();
    assert_eq!(format::decode(&written).unwrap(), record);
}

/// Certificates, and a certificate with its key.
pub(super) fn pem(data: &[u8]) {
    drop(pem::certificates(data));
    if let Ok(text) = std::str::from_utf8(data) {
        drop(pem::identity(&Secret::new(text.to_owned())));
    }
}

/// A pattern, and names that it is held against.
pub(super) fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let pattern = lines.next().unwrap_or_default();
    let known = Pattern::try_new(pattern);
    for name in lines.chain(once(pattern)) {
        let fitting = fits(pattern, name);
        if let Ok(known) = &known {
            assert_eq!(known.fits(name), fitting);
        }
    }
}
