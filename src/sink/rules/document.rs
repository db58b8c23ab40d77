//! A secret's keys and values, in services that keep JSON objects; those that Scimitar does not own
//! pass through as they came.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use zeroize::Zeroizing;

use super::elsewhere;
use crate::{
    secret::Secret,
    sink::{Elsewhere, payload::Wiped},
    token::Digest,
};

/// What a secret holds.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(in crate::sink) struct Document(BTreeMap<String, Box<RawValue>>);

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Document {
    /// A key's text.
    pub(in crate::sink) fn text(&self, key: &str) -> Option<Wiped> {
        text(self.0.get(key)?)
    }

    /// The document as JSON, with `ours` in the place of all that `owned` names.
    pub(in crate::sink) fn with(
        &self,
        owned: impl Fn(&str) -> bool,
        ours: &BTreeMap<String, Secret>,
    ) -> Zeroizing<Vec<u8>> {
        let kept: Vec<_> = self.0.iter().filter(|(key, _)| !owned(key)).collect();
        let room: usize = kept.iter().map(|(key, raw)| key.len() * 6 + raw.get().len() + 8).sum();
        let new: usize =
            ours.iter().map(|(key, text)| (key.len() + text.expose().len()) * 6 + 8).sum();
        // Enough from the start: growing would leave copies of the value behind.
        let mut out = Zeroizing::new(Vec::with_capacity(room + new + 8));
        out.push(b'{');
        for (key, raw) in kept {
            put(&mut out, key);
            out.extend_from_slice(raw.get().as_bytes());
        }
        for (key, text) in ours {
            put(&mut out, key);
            quote(&mut out, text.expose());
        }
        out.push(b'}');
        out
    }

    /// Whether a key that `owned` names holds anything.
    pub(in crate::sink) fn holds(&self, owned: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(key, raw)| owned(key) && !is_empty(raw))
    }

    /// The strings under keys that `owned` does not name, where they could be tokens.
    pub(in crate::sink) fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for (key, raw) in self.0.iter().filter(|(key, _)| !owned(key)) {
            elsewhere::in_raw(key, raw, &mut found);
        }
        found
    }

    /// Which content this is, however the server orders and spaces it.
    pub(in crate::sink) fn digest(&self) -> Digest {
        let mut out = Zeroizing::new(Vec::new());
        for (key, raw) in &self.0 {
            put(&mut out, key);
            match serde_json::from_str::<Value>(raw.get()) {
                // Writing to a Vec does not fail.
                Ok(value) => drop(serde_json::to_writer(&mut *out, &value)),
                // A number that no machine holds is what it is written as.
                Err(_) => out.extend_from_slice(raw.get().as_bytes()),
            }
        }
        Digest::of(&out)
    }
}

/// The text under a key of an object: a string's content, or a number as it is written.
pub(in crate::sink) fn text(raw: &RawValue) -> Option<Wiped> {
    let raw = raw.get();
    let first = raw.bytes().next()?;
    if first == b'"' {
        serde_json::from_str(raw).ok().map(Wiped::new)
    } else if first.is_ascii_digit() || first == b'-' {
        Some(Wiped::new(raw.to_owned()))
    } else {
        None
    }
}

/// Whether there is nothing under a key of an object.
pub(in crate::sink) fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"")
}

fn put(out: &mut Vec<u8>, key: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    quote(out, key);
    out.push(b':');
}

fn quote(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_owned_is_kept_as_it_came() {
        let old =
            document(r#"{"theirs": 12345678901234567890123, "token": "old", "n": {"a" : []}}"#);
        let ours = BTreeMap::from([("token".to_owned(), Secret::new("n\"ew".to_owned()))]);
        let new = old.with(|key| key == "token", &ours);
        assert_eq!(
            String::from_utf8(new.to_vec()).unwrap(),
            r#"{"n":{"a" : []},"theirs":12345678901234567890123,"token":"n\"ew"}"#
        );
        assert_eq!(document("{}").with(|_| true, &ours).as_slice(), br#"{"token":"n\"ew"}"#);
    }

    #[test]
    fn no_value_shows() {
        let document = document(r#"{"token": "canary", "theirs": {"x": "canary"}}"#);
        assert_eq!(format!("{document:?}"), r#"["theirs", "token"]"#);
    }

    #[test]
    fn text_is_a_string_or_a_number_and_nothing_else() {
        let document = document(r#"{"s": "a\"b", "n": 7, "t": true, "o": {}, "z": null}"#);
        let text = |key| document.text(key).map(|text| text.to_string());
        assert_eq!(text("s").as_deref(), Some("a\"b"));
        assert_eq!(text("n").as_deref(), Some("7"));
        for key in ["t", "o", "z", "missing"] {
            assert_eq!(text(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_ours_and_what_could_be_a_token_elsewhere_is_told() {
        let ours = |key: &str| key == "token";
        for (text, holds) in [
            ("{}", false),
            (r#"{"theirs": "x"}"#, false),
            (r#"{"token": "", "theirs": 1}"#, false),
            (r#"{"token": null}"#, false),
            (r#"{"token": {}}"#, true),
            (r#"{"token": "x"}"#, true),
        ] {
            assert_eq!(document(text).holds(ours), holds, "{text}");
        }
        let document = document(r#"{"token": "a", "OKTA": "b", "n": 7, "deep": {"x": ["c"]}}"#);
        let found = document.elsewhere(ours);
        let shown: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(shown, ["OKTA", "deep.x.0"]);
    }

    #[test]
    fn a_digest_is_of_the_content_and_not_of_its_spelling() {
        let one = document(r#"{"a": "<", "b": {"y": 1, "x": 2}}"#);
        let same = document("{\"b\":{\"x\":2,\"y\":1},\"a\":\"\\u003c\"}");
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), document(r#"{"a": "<", "b": {"y": 1, "x": 3}}"#).digest());
        assert_ne!(document("{}").digest(), one.digest());
        let huge = |text: &str| document(text).digest();
        assert_ne!(huge(r#"{"a": 1e999}"#), huge(r#"{"a": 2e999}"#));
        assert_ne!(huge(r#"{"a": 1e999}"#), huge(r#"{"a": null}"#));
    }
}
