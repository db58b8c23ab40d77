//! The Python environment of the tests: made once in `target/test-venv`, by whichever test
//! needs it first, from `requirements.txt` beside this file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The folder that holds `python` and the commands of the packages. Other processes wait while
/// one of them makes it.
pub fn bin() -> PathBuf {
    let target = crate::built::target();
    let venv = target.join("test-venv");
    let lock = File::create(target.join("test-venv.lock")).unwrap();
    lock.lock().unwrap();
    // Written last: an environment without it, or with another one, is made anew.
    let stamp = venv.join("requirements.stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == REQUIREMENTS) {
        return venv.join("bin");
    }
    if venv.exists() {
        fs::remove_dir_all(&venv).unwrap();
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements.txt");
    run(Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--retries",
            "10",
            "-r",
        ])
        .arg(list));
    fs::write(&stamp, REQUIREMENTS).unwrap();
    venv.join("bin")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
