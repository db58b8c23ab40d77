//! The metrics that the documents explain, against the program and the sources.

use std::{collections::BTreeSet, process::Command};

use super::text;

#[test]
fn every_metric_is_listed_and_every_listed_one_is_in_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, text::read("config.example.toml")).unwrap();
    let ended = scimitar().arg("--config").arg(&config).arg("--rotate-now").output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let written =
        std::fs::read_to_string(folder.path().join("example-data/scimitar.prom")).unwrap();
    let written: BTreeSet<&str> = written
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| name.starts_with("scimitar_"))
        .collect();

    let document = text::read("docs/monitoring.md");
    let told = metrics_in_tables(&document);
    assert!(told.len() > 35, "{told:?}");
    let missing: Vec<_> = written.difference(&told).collect();
    assert_eq!(missing, [&""; 0]);
    let sources: String = ["", "/records", "/scrape", "/totals"]
        .map(|file| text::read(&format!("src/telemetry/metrics{file}.rs")))
        .concat();
    let unknown: Vec<_> =
        told.iter().filter(|name| !sources.contains(&format!("\"{name}\""))).collect();
    assert_eq!(unknown, [&""; 0]);
}

/// The names of metrics in the first column of a document's tables.
fn metrics_in_tables(document: &str) -> BTreeSet<&str> {
    let rows = document.lines().filter(|line| line.starts_with("| `scimitar_"));
    rows.filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| text::quoted(cell, "scimitar_"))
        .map(|name| name.split('{').next().unwrap_or(name))
        .collect()
}

fn scimitar() -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    process.env_remove("SCIMITAR_CONFIG").env_remove("SCIMITAR_LOG");
    process
}
