//! The first command of a new user, run again and again.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{
    binary::{Call, Ended},
    world::prefix,
};

const DOCUMENT: [&str; 6] =
    ["error", "exit_status", "finished_at", "results", "schema", "started_at"];
const ROW: [&str; 20] = [
    "connection",
    "connection_id",
    "created_at",
    "error",
    "expires_at",
    "last_used_at",
    "mode",
    "next_at",
    "outcome",
    "phase",
    "previous_token_id",
    "provider",
    "reason",
    "retry_at",
    "revoke_after",
    "scopes",
    "sinks",
    "token_id",
    "warnings",
    "why",
];
const SINK: [&str; 4] = ["location", "sink", "state", "version"];

/// A fresh copy of the example, with another overlap where one is given.
fn fresh(overlap: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml"))
            .unwrap();
    let text = match overlap {
        None => example,
        Some(overlap) => {
            let changed = example.replace("overlap = \"1m\"", &format!("overlap = \"{overlap}\""));
            assert_ne!(changed, example);
            changed
        }
    };
    fs::write(folder.path().join("config.example.toml"), text).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let all: Vec<&str> = ["--config", "config.example.toml", "--output", "json"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    Call::new(folder, &all).run()
}

fn held(folder: &Path) -> String {
    prefix(&fs::read_to_string(folder.join("example-data/tokens/initech-okta.token")).unwrap())
}

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Exactly the members of the contract, each of its kind.
fn assert_shape(ended: &Ended) -> Value {
    let document = ended.json();
    assert_eq!(members(&document), BTreeSet::from(DOCUMENT));
    assert_eq!(document["schema"], 1);
    assert!(document["error"].is_null());
    for name in ["started_at", "finished_at"] {
        let text = document[name].as_str().unwrap();
        assert!(text.ends_with('Z') && text.len() == 20, "{text}");
    }
    let row = ended.row();
    assert_eq!(members(&row), BTreeSet::from(ROW));
    for name in [
        "connection",
        "connection_id",
        "created_at",
        "mode",
        "outcome",
        "phase",
        "provider",
        "token_id",
        "why",
    ] {
        assert!(row[name].is_string(), "{name}: {row}");
    }
    for name in [
        "expires_at",
        "last_used_at",
        "next_at",
        "previous_token_id",
        "reason",
        "retry_at",
        "revoke_after",
    ] {
        assert!(row[name].is_string() || row[name].is_null(), "{name}: {row}");
    }
    let scopes = row["scopes"].as_array().unwrap();
    assert!(scopes.iter().all(Value::is_string), "{row}");
    assert!(row["warnings"].is_array());
    for sink in row["sinks"].as_array().unwrap() {
        assert_eq!(members(sink), BTreeSet::from(SINK));
    }
    row
}

#[test]
fn of_three_runs_in_a_row_two_rotate_and_the_third_is_refused() {
    let folder = fresh(None);
    let folder = folder.path();

    let first = run(folder, &["--rotate-now"]).exits(0);
    let row = assert_shape(&first);
    assert_eq!((&row["outcome"], &row["phase"]), (&"rotated".into(), &"steady".into()));
    assert!(row["previous_token_id"].is_null() && row["revoke_after"].is_null(), "{row}");
    assert_eq!(row["sinks"][0]["state"], "delivered");
    assert_eq!(row["token_id"], held(folder));
    let first_id = held(folder);

    let second = run(folder, &["--rotate-now"]).exits(0);
    let row = assert_shape(&second);
    assert_eq!((&row["outcome"], &row["phase"]), (&"rotated".into(), &"retiring".into()));
    assert_eq!(row["previous_token_id"], first_id);
    assert_eq!(row["token_id"], held(folder));
    assert_ne!(held(folder), first_id);
    let until = row["revoke_after"].as_str().unwrap().to_owned();
    let second_id = held(folder);

    let third = run(folder, &["--rotate-now"]).exits(3);
    let row = assert_shape(&third);
    assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"previous_in_use".into()));
    let why = row["why"].as_str().unwrap();
    // Services say their time in whole seconds, so that two looks may differ by one.
    let said = why.split_once("until ").and_then(|(_, rest)| rest.split_once(" UTC")).unwrap().0;
    let said = scimitar::words::parse_date(&format!("{said} UTC")).unwrap();
    let until = scimitar::clock::parse_timestamp(&until).unwrap();
    assert!((said - until).num_seconds().abs() <= 2, "until when: {why}");
    let shorter = format!("scimitar revoke initech-okta --token-id {first_id}");
    assert!(why.contains(&shorter), "what cuts it short: {why}");
    assert_eq!(held(folder), second_id, "nothing changed");

    // The command that the refusal names does cut it short.
    run(folder, &["revoke", "initech-okta", "--token-id", &first_id]).exits(0);
    let row = assert_shape(&run(folder, &["--rotate-now"]).exits(0));
    assert_eq!(
        (&row["outcome"], &row["previous_token_id"]),
        (&"rotated".into(), &second_id.into())
    );
}

#[test]
fn after_the_overlap_the_old_token_goes_and_frees_its_slot() {
    let folder = fresh(Some("1s"));
    let folder = folder.path();
    run(folder, &["--rotate-now"]).exits(0);
    let first = held(folder);
    // Stays until the overlap is over and the older token revoked.
    let row = assert_shape(&run(folder, &["--rotate-now", "--wait"]).exits(0));
    assert_eq!((&row["outcome"], &row["phase"]), (&"rotated".into(), &"steady".into()));
    assert!(row["previous_token_id"].is_null(), "{row}");
    let second = held(folder);
    assert_ne!(first, second);
    let row = assert_shape(&run(folder, &["--rotate-now"]).exits(0));
    assert_eq!(row["previous_token_id"], second);
    let row = assert_shape(&run(folder, &["--once", "--wait"]).exits(0));
    assert_eq!((&row["outcome"], &row["phase"]), (&"unchanged".into(), &"steady".into()));
    assert_eq!(row["token_id"], held(folder));
}

#[test]
fn bad_usage_and_a_bad_configuration_exit_2_and_do_nothing() {
    let folder = fresh(None);
    let folder = folder.path();
    let ended = run(folder, &["--rotate-now", "initech-otka"]).exits(2);
    let message = ended.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("did you mean initech-okta"), "{message}");
    assert!(ended.json()["results"].as_array().unwrap().is_empty());

    let path = folder.join("config.example.toml");
    let text = fs::read_to_string(&path).unwrap().replace("overlap = \"1m\"", "overlapp = \"1m\"");
    fs::write(&path, text).unwrap();
    let ended = run(folder, &["--rotate-now"]).exits(2);
    let problem = ended.json()["error"]["problems"][0].clone();
    assert_eq!(members(&problem), BTreeSet::from(["column", "file", "hint", "line", "message"]));
    assert!(
        problem["line"].as_u64().unwrap() > 1 && problem["hint"].to_string().contains("overlap")
    );
    assert!(!folder.join("example-data/tokens").exists(), "nothing was done");
}
