//! `format = "json"`: one object; members that Scimitar does not own are kept to the byte.

use serde_json::{error::Category, value::RawValue};

use crate::sink::rules::document::Document;

/// The document, borrowed from the file; one without anything in it is empty.
///
/// # Errors
/// Why the bytes are no JSON object, with the line and without a word of what they hold.
pub(super) fn parse(bytes: &[u8]) -> Result<Document<&RawValue>, String> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Document::default());
    }
    serde_json::from_slice(bytes).map_err(|problem| match problem.classify() {
        // These quote nothing, unlike what is said of a value of another type.
        Category::Syntax | Category::Eof => format!("as JSON: {problem}"),
        Category::Data | Category::Io => {
            format!("as JSON: not an object at line {}", problem.line())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::rules::document::Keyed;

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
            assert_eq!(parse(bytes).unwrap_err(), why);
        }
        for bytes in [&b""[..], b" \n", b" {} \n"] {
            assert!(!parse(bytes).unwrap().holds(|_| true), "{bytes:?}");
        }
    }
}
