//! What a call wants of a connection.

use crate::clock::Timestamp;

/// What a call wants of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationRequest {
    /// Whatever is due, by a look at the provider and at every place.
    Due,
    /// What the connection was put into the queue for: the same, unless only a hook waits.
    Woken,
    /// A token whose rotation finished after this moment.
    Rotate {
        /// When the call began.
        since: Timestamp,
    },
    /// A token whose rotation began after this moment; the ones before it are condemned first.
    Compromised {
        /// When the call began.
        since: Timestamp,
    },
}

impl RotationRequest {
    /// When the call began, if a person asks for a rotation.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Due | Self::Woken => None,
            Self::Rotate { since } | Self::Compromised { since } => Some(*since),
        }
    }
}
