//! The files themselves.

use std::{fs, path::Path};

use serde_json::Value;

use super::{printed, run};

/// A command line, and what its file is called.
const FILES: [(&[&str], &str); 7] = [
    (&["schema"], "scimitar.schema.json"),
    (&["man"], "scimitar.1"),
    (&["completions", "bash"], "scimitar.bash"),
    (&["completions", "zsh"], "_scimitar"),
    (&["completions", "fish"], "scimitar.fish"),
    (&["completions", "elvish"], "scimitar.elv"),
    (&["completions", "powershell"], "_scimitar.ps1"),
];

#[test]
fn what_is_kept_is_what_is_printed() {
    for (arguments, name) in &FILES[..2] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        let text = printed(arguments);
        if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
            fs::write(&path, text).unwrap();
            continue;
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/{name} is not what the program prints; to write it anew: \
             UPDATE_ARTEFACTS=1 cargo test --test servers at_hand::"
        );
    }
}

/// Text output is the file; JSON is the one document, with the file in it.
#[test]
fn each_file_is_printed_both_ways_and_needs_no_configuration() {
    for (arguments, name) in FILES {
        let text = printed(&[arguments, &["--config", "/nonexistent/s.toml"]].concat());
        assert!(text.ends_with('\n') && text.lines().count() > 50, "{name}");
        let document = printed(&[arguments, &["--output", "json"]].concat());
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["artefact"], serde_json::json!({ "name": name, "text": text }));
        assert_eq!(document["exit_status"], 0);
        assert_eq!(document["error"], Value::Null);
        assert_eq!(document["results"], serde_json::json!([]));
    }
    // No other answer has the member.
    let refused = run(&["check", "--config", "/nonexistent/s.toml", "--output", "json"]);
    let document: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(document.get("artefact"), None);
}

#[test]
fn an_unknown_shell_is_bad_usage() {
    let ended = run(&["completions", "tcsh"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stdout.is_empty());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("bash, elvish, fish, powershell, zsh"), "{said}");
}

/// Editors show it as text that stands beside a key: no sentence of it may be a whole page.
#[test]
fn every_key_of_the_schema_says_what_it_is() {
    let schema: Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let mut seen = 0;
    each_key(&schema, &mut |key, value| {
        seen += 1;
        let about = value["description"].as_str().unwrap_or_default();
        let tag = value.get("const").is_some();
        assert!(tag || (!about.is_empty() && about.len() < 300), "{key}: {value}");
        assert!(tag || about.ends_with(['.', ')']), "{key}: {about}");
    });
    assert!(seen > 150, "{seen}");
}

fn each_key(schema: &Value, tell: &mut impl FnMut(&str, &Value)) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        tell(key, value);
        each_key(value, tell);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
            each_key(inner, tell);
        }
    }
    for branch in schema["oneOf"].as_array().into_iter().flatten() {
        each_key(branch, tell);
    }
}
