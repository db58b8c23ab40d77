//! A probe of a token, as it is written down: the provider's note of it is no use by a client.

use serde::{Deserialize, Serialize};

use crate::clock::ProviderTime;

/// A probe: announced with the moment until which it may still arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// When the first one was sent.
    pub first_sent: ProviderTime,
    /// When the last one was sent.
    pub sent: ProviderTime,
    /// Until when the last one may still arrive.
    pub arrives_by: ProviderTime,
    /// The probe's own mark, once a list showed it: how late and how coarse such marks are.
    pub mark: Option<Mark>,
}

/// A provider's note of a use, as a list first showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// When the list was made.
    pub seen: ProviderTime,
    /// The `last_used_at` that it showed.
    pub says: ProviderTime,
}
