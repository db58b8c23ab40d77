//! Names of tokens.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The name that a token has at its provider, where tokens have names. Not secret; whoever makes a
/// token chooses it, and nothing keeps two from having the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TokenName(String);

impl TokenName {
    /// Accepts 1 to 512 bytes without control characters.
    ///
    /// # Errors
    /// When it is empty, too long, or would break a line.
    pub fn try_new(text: impl Into<String>) -> Result<Self, NotATokenName> {
        let text = text.into();
        let fits = !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control);
        if fits { Ok(Self(text)) } else { Err(NotATokenName) }
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A text that cannot be a token's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token's name must be 1 to 512 bytes without control characters")]
pub struct NotATokenName;
