//! `systemd-analyze`, which checks units without a systemd that runs.

use std::{path::Path, process::Command};

/// The highest exposure that `systemd-analyze security` may find, in tenths. PrivateUsers= would be one less,
/// and would make every caller of the control socket nobody.
pub(crate) const MOST_EXPOSED: u32 = 12;

/// The exit status of a call of `systemd-analyze`, and what it said.
pub(crate) fn analyze(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "--man=no"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("systemd-analyze, of systemd 252 or newer, is there");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// No mistake is found in a unit of the folder.
pub(crate) fn is_right(folder: &Path, unit: &str, when: &str) {
    let path = format!("./{unit}");
    let found = analyze(folder, &["verify", "--recursive-errors=yes", &path]);
    assert_eq!(found, (Some(0), String::new()), "{unit} {when}");
}

/// Whether a unit of the folder is exposed to no more than that many tenths; and what was said.
pub(crate) fn is_exposed_to(folder: &Path, unit: &str, tenths: u32) -> (bool, String) {
    let (threshold, path) = (format!("--threshold={tenths}"), format!("./{unit}"));
    let (status, said) = analyze(folder, &["security", "--offline=yes", &threshold, &path]);
    assert!(said.contains("Overall exposure level"), "{unit}: {said}");
    (status == Some(0), said)
}
