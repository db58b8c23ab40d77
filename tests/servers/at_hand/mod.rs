//! What the program prints of itself: schema, completions, manual page. They need no configuration,
//! what is kept under `docs/` is what is printed, and the tools that read them take them.
//!
//! `UPDATE_ARTEFACTS=1 cargo test --test servers at_hand::` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test ends where what it needs is not there")]

#[cfg(test)]
mod files;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod shells;

use std::process::{Command, Output};

use scimitar_test_support::debian;

/// The commands of the program, as its help lists them.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, listed) = help.split_once("\nCommands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// What the program prints, away from this process' environment.
fn printed(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    assert!(ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scimitar")).args(arguments).env_clear().output().unwrap()
}
