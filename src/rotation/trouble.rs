//! Failures that are being retried.

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Timestamp, stored},
    error::{Class, Fault},
};

/// What went wrong, by kind of work; sinks have their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Troubles {
    /// Listing.
    pub look: Option<Trouble>,
    /// Making and proving a token.
    pub mint: Option<Trouble>,
    /// Deleting.
    pub revoke: Option<Trouble>,
    /// Asking the SCIM endpoint whether the current token is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "ask")]
    pub probe: Option<Trouble>,
}

/// A kind of work at the provider that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Listing.
    Look,
    /// Making and proving a token.
    Mint,
    /// Deleting.
    Revoke,
    /// Asking the SCIM endpoint whether a token works.
    Probe,
}

impl Work {
    /// The word, in what is kept of the hooks.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Mint => "mint",
            Self::Revoke => "revoke",
            Self::Probe => "ask",
        }
    }
}

impl Troubles {
    /// What fails now, with its work, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Work, &Trouble)> {
        [
            (Work::Look, &self.look),
            (Work::Mint, &self.mint),
            (Work::Revoke, &self.revoke),
            (Work::Probe, &self.probe),
        ]
        .into_iter()
        .filter_map(|(work, trouble)| Some((work, trouble.as_ref()?)))
    }
}

/// A failure that is being retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// How often in a row.
    pub count: u32,
    /// Since when.
    #[serde(with = "stored")]
    pub since: Timestamp,
    /// The last failure.
    pub fault: Fault,
    /// When that was.
    #[serde(with = "stored")]
    pub at: Timestamp,
    /// When it is tried again.
    #[serde(with = "stored")]
    pub retry_at: Timestamp,
    /// Whether a sink failed. Only needed where the work is not a sink's: a token may not be made
    /// because a sink would not take it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_sink: bool,
}

impl Trouble {
    /// Whether it will not mend by itself. A flag, not a phase: it is retried all the same.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        self.fault.class == Class::Terminal
    }
}
