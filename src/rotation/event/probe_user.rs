//! What can happen to a throw-away user.

use crate::{
    clock::Timestamp,
    rotation::{
        probe_user::{Made, ProbeUserName, WriteProof},
        record::Trouble,
    },
};

/// What happened to a throw-away user, or is about to and is written down first.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeUserEvent {
    /// It is about to be created.
    Announced {
        /// Its name.
        name: ProbeUserName,
        /// When.
        at: Timestamp,
    },
    /// It was created.
    Made(Made),
    /// It was looked for and is not there, but may still come.
    Unseen(Timestamp),
    /// It could not be looked for or deleted.
    Left(Trouble),
    /// It is gone, or never came.
    Gone,
    /// The proof that it was for has ended.
    Proved(Box<WriteProof>),
}

impl ProbeUserEvent {
    /// The event's name, in logs and history.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Announced { .. } => "probe_user_announced",
            Self::Made(_) => "probe_user_made",
            Self::Unseen(_) => "probe_user_unseen",
            Self::Left(_) => "probe_user_left",
            Self::Gone => "probe_user_gone",
            Self::Proved(_) => "proved_by_writing",
        }
    }
}
