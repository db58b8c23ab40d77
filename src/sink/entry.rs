//! The keys that `deliver_to` entries of every kind have.

use std::collections::BTreeMap;

use serde_json::json;

use super::payload::{Known, Labels, Limits, PayloadError, PayloadTemplate};
use crate::table::{
    Table, Value,
    shape::{by_default, map, switch, text},
    shown,
};

/// Reads `overwrite`.
pub(super) fn overwrite(table: &Table<'_>) -> bool {
    table.get("overwrite").and_then(|value| value.boolean()).unwrap_or(false)
}

/// Whether a shell takes it for a variable's name.
pub(super) fn is_variable(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads `payload`; `bare`: there are no keys at all, and this is the way out; `variables`: keys are
/// names of variables.
pub(super) fn payload(
    value: &Value<'_>,
    bare: Option<&str>,
    variables: bool,
) -> Option<PayloadTemplate> {
    let table = value.table("`payload`")?;
    let before = table.findings().count();
    if let Some(way_out) = bare {
        value.findings().error(
            value.key_at,
            "`payload` needs keys, and `format = \"raw\"` has none",
            way_out,
        );
    }
    let mut payload = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (key, value) in table.values() {
        if variables && !is_variable(key) {
            value.findings().error(
                value.key_at,
                format!("`{}` cannot be the name of a variable", shown(key)),
                "use letters, digits and `_`, not beginning with a digit",
            );
        }
        if let Some(template) = value.string() {
            payload.insert(key.to_owned(), template.to_owned());
            places.insert(key.to_owned(), value.at);
        }
    }
    if table.findings().count() > before {
        return None;
    }
    if payload.is_empty() {
        value.refuse(
            "`payload` is empty: nothing would be delivered",
            "write payload = { SCIM_TOKEN = \"{{ token }}\" }, or leave it out",
        );
        return None;
    }
    let noted = |error: PayloadError| {
        let at = places.get(&error.key).copied().unwrap_or(value.at);
        value.findings().plain_error(at, format!("`payload`: {}", error.message));
    };
    PayloadTemplate::parse(&payload).map_err(noted).ok()
}

/// Reads what a delivery says beside the value: `tags`, `labels` or whatever the service calls it.
pub(super) fn labels(entry: &Table<'_>, limits: &'static Limits, known: &Known<'_>) -> Labels {
    let key = limits.key;
    let Some(value) = entry.get(key) else { return Labels::default() };
    let Some(table) = value.table(format!("`{key}`")) else { return Labels::default() };
    let mut labels = Vec::new();
    for (name, value) in table.values() {
        if let Err(unfit) = limits.check_key(name) {
            value.findings().error(value.key_at, unfit.message, unfit.way_out);
        }
        let Some(text) = value.string() else { continue };
        if let Err(unfit) = limits.check_template(name, text, known) {
            value.refuse(unfit.message, unfit.way_out);
        }
        labels.push((name.to_owned(), text.to_owned()));
    }
    if labels.len() > limits.most {
        value.refuse(
            format!("`{key}` names {}; at most {} are allowed", labels.len(), limits.most),
            "remove some of them",
        );
    }
    labels.into_iter().collect()
}

/// `sink`, as JSON Schema.
pub(super) fn sink_schema() -> serde_json::Value {
    text("One of the [sinks].", "disk")
}

/// `payload`, as JSON Schema.
pub(super) fn payload_schema() -> serde_json::Value {
    const ABOUT: &str = "The payload to deliver instead of all fields: templates over token, token_id, \
                         previous_token_id, generation, ledger, connection, connection_id, provider, \
                         scim_endpoint, scopes, created_at, expires_at. One key holds the token.";
    let mut payload = map(ABOUT, r"\S", &json!({ "type": "string", "pattern": r"\S" }));
    payload["minProperties"] = json!(1);
    payload["examples"] = json!([{ "SCIM_TOKEN": "{{ token }}" }]);
    payload
}

/// What a delivery says beside the value, as JSON Schema: `about` it, what a key looks like, and one of
/// them as an example.
pub(super) fn labels_schema(about: &str, key: &str, example: (&str, &str)) -> serde_json::Value {
    let about = format!(
        "{about} Templates over the fields of a payload (except the token), owner, created_on, \
         created_unix, expires_on and expires_unix. Default: none."
    );
    let mut labels = map(&about, key, &json!({ "type": "string", "pattern": r"\S" }));
    labels["examples"] = json!([{ example.0: example.1 }]);
    labels
}

/// `overwrite`, as JSON Schema.
pub(super) fn overwrite_schema(about: &str) -> serde_json::Value {
    by_default(false, switch(about))
}

/// What `overwrite` means where others have keys of their own.
pub(super) const OVERWRITE: &str =
    "Whether content that others put there may be overwritten, once. Default: false.";
