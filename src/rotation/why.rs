//! The words for what happens next and why; results, logs, `plan` and `explain` all use these.

use serde::{Deserialize, Serialize};

/// Why a connection waits or is refused: the word in `reason` of results and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// As many tokens as the provider allows, none of which may go.
    NoFreeSlot,
    /// A token that nobody here owns holds the slot.
    UnmanagedToken,
    /// The older token is still protected and holds the slot.
    PreviousInUse,
    /// A sink holds what it should not.
    Drift,
    /// Due, but the schedule has not come, or its window is over.
    Window,
    /// The overlap is not over.
    Overlap,
    /// The evidence asked for is not in.
    Evidence,
    /// A sink cannot be reached or does not take the token.
    SinkUnavailable,
    /// The provider or its SCIM endpoint cannot be reached or does not do it.
    ProviderUnavailable,
    /// A sink carries another connection's or another ledger's mark.
    ForeignOwner,
    /// The configured provider is not the one that the record belongs to.
    TenantChanged,
    /// Too many connections of the tenant lost their token at once.
    Brake,
    /// Another process acts on the connection.
    ClaimedElsewhere,
    /// `scopes = "inherit"`, and there is no current token to take them from.
    NoScopes,
    /// The new token is refused by the SCIM endpoint.
    TokenRefused,
    /// `mode = "observe"`.
    Observe,
    /// The call's time is up.
    Timeout,
    /// Retried later after a failure.
    Backoff,
    /// The call was interrupted.
    Interrupted,
    /// A sink's place is in another container (folder, account, cluster) than was delivered to.
    PlaceChanged,
    /// Delivering would destroy what others put there.
    ForeignContent,
    /// Readers take the token from a key that Scimitar does not write.
    TokenElsewhere,
    /// A sink holds a token that no longer works.
    DeadToken,
    /// The current token does not satisfy the policy; it is replaced in the next window.
    PolicyChanged,
    /// Under this policy nothing ever becomes due.
    NeverDue,
    /// The new token was delivered and nobody uses it.
    #[serde(rename = "delivered_not_used")]
    NotUsed,
    /// An operator paused the connection.
    Paused,
    /// The policy lets nothing be changed now (`freeze`).
    Freeze,
    /// The connection has no SCIM configuration: no token can be made for it.
    ScimNotConfigured,
    /// A call over many connections stopped before it was this one's turn.
    NotBegun,
    /// A person has to take the token to the client that uses it, and to say so.
    Handoff,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::NoFreeSlot,
        Self::UnmanagedToken,
        Self::PreviousInUse,
        Self::Drift,
        Self::Window,
        Self::Overlap,
        Self::Evidence,
        Self::SinkUnavailable,
        Self::ProviderUnavailable,
        Self::ForeignOwner,
        Self::TenantChanged,
        Self::Brake,
        Self::ClaimedElsewhere,
        Self::NoScopes,
        Self::TokenRefused,
        Self::Observe,
        Self::Timeout,
        Self::Backoff,
        Self::Interrupted,
        Self::PlaceChanged,
        Self::ForeignContent,
        Self::TokenElsewhere,
        Self::DeadToken,
        Self::PolicyChanged,
        Self::NeverDue,
        Self::NotUsed,
        Self::Paused,
        Self::Freeze,
        Self::ScimNotConfigured,
        Self::NotBegun,
        Self::Handoff,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFreeSlot => "no_free_slot",
            Self::UnmanagedToken => "unmanaged_token",
            Self::PreviousInUse => "previous_in_use",
            Self::Drift => "drift",
            Self::Window => "window",
            Self::Overlap => "overlap",
            Self::Evidence => "evidence",
            Self::SinkUnavailable => "sink_unavailable",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ForeignOwner => "foreign_owner",
            Self::TenantChanged => "tenant_changed",
            Self::Brake => "brake",
            Self::ClaimedElsewhere => "claimed_elsewhere",
            Self::NoScopes => "no_scopes",
            Self::TokenRefused => "token_refused",
            Self::Observe => "observe",
            Self::Timeout => "timeout",
            Self::Backoff => "backoff",
            Self::Interrupted => "interrupted",
            Self::PlaceChanged => "place_changed",
            Self::ForeignContent => "foreign_content",
            Self::TokenElsewhere => "token_elsewhere",
            Self::DeadToken => "dead_token",
            Self::PolicyChanged => "policy_changed",
            Self::NeverDue => "never_due",
            Self::NotUsed => "delivered_not_used",
            Self::Paused => "paused",
            Self::Freeze => "freeze",
            Self::ScimNotConfigured => "scim_not_configured",
            Self::NotBegun => "not_begun",
            Self::Handoff => "handoff",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_and_in_metrics() {
        for reason in Reason::ALL {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, serde_json::Value::from(reason.as_str()));
        }
    }

    #[test]
    fn all_are_all() {
        let arms = include_str!("why.rs").lines().filter(|line| line.contains("=> \"")).count();
        assert_eq!(arms, Reason::ALL.len());
        let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
