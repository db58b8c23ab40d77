//! What can happen to the SCIM configuration of a connection.

use crate::{
    clock::Timestamp,
    rotation::{
        record::Trouble,
        scim_config::{ConfigChange, Standing},
    },
};

/// What happened to the SCIM configuration, or is about to and is written down first.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigEvent {
    /// It was read.
    Seen {
        /// How it stands.
        standing: Standing,
        /// It does not map whether a user is active.
        loses_active: bool,
        /// When.
        at: Timestamp,
    },
    /// It could not be read.
    Unread(Trouble),
    /// It is about to be made or changed.
    Announced {
        /// How.
        change: Box<ConfigChange>,
        /// When.
        at: Timestamp,
    },
    /// It was made or changed.
    Changed {
        /// How it stands now.
        standing: Standing,
        /// It does not map whether a user is active.
        loses_active: bool,
        /// What the provider kept is not what was asked for.
        trouble: Option<Trouble>,
        /// When.
        at: Timestamp,
    },
    /// It was not, or that is not known.
    Refused(Trouble),
}

impl ConfigEvent {
    /// The event's name, in logs and history.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Seen { .. } => "scim_config_seen",
            Self::Unread(_) => "scim_config_unread",
            Self::Announced { .. } => "scim_config_announced",
            Self::Changed { .. } => "scim_config_changed",
            Self::Refused(_) => "scim_config_refused",
        }
    }
}
