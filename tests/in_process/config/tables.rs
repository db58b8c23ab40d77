//! Takes a JSON Schema apart into its tables, and makes a configuration of the examples in it for
//! each of them.

use std::collections::BTreeSet;

use scimitar::sink::KINDS;
use serde_json::{Map, Value, json};

/// One table of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Where it is, for people.
    pub(crate) name: String,
    /// A configuration with that table, all of its keys in it.
    pub(crate) document: Value,
    /// Where in it the table is.
    pub(crate) at: String,
    /// The keys that the schema has there, also those that exclude each other.
    pub(crate) keys: Vec<String>,
    /// The table itself.
    schema: Value,
}

/// A value, and a table in it.
struct Found {
    example: Value,
    at: String,
    name: String,
    schema: Value,
}

impl Case {
    /// Values that no reader may take, by key; `None`: the key is missing.
    pub(crate) fn mistakes(&self) -> Vec<(String, Option<Value>)> {
        let mut mistakes = Vec::new();
        for (key, schema) in properties(&self.schema) {
            if !self.keys.contains(key) || self.table().get(key).is_none() {
                continue;
            }
            let wrong = match schema["type"].as_str() {
                Some("string") => vec![json!(7), json!(["x"])],
                Some("integer" | "number") if schema["minimum"] == json!(0) => {
                    vec![json!("7"), json!(-1), json!(true)]
                }
                Some("integer" | "number") => vec![json!("7"), json!(0), json!(true)],
                Some("boolean") => vec![json!("true"), json!(1)],
                Some("array") => vec![json!(7), json!({ "a": 1 })],
                Some("object") => vec![json!(7), json!("x")],
                _ => vec![json!(7), json!(true)],
            };
            mistakes.extend(wrong.into_iter().map(|value| (key.clone(), Some(value))));
            if schema.get("enum").is_some() || schema.get("const").is_some() {
                mistakes.push((key.clone(), Some(json!("nonsense"))));
            }
            if schema.get("pattern").is_some() {
                mistakes.push((key.clone(), Some(json!("  "))));
            }
            if schema.get("oneOf").is_some() {
                mistakes.push((key.clone(), Some(json!("a-literal"))));
            }
        }
        let required = self.schema["required"].as_array().into_iter().flatten();
        let either =
            branches(&self.schema).into_iter().filter(|key| self.table().contains_key(key));
        let missing = required.filter_map(Value::as_str).map(str::to_owned).chain(either);
        mistakes.extend(missing.map(|key| (key, None)));
        mistakes
    }

    /// What the schema says of keys that are left out.
    pub(crate) fn defaults(&self) -> Vec<(String, Value)> {
        properties(&self.schema)
            .filter(|(key, _)| self.keys.contains(key))
            .filter_map(|(key, schema)| Some((key.clone(), schema.get("default")?.clone())))
            .collect()
    }

    fn table(&self) -> &Map<String, Value> {
        self.document.pointer(&self.at).unwrap().as_object().unwrap()
    }
}

/// The schema without the kinds of sink of which this build has nothing else.
pub(crate) fn built(mut schema: Value) -> Value {
    let absent = |branch: &Value| {
        KINDS.iter().filter(|kind| kind.absent.is_some()).any(|kind| {
            let keys = &branch["properties"];
            keys["type"]["const"] == kind.name
                || !keys["sink"].is_null() && !keys[kind.location].is_null()
        })
    };
    if let Some(branches) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        branches.retain(|branch| !absent(branch));
    }
    match schema {
        Value::Object(members) => {
            members.into_iter().map(|(key, member)| (key, built(member))).collect()
        }
        Value::Array(items) => items.into_iter().map(built).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// Every table of the schema, in a configuration that is right.
pub(crate) fn cases(schema: &Value) -> Vec<Case> {
    found(schema)
        .into_iter()
        .map(|mut found| {
            mend(&mut found.example);
            let keys = properties(&found.schema).map(|(key, _)| key.clone()).collect();
            Case {
                name: found.name,
                document: found.example,
                at: found.at,
                keys,
                schema: found.schema,
            }
        })
        .collect()
}

/// Every key of the schema with the tables that lead to it, such as `connections.overlap`.
pub(crate) fn paths(schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (key, inner) in properties(schema) {
        paths.insert(key.clone());
        paths.extend(self::paths(inner).into_iter().map(|path| format!("{key}.{path}")));
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            paths.extend(self::paths(&schema[inner]));
        }
    }
    for branch in schema["oneOf"].as_array().into_iter().flatten() {
        paths.extend(self::paths(branch));
    }
    paths
}

/// A document as TOML: tables inline, which is the same to every reader.
pub(crate) fn toml(document: &Value) -> String {
    let line = |(key, value): (&String, &Value)| format!("{key} = {}\n", inline(value));
    document.as_object().unwrap().iter().map(line).collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<_> =
                table.iter().map(|(key, value)| format!("{key:?} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The keys of which exactly one is there.
fn branches(schema: &Value) -> Vec<String> {
    let of = schema["oneOf"].as_array().into_iter().flatten();
    of.filter_map(|branch| branch["required"][0].as_str())
        .filter(|_| schema.get("properties").is_some())
        .map(str::to_owned)
        .collect()
}

/// The first of [`examples`].
fn example(schema: &Value) -> Value {
    examples(schema).swap_remove(0)
}

/// Tables with every key that fits, one for each key that excludes others; else one value, which
/// the schema itself gives as an example.
fn examples(schema: &Value) -> Vec<Value> {
    if schema.get("properties").is_none() {
        return vec![value(schema)];
    }
    let exclusive = branches(schema);
    // Keys that only stand beside some of the others.
    let fits = |key: &str, chosen: &str| {
        let beside = schema["dependentSchemas"][key]["anyOf"].as_array();
        beside.is_none_or(|beside| beside.iter().any(|one| one["required"][0] == chosen))
    };
    let with = |chosen: &str| {
        properties(schema)
            .filter(|(key, _)| *key == chosen || !exclusive.contains(key))
            .filter(|(key, _)| fits(key, chosen))
            .map(|(key, schema)| (key.clone(), example(schema)))
            .collect()
    };
    match exclusive.as_slice() {
        [] => vec![with("")],
        chosen => chosen.iter().map(|key| with(key)).collect(),
    }
}

fn value(schema: &Value) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema["enum"].get(0).or_else(|| schema["examples"].get(0)) {
        return value.clone();
    }
    if let Some(branch) = schema["oneOf"].get(0) {
        return example(branch);
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(true),
        Some("array") => json!([example(&schema["items"])]),
        Some("object") => json!({ "one": example(&schema["additionalProperties"]) }),
        _ => panic!("no example: {schema}"),
    }
}

/// Every table of a schema, in an example of the schema.
fn found(schema: &Value) -> Vec<Found> {
    let mut all = Vec::new();
    if schema.get("properties").is_some() {
        for example in examples(schema) {
            let name = schema["description"].as_str().unwrap_or_default().to_owned();
            all.push(Found { example, at: String::new(), name, schema: schema.clone() });
        }
        let whole = example(schema);
        let exclusive = branches(schema);
        for (key, inner) in properties(schema) {
            for found in found(inner) {
                let mut example = whole.clone();
                if exclusive.contains(key) {
                    example.as_object_mut().unwrap().retain(|key, _| !exclusive.contains(key));
                }
                example[key] = found.example;
                let (at, name) = (format!("/{key}{}", found.at), format!("{key}: {}", found.name));
                all.push(Found { example, at, name, ..found });
            }
        }
        return all;
    }
    for branch in schema["oneOf"].as_array().into_iter().flatten() {
        all.extend(found(branch));
    }
    for found in found_in(schema, "items") {
        let at = format!("/0{}", found.at);
        all.push(Found { example: json!([found.example]), at, ..found });
    }
    for found in found_in(schema, "additionalProperties") {
        let at = format!("/one{}", found.at);
        all.push(Found { example: json!({ "one": found.example }), at, ..found });
    }
    all
}

fn found_in(schema: &Value, key: &str) -> Vec<Found> {
    if schema[key].is_object() { found(&schema[key]) } else { Vec::new() }
}

/// What the parts of an example say of each other, which a schema cannot know: the names of what
/// connections use, and keys that have a meaning only beside others.
fn mend(document: &mut Value) {
    // The connections' own; what is an example of a provider or sink stands beside it.
    document["providers"]["box"] = json!({ "type": "sandbox", "data_dir": "box" });
    document["sinks"]["to-file"] = json!({ "type": "file", "directory": "tokens" });
    document["sinks"]["to-path"] = json!({
        "type": "vault",
        "address": "https://vault.example.com:8200",
        "auth": { "method": "kubernetes", "role": "scimitar" },
    });
    document["sinks"]["to-secret"] = json!({ "type": "kubernetes", "namespace": "scim" });
    document["sinks"]["to-target"] = json!({ "type": "exec", "command": ["after-rotation"] });
    document["sinks"]["to-parameter"] = json!({ "type": "aws_ssm", "region": "eu-west-1" });
    document["sinks"]["to-name"] = json!({ "type": "aws_secrets_manager", "region": "eu-west-1" });
    document["sinks"]["to-client"] = json!({ "type": "handoff" });
    document["sinks"]["to-service_principal"] =
        json!({ "type": "entra", "auth": { "method": "managed_identity" } });
    document["sinks"]["to-app_id"] = json!({
        "type": "okta",
        "org_url": "https://acme.okta.com",
        "auth": { "method": "api_token", "api_token": { "env": "PROVIDER_TOKEN" } },
    });
    if cfg!(feature = "gcp_secret_manager") {
        document["sinks"]["to-secret_id"] =
            json!({ "type": "gcp_secret_manager", "project": "acme-identity" });
    }
    if cfg!(feature = "azure_key_vault") {
        document["sinks"]["to-secret_name"] = json!({
            "type": "azure_key_vault",
            "vault": "https://acme-scim.vault.azure.net",
            "auth": { "method": "managed_identity" },
        });
    }
    in_stores(&mut document["providers"]);
    in_stores(&mut document["hooks"]);
    for list in ["connections", "discover"] {
        let connections = document[list].as_array_mut().into_iter().flatten();
        for delivery in connections.flat_map(|one| one["deliver_to"].as_array_mut().unwrap()) {
            for kind in [
                "file",
                "path",
                "name",
                "secret",
                "target",
                "parameter",
                "secret_id",
                "client",
                "service_principal",
                "secret_name",
                "app_id",
            ] {
                if delivery.get(kind).is_some() {
                    delivery["sink"] = json!(format!("to-{kind}"));
                }
            }
            if delivery.get("format").is_some() {
                delivery["format"] = json!("json");
            }
        }
    }
    for list in ["connections", "discover"] {
        for connection in document[list].as_array_mut().into_iter().flatten() {
            let to = connection["deliver_to"].as_array_mut().unwrap();
            let unread = ["to-target", "to-client", "to-service_principal", "to-app_id"];
            if to.iter().all(|delivery| unread.iter().any(|sink| delivery["sink"] == *sink)) {
                // What became of the token there cannot be read back.
                to.push(json!({ "sink": "to-file", "file": "beside" }));
            }
        }
    }
    for hook in document["hooks"].as_array_mut().into_iter().flatten() {
        // The program has to be there.
        if let Some(program) = hook.pointer_mut("/exec/0") {
            *program = json!("after-rotation");
        }
    }
    for sink in document["sinks"].as_object_mut().unwrap().values_mut() {
        if sink.pointer("/tls/ca_file").is_some()
            && let Some(http) = sink["http"].as_object_mut()
        {
            http.remove("ca_file");
        }
    }
}

/// Secrets that sinks keep are in sinks of their kind.
fn in_stores(value: &mut Value) {
    if let Value::Array(items) = value {
        return items.iter_mut().for_each(in_stores);
    }
    let Value::Object(table) = value else { return };
    for (word, sink) in [("vault", "to-path"), ("aws", "to-name")] {
        if table.contains_key(word) && table.contains_key("sink") {
            table.insert("sink".to_owned(), json!(sink));
        }
    }
    table.values_mut().for_each(in_stores);
}
