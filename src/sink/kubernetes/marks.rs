//! Marks in an annotation, for payloads that have no room for them.
//!
//! The annotation and the value are written in one request, so that there is never one without the
//! other. It names the value by its SHA-256: beside a value of somebody else's it is not believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{sink::Marks, token::Digest};

/// The annotation.
pub(super) const KEY: &str = "scimitar/marks";

#[derive(Serialize, Deserialize)]
struct Noted<M> {
    sha256: String,
    marks: M,
}

/// The marks of the value with this digest.
pub(super) fn of_value(annotations: &BTreeMap<String, String>, value: &Digest) -> Option<Marks> {
    let noted: Noted<Marks> = serde_json::from_str(annotations.get(KEY)?).ok()?;
    (noted.sha256 == value.as_str()).then_some(noted.marks)
}

/// The annotation's text.
pub(super) fn text(marks: &Marks, value: &Digest) -> String {
    let noted = Noted { sha256: value.as_str().to_owned(), marks };
    // Texts and a number cannot fail to be written.
    serde_json::to_string(&noted).unwrap_or_default()
}
