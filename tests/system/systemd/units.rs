//! What `systemd-analyze` says of the units, without a systemd that runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::analyze::{MOST_EXPOSED, analyze, is_exposed_to, is_right};

/// The drop-ins, by their places in the folder of units.
const ADDRESSES: &str = "scimitar.service.d/addresses.conf";
const FILES: &str = "scimitar.service.d/files.conf";
const NOTIFY_RELOAD: &str = "scimitar.service.d/notify-reload.conf";
const TEXTFILE: &str = "scimitar-once.service.d/textfile.conf";

/// The services, by the names that their checks go by: a template is checked as an instance.
const SERVICES: [(&str, &str); 3] = [
    ("scimitar.service", "scimitar.service"),
    ("scimitar-once.service", "scimitar-once.service"),
    ("scimitar@.service", "scimitar@acme.service"),
];

/// A copy of the units whose program is there, with those drop-ins.
fn copied(drop_ins: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let units = units();
    for entry in fs::read_dir(&units).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("/usr/local/bin/scimitar", env!("CARGO_BIN_EXE_scimitar"));
            fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
        }
    }
    symlink("scimitar@.service", folder.path().join("scimitar@acme.service")).unwrap();
    for drop_in in drop_ins {
        let target = folder.path().join(drop_in);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(units.join(drop_in), target).unwrap();
    }
    folder
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// systemd's own.
fn version() -> u32 {
    let (_, said) = analyze(&units(), &["--version"]);
    let number = said.strip_prefix("systemd ").and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no version: {said}"))
}

#[test]
fn systemd_finds_no_mistake_in_any_unit() {
    let mut all = vec![ADDRESSES, FILES, TEXTFILE];
    if version() >= 253 {
        all.push(NOTIFY_RELOAD);
    }
    for drop_ins in [&[][..], &all[..1], &all[..]] {
        let folder = copied(drop_ins);
        let units = SERVICES.iter().map(|(_, checked)| *checked).chain(["scimitar-once.timer"]);
        for unit in units {
            is_right(folder.path(), unit, &format!("with {drop_ins:?}"));
        }
    }
    // The checker does see mistakes, in a drop-in as well.
    let folder = copied(&[TEXTFILE]);
    let mistaken = |name: &str, right: &str, wrong: &str, unit: &str| {
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap().replace(right, wrong);
        fs::write(&path, text).unwrap();
        let (status, said) = analyze(folder.path(), &["verify", "--recursive-errors=yes", unit]);
        assert!(status != Some(0) && said.contains(wrong), "{said}");
    };
    mistaken("scimitar.service", "RestartSec", "RestartSecs", "./scimitar.service");
    mistaken(TEXTFILE, "ReadWritePaths", "ReadWritePathes", "./scimitar-once.service");
}

#[test]
fn every_drop_in_is_checked_here() {
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(units()).unwrap() {
        let path = entry.unwrap().path();
        for drop_in in path.is_dir().then(|| fs::read_dir(&path).unwrap()).into_iter().flatten() {
            let drop_in = drop_in.unwrap().path();
            found.push(drop_in.strip_prefix(units()).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort_unstable();
    assert_eq!(found, [TEXTFILE, ADDRESSES, FILES, NOTIFY_RELOAD]);
}

#[test]
fn what_each_unit_is_exposed_to_is_little() {
    let folder = copied(&[ADDRESSES]);
    for (_, unit) in SERVICES {
        let (little, said) = is_exposed_to(folder.path(), unit, MOST_EXPOSED);
        assert!(little, "{unit}: {said}");
    }
    // The drop-in says something, and the threshold is one.
    let level = |drop_ins: &[&str], unit: &str, tenths: u32| {
        is_exposed_to(copied(drop_ins).path(), unit, tenths).0
    };
    let daemon = "scimitar.service";
    assert!(level(&[ADDRESSES], daemon, 12), "docs/systemd.md says 1.2");
    assert!(!level(&[], daemon, 11));
    assert!(level(&[], daemon, 12), "docs/systemd.md says 1.2");
    assert!(level(&[FILES], daemon, 14), "docs/systemd.md says 1.4");
    assert!(level(&[TEXTFILE], "scimitar-once.service", 13), "docs/systemd.md says 1.3");
}

#[test]
fn the_units_differ_in_nothing_that_they_may_not_do() {
    const HEAD: &str = "# What it may not do.";
    let block = |unit: &str| {
        let text = fs::read_to_string(units().join(unit)).unwrap();
        let (_, block) = text.split_once(HEAD).unwrap_or_else(|| panic!("{unit}: no {HEAD:?}"));
        block.split("\n[").next().unwrap().trim_end().to_owned()
    };
    let first = block(SERVICES[0].0);
    assert!(first.lines().count() > 30, "{first}");
    for (unit, _) in &SERVICES[1..] {
        assert_eq!(block(unit), first, "{unit}");
    }
}

#[test]
fn the_timer_comes_every_hour_and_makes_up_for_what_was_missed() {
    let timer = fs::read_to_string(units().join("scimitar-once.timer")).unwrap();
    let value = |key: &str| {
        let line = timer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}"))
    };
    assert_eq!(value("Persistent"), "true");
    let (status, said) = analyze(&units(), &["calendar", value("OnCalendar")]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("Normalized form: *-*-* *:00:00"), "{said}");
}
