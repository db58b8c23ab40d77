//! A version of a secret: its ID, its value, and which parts of the value no message may show.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    secret::Secret,
    sink::{
        payload::{FIELDS, TOKEN, Wiped},
        rules::document::Document,
    },
};

/// The shortest text that is hidden: a shorter part of a value reveals nothing, and may be a word.
const SHORTEST_HIDDEN: usize = 6;

/// A version's value as AWS returned it.
pub(super) enum Body {
    /// Text.
    Text(Wiped),
    /// Anything else.
    Binary(Zeroizing<Vec<u8>>),
}

/// A version of a secret with its value.
pub(super) struct SecretVersion {
    pub(super) id: String,
    pub(super) body: Body,
    /// Its keys, where it is a JSON object.
    pub(super) document: Option<Document>,
}

impl SecretVersion {
    /// A version as AWS returned it.
    pub(super) fn of(id: String, body: Body) -> Self {
        let document = match &body {
            Body::Text(text) => serde_json::from_str(text).ok(),
            Body::Binary(_) => None,
        };
        Self { id, body, document }
    }
}

/// A value as text if the bytes are UTF-8, else as binary.
pub(super) fn text_of(bytes: &Zeroizing<Vec<u8>>) -> Body {
    match std::str::from_utf8(bytes) {
        Ok(text) => Body::Text(Wiped::new(text.to_owned())),
        Err(_) => Body::Binary(bytes.clone()),
    }
}

/// The values in a version that no message may show: the token, and what others keep beside it.
pub(super) fn values_in(body: &Body) -> Vec<Secret> {
    let Body::Text(text) = body else { return Vec::new() };
    let members: Option<BTreeMap<String, Value>> = serde_json::from_str(text).ok();
    let Some(members) = members else { return vec![Secret::new(text.to_string())] };
    let known = |key: &str| key != TOKEN && FIELDS.contains(&key);
    let mut found = Vec::new();
    let mut left: Vec<Value> =
        members.into_iter().filter(|(key, _)| !known(key)).map(|(_, value)| value).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => found.push(Secret::new(text)),
            Value::Array(values) => left.extend(values),
            Value::Object(members) => left.extend(members.into_iter().map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    found
}

/// These values, and the parts of them that stay the same when JSON quotes them.
pub(super) fn hidden(secrets: &[Secret]) -> Vec<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+/=".contains(c);
    let runs = secrets.iter().flat_map(|secret| secret.expose().split(move |c| !plain(c)));
    let whole = secrets.iter().map(Secret::expose);
    whole.chain(runs).filter(|run| run.len() >= SHORTEST_HIDDEN).collect()
}
