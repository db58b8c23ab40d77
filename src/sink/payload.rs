//! What is delivered: the default payload, and the templates that may replace it.

mod labels;
mod template;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

pub use self::{
    labels::{Known, Labels},
    template::{PayloadError, PayloadTemplate},
};
pub(super) use self::{
    labels::{Limits, Said},
    template::PlainTemplate,
};

use super::{Delivery, Marks};
use crate::{
    clock::rfc3339,
    secret::Secret,
    token::{ConnectionId, LedgerId, TokenId},
};

/// The field that holds the token's value.
pub const TOKEN: &str = "token";

/// The field that counts a connection's tokens.
pub(super) const GENERATION: &str = "generation";

/// The fields that are marks.
pub(super) const MARKS: [&str; 5] =
    ["token_id", "previous_token_id", GENERATION, "ledger", "connection_id"];

/// The names of the default payload, which are also all that a template may use. The optional
/// ones (`previous_token_id`, `expires_at`) are left out of the default payload when there is
/// nothing to say, and are empty text in a template.
pub const FIELDS: [&str; 12] = [
    TOKEN,
    "token_id",
    "previous_token_id",
    GENERATION,
    "ledger",
    "connection",
    "connection_id",
    "provider",
    "scim_endpoint",
    "scopes",
    "created_at",
    "expires_at",
];

/// The default payload: the fields of [`FIELDS`] that apply, as text.
#[must_use]
pub fn default_payload(delivery: &Delivery) -> BTreeMap<&'static str, Secret> {
    let mut fields: BTreeMap<&'static str, Secret> =
        plain_fields(delivery).into_iter().map(|(name, text)| (name, Secret::new(text))).collect();
    fields.insert(TOKEN, Secret::new(delivery.value.expose().to_owned()));
    fields
}

/// The marks in a document that holds the default payload; `field` looks a field up.
///
/// `None` unless all that a rebuild needs is there and well-formed. A caller that does not know
/// the document to be written in one piece has to prove the marks by the value's digest.
#[must_use]
pub fn marks_in(field: impl Fn(&str) -> Option<String>) -> Option<Marks> {
    let previous_token_id = match field("previous_token_id") {
        Some(text) => Some(TokenId::try_new(text).ok()?),
        None => None,
    };
    Some(Marks {
        token_id: TokenId::try_new(field("token_id")?).ok()?,
        previous_token_id,
        generation: field(GENERATION)?.parse().ok()?,
        ledger: LedgerId::try_new(field("ledger")?).ok()?,
        connection_id: ConnectionId::try_new(field("connection_id")?).ok()?,
    })
}

/// Marks as the text of each of [`MARKS`], in their order.
pub(super) fn texts_of(marks: &Marks) -> [(&'static str, Option<String>); 5] {
    let texts = [
        Some(marks.token_id.to_string()),
        marks.previous_token_id.as_ref().map(ToString::to_string),
        Some(marks.generation.to_string()),
        Some(marks.ledger.to_string()),
        Some(marks.connection_id.to_string()),
    ];
    let mut texts = texts.into_iter();
    MARKS.map(|field| (field, texts.next().flatten()))
}

/// Every field but the token; absent ones are absent.
fn plain_fields(delivery: &Delivery) -> BTreeMap<&'static str, String> {
    let scopes: Vec<&str> = delivery.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut fields = BTreeMap::from([
        ("connection", delivery.connection.to_string()),
        ("provider", delivery.provider.to_string()),
        ("scim_endpoint", delivery.scim_endpoint.clone()),
        ("scopes", scopes.join(" ")),
        ("created_at", rfc3339(delivery.created_at)),
    ]);
    let marks = texts_of(&delivery.marks).into_iter();
    fields.extend(marks.filter_map(|(field, text)| Some((field, text?))));
    if let Some(expires_at) = delivery.expires_at {
        fields.insert("expires_at", rfc3339(expires_at));
    }
    fields
}

/// Text that held a value and is wiped when dropped.
pub(crate) type Wiped = Zeroizing<String>;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{clock::ProviderTime, token::*};

    pub(in crate::sink) fn delivery(expires: bool) -> Delivery {
        Delivery {
            value: TokenValue::try_new("tok_canary.0123\"<&$\\".to_owned()).unwrap(),
            marks: Marks {
                token_id: TokenId::try_new("tok_canary").unwrap(),
                previous_token_id: expires.then(|| TokenId::try_new("tok_before").unwrap()),
                generation: 7,
                ledger: LedgerId::try_new("ledger1").unwrap(),
                connection_id: ConnectionId::try_new("con_1").unwrap(),
            },
            connection: ConnectionName::try_new("initech").unwrap(),
            provider: ProviderName::try_new("acme").unwrap(),
            scim_endpoint: "https://acme.example.com/scim".to_owned(),
            scopes: ["post:users", "get:users"].map(|scope| Scope::try_new(scope).unwrap()).into(),
            created_at: ProviderTime::parse("2026-11-22T04:00:00.123Z").unwrap(),
            expires_at: expires.then(|| ProviderTime::parse("2026-12-22T04:00:00Z").unwrap()),
            owner: None,
        }
    }

    #[test]
    fn the_default_payload_has_the_fields_that_apply() {
        let all = default_payload(&delivery(true));
        let mut names: Vec<&str> = FIELDS.to_vec();
        names.sort_unstable();
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), names);
        assert_eq!(all["scopes"].expose(), "get:users post:users");
        assert_eq!(all["created_at"].expose(), "2026-11-22T04:00:00Z");
        assert_eq!(all["generation"].expose(), "7");
        let fewer = default_payload(&delivery(false));
        assert!(!fewer.contains_key("expires_at") && !fewer.contains_key("previous_token_id"));
        assert_eq!(fewer.len(), FIELDS.len() - 2);
    }

    #[test]
    fn marks_are_read_back_and_not_when_anything_is_missing() {
        let delivery = delivery(true);
        let fields = default_payload(&delivery);
        let get = |name: &str| fields.get(name).map(|text| text.expose().to_owned());
        assert_eq!(marks_in(get), Some(delivery.marks.clone()));
        for gone in ["token_id", "generation", "ledger", "connection_id"] {
            assert_eq!(marks_in(|name| get(name).filter(|_| name != gone)), None);
        }
        let spoilt = |name: &str| match name {
            "generation" => Some("-1".to_owned()),
            other => get(other),
        };
        assert_eq!(marks_in(spoilt), None);
    }
}
