//! The strings of a place that stand under keys of others, and what stands inside them: one may be
//! the token that readers use.

use serde_json::{Value, value::RawValue};

use crate::{sink::Elsewhere, token::TokenValue};

/// How many JSON texts may be inside each other.
const DEEPEST: usize = 4;

/// What stands in front of a token in a header.
const SCHEMES: [&str; 4] = ["Bearer ", "bearer ", "Token ", "token "];

/// What is shorter than this inside other text is taken for a word of it.
const SHORTEST: usize = 8;

/// Adds what could be a token in the JSON value under a key, and below it.
pub(in crate::sink) fn in_raw(key: &str, raw: &RawValue, found: &mut Vec<Elsewhere>) {
    match serde_json::from_str(raw.get()) {
        Ok(value) => walk(key, &value, 0, true, found),
        // A number that no machine holds stands in it: its text is looked at as one piece.
        Err(_) => in_text(key, raw.get(), found),
    }
}

/// The same for plain text, which may be JSON itself.
pub(in crate::sink) fn in_text(key: &str, text: &str, found: &mut Vec<Elsewhere>) {
    in_text_at(key, text, 0, true, found);
}

/// The same for text that has no keys, or none that can be told. What it begins with is not among it:
/// that may be the value itself.
pub(in crate::sink) fn in_no_form(bytes: &[u8]) -> Vec<Elsewhere> {
    let text = bytes.trim_ascii();
    let found = words(text).filter(|word| !text.starts_with(word.as_bytes()));
    let found = found.filter_map(|word| TokenValue::try_new(word.to_owned()).ok());
    found.map(|value| Elsewhere { key: String::new(), before: None, value }).collect()
}

/// `own`: the value is that of the key, and not of one below it.
fn walk(key: &str, value: &Value, depth: usize, own: bool, found: &mut Vec<Elsewhere>) {
    match value {
        Value::String(text) => in_text_at(key, text, depth, own, found),
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                walk(&format!("{key}.{nth}"), item, depth, false, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                walk(&format!("{key}.{name}"), member, depth, false, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn in_text_at(key: &str, text: &str, depth: usize, own: bool, found: &mut Vec<Elsewhere>) {
    let text = text.trim();
    if depth < DEEPEST
        && text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return walk(key, &value, depth + 1, own, found);
    }
    let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme)).unwrap_or_default();
    let bare = text.strip_prefix(scheme).unwrap_or(text);
    if let Ok(value) = TokenValue::try_new(bare.to_owned()) {
        let named = named(key, &value);
        let before = named.as_ref().filter(|_| own).map(|_| scheme);
        found.push(Elsewhere { key: named.unwrap_or_else(unnamed), before, value });
    }
    for word in words(bare.as_bytes()).filter(|word| *word != bare) {
        if let Ok(value) = TokenValue::try_new(word.to_owned()) {
            let key = named(key, &value).unwrap_or_else(unnamed);
            found.push(Elsewhere { key, before: None, value });
        }
    }
}

/// A key is told to people, unless it is a token itself.
fn named(key: &str, value: &TokenValue) -> Option<String> {
    let secret = |part: &str| {
        part.len() >= 32
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    let told = !key.contains(value.expose()) && !key.split(['.', ' ', '=']).any(secret);
    told.then(|| key.to_owned())
}

fn unnamed() -> String {
    "[a key that looks like a token]".to_owned()
}

/// What could be a token inside other text: an address, a header, a template, a line of no form.
fn words(text: &[u8]) -> impl Iterator<Item = &str> {
    let in_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let words = text.split(move |byte| !in_a_token(byte)).filter(|word| word.len() >= SHORTEST);
    words.filter_map(|word| std::str::from_utf8(word).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::payload::PayloadTemplate;

    fn found(document: &Value) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for (key, value) in document.as_object().unwrap() {
            in_raw(key, &serde_json::value::to_raw_value(value).unwrap(), &mut found);
        }
        found
    }

    #[test]
    fn every_string_is_found_by_the_way_to_it() {
        let found = found(&serde_json::json!({ "app": {
            "plain": "tok_1.a",
            "header": " Bearer tok_2.b\n",
            "list": ["two words", 7, null, { "deep": "tok_3.c" }],
            "text": "{\"inside\": [\"tok_4.d\"]}",
            "broken": "{not-json",
        }}));
        let shown: Vec<String> =
            found.iter().map(|one| format!("{} {}", one.key, one.value.expose())).collect();
        assert_eq!(
            shown,
            [
                "app.broken {not-json",
                "app.broken not-json",
                "app.header tok_2.b",
                "app.list.3.deep tok_3.c",
                "app.plain tok_1.a",
                "app.text.inside.0 tok_4.d",
            ]
        );
        assert!(found.iter().all(|one| one.before.is_none()), "{found:?}");
        assert!(!format!("{found:?}").contains("tok_"), "no value shows");
    }

    /// A payload writes the keys of the document, and what is below one of them it does not reach.
    #[test]
    fn what_a_payload_can_write_is_written_and_read_back_as_it_was() {
        let document = serde_json::json!({
            "plain": "tok_1.a",
            "with.dots": "tok_2.b",
            "header": "Bearer tok_3.c",
            "okta": "Token tok_4.d",
            "list": ["tok_5.e"],
            "object": { "in": "Bearer tok_6.f" },
            "text": "[\"tok_7.g\"]",
        });
        let mut payloads = 0;
        for one in found(&document) {
            let Some(before) = one.before else {
                assert!(one.key.contains('.'), "{one:?}");
                continue;
            };
            payloads += 1;
            let template = [(one.key.clone(), format!("{before}{{{{ token }}}}"))];
            let template = PayloadTemplate::parse(&template.into()).unwrap();
            let read = template.token_in_text(document[&one.key].as_str().unwrap());
            let read = read.map(|value| value.expose().to_owned());
            assert_eq!(read.as_deref(), Some(one.value.expose()), "{one:?}");
        }
        assert_eq!(payloads, 4);
    }

    #[test]
    fn a_key_that_is_a_token_is_not_told() {
        let hex = "0123456789abcdef0123456789abcdef";
        for key in [format!("tok_1.{hex}"), "tok_1.secret".to_owned(), format!("a.b {hex}")] {
            let mut found = Vec::new();
            in_text(&key, "tok_1.secret", &mut found);
            let told: Vec<_> = found.iter().map(|one| (&*one.key, one.before)).collect();
            assert_eq!(told, [("[a key that looks like a token]", None)], "{key}");
        }
        let mut found = Vec::new();
        in_text("OKTA_PROVISIONING_SCIM_BEARER_TOKEN_OF_EUROPE_1", "tok_1.secret", &mut found);
        assert_eq!(found[0].before, Some(""));
    }

    #[test]
    fn what_stands_inside_other_text_is_found_too() {
        for text in [
            "https://u:tok_1.secret@host/",
            "{{tok_1.secret}}",
            "Bearer  tok_1.secret",
            "BEARER tok_1.secret;",
            "token=tok_1.secret",
            "https://x/?t=tok_1.secret&u=1",
        ] {
            let mut found = Vec::new();
            in_text("key", text, &mut found);
            let is_it = |one: &&Elsewhere| one.value.expose() == "tok_1.secret";
            let one = found.iter().find(is_it).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((&*one.key, one.before), ("key", None), "{text}");
        }
    }

    #[test]
    fn json_in_json_ends_somewhere() {
        let mut text = "tok_1.secret".to_owned();
        for _ in 0..12 {
            text = serde_json::json!({ "in": text }).to_string();
        }
        let mut found = Vec::new();
        in_text("key", &text, &mut found);
        assert!(found.len() > 1, "{found:?}");
        let whole = found.iter().filter(|one| one.before.is_some()).count();
        assert_eq!(whole, 0, "what is inside is written by no payload");
    }
}
