//! What can happen to a token on its way out.

use crate::{clock::Timestamp, rotation::record::Trouble};

/// Something that happened to one older token, or is about to and is written down first.
#[derive(Clone, Debug, PartialEq)]
pub enum RetiringEvent {
    /// A DELETE is about to be sent.
    RevokeAnnounced {
        /// When.
        at: Timestamp,
    },
    /// It was deleted.
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// The DELETE was answered 404.
    NotFound,
    /// The DELETE failed, or a list still shows a token whose DELETE was answered 404.
    RevokeFailed {
        /// How.
        trouble: Trouble,
    },
    /// It expired.
    Expired,
}

impl RetiringEvent {
    /// The event's name, in logs and history.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RevokeAnnounced { .. } => "revoke_announced",
            Self::Revoked { .. } => "revoked",
            Self::NotFound => "not_found",
            Self::RevokeFailed { .. } => "revoke_failed",
            Self::Expired => "expired",
        }
    }
}
