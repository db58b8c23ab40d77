//! `format = "json"`: one object; members that Scimitar does not own are kept to the byte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};
use zeroize::Zeroizing;

use crate::sink::{
    Elsewhere,
    payload::Wiped,
    rules::{
        document::{is_empty, text},
        elsewhere,
    },
};

/// An object's members in the order of the file, borrowed from it: no second copy of a value.
#[derive(Debug, Default)]
pub(super) struct Document<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

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
        deserializer.deserialize_map(Members).map(Self)
    }
}

impl<'a> Document<'a> {
    /// The document; one without anything in it is empty.
    ///
    /// # Errors
    /// Why the bytes are no JSON object, with the line and without a word of what they hold.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|problem| match problem.classify() {
            // These quote nothing, unlike what is said of a value of another type.
            Category::Syntax | Category::Eof => format!("as JSON: {problem}"),
            Category::Data | Category::Io => {
                format!("as JSON: not an object at line {}", problem.line())
            }
        })
    }

    /// Whether a member that `owned` names holds anything.
    pub(super) fn holds(&self, owned: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(name, raw)| owned(name) && !is_empty(raw))
    }

    /// The strings in members that `owned` does not name, where they could be tokens.
    pub(super) fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for (name, raw) in self.0.iter().filter(|(name, _)| !owned(name)) {
            elsewhere::in_raw(name, raw, &mut found);
        }
        found
    }

    /// A member's text. The last one counts where a name comes twice, as for most readers.
    pub(super) fn text(&self, name: &str) -> Option<Wiped> {
        let (_, raw) = self.0.iter().rev().find(|(key, _)| key == name)?;
        text(raw)
    }

    /// The document with `members` (name, JSON text) in the place of all that `owned` names.
    /// Their order is that of the document, new ones come last.
    pub(super) fn with(
        &self,
        owned: impl Fn(&str) -> bool,
        mut members: Vec<(String, Wiped)>,
    ) -> Zeroizing<Vec<u8>> {
        let kept: usize = self.0.iter().map(|(key, raw)| key.len() * 6 + raw.get().len()).sum();
        let new: usize = members.iter().map(|(key, text)| key.len() * 6 + text.len()).sum();
        let count = self.0.len() + members.len();
        // Enough from the start: growing would leave copies of the value behind.
        let mut out = Zeroizing::new(Vec::with_capacity(kept + new + 16 * count + 16));
        out.extend_from_slice(b"{");
        let mut first = true;
        for (key, raw) in &self.0 {
            if owned(key) {
                if let Some(at) = members.iter().position(|(name, _)| name == key) {
                    let (name, text) = members.remove(at);
                    put(&mut out, &mut first, &name, &text);
                }
            } else {
                put(&mut out, &mut first, key, raw.get());
            }
        }
        for (name, text) in &members {
            put(&mut out, &mut first, name, text);
        }
        out.extend_from_slice(b"\n}\n");
        out
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> Wiped {
    let mut out = Vec::with_capacity(text.len() * 6 + 2);
    // Writing to a Vec does not fail, and what was written is UTF-8; the fallback is unreachable.
    let _ = serde_json::to_writer(&mut out, text);
    Wiped::new(String::from_utf8(out).unwrap_or_default())
}

fn put(out: &mut Vec<u8>, first: &mut bool, name: &str, text: &str) {
    out.extend_from_slice(if *first { b"\n  " } else { b",\n  " });
    *first = false;
    out.extend_from_slice(quoted(name).as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_owned_is_kept_to_the_byte_and_in_order() {
        let old = br#"{"z": 1.0000000000000000000001, "token": "old", "a": {"b" : [1, 2]}, "token": "twice", "expires_at": "x"}"#;
        let document = Document::parse(old).unwrap();
        assert_eq!(document.text("token").unwrap().as_str(), "twice");
        assert_eq!(document.text("z").unwrap().as_str(), "1.0000000000000000000001");
        assert_eq!(document.text("a"), None);
        let owned = |name: &str| ["token", "expires_at", "token_id"].contains(&name);
        let members =
            vec![("token".to_owned(), quoted("n\"ew")), ("token_id".to_owned(), quoted("t"))];
        let new = document.with(owned, members);
        assert_eq!(
            String::from_utf8(new.to_vec()).unwrap(),
            "{\n  \"z\": 1.0000000000000000000001,\n  \"token\": \"n\\\"ew\",\n  \
             \"a\": {\"b\" : [1, 2]},\n  \"token_id\": \"t\"\n}\n"
        );
    }

    #[test]
    fn what_is_no_object_is_no_document() {
        for (bytes, why) in [
            (&b"[]"[..], "as JSON: not an object at line 1"),
            (b"\"canary\"", "as JSON: not an object at line 1"),
            (b"{", "as JSON: EOF while parsing an object at line 1 column 1"),
            (b"{} canary", "as JSON: trailing characters at line 1 column 4"),
            (b"{\n  // canary\n  \"a\": 1\n}", "as JSON: key must be a string at line 2 column 3"),
            (b"{\n  \"a\": \"canary\",\n}\n", "as JSON: trailing comma at line 3 column 1"),
            (b"\xff", "as JSON: expected value at line 1 column 1"),
        ] {
            assert_eq!(Document::parse(bytes).unwrap_err(), why);
        }
        for bytes in [&b""[..], b" \n", b" {} \n"] {
            assert!(!Document::parse(bytes).unwrap().holds(|_| true), "{bytes:?}");
        }
    }
}
