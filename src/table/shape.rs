//! The few shapes that values have, as JSON Schema.

use serde_json::{Map, Value, json};

use super::stored::StoreWord;

/// A duration as [`super::super::amount`] reads it: whole numbers with units.
const DURATION: &str = r"^\s*([0-9]+[wdhms]\s*)+$";

/// A share, of a life or of a limit.
const SHARE: &str = r"^\s*[0-9.]+\s*%\s*$";

/// A table of the file: its keys are what is added, and no others.
pub(crate) struct Keys {
    about: &'static str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    one_of: Vec<&'static str>,
}

/// A table without keys yet.
pub(crate) fn table(about: &'static str) -> Keys {
    Keys { about, properties: Map::new(), required: Vec::new(), one_of: Vec::new() }
}

impl Keys {
    /// A key that may be left out.
    pub(crate) fn may(mut self, key: &'static str, value: Value) -> Self {
        self.properties.insert(key.to_owned(), value);
        self
    }

    /// A key that must be there.
    pub(crate) fn must(mut self, key: &'static str, value: Value) -> Self {
        self.required.push(key);
        self.may(key, value)
    }

    /// A key of which exactly one must be there.
    pub(crate) fn either(mut self, key: &'static str, value: Value) -> Self {
        self.one_of.push(key);
        self.may(key, value)
    }

    /// A key that says what kind of table it is.
    pub(crate) fn tag(self, key: &'static str, word: &'static str) -> Self {
        self.must(key, json!({ "const": word }))
    }

    /// As a schema.
    pub(crate) fn build(self) -> Value {
        let mut schema = json!({
            "type": "object",
            "description": self.about,
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !self.one_of.is_empty() {
            let branches = self.one_of.iter().map(|key| json!({ "required": [key] }));
            schema["oneOf"] = branches.collect();
        }
        schema
    }
}

/// A text that is not blank.
pub(crate) fn text(about: &str, example: &str) -> Value {
    fitting(about, r"\S", example)
}

/// A text that fits a pattern.
pub(crate) fn fitting(about: &str, pattern: &str, example: &str) -> Value {
    json!({ "type": "string", "description": about, "pattern": pattern, "examples": [example] })
}

/// One of a few words.
pub(crate) fn word(about: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "description": about, "enum": words })
}

/// `true` or `false`.
pub(crate) fn switch(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

/// A whole number within bounds.
pub(crate) fn whole(about: &str, least: u64, most: u64, example: u64) -> Value {
    json!({
        "type": "integer",
        "description": about,
        "minimum": least,
        "maximum": most,
        "examples": [example],
    })
}

/// A number above 0.
pub(crate) fn positive(about: &str, most: f64, example: f64) -> Value {
    json!({
        "type": "number",
        "description": about,
        "exclusiveMinimum": 0,
        "maximum": most,
        "examples": [example],
    })
}

/// A duration.
pub(crate) fn duration(about: &str, example: &str) -> Value {
    fitting(about, DURATION, example)
}

/// A share.
pub(crate) fn share(about: &str, example: &str) -> Value {
    fitting(about, SHARE, example)
}

/// A duration, or a share.
pub(crate) fn duration_or_share(about: &str, example: &str) -> Value {
    fitting(about, &format!("{DURATION}|{SHARE}"), example)
}

/// An address that secrets are sent to: https, or http to this machine.
pub(crate) fn guarded_url(about: &str, example: &str) -> Value {
    const PATTERN: &str =
        r"^(https://|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?/?$)[^@?#]*$";
    fitting(about, PATTERN, example)
}

/// A list.
pub(crate) fn list(about: &str, item: &Value) -> Value {
    json!({ "type": "array", "description": about, "items": item })
}

/// A table whose keys are names.
pub(crate) fn map(about: &str, name: &str, value: &Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "propertyNames": { "pattern": name },
        "additionalProperties": value,
    })
}

/// One of several tables.
pub(crate) fn any_of_these(about: &str, tables: &[Value]) -> Value {
    json!({ "description": about, "oneOf": tables })
}

/// The same with what holds where the key is left out.
pub(crate) fn by_default(default: impl Into<Value>, mut schema: Value) -> Value {
    schema["default"] = default.into();
    schema
}

/// Where a secret is kept; never the secret.
pub(crate) fn secret(about: &'static str) -> Value {
    const FILE: &str = "A file that other users cannot read; one line end is dropped.";
    const CREDENTIAL: &str = "A credential that systemd passes (LoadCredential=NAME:PATH).";
    const ENV: &str = "The name of an environment variable.";
    table(about)
        .either("file", text(FILE, "key.pem"))
        .either("credential", fitting(CREDENTIAL, r"^[^/]*[^/\s][^/]*$", "provider-acme"))
        .either("env", fitting(ENV, r"^[^=\s]+$", "PROVIDER_TOKEN"))
        .build()
}

/// The same for one that a provider is logged in to with: a sink may keep it.
pub(crate) fn credential(about: &'static str, stores: &[StoreWord]) -> Value {
    let mut schema = secret(about);
    if stores.is_empty() {
        return schema;
    }
    let mut in_a_store = Vec::new();
    for StoreWord { word, example, .. } in stores {
        schema["properties"][word] = text("Where in the sink; read at each log-in.", example);
        if let Some(branches) = schema["oneOf"].as_array_mut() {
            branches.push(json!({ "required": [word, "sink"] }));
        }
        in_a_store.push(json!({ "required": [word] }));
    }
    schema["properties"]["sink"] = text("One of the [sinks], which stores it.", "secrets");
    schema["dependentSchemas"] = json!({ "sink": { "anyOf": in_a_store } });
    schema
}
