//! The threat model names a test for each thing that stands in an attacker's way, and the test is there.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = include_str!("../../docs/security.md");

/// What nothing stands in the way of, and the page says so.
const NOT_MET: [&str; 2] = ["Memory is swapped out", "Someone on the network reads it"];

/// The tests that a text names: in which binary, and where in it.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|quoted| quoted.split_once(": "))
        .filter(|(binary, _)| ["lib", "in_process", "servers", "system"].contains(binary))
        .collect()
}

/// The files that a module can be in.
fn files(binary: &str, module: &str) -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = if binary == "lib" { root.join("src") } else { root.join("tests").join(binary) };
    let path = folder.join(module.replace("::", "/"));
    [path.with_extension("rs"), path.join("mod.rs")]
}

/// Whether there is such a test: in the file of its module, or in a module `tests` within a file.
fn is_there(binary: &str, test: &str) -> bool {
    let (module, name) = test.rsplit_once("::").unwrap();
    let outer = module.strip_suffix("::tests").unwrap_or(module);
    let written = format!("fn {name}(");
    let listed = format!("\n    {name},\n");
    [module, outer].iter().flat_map(|module| files(binary, module)).any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.contains(&written) || text.contains("replayed![") && text.contains(&listed)
    })
}

#[test]
fn each_test_that_the_threat_model_names_is_there() {
    let named = named(PAGE);
    assert!(named.len() > 40, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|(binary, test)| !is_there(binary, test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!is_there("servers", "together::tls::no_such_test"));
}

#[test]
fn each_threat_is_met_by_something_that_is_shown() {
    let rows =
        PAGE.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 2);
    let mut rows = rows.filter(|line| !line.starts_with("| threat")).peekable();
    assert!(rows.peek().is_some());
    for row in rows {
        let threat = row.trim_start_matches("| ").split(" | ").next().unwrap();
        assert_eq!(named(row).is_empty(), NOT_MET.contains(&threat), "{row}");
    }
}
