//! Debian's packages for the tests, unpacked by `debian.sh` beside this file.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// The root under which these packages, and what they need, are unpacked.
pub fn root(packages: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("debian.sh");
    let output = Command::new(&script).args(packages).output().unwrap();
    assert!(
        output.status.success(),
        "{} {packages:?} ended with {}:\n{}",
        script.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// A program of theirs (`usr/bin/promtool`), with the libraries that came with it.
pub fn command(root: &Path, program: &str) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut path = OsString::from(&libraries);
    path.push(":");
    path.push(libraries.join("pulseaudio"));
    let mut command = Command::new(root.join(program));
    command.env("LD_LIBRARY_PATH", path).env_remove("HTTP_PROXY").env_remove("http_proxy");
    command
}
