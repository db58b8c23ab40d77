//! What is written down of a create before it is sent, and by which its token is known later.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{ProviderTime, Timestamp, stored},
    token::{Scopes, TokenId, TokenName},
};

/// A create, written down before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// When it was written.
    #[serde(with = "stored")]
    pub at: Timestamp,
    /// When the list was made that it rests on.
    pub listed_at: ProviderTime,
    /// When the create had timed out, plus 60 s.
    pub answered_by: ProviderTime,
    /// The ids in that list.
    pub known: BTreeSet<TokenId>,
    /// The scopes asked for.
    pub scopes: Scopes,
    /// The life asked for, whose last digits are the print.
    pub life: Option<Duration>,
    /// The life asked for is that of the policy: every print was taken, or there was room for none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unprinted: bool,
    /// The name asked for, which no other token has; `None` where tokens have no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TokenName>,
    /// The value of the current token was lost by other means than our own writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub value_was_lost: bool,
    /// Why the rotation began.
    pub because: String,
    /// When the call that asked for it began, if a person did.
    #[serde(default, with = "stored")]
    pub asked_at: Option<Timestamp>,
}

/// What a create asked for: a token is judged by this, and not by what the provider made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The life; `None`: without expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Duration>,
    /// The scopes.
    pub scopes: Scopes,
}

impl Intent {
    /// What it asks for.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked { life: self.life, scopes: self.scopes.clone() }
    }

    /// Whether the life asked for tells its token from any other.
    #[must_use]
    pub fn is_printed(&self) -> bool {
        self.life.is_some() && !self.unprinted
    }

    /// Whether its token can be told from any other, however late it turns up.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.name.is_some() || self.is_printed()
    }
}
