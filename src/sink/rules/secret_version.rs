//! A version of a secret: its ID, its value, and which parts of the value no message may show.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use super::document::Document;
use crate::{
    secret::Secret,
    sink::payload::{FIELDS, TOKEN, Wiped},
};

/// The shortest text that is hidden: a shorter part of a value reveals nothing, and may be a word.
const SHORTEST_HIDDEN: usize = 6;

/// A version's value as its service returned it.
pub(in crate::sink) enum Body {
    /// Text.
    Text(Wiped),
    /// Anything else.
    Binary(Zeroizing<Vec<u8>>),
}

/// A version of a secret with its value.
pub(in crate::sink) struct SecretVersion {
    pub(in crate::sink) id: String,
    pub(in crate::sink) body: Body,
    /// Its keys, where it is a JSON object.
    pub(in crate::sink) document: Option<Document>,
}

impl SecretVersion {
    /// A version as its service returned it.
    pub(in crate::sink) fn of(id: String, body: Body) -> Self {
        let document = match &body {
            Body::Text(text) => serde_json::from_str(text).ok(),
            Body::Binary(_) => None,
        };
        Self { id, body, document }
    }

    /// Whether it holds just this: a write of it would change nothing.
    pub(in crate::sink) fn is(&self, content: &[u8]) -> bool {
        match (&self.document, &self.body) {
            (Some(document), _) => document.is(content),
            (None, Body::Text(text)) => text.as_bytes() == content,
            (None, Body::Binary(_)) => false,
        }
    }
}

/// A value as text if the bytes are UTF-8, else as binary.
pub(in crate::sink) fn text_of(bytes: &Zeroizing<Vec<u8>>) -> Body {
    match std::str::from_utf8(bytes) {
        Ok(text) => Body::Text(Wiped::new(text.to_owned())),
        Err(_) => Body::Binary(bytes.clone()),
    }
}

/// The values in a version that no message may show: the token, and what others keep beside it.
pub(in crate::sink) fn values_in(body: &Body) -> Vec<Secret> {
    let Body::Text(text) = body else { return Vec::new() };
    let members: Option<BTreeMap<String, Value>> = serde_json::from_str(text).ok();
    let Some(members) = members else { return vec![Secret::new(text.to_string())] };
    strings_of(members, &|key| key != TOKEN && FIELDS.contains(&key))
}

/// The strings in a request's JSON object, but for what is under the members that `shown` names.
pub(in crate::sink) fn strings_in(json: &[u8], shown: impl Fn(&str) -> bool) -> Vec<Secret> {
    let members: Option<BTreeMap<String, Value>> = serde_json::from_slice(json).ok();
    strings_of(members.unwrap_or_default(), &shown)
}

fn strings_of(members: BTreeMap<String, Value>, shown: &dyn Fn(&str) -> bool) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut left: Vec<Value> =
        members.into_iter().filter(|(key, _)| !shown(key)).map(|(_, value)| value).collect();
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
pub(in crate::sink) fn hidden(secrets: &[Secret]) -> Vec<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+/=".contains(c);
    let runs = secrets.iter().flat_map(|secret| secret.expose().split(move |c| !plain(c)));
    let whole = secrets.iter().map(Secret::expose);
    whole.chain(runs).filter(|run| run.len() >= SHORTEST_HIDDEN).collect()
}
