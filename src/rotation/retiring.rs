//! A token on its way out, and how far its DELETE is.

use serde::{Deserialize, Serialize};

use super::{policy::Retire, probe::Probe};
use crate::{
    clock::{ProviderTime, Timestamp, stored},
    token::Listed,
};

/// A token on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Retiring {
    /// The token.
    pub token: Listed,
    /// Why it goes.
    pub cause: Cause,
    /// The policy of the rotation that superseded it.
    pub retire: Retire,
    /// Since when every sink has held a newer token; `None`: not yet.
    pub superseded_at: Option<ProviderTime>,
    /// How far its DELETE is.
    pub state: RetiringState,
    /// It goes on evidence of disuse alone, never by the overlap: who uses it is not known.
    pub on_evidence: bool,
    /// Our last probe of it: what it was used by until then may be that.
    pub probe: Option<Probe>,
}

impl Retiring {
    /// A token that is to go, of which nothing was announced yet.
    #[must_use]
    pub fn new(token: Listed, cause: Cause, retire: Retire) -> Self {
        Self {
            token,
            cause,
            retire,
            superseded_at: None,
            state: RetiringState::Waiting,
            on_evidence: false,
            probe: None,
        }
    }
}

/// How far the DELETE of an older token is: the state machine of each, beside that of the rotation.
///
/// ```text
/// Waiting ──revoke_announced──▶ Announced ──not_found──▶ NotFound ──a list without it──▶ gone
///    │                              │                        │
///    └──────────expired─────────────┴─────revoked, expired───┴──────────────────────────▶ gone
/// ```
///
/// A DELETE that failed, or was answered 404 while the token is still listed, is announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetiringState {
    /// No DELETE was announced: the overlap, evidence or the last look is waited for.
    Waiting,
    /// A DELETE was announced; whether it happened is not known.
    Announced {
        /// When.
        at: Timestamp,
    },
    /// A DELETE was answered 404: a list without the token makes it gone.
    NotFound {
        /// When the last DELETE was announced.
        announced_at: Timestamp,
    },
}

/// All that [`RetiringState::as_str`] can say.
pub const RETIRING_STATES: [&str; 3] = ["waiting", "announced", "not_found"];

impl RetiringState {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => RETIRING_STATES[0],
            Self::Announced { .. } => RETIRING_STATES[1],
            Self::NotFound { .. } => RETIRING_STATES[2],
        }
    }

    /// When the last DELETE was announced; `None`: none was.
    #[must_use]
    pub fn announced_at(self) -> Option<Timestamp> {
        match self {
            Self::Waiting => None,
            Self::Announced { at } | Self::NotFound { announced_at: at } => Some(at),
        }
    }

    /// The same state, announced no later than this: a clock that was set back does not put the next
    /// try off.
    #[must_use]
    pub(super) fn announced_by(self, latest: Timestamp) -> Self {
        match self {
            Self::Waiting => self,
            Self::Announced { at } => Self::Announced { at: at.min(latest) },
            Self::NotFound { announced_at } => {
                Self::NotFound { announced_at: announced_at.min(latest) }
            }
        }
    }
}

/// Why a token goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A newer one was delivered.
    Superseded,
    /// Ours, its value lost, and no sink ever got it.
    Orphan,
    /// Ours, refused by the SCIM endpoint, delivered nowhere.
    Bad,
    /// Ours, given up undelivered (the process had to end, or nothing could be learnt of it).
    GivenUp,
    /// An operator asked.
    Asked,
    /// An operator asked with `--force`.
    Forced,
    /// Nobody's, under `unmanaged = "retire"`.
    #[serde(rename = "stranger")]
    Unmanaged,
    /// Expired long enough, and a create was refused for want of a slot.
    Dead,
    /// Deleted before, but still listed.
    Lingering,
}

impl Cause {
    /// Ours, and never delivered.
    #[must_use]
    pub fn is_orphan(self) -> bool {
        matches!(self, Self::Orphan | Self::Bad | Self::GivenUp | Self::Lingering)
    }
}

/// An older token as it is stored: schema 1 and 2 keep its state in two fields.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    token: Listed,
    cause: Cause,
    retire: Retire,
    superseded_at: Option<ProviderTime>,
    #[serde(default, with = "stored")]
    announced_at: Option<Timestamp>,
    not_found: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    on_evidence: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<Probe>,
}

impl From<Stored> for Retiring {
    fn from(stored: Stored) -> Self {
        let state = match (stored.announced_at, stored.not_found) {
            // No version wrote a 404 without an announcement: the DELETE is sent again after a look.
            (None, false | true) => RetiringState::Waiting,
            (Some(at), false) => RetiringState::Announced { at },
            (Some(announced_at), true) => RetiringState::NotFound { announced_at },
        };
        let Stored { token, cause, retire, superseded_at, on_evidence, probe, .. } = stored;
        Self { token, cause, retire, superseded_at, state, on_evidence, probe }
    }
}

impl From<Retiring> for Stored {
    fn from(retiring: Retiring) -> Self {
        let Retiring { token, cause, retire, superseded_at, state, on_evidence, probe } = retiring;
        let announced_at = state.announced_at();
        let not_found = matches!(state, RetiringState::NotFound { .. });
        Self { token, cause, retire, superseded_at, announced_at, not_found, on_evidence, probe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture::{now, retiring, token};

    #[test]
    fn an_older_token_is_stored_as_it_was_before_it_had_a_state() {
        let text = now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let at = serde_json::json!(text);
        for (state, announced_at, not_found) in [
            (RetiringState::Waiting, serde_json::Value::Null, false),
            (RetiringState::Announced { at: now() }, at.clone(), false),
            (RetiringState::NotFound { announced_at: now() }, at, true),
        ] {
            let retiring = Retiring { state, ..retiring(token("tok_1", 9), Cause::Superseded) };
            let stored = serde_json::to_value(&retiring).unwrap();
            let keys: Vec<&String> = stored.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), 6, "{keys:?}");
            assert_eq!(stored["announced_at"], announced_at);
            assert_eq!(stored["not_found"], not_found);
            assert_eq!(serde_json::from_value::<Retiring>(stored).unwrap(), retiring);
        }
    }

    #[test]
    fn a_404_to_a_delete_that_nobody_announced_is_not_believed() {
        let waiting = retiring(token("tok_1", 9), Cause::Orphan);
        let mut stored = serde_json::to_value(&waiting).unwrap();
        stored["not_found"] = true.into();
        assert_eq!(serde_json::from_value::<Retiring>(stored.clone()).unwrap(), waiting);
        stored["surprise"] = 1.into();
        serde_json::from_value::<Retiring>(stored).unwrap_err();
    }
}
