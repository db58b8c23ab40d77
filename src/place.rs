//! Places that tokens are delivered to, as data: what the ledger keeps and decisions read.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::token::{ConnectionId, LedgerId, PlaceKey, SinkName, TokenId};

/// Which of a sink's states was seen; compare-and-set writes name the one that they replace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl Version {
    /// The version of a place that holds nothing.
    pub const ABSENT: &'static str = "absent";

    /// The version of a place whose folder is missing: it may come back, with something in it.
    pub const MISSING: &'static str = "missing";

    /// What stands for the version of a place that was not, or cannot be, asked.
    pub const UNASKED: &'static str = "unasked";

    /// Whether it is the version of something that is there.
    #[must_use]
    pub fn is_of_something(&self) -> bool {
        ![Self::ABSENT, Self::MISSING, Self::UNASKED].contains(&self.0.as_str())
    }
}

/// What Scimitar leaves beside a token, so that a lost ledger can be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// The token that is there.
    pub token_id: TokenId,
    /// The one that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_token_id: Option<TokenId>,
    /// Counts up with every delivery of a new token.
    pub generation: u64,
    /// Whose rotation it was.
    pub ledger: LedgerId,
    /// The connection that it belongs to, at its provider.
    pub connection_id: ConnectionId,
}

/// What a place is in: the file system of its folder, the account and region, the cluster and mount.
/// The same path in another container is another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// What stays the same for as long as it is the same container; compared, never shown.
    pub id: String,
    /// What it is called in messages.
    pub words: String,
    /// Another container with the same token in it is another place all the same. Where this is not
    /// set (file systems, whose numbers change with a reboot), a place that still holds the token
    /// that was delivered to it is the place that it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl Container {
    /// The `id` of a container that is not there.
    pub const MISSING: &'static str = "missing";

    /// Whether it is one that is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.id == Self::MISSING
    }
}

/// A place as the ledger remembers it, enough to read it again after it left the configuration
/// (as long as its `[sinks.NAME]` is still there).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Which place.
    pub key: PlaceKey,
    /// The sink's label.
    pub sink: SinkName,
    /// Where in the sink, for people.
    pub location: String,
    /// The `deliver_to` entry, as the sink's own type writes it; no secret.
    pub delivery: Remembered,
}

/// What a `deliver_to` entry says: JSON, kept as its text, since there may be very many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered(Arc<str>);

impl Remembered {
    /// Writes an entry down.
    ///
    /// # Errors
    /// When it cannot be JSON.
    pub fn of(said: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_value(said).map(Self::from)
    }

    /// Reads it as the sink's own type.
    ///
    /// # Errors
    /// When it is of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }
}

impl From<serde_json::Value> for Remembered {
    fn from(said: serde_json::Value) -> Self {
        Self(said.to_string().into())
    }
}

impl Serialize for Remembered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if text.get().bytes().any(|byte| byte.is_ascii_whitespace()) {
            // Equal ones are to have equal texts, however they were written.
            let said: serde_json::Value =
                serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
            return Ok(Self::from(said));
        }
        Ok(Self(text.get().into()))
    }
}

impl Place {
    /// The kind of its sink, as its key says it; `None` where the key says none.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.key.as_str().split_once(':').map(|(kind, _)| kind)
    }
}
