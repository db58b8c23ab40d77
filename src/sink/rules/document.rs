//! JSON objects that hold a token and what others keep beside it, which passes through as it came.

use std::{borrow::Borrow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};
use zeroize::Zeroizing;

use super::elsewhere;
use crate::{
    sink::{Elsewhere, payload::Wiped},
    token::Digest,
};

/// Content of which each key has a text under it, in whatever form.
pub(in crate::sink) trait Keyed {
    /// A key's text. The last one counts where a key comes twice, as for most readers.
    fn text(&self, key: &str) -> Option<Wiped>;

    /// Whether a key that `owned` names holds anything.
    fn holds(&self, owned: impl Fn(&str) -> bool) -> bool;

    /// The strings under keys that `owned` does not name, where they could be tokens.
    fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere>;
}

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Layout {
    /// For services: in one line and in one order, so that the same content is the same text, and each
    /// value of ours as a text, which is all that some of them hand on.
    Line,
    /// For files: a member a line in the order of the document, new ones last, and numbers as numbers.
    Lines,
}

/// A JSON object: its members in their order, each as it came. They own their text, or borrow it
/// (`&RawValue`), so that there is no second copy of a value.
pub(in crate::sink) struct Document<R = Box<RawValue>>(Vec<(String, R)>);

impl<R> Default for Document<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> fmt::Debug for Document<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Document<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<R>(PhantomData<R>);
        impl<'de, R: Deserialize<'de>> Visitor<'de> for Members<R> {
            type Value = Vec<(String, R)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

impl<R: Borrow<RawValue>> Keyed for Document<R> {
    fn text(&self, key: &str) -> Option<Wiped> {
        let (_, raw) = self.0.iter().rev().find(|(name, _)| name == key)?;
        text(raw.borrow())
    }

    fn holds(&self, owned: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(key, raw)| owned(key) && !is_empty(raw.borrow()))
    }

    fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for (key, raw) in self.0.iter().filter(|(key, _)| !owned(key)) {
            elsewhere::in_raw(key, raw.borrow(), &mut found);
        }
        found
    }
}

impl<R: Borrow<RawValue>> Document<R> {
    /// The document as JSON, with `ours` (name, JSON text) in the place of all that `owned` names.
    pub(in crate::sink) fn with(
        &self,
        owned: impl Fn(&str) -> bool,
        mut ours: Vec<(String, Wiped)>,
        layout: Layout,
    ) -> Zeroizing<Vec<u8>> {
        let kept: usize =
            self.0.iter().map(|(key, raw)| key.len() * 6 + raw.borrow().get().len()).sum();
        let new: usize = ours.iter().map(|(key, text)| key.len() * 6 + text.len()).sum();
        let count = self.0.len() + ours.len();
        // Enough from the start: growing would leave copies of the value behind.
        let mut out = Zeroizing::new(Vec::with_capacity(kept + new + 16 * count + 16));
        out.push(b'{');
        match layout {
            Layout::Line => {
                for (key, raw) in self.sorted().into_iter().filter(|(key, _)| !owned(key)) {
                    layout.put(&mut out, key, raw.get());
                }
            }
            Layout::Lines => {
                for (key, raw) in &self.0 {
                    if !owned(key) {
                        layout.put(&mut out, key, raw.borrow().get());
                    } else if let Some(at) = ours.iter().position(|(name, _)| name == key) {
                        let (name, text) = ours.remove(at);
                        layout.put(&mut out, &name, &text);
                    }
                }
            }
        }
        for (name, text) in &ours {
            layout.put(&mut out, name, text);
        }
        out.extend_from_slice(layout.end());
        out
    }

    /// The members by their names.
    fn sorted(&self) -> BTreeMap<&str, &RawValue> {
        self.0.iter().map(|(key, raw)| (key.as_str(), raw.borrow())).collect()
    }

    /// Which content this is, however the server orders and spaces it.
    pub(in crate::sink) fn digest(&self) -> Digest {
        let mut out = Zeroizing::new(Vec::new());
        for (key, raw) in self.sorted() {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(quoted(key).as_bytes());
            out.push(b':');
            match serde_json::from_str::<Value>(raw.get()) {
                // Writing to a Vec does not fail.
                Ok(value) => drop(serde_json::to_writer(&mut *out, &value)),
                // A number that no machine holds is what it is written as.
                Err(_) => out.extend_from_slice(raw.get().as_bytes()),
            }
        }
        Digest::of(&out)
    }

    /// Whether some JSON is the same content: a write of it would change nothing.
    pub(in crate::sink) fn is(&self, json: &[u8]) -> bool {
        let other: Option<Document> = serde_json::from_slice(json).ok();
        other.is_some_and(|other| other.digest() == self.digest())
    }
}

impl Layout {
    fn put(self, out: &mut Vec<u8>, key: &str, text: &str) {
        let first = out.len() == 1;
        let (before, between): (&[u8], &[u8]) = match self {
            Self::Line => (b"", b":"),
            Self::Lines => (b"\n  ", b": "),
        };
        out.extend_from_slice(if first { b"" } else { b"," });
        out.extend_from_slice(before);
        out.extend_from_slice(quoted(key).as_bytes());
        out.extend_from_slice(between);
        out.extend_from_slice(text.as_bytes());
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::Line => b"}",
            Self::Lines => b"\n}\n",
        }
    }
}

/// A JSON string.
pub(in crate::sink) fn quoted(text: &str) -> Wiped {
    let mut out = Vec::with_capacity(text.len() * 6 + 2);
    // Writing to a Vec does not fail, and what was written is UTF-8; the fallback is unreachable.
    let _ = serde_json::to_writer(&mut out, text);
    Wiped::new(String::from_utf8(out).unwrap_or_default())
}

/// The text under a key of an object: a string's content, or a number as it is written.
fn text(raw: &RawValue) -> Option<Wiped> {
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
fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_owned_is_kept_as_it_came() {
        let old = document(
            r#"{"theirs": 12345678901234567890123, "token": "old", "n": {"a" : []}, "expires_at": 1}"#,
        );
        let owned = |key: &str| ["token", "expires_at", "token_id"].contains(&key);
        let ours =
            || vec![("token".to_owned(), quoted("n\"ew")), ("token_id".to_owned(), quoted("t"))];
        for (layout, filled, new) in [
            (
                Layout::Line,
                r#"{"n":{"a" : []},"theirs":12345678901234567890123,"token":"n\"ew","token_id":"t"}"#,
                r#"{"token":"n\"ew","token_id":"t"}"#,
            ),
            (
                Layout::Lines,
                "{\n  \"theirs\": 12345678901234567890123,\n  \"token\": \"n\\\"ew\",\n  \
                 \"n\": {\"a\" : []},\n  \"token_id\": \"t\"\n}\n",
                "{\n  \"token\": \"n\\\"ew\",\n  \"token_id\": \"t\"\n}\n",
            ),
        ] {
            let text = |new: Zeroizing<Vec<u8>>| String::from_utf8(new.to_vec()).unwrap();
            assert_eq!(text(old.with(owned, ours(), layout)), filled);
            assert_eq!(text(document("{}").with(owned, ours(), layout)), new);
            let again = document(filled);
            assert_eq!(text(again.with(owned, ours(), layout)), filled, "a replay changes nothing");
            assert!(again.is(filled.as_bytes()) && !again.is(new.as_bytes()));
        }
    }

    /// Borrowed as well as owned.
    #[test]
    fn of_a_key_that_comes_twice_the_last_one_counts() {
        let twice = r#"{"token": "old", "a": 1, "token": "new"}"#;
        let borrowed: Document<&RawValue> = serde_json::from_str(twice).unwrap();
        let of_both = [borrowed.text("token"), document(twice).text("token")];
        assert!(of_both.iter().all(|text| text.as_ref().is_some_and(|it| it.as_str() == "new")));
        assert_eq!(borrowed.digest(), document(r#"{"a": 1, "token": "new"}"#).digest());
    }

    #[test]
    fn no_value_shows() {
        let document = document(r#"{"token": "canary", "theirs": {"x": "canary"}}"#);
        assert_eq!(format!("{document:?}"), r#"["token", "theirs"]"#);
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
