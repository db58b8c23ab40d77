//! Kinds of values, by which answers are compared with recorded ones.

use serde_json::{Value, json};

use super::support::Reply;

/// What a member of an answer was seen to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Truth,
    Number,
    Object,
    /// RFC 3339, UTC, milliseconds.
    Time,
    /// A list of texts.
    Texts,
    EmptyList,
    /// Exactly this.
    Is(&'static str),
    /// `con_` and 16 letters or digits.
    ConnectionId,
    TokenId,
    /// A token's id, a dot, 64 lower-case hex digits: 85 bytes.
    TokenValue,
    /// `[{"scim", "auth0"}]`.
    Mapping,
}

impl Kind {
    pub(crate) fn fits(self, value: &Value) -> bool {
        let text = value.as_str();
        let id = |prefix: &str, text: &str| {
            text.strip_prefix(prefix).is_some_and(|rest| {
                rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        };
        match self {
            Self::Text => text.is_some_and(|text| !text.is_empty()),
            Self::Truth => value.is_boolean(),
            Self::Number => value.is_u64(),
            Self::Object => value.is_object(),
            Self::Time => text.is_some_and(|text| {
                text.len() == "2024-10-14T11:53:12.419Z".len()
                    && text.ends_with('Z')
                    && text.as_bytes()[19] == b'.'
                    && scimitar::clock::parse_timestamp(text).is_some()
            }),
            Self::Texts => value
                .as_array()
                .is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_string)),
            Self::EmptyList => *value == json!([]),
            Self::Is(expected) => text == Some(expected),
            Self::ConnectionId => text.is_some_and(|text| id("con_", text)),
            Self::TokenId => text.is_some_and(|text| id("tok_", text)),
            Self::TokenValue => text.is_some_and(|text| {
                text.split_once('.').is_some_and(|(head, secret)| {
                    id("tok_", head)
                        && secret.len() == 64
                        && secret.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                })
            }),
            Self::Mapping => value.as_array().is_some_and(|items| {
                !items.is_empty()
                    && items.iter().all(|item| {
                        item.as_object().is_some_and(|pair| {
                            pair.len() == 2 && pair["scim"].is_string() && pair["auth0"].is_string()
                        })
                    })
            }),
        }
    }
}

/// Every member that was recorded is there with its kind, and no other one is.
pub(crate) fn assert_members(value: &Value, members: &[(&str, Kind)], what: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{what}: {value} is no object"));
    for (name, kind) in members {
        let found = object.get(*name).unwrap_or_else(|| panic!("{what}: {name} is missing"));
        assert!(kind.fits(found), "{what}: {name} is {found}, not {kind:?}");
    }
    assert_eq!(object.len(), members.len(), "{what}: {value} has members nobody recorded");
}

pub(crate) fn assert_json(reply: &Reply, status: u16, what: &str) {
    assert_eq!(reply.status, status, "{what}: {}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"), "{what}");
}
