//! As much of YAML as a kubeconfig is written in: one document of mappings, sequences and texts.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Deeper than any kubeconfig is nested.
const DEEPEST: usize = 16;

/// A collection that is being read.
enum Open {
    Mapping { members: Map<String, Value>, key: Option<String> },
    Sequence(Vec<Value>),
}

/// Reads one document. Every scalar is a text, but for the null ones.
///
/// # Errors
/// In words that quote nothing of the text: it holds credentials.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| format!("line {}: it is not YAML", error.marker().line()))?;
        let line = span.start.line();
        let at = |words: &str| format!("line {line}: {words}");
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::MappingStart(..) | Event::SequenceStart(..) if open.len() == DEEPEST => {
                return Err(at("it is nested too deeply for a kubeconfig"));
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping { members: Map::new(), key: None });
                continue;
            }
            Event::SequenceStart(..) => {
                open.push(Open::Sequence(Vec::new()));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(Open::Mapping { members, .. }) => Value::Object(members),
                Some(Open::Sequence(items)) => Value::Array(items),
                None => return Err(at("it is not YAML")),
            },
            Event::Alias(_) => {
                return Err(at("it uses an alias (*NAME), which kubectl never writes"));
            }
            Event::DocumentStart(_) if root.is_some() => {
                return Err(at("a second document begins here; keep only one"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::Sequence(items)) => items.push(value),
            Some(Open::Mapping { members, key }) => match (key.take(), value) {
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err(at("a key is not a string")),
                (Some(name), value) => {
                    if members.insert(name, value).is_some() {
                        return Err(at("this mapping has the same key twice"));
                    }
                }
            },
        }
    }
    root.ok_or_else(|| "it is empty".to_owned())
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let null = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    if style == ScalarStyle::Plain && null { Value::Null } else { Value::String(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_read_as_kubectl_writes_it_and_as_json() {
        let block = "# by hand\nkind: Config\nusers:\n- name: 'a: b'\n  user:\n    token: \"x\\ty\"\n    \
                     cert: |-\n      one\n      two\nempty: null\nnone:\nlist: []\nflag: true\n";
        let read = json!({
            "kind": "Config",
            "users": [{ "name": "a: b", "user": { "token": "x\ty", "cert": "one\ntwo" } }],
            "empty": null, "none": null, "list": [], "flag": "true",
        });
        assert_eq!(parse(block).unwrap(), read);
        assert_eq!(parse("---\nkind: Config\n...\n").unwrap(), json!({ "kind": "Config" }));
        let json = r#"{"kind":"Config","users":[{"name":"a"}]}"#;
        assert_eq!(parse(json).unwrap(), json!({ "kind": "Config", "users": [{ "name": "a" }] }));
    }

    #[test]
    fn what_is_no_such_document_is_refused_with_its_line() {
        let deep = "[".repeat(40);
        for (text, words) in [
            ("", "empty"),
            ("a: 1\na: 2\n", "line 2: this mapping has the same key"),
            ("a: &x 1\nb: *x\n", "line 2: it uses an alias"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: canary\n  b: [\n", "it is not YAML"),
            ("? [a]\n: b\n", "a key is not a string"),
            (deep.as_str(), "nested"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("canary"), "{text:?}: {refused}");
        }
    }
}
