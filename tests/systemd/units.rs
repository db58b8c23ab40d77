//! What `systemd-analyze` says of the units, without a systemd that runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The highest exposure that `systemd-analyze security` may find, in tenths, with the drop-in of
/// allowed addresses.
const MOST_EXPOSED: u32 = 12;

/// The services, by the names that their checks go by: a template is checked as an instance.
const SERVICES: [(&str, &str); 3] = [
    ("scimitar.service", "scimitar.service"),
    ("scimitar-once.service", "scimitar-once.service"),
    ("scimitar@.service", "scimitar@acme.service"),
];

/// A copy of the units whose program is there, with those drop-ins for the daemon.
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
    let of_daemon = folder.path().join("scimitar.service.d");
    fs::create_dir(&of_daemon).unwrap();
    for drop_in in drop_ins {
        fs::copy(units.join("scimitar.service.d").join(drop_in), of_daemon.join(drop_in)).unwrap();
    }
    folder
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The exit status of a call of `systemd-analyze`, and what it said.
fn analyze(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "--man=no"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("systemd-analyze, of systemd 252 or newer, is there");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// systemd's own.
fn version() -> u32 {
    let (_, said) = analyze(&units(), &["--version"]);
    let number = said.strip_prefix("systemd ").and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no version: {said}"))
}

#[test]
fn systemd_finds_no_mistake_in_any_unit() {
    let mut all = vec!["addresses.conf", "files.conf"];
    if version() >= 253 {
        all.push("notify-reload.conf");
    }
    for drop_ins in [&[][..], &all[..1], &all[..]] {
        let folder = copied(drop_ins);
        let units = SERVICES.iter().map(|(_, checked)| *checked).chain(["scimitar-once.timer"]);
        for unit in units {
            let path = format!("./{unit}");
            let found = analyze(folder.path(), &["verify", "--recursive-errors=yes", &path]);
            assert_eq!(found, (Some(0), String::new()), "{unit} with {drop_ins:?}");
        }
    }
    // The checker does see mistakes.
    let folder = copied(&[]);
    let path = folder.path().join("scimitar.service");
    let text = fs::read_to_string(&path).unwrap().replace("RestartSec=30s", "RestartSecs=30s");
    fs::write(&path, text).unwrap();
    let (status, said) =
        analyze(folder.path(), &["verify", "--recursive-errors=yes", "./scimitar.service"]);
    assert!(status != Some(0) && said.contains("RestartSecs"), "{said}");
}

#[test]
fn what_each_unit_is_exposed_to_is_little() {
    let folder = copied(&["addresses.conf"]);
    let threshold = format!("--threshold={MOST_EXPOSED}");
    for (_, unit) in SERVICES {
        let path = format!("./{unit}");
        let (status, said) =
            analyze(folder.path(), &["security", "--offline=yes", &threshold, &path]);
        assert_eq!(status, Some(0), "{unit}: {said}");
        assert!(said.contains("Overall exposure level"), "{said}");
    }
    // The drop-in says something, and the threshold is one.
    let level = |folder: &Path, tenths: u32| {
        let threshold = format!("--threshold={tenths}");
        analyze(folder, &["security", "--offline=yes", &threshold, "./scimitar.service"]).0
    };
    assert_eq!(level(folder.path(), 10), Some(0), "docs/systemd.md says 1.0");
    assert_eq!(level(copied(&[]).path(), 10), Some(1));
    assert_eq!(level(copied(&[]).path(), 11), Some(0), "docs/systemd.md says 1.1");
    assert_eq!(level(copied(&["files.conf"]).path(), 14), Some(0), "docs/systemd.md says 1.4");
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
