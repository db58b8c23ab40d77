//! Tells the program which commit it is made of: `SCIMITAR_REVISION` for `src/revision.rs`.
//!
//! The first of these that answers:
//! - the environment variable `SCIMITAR_REVISION`, for whoever builds from something else;
//! - `release/revision`, which `git archive` fills in: a source tarball needs no git;
//! - git, where this folder is a checkout, with `-dirty` where a tracked file was changed. Only optimised
//!   builds ask it: a debug build would be compiled again after each commit, for a name that nobody reads.
//!
//! Otherwise it is `unknown`.

use std::{env, fs, path::Path, process::Command};

/// What decides whether the tree is changed, as far as the program is made of it. Cargo asks again where
/// one of them is newer than the last answer.
const INPUTS: [&str; 4] = ["build.rs", "Cargo.toml", "Cargo.lock", "src"];

/// What `git archive` writes the commit into.
const ARCHIVED: &str = "release/revision";

fn main() {
    println!("cargo:rerun-if-env-changed=SCIMITAR_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ARCHIVED}");
    let revision = told().or_else(archived).or_else(checked_out);
    println!("cargo:rustc-env=SCIMITAR_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

/// As whoever builds says.
fn told() -> Option<String> {
    env::var("SCIMITAR_REVISION")
        .ok()
        .map(|told| told.trim().to_owned())
        .filter(|told| is_name(told))
}

/// As the archive says that this source was unpacked from.
fn archived() -> Option<String> {
    let text = fs::read_to_string(ARCHIVED).ok()?;
    let commit = text.trim();
    let is_commit = commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    is_commit.then(|| commit.to_owned())
}

/// As git says, where this folder is the top of a checkout.
fn checked_out() -> Option<String> {
    if env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let top = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if top != fs::canonicalize(".").ok()? {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    for input in INPUTS {
        println!("cargo:rerun-if-changed={input}");
    }
    // What moves when another commit is checked out. One that is not there would count as changed.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    for part in ["HEAD", "logs/HEAD", "packed-refs", &branch] {
        let path = git(&["rev-parse", "--git-path", part]);
        if let Some(path) = path.filter(|path| !part.is_empty() && Path::new(path).is_file()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What git answers; `None` where there is none, or nothing that it knows.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether it can be printed, and be a label of a metric, as it is.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
}
