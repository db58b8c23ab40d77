//! The strings of a place that stand under keys of others: one of them may be the token that readers
//! use.

use serde_json::Value;

use super::Elsewhere;
use crate::token::TokenValue;

/// How many JSON texts may be inside each other.
const DEEPEST: usize = 4;

/// What stands in front of a token in a header.
const SCHEMES: [&str; 2] = ["Bearer ", "Token "];

/// Adds what could be a token in a JSON value and below it; `key` leads to it, with dots.
pub(super) fn in_json(key: &str, value: &Value, found: &mut Vec<Elsewhere>) {
    walk(key, value, 0, found);
}

/// The same for plain text, which may be JSON itself.
pub(super) fn in_text(key: &str, text: &str, found: &mut Vec<Elsewhere>) {
    in_text_at(key, text, 0, found);
}

fn walk(key: &str, value: &Value, depth: usize, found: &mut Vec<Elsewhere>) {
    match value {
        Value::String(text) => in_text_at(key, text, depth, found),
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                walk(&format!("{key}.{nth}"), item, depth, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                walk(&format!("{key}.{name}"), member, depth, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn in_text_at(key: &str, text: &str, depth: usize, found: &mut Vec<Elsewhere>) {
    let text = text.trim();
    if depth < DEEPEST
        && text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return walk(key, &value, depth + 1, found);
    }
    let bare = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    if let Ok(value) = TokenValue::try_new(bare.to_owned()) {
        found.push(Elsewhere { key: key.to_owned(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_found_by_the_way_to_it() {
        let value = serde_json::json!({
            "plain": "tok_1.a",
            "header": " Bearer tok_2.b\n",
            "list": ["two words", 7, null, { "deep": "tok_3.c" }],
            "text": "{\"inside\": [\"tok_4.d\"]}",
            "broken": "{not-json",
        });
        let mut found = Vec::new();
        in_json("app", &value, &mut found);
        let shown: Vec<String> =
            found.iter().map(|one| format!("{} {}", one.key, one.value.expose())).collect();
        assert_eq!(
            shown,
            [
                "app.broken {not-json",
                "app.header tok_2.b",
                "app.list.3.deep tok_3.c",
                "app.plain tok_1.a",
                "app.text.inside.0 tok_4.d",
            ]
        );
        assert!(!format!("{found:?}").contains("tok_"), "no value shows");
    }

    #[test]
    fn json_in_json_ends_somewhere() {
        let mut text = "tok_1.a".to_owned();
        for _ in 0..12 {
            text = serde_json::json!({ "in": text }).to_string();
        }
        let mut found = Vec::new();
        in_text("key", &text, &mut found);
        assert_eq!(found.len(), 1, "what is not looked into is one string");
    }
}
