//! How a connection looks: a shape, a word and a colour. Only what is healthy is green.

use serde::Serialize;

use crate::rotation::{
    policy::{Mode, Policy},
    record::{Phase, Record},
    status::{Concern, ConnectionStatus, Outcome},
    why::Reason,
};

/// How a connection, a provider or a sink looks; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Look {
    Failing,
    Blocked,
    Attention,
    Waiting,
    Paused,
    Observed,
    New,
    Healthy,
}

impl Look {
    pub(super) fn of(status: &ConnectionStatus, record: Option<&Record>, policy: &Policy) -> Self {
        let unseen = record.is_none_or(|record| record.decided.is_none());
        let rotating = record.is_some_and(|record| record.phase != Phase::Steady);
        if status.outcome == Outcome::Failed {
            Self::Failing
        } else if status.outcome == Outcome::Refused {
            Self::Blocked
        } else if status.needs_person {
            Self::Attention
        } else if status.pause.is_some() {
            Self::Paused
        } else if status.outcome == Outcome::Waiting || rotating {
            Self::Waiting
        } else if unseen {
            Self::New
        } else if !status.concerns.is_empty() {
            Self::Attention
        } else if policy.terms.mode == Mode::Observe {
            Self::Observed
        } else {
            Self::Healthy
        }
    }

    /// The word beside the shape.
    pub(super) fn words(self, status: &ConnectionStatus, record: Option<&Record>) -> &'static str {
        match self {
            Self::Failing => "Failing",
            Self::Blocked => "Blocked",
            Self::Attention if status.needs_person => "Attention",
            Self::Attention => "Notice",
            Self::Waiting if record.is_some_and(|record| record.phase != Phase::Steady) => {
                "Rotating"
            }
            Self::Waiting => "Waiting",
            Self::Paused => "Paused",
            Self::Observed => "Observing",
            Self::New => "New",
            Self::Healthy => "Healthy",
        }
    }
}

/// What somebody should know beside the state.
pub(super) fn notes(status: &ConnectionStatus) -> Vec<&'static str> {
    let lasts = status.for_good.then_some("needs a fix");
    // Where it is the reason, that is shown already.
    let beside = status.reason != Some(Reason::Paused);
    let paused = (beside && status.pause.is_some()).then_some("paused");
    let lasts = lasts.into_iter().chain(paused);
    lasts.chain(status.concerns.iter().filter_map(|concern| note(*concern, status))).collect()
}

/// In a few words; `None` where the state says it already.
pub(super) fn note(concern: Concern, status: &ConnectionStatus) -> Option<&'static str> {
    match concern {
        Concern::Expired if status.gone_since.is_some() => Some("token gone"),
        Concern::Expired => Some("expired"),
        Concern::AboutToExpire => Some("about to expire"),
        Concern::ExpiresSoon => Some("expires soon"),
        Concern::RevocationBlocked => Some("revocation blocked"),
        Concern::PreviousStillUsed => Some("previous token still used"),
        Concern::LeftConfiguration => Some("no longer configured"),
        Concern::SurveyStale => Some("list out of date"),
        Concern::HandoffUrgent => Some("hand-off urgent"),
        Concern::HandoffWaiting => Some("waits to be handed over"),
        Concern::ClientStopped => Some("SCIM client stopped"),
        Concern::Orphan => Some("orphan"),
        Concern::Unmanaged => Some("unmanaged token"),
        Concern::SinkDrift => Some("drift"),
        Concern::ScimConfigDrift => Some("SCIM configuration differs"),
        Concern::DeactivationLost => Some("deactivated users not shown as inactive"),
        Concern::ProbeUserLeft => Some("throw-away user left"),
        Concern::RotationBlocked | Concern::RotationFailing => None,
    }
}
