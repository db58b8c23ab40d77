//! What a call wants of a connection.

use crate::clock::Timestamp;

/// What a call wants of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whatever is due.
    Due,
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

impl Ask {
    /// When the call began, if a person asks for a rotation.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Due => None,
            Self::Rotate { since } | Self::Compromised { since } => Some(*since),
        }
    }
}
