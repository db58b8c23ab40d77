//! The configuration reference, written from the schema: `UPDATE_README=1 cargo test readme::`.

use std::{collections::BTreeSet, fmt::Write as _};

use scimitar::config::schema::schema;
use serde_json::{Map, Value};

use super::text;

/// The page, and the line behind which it is generated.
const PAGE: &str = "docs/configuration.md";
const MARK: &str =
    "<!-- From here on this page is generated from the schema; do not edit it. -->\n";

/// The tables in the order in which people need them.
const TABLES: [&str; 15] = [
    "include",
    "providers",
    "sinks",
    "connections",
    "defaults",
    "discover",
    "watch",
    "hooks",
    "state",
    "server",
    "control",
    "log",
    "engine",
    "http",
    "metrics",
];

#[test]
fn the_page_is_what_the_schema_says() {
    let document = text::read(PAGE);
    let (head, kept) = document.split_once(MARK).unwrap();
    let generated = generated(&schema());
    if text::updating() {
        std::fs::write(text::path(PAGE), format!("{head}{MARK}{generated}")).unwrap();
        return;
    }
    assert!(kept == generated, "UPDATE_README=1 cargo test readme:: rewrites {PAGE}");
}

#[test]
fn every_table_of_the_schema_is_on_the_page() {
    let there: BTreeSet<String> =
        schema()["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(TABLES.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), there);
}

#[test]
fn every_key_of_the_example_is_on_the_page() {
    if text::updating() {
        // The page is being written.
        return;
    }
    let page = text::read(PAGE);
    let told: BTreeSet<&str> = text::quoted(&page, "").into_iter().collect();
    let keys = keys(&text::read("config.example.toml"));
    assert!(keys.contains("connections.overlap") && keys.contains("include"), "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !told.contains(key.as_str())).collect();
    assert_eq!(missing, [&""; 0]);
}

#[test]
fn the_least_time_between_two_rotations_is_told() {
    let floor = format!("at least {} min apart", scimitar::rotation::due::FLOOR.num_minutes());
    assert!(text::read("docs/protocol.md").contains(&floor));
    assert!(text::read(PAGE).contains(&floor));
}

fn generated(schema: &Value) -> String {
    let mut page = String::new();
    for table in TABLES {
        let about = &schema["properties"][table];
        let described = about["description"].as_str().unwrap_or_default();
        if !properties(about).is_empty() {
            section(&mut page, &format!("## `[{table}]`"), described);
            policy_or_rows(&mut page, table, about, schema);
        } else if !properties(&about["items"]).is_empty() {
            section(&mut page, &format!("## `[[{table}]]`"), described);
            policy_or_rows(&mut page, table, &about["items"], schema);
        } else if about["additionalProperties"].is_object() {
            section(&mut page, &format!("## `[{table}.NAME]`"), described);
            for kind in branches(&about["additionalProperties"]) {
                let name = kind["properties"]["type"]["const"].as_str().unwrap();
                let described = kind["description"].as_str().unwrap_or_default();
                section(
                    &mut page,
                    &format!("### `[{table}.NAME]` with `type = \"{name}\"`"),
                    described,
                );
                rows(&mut page, &keys_of_table(table, kind, schema, ""));
            }
        } else {
            section(&mut page, &format!("## `{table}`"), "");
            rows(&mut page, &[row(table, about, "", "")]);
        }
    }
    page
}

/// Where a table shares keys with `[[connections]]`, they are named and not described again.
fn policy_or_rows(page: &mut String, table: &str, about: &Value, schema: &Value) {
    let connections = &schema["properties"]["connections"]["items"]["properties"];
    let shares = ["defaults", "discover"].contains(&table);
    let (same, own): (Vec<_>, Vec<_>) = properties(about)
        .into_iter()
        .partition(|(key, value)| shares && connections.get(key.as_str()) == Some(*value));
    let own: Map<String, Value> =
        own.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if !own.is_empty() {
        let mut rest = about.clone();
        rest["properties"] = Value::Object(own);
        rows(page, &keys_of_table(table, &rest, schema, ""));
    }
    if !same.is_empty() {
        let names: Vec<_> = same.iter().map(|(key, _)| format!("`{table}.{key}`")).collect();
        writeln!(page, "As in [`[[connections]]`](#connections): {}.\n", names.join(", ")).unwrap();
    }
    for place in branches(&about["properties"]["deliver_to"]["items"]) {
        if shares {
            break;
        }
        let described = place["description"].as_str().unwrap_or_default();
        let names = place["required"][1].as_str().unwrap();
        section(page, &format!("### A place in `deliver_to` with `{names}`"), described);
        rows(page, &keys_of_table(&format!("{table}.deliver_to"), place, schema, ""));
    }
}

fn section(page: &mut String, heading: &str, described: &str) {
    let apart = if page.ends_with("\n\n") { "" } else { "\n" };
    write!(page, "{apart}{heading}\n\n").unwrap();
    if !described.is_empty() {
        write!(page, "{described}\n\n").unwrap();
    }
}

fn rows(page: &mut String, rows: &[String]) {
    page.push_str("| key | meaning | value | required |\n|---|---|---|---|\n");
    page.extend(rows.iter().map(String::as_str));
}

/// A row for each key of a table, and for each key of the tables in it.
fn keys_of_table(prefix: &str, table: &Value, schema: &Value, when: &str) -> Vec<String> {
    let required: Vec<&str> =
        table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // Keys of which exactly one is there.
    let choices = branches(table).filter(|one| properties(one).is_empty());
    let choices: Vec<&str> = choices.filter_map(|one| one["required"][0].as_str()).collect();
    let mut found = Vec::new();
    for (key, about) in properties(table) {
        let name = format!("{prefix}.{key}");
        let needed = match key.as_str() {
            key if required.contains(&key) => "yes",
            key if choices.contains(&key) => "one of these",
            _ => "",
        };
        let shared =
            key == "http" && about["properties"] == schema["properties"]["http"]["properties"];
        if shared {
            let names = format!("{name}`, `{name}.ca_file`, `{name}.proxy");
            found.push(row(&names, about, needed, when));
            continue;
        }
        found.push(row(&name, about, needed, when));
        if is_secret(about) {
            continue;
        }
        found.extend(keys_of_table(&name, about, schema, when));
        for branch in branches(about).filter(|branch| !is_secret(branch)) {
            let method = branch["properties"]["method"]["const"].as_str();
            let when =
                method.map(|method| format!("With `method = \"{method}\"`: ")).unwrap_or_default();
            let mut inner = branch.clone();
            let methods =
                inner["properties"].as_object_mut().and_then(|keys| keys.remove("method"));
            if methods.is_some() {
                let all: Vec<_> = branches(about)
                    .filter_map(|branch| branch["properties"]["method"]["const"].as_str())
                    .map(|method| format!("`\"{method}\"`"))
                    .collect();
                let line =
                    format!("| `{name}.method` | How to log in. | {} | yes |\n", all.join(", "));
                found.extend((!found.contains(&line)).then_some(line));
            }
            for line in keys_of_table(&name, &inner, schema, &when) {
                found.extend((!found.contains(&line)).then_some(line));
            }
        }
        let items = &about["items"];
        if key != "deliver_to" && !properties(items).is_empty() {
            found.extend(keys_of_table(&name, items, schema, when));
        }
    }
    found
}

fn row(name: &str, about: &Value, required: &str, when: &str) -> String {
    let meaning = about["description"].as_str().unwrap_or("Which of these tables this is.");
    let meaning = format!("{when}{meaning}").replace('|', "\\|");
    format!("| `{name}` | {meaning} | {} | {required} |\n", value(about).replace('|', "\\|"))
}

/// What can stand behind the key.
fn value(about: &Value) -> String {
    if let Some(only) = about.get("const") {
        return format!("`{only}`");
    }
    if let Some(all) = about["enum"].as_array() {
        let all: Vec<_> = all.iter().map(|one| format!("`{one}`")).collect();
        return all.join(", ");
    }
    if is_secret(about) {
        return "[a secret](#secrets)".to_owned();
    }
    if let Some(example) = about["examples"].get(0) {
        return format!("such as `{}`", toml(example));
    }
    if about["type"] == "boolean" {
        return "`true`, `false`".to_owned();
    }
    if about["type"] == "array" {
        if let Some(example) = about["items"]["examples"].get(0) {
            return format!("such as `[{}]`", toml(example));
        }
        let all = about["items"]["enum"].as_array().into_iter().flatten();
        let all: Vec<_> = all.map(|one| format!("`{one}`")).collect();
        return if all.is_empty() {
            "a list".to_owned()
        } else {
            format!("a list of {}", all.join(", "))
        };
    }
    if properties(about).is_empty()
        && branches(about).all(|one| properties(one).is_empty() || is_secret(one))
    {
        let shown: Vec<_> = branches(about).map(value).filter(|one| !one.is_empty()).collect();
        return shown.join(", or ");
    }
    "a table".to_owned()
}

/// A table that says where a secret is.
fn is_secret(about: &Value) -> bool {
    let keys = &about["properties"];
    keys["env"].is_object() && keys["file"].is_object() && keys["credential"].is_object()
}

fn properties(about: &Value) -> Vec<(&String, &Value)> {
    about["properties"].as_object().into_iter().flatten().collect()
}

fn branches(about: &Value) -> impl Iterator<Item = &Value> {
    about["oneOf"].as_array().into_iter().flatten()
}

/// A value as it stands in the file.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<_> =
                table.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Every key of the example, live or shown in a comment, with the table that it stands in.
fn keys(example: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for line in example.lines() {
        let code = line.trim().trim_start_matches("# ").trim();
        if let Some(inside) = code.strip_prefix('[') {
            if inside.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') {
                let name = inside.trim_matches(['[', ']']);
                // A table inside a connection is told key by key.
                let inner = name.starts_with("connections.");
                keys.extend(inner.then(|| name.to_owned()));
                let outer = name.split('.').next().unwrap_or(name);
                table = if inner { name } else { outer }.to_owned();
            }
            continue;
        }
        // Elsewhere such a line begins with a secret's reference.
        if code.starts_with('{') && table != "connections" {
            continue;
        }
        for key in keys_of(code) {
            let name = if table.is_empty() { key } else { format!("{table}.{key}") };
            keys.insert(name);
        }
    }
    keys.retain(|key| !key.starts_with("defaults."));
    keys
}

/// The key of a line, and those of the tables in its value, behind their own key where that says
/// what they are.
fn keys_of(code: &str) -> Vec<String> {
    if code.starts_with('{') {
        let (code, payload) = code.split_once(" payload = ").unwrap_or((code, ""));
        let mut keys = inline(code);
        keys.extend((!payload.is_empty()).then(|| "payload".to_owned()));
        return keys.into_iter().map(|key| format!("deliver_to.{key}")).collect();
    }
    let Some((key, value)) = code.split_once(" = ") else { return Vec::new() };
    if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') || key == "key" {
        return Vec::new();
    }
    let nested =
        ["rate_limit", "http", "auth", "tls", "webhook"].contains(&key) && value.starts_with('{');
    let inside = if nested { inline(value) } else { Vec::new() };
    let inside = inside.into_iter().map(|inner| format!("{key}.{inner}"));
    std::iter::once(key.to_owned()).chain(inside).collect()
}

fn inline(table: &str) -> Vec<String> {
    let parts = table.trim_matches(['{', '}', ',', ' ']).split(", ");
    parts.filter_map(|part| part.split_once(" = ")).map(|(key, _)| key.trim().to_owned()).collect()
}
