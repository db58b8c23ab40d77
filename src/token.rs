//! Tokens, their ids, and the names that everything else is keyed by.

mod name;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

pub use self::name::{NotATokenName, TokenName};
use crate::{
    clock::ProviderTime,
    secret::Secret,
    shown::{is_invisible, is_plain, odd_one},
};

/// Why a name or id was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {longest} printable characters without spaces{}", holds(*.invisible))]
pub struct NotAName {
    what: &'static str,
    longest: usize,
    /// One that nobody sees, and that is all that is wrong.
    invisible: Option<char>,
}

fn holds(invisible: Option<char>) -> String {
    let named = |c| format!("; it holds the invisible character U+{:04X}", u32::from(c));
    invisible.map(named).unwrap_or_default()
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal, $chosen:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Accepts ", $what, ".")]
            ///
            /// # Errors
            /// When it is empty, too long, or holds white space, control characters or, where
            /// people choose it, characters that nobody sees.
            pub fn try_new(text: impl AsRef<str>) -> Result<Self, NotAName> {
                let name = Self::try_known(text.as_ref())?;
                match name.0.chars().find(|c| $chosen && is_invisible(*c)) {
                    Some(c) => Err(NotAName { what: $what, longest: $longest, invisible: Some(c) }),
                    None => Ok(name),
                }
            }

            /// One that is on record, or that a service gave: versions before 0.2 took more.
            fn try_known(text: &str) -> Result<Self, NotAName> {
                let fits = !text.is_empty()
                    && text.len() <= $longest
                    && is_unbroken(text);
                let not = NotAName { what: $what, longest: $longest, invisible: None };
                if fits { Ok(Self(text.into())) } else { Err(not) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read = |text: &str| Self::try_known(text).map_err(|error| error.to_string());
                deserializer.deserialize_str(Text(read))
            }
        }
    )+};
}

/// Whether it holds no white space and no control characters. Nearly all names are plain ASCII, and ledgers
/// hold very many.
fn is_unbroken(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        || !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Reads a text without a copy of it in between: ledgers hold very many names.
struct Text<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

// The last word: whether people choose it.
names! {
    /// A token's id at its provider. Not secret; never a metrics label.
    TokenId, "a token id", 256, false;
    /// A connection's id at its provider (`con_…` at Auth0).
    ConnectionId, "a connection id", 256, true;
    /// What the provider's account is known by: the Auth0 domain, dbt Cloud's host and account.
    Tenant, "a tenant", 512, true;
    /// The `[providers.NAME]` that a connection uses; a label.
    ProviderName, "a provider name", 128, true;
    /// A connection's `name`; the label in metrics, logs and results.
    ConnectionName, "a connection name", 128, true;
    /// The `[sinks.NAME]` of a delivery; a label.
    SinkName, "a sink name", 128, true;
    /// A hook's `name`; the label in metrics and logs.
    HookName, "a hook name", 128, true;
    /// The random id of a ledger, made with it and carried by every mark it writes.
    LedgerId, "a ledger id", 64, false;
    /// A SCIM token's scope, such as `get:users`.
    Scope, "a scope", 128, false;
    /// A user's id at a SCIM endpoint, such as `samlp|acme|abc`.
    ScimUserId, "a SCIM user's id", 512, false;
}

/// A connection name that would have to be quoted in a shell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotChosen {
    /// It is no name at all.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// It reads as an option.
    #[error(
        "a connection name must not begin with `-`, because a command would read it as an option"
    )]
    Option,
    /// It holds something that shells read.
    #[error(
        "a connection name may contain only letters, digits and `.` `_` `-` `:` `@` `+` `/` `,`, so that \
         it needs no quotes in a shell; this one contains `{0}`"
    )]
    Shell(char),
}

impl ConnectionName {
    /// Accepts one that people give a connection: a plain word in every shell. Those on record may be
    /// others, from before 0.2.
    ///
    /// # Errors
    /// When it is no name, begins with `-`, or would have to be quoted in a shell.
    pub fn try_chosen(text: &str) -> Result<Self, NotChosen> {
        let name = Self::try_new(text)?;
        match odd_one(text) {
            Some(odd) => Err(NotChosen::Shell(odd)),
            None if text.starts_with('-') => Err(NotChosen::Option),
            None => Ok(name),
        }
    }
}

/// Whether a text looks like a token's value: Auth0's are the id, a dot and 64 hex digits; ids hold no
/// dot.
#[must_use]
pub fn looks_like_a_value(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, tail)| {
        tail.len() >= 32 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

impl TokenId {
    /// Accepts what a provider's answer calls a token: a plain word that does not look like a value, since
    /// it is stored, shown and advised in commands. `None`: the answer cannot be read.
    #[must_use]
    pub fn try_answered(text: &str) -> Option<Self> {
        let fits = is_plain(text) && !looks_like_a_value(text);
        fits.then(|| Self::try_new(text).ok()).flatten()
    }
}

/// What a record is kept for: a connection at a provider's tenant. Names are only labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionKey {
    /// The provider's account.
    pub tenant: Tenant,
    /// The connection there.
    pub connection: ConnectionId,
}

/// Stands where a watched token would have its provider: in labels and keys.
pub const WATCHED: &str = "[[watch]]";

impl ConnectionKey {
    /// What is claimed for a watched token, which no provider has.
    #[must_use]
    pub fn of_watched(name: &ConnectionName) -> Self {
        Self { tenant: Tenant(WATCHED.into()), connection: ConnectionId(name.0.clone()) }
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.connection)
    }
}

/// One place that a connection is delivered to, by what it is rather than by its label:
/// `file:/run/scimitar/initech.token`. It stays the same when a sink is renamed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey(Arc<str>);

impl PlaceKey {
    /// Names a place: the sink's kind and where in it.
    #[must_use]
    pub fn new(kind: &str, location: &str) -> Self {
        Self(format!("{kind}:{location}").into())
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for PlaceKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlaceKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text: &str| Ok(Self(text.into()))))
    }
}

impl fmt::Display for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token's scopes; order does not matter.
pub type Scopes = BTreeSet<Scope>;

/// A token's value. Shown once by its provider, held only until the sinks have it.
#[derive(Clone)]
pub struct TokenValue(Secret);

impl TokenValue {
    /// Accepts a bearer token as RFC 6750 allows it in a header.
    ///
    /// # Errors
    /// When it is empty, longer than 16 KiB, or holds anything but visible ASCII; the value is
    /// in no message.
    pub fn try_new(value: String) -> Result<Self, NotATokenValue> {
        let fits = !value.is_empty()
            && value.len() <= 16_384
            && value.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(Secret::new(value))) } else { Err(NotATokenValue) }
    }

    /// Lends the value for the one call that must send or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether a text that is to be shown holds it, or what stands behind its last dot.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        /// Anything shorter may be in a text by chance.
        const SHORTEST: usize = 8;
        let value = self.expose();
        let secret = value.rsplit_once('.').map_or(value, |(_, secret)| secret);
        text == value || (secret.len() >= SHORTEST && text.contains(secret))
    }

    /// The value's SHA-256, by which a mark is believed or not.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose().as_bytes())
    }
}

impl fmt::Debug for TokenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A value that cannot be a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bearer token: it must be 1 to 16384 visible ASCII characters")]
pub struct NotATokenValue;

/// A SHA-256 in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref()))
    }

    /// 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case hex. (Formatting each byte took a twentieth of a rotation.)
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()).collect()
}

/// What a provider's list shows of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The token's id.
    pub id: TokenId,
    /// When it was made.
    pub created_at: ProviderTime,
    /// When it stops working; `None` when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<ProviderTime>,
    /// When the provider last noted a use; late and coarse. `None`: never, as far as it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<ProviderTime>,
    /// What it may do; empty where tokens have no scopes.
    pub scopes: Scopes,
    /// What it is called, where tokens have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TokenName>,
}

/// A complete answer to "which tokens does this connection have".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// All tokens, in no particular order.
    pub tokens: Vec<Listed>,
    /// The provider's clock when it answered (the `Date` header), if it said.
    pub provider_time: Option<ProviderTime>,
}

impl Listing {
    /// The token with this id.
    #[must_use]
    pub fn get(&self, id: &TokenId) -> Option<&Listed> {
        self.tokens.iter().find(|token| token.id == *id)
    }
}

/// What to ask a provider for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintRequest {
    /// What the token may do.
    pub scopes: Scopes,
    /// How long it is to live, whole seconds; `None`: without expiry.
    pub life: Option<Duration>,
    /// What it is to be called, where tokens have names.
    pub name: Option<TokenName>,
}

/// A token that a provider just made: its only appearance with a value.
#[derive(Clone, Debug)]
pub struct Minted {
    /// As a list would show it.
    pub token: Listed,
    /// The value.
    pub value: TokenValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_looks_like() {
        for odd in ["okta\u{200b}", "\u{202e}atko", "o\u{ad}kta", "\u{feff}okta"] {
            let refused = ConnectionName::try_new(odd).unwrap_err().to_string();
            assert!(refused.contains("it holds the invisible character U+"), "{refused}");
            assert!(ProviderName::try_new(odd).is_err() && SinkName::try_new(odd).is_err());
            assert!(HookName::try_new(odd).is_err() && ConnectionId::try_new(odd).is_err());
            // What is on record stays readable, and what a provider gives stays usable.
            let json = serde_json::to_string(odd).unwrap();
            assert!(serde_json::from_str::<ConnectionName>(&json).is_ok());
            assert!(TokenId::try_new(odd).is_ok());
        }
        assert!(ConnectionName::try_new("zoë-東京").is_ok());
    }

    #[test]
    fn a_chosen_name_needs_no_quotes_in_a_shell() {
        for good in ["initech-okta", "people/okta", "a.b_c:d@e+f,g", "zoë-東京"] {
            assert!(ConnectionName::try_chosen(good).is_ok(), "{good}");
        }
        for odd in
            ["$(id)", "a;b", "a'b", "a`b", "*", "a\"b", "a\\b", "a|b", "~", "a=b", "#a", "a%"]
        {
            let refused = ConnectionName::try_chosen(odd).unwrap_err();
            assert!(matches!(refused, NotChosen::Shell(_)), "{odd}: {refused}");
            assert!(ConnectionName::try_new(odd).is_ok(), "one on record can still be named");
        }
        for option in ["-x", "--all"] {
            assert_eq!(ConnectionName::try_chosen(option).unwrap_err(), NotChosen::Option);
        }
        assert!(matches!(ConnectionName::try_chosen("a b"), Err(NotChosen::Name(_))));
    }

    #[test]
    fn an_answered_id_is_a_plain_word_and_no_value() {
        for good in ["tok_cw8iYTPrN6Fzb6xi", "17", "a.b"] {
            assert_eq!(TokenId::try_answered(good).unwrap().as_str(), good);
        }
        let value = format!("tok_cw8iYTPrN6Fzb6xi.{}", "0a".repeat(32));
        for bad in [value.as_str(), "", "$(id)", "-17", "a b"] {
            assert_eq!(TokenId::try_answered(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_value_is_found_in_what_would_be_shown() {
        let value = TokenValue::try_new("tok_1.canary-0123".to_owned()).unwrap();
        assert!(value.is_in("tok_1.canary-0123") && value.is_in("x-canary-0123"));
        assert!(!value.is_in("tok_1") && !value.is_in("canary"));
        let short = TokenValue::try_new("tok_1.1".to_owned()).unwrap();
        assert!(short.is_in("tok_1.1") && !short.is_in("tok_1"));
    }

    #[test]
    fn names_refuse_what_would_break_a_log_line_or_a_path() {
        for bad in ["", "a b", "a\nb", "a\u{7f}"] {
            assert!(TokenId::try_new(bad).is_err(), "{bad:?}");
        }
        assert!(TokenId::try_new("x".repeat(257)).is_err());
        assert_eq!(TokenId::try_new("tok_1").unwrap().as_str(), "tok_1");
    }

    #[test]
    fn a_tokens_name_may_be_whatever_people_write_in_one_line() {
        for good in ["okta scim (old)", "scimitar/initech/0a", "ü"] {
            assert_eq!(TokenName::try_new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{1b}[2J"] {
            assert!(TokenName::try_new(bad).is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<TokenName>("\"a\\u0000\"").is_err());
    }

    #[test]
    fn a_value_shows_in_no_debug_and_in_no_error() {
        let value = TokenValue::try_new("tok_1.canary".to_owned()).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
        let refused = TokenValue::try_new("canary with spaces".to_owned()).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }

    #[test]
    fn digest_is_sha256() {
        assert_eq!(
            Digest::of(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
