//! What the ledger holds of a connection: the state machine's state, and nothing secret.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use super::{
    decided::{Decided, Status},
    intent::{Asked, Intent},
    probe::{Mark, Probe},
    retiring::{Cause, RETIRING_STATES, Retiring, RetiringState},
    sink_state::{Begun, Drift, Residue, SinkState, Unlisted, WriteCheck},
    skew::Skew,
    trouble::{Trouble, Troubles, Work},
};
use super::{
    notice::Notices,
    pause::Pause,
    policy::{Retire, Verify},
    probe_user::{ProbeUser, WriteProof},
    scim_config::ScimState,
    why::Reason,
};
use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp, stored},
    token::{ConnectionKey, ConnectionName, Digest, Listed, PlaceKey, ProviderName, TokenId},
};

/// The version of the stored format. A newer one is refused, older ones are migrated.
pub const SCHEMA: u32 = 2;

/// All that is known of one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// Which connection at which tenant.
    pub key: ConnectionKey,
    /// Its label.
    pub name: ConnectionName,
    /// Its provider's label.
    pub provider: ProviderName,
    /// Of the newest token that was delivered or is being delivered.
    pub generation: u64,
    /// The highest generation seen in a mark of ours; a new one goes beyond it.
    pub generation_seen: u64,
    /// Where a rotation stands.
    pub phase: Phase,
    /// The token that the sinks are meant to hold.
    pub current: Option<Current>,
    /// Tokens on their way out.
    #[serde(rename = "older")]
    pub retiring: Vec<Retiring>,
    /// Creates whose answer was lost; compared with every unknown token until they expire.
    pub intents: Vec<Intent>,
    /// Tokens that were deleted, and when: a lagging list may still show them.
    pub deleted: BTreeMap<TokenId, Timestamp>,
    /// Those among them that nobody here deleted: they were seen gone, and may come back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vanished: BTreeSet<TokenId>,
    /// Every place that holds or held a token of this connection.
    pub sinks: BTreeMap<PlaceKey, SinkState>,
    /// Tokens that an operator declared leaked.
    pub condemned: BTreeSet<TokenId>,
    /// Listed tokens that nobody here owns.
    #[serde(rename = "strangers")]
    pub unmanaged: BTreeMap<TokenId, UnmanagedToken>,
    /// Tokens found in a sink that the SCIM endpoint refused: not taken over by themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused: BTreeSet<TokenId>,
    /// SHA-256 of the values of tokens in use, as they were minted or proven: a place that holds
    /// anything else under such an id was changed by others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<TokenId, Digest>,
    /// Since when the current token has not satisfied the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsatisfied_since: Option<ProviderTime>,
    /// Evidence that the current token is gone.
    pub missing: Option<Missing>,
    /// Since when the lists do not show the current token although the SCIM endpoint accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unshown_since: Option<ProviderTime>,
    /// Set when a create was answered "no slot": a dead token may then be deleted.
    pub slot_denied: bool,
    /// What went wrong, by kind of work.
    pub troubles: Troubles,
    /// The last complete look at the provider.
    pub survey: Option<Survey>,
    /// The skew of the provider's clock, and how long it has been that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
    /// What the last pass came to; `None` before the first one has ended.
    pub decided: Option<Decided>,
    /// What draws attention without stopping anything.
    pub warnings: BTreeSet<String>,
    /// The last rotation that was carried to its end (every sink has the token).
    pub last_rotation: Option<Rotation>,
    /// The largest deviation of a granted life from the life asked for, in seconds, among the last
    /// creates.
    pub life_error: Option<u64>,
    /// The deviations of the last creates, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub life_errors: Vec<u64>,
    /// A token was made under another name than was asked for: names prove nothing there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub names_changed: bool,
    /// What was counted, for the metrics.
    pub tally: Tally,
    /// Whom to tell of what, and what they have not been told yet.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// An operator's pause, until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Its SCIM configuration, where that is looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scim: Option<ScimState>,
    /// A throw-away user that was announced and is not known to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_user: Option<ProbeUser>,
    /// What the last proof by writing came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_proof: Option<WriteProof>,
    /// When all places were last asked whether they would take a write.
    #[serde(default, with = "stored", skip_serializing_if = "Option::is_none")]
    pub writes_checked: Option<Timestamp>,
    /// When something is to be done next.
    #[serde(default, with = "stored")]
    pub wake_at: Option<Timestamp>,
    /// The same without what only a hook waits for.
    #[serde(default, with = "stored", skip_serializing_if = "Option::is_none")]
    pub work_at: Option<Timestamp>,
    /// When the next rotation starts, as far as is known.
    #[serde(default, with = "stored")]
    pub next_rotation: Option<Timestamp>,
}

/// Where a rotation stands: its state machine.
///
/// ```text
/// Steady ──intended──▶ Minting ──minted──▶ Delivering ──settled──▶ Steady
///  │  ▲                   │                 ▲      │                 ▲
///  │  └──failed, or lost──┘                 │      └────given_up─────┘
///  └────────────────taken_over──────────────┘
/// ```
///
/// What a new token replaces, and what is given up, is in `retiring` from then on: each of those has a
/// state machine of its own, [`RetiringState`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No rotation is under way.
    Steady,
    /// A create was announced; whether it happened is not known.
    Minting(Intent),
    /// A token was made (or found) that the sinks are to get.
    Delivering(Box<Replacement>),
}

/// A token on its way to the sinks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The token.
    pub token: Listed,
    /// Its generation.
    pub generation: u64,
    /// When its rotation began (its intent).
    #[serde(with = "stored")]
    pub began: Timestamp,
    /// The policy that the rotation began with.
    pub retire: Retire,
    /// How it is to be proven.
    pub verify: Verify,
    /// The last probe, if one was announced.
    pub probe: Option<Probe>,
    /// What the probes said.
    pub proof: Proof,
    /// It was found in a sink, put there by somebody else, and is not ours to revoke on failure.
    pub found: bool,
    /// What was asked for, where it was minted by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// It replaces a token whose value was lost by other means than our own writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub value_was_lost: bool,
    /// A place held it: whoever reads there may have it, whatever is there now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_out: bool,
    /// Found with a mark that is newer than the record: once it is proven, the record is rebuilt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
    /// Live tokens that it replaces once it is proven, where it was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
}

/// A live token that a found one replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// The token.
    pub token: Listed,
    /// Only a mark says so.
    pub from_mark: bool,
}

/// What is known of whether a token works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Proof {
    /// Nothing yet.
    Pending {
        /// Since when the endpoint has refused it.
        refused_since: Option<ProviderTime>,
        /// Since when nothing can be learnt.
        silent_since: Option<ProviderTime>,
    },
    /// It was accepted, or the policy asks for no proof.
    Good,
    /// It was refused for good.
    Bad,
    /// Delivered without proof, because the current token has less than an hour or is gone.
    Waived,
}

/// The token that the sinks are meant to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Current {
    /// The token.
    pub token: Listed,
    /// When the last sink got it; `None` when it never reached all.
    pub delivered_at: Option<ProviderTime>,
    /// When it was first seen used by somebody else than our own probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_use: Option<ProviderTime>,
    /// Our last probe of it.
    pub probe: Option<Probe>,
    /// When its rotation began.
    #[serde(with = "stored")]
    pub began: Timestamp,
    /// The policy for what it replaces.
    pub retire: Retire,
    /// What was asked for, where it was minted by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// A token that nobody here owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnmanagedToken {
    /// When it was first seen.
    pub first_seen: ProviderTime,
    /// It may be an orphan of ours, but that is not proven.
    pub probably_ours: bool,
}

/// Evidence that the current token is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// The first complete list without it.
    pub first: ProviderTime,
    /// The last one.
    pub last: ProviderTime,
    /// Its value was answered 401, or no sink holds its value and none could be asked.
    pub refused: bool,
}

impl Missing {
    /// Two complete lists at least 5 s apart, and the refusal.
    #[must_use]
    pub fn proves_gone(&self) -> bool {
        self.refused && self.listed_twice()
    }

    /// Two complete lists at least 5 s apart.
    #[must_use]
    pub fn listed_twice(&self) -> bool {
        self.last - self.first >= chrono::TimeDelta::seconds(5)
    }
}

/// The last complete look at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// When.
    #[serde(with = "stored")]
    pub at: Timestamp,
    /// The provider's clock less ours, in milliseconds.
    pub skew_ms: i64,
    /// What was listed.
    pub tokens: Vec<Listed>,
}

impl Survey {
    /// The provider's clock, as it was seen then.
    #[must_use]
    pub fn clock(&self) -> ProviderClock {
        ProviderClock::ahead_by(chrono::TimeDelta::milliseconds(self.skew_ms))
    }
}

/// A rotation that was carried to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// When it began.
    #[serde(with = "stored")]
    pub began: Timestamp,
    /// When the last sink had the token.
    #[serde(with = "stored")]
    pub finished: Timestamp,
    /// The token.
    pub id: TokenId,
}

/// What was counted since the record was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tally {
    /// Rotations carried to their end.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Times that a rotation was refused.
    pub refused: u64,
    /// Orphans revoked.
    pub orphans_revoked: u64,
}

impl Record {
    /// What the last pass came to, if that refuses a rotation.
    #[must_use]
    pub fn refusal(&self) -> Option<&Decided> {
        self.decided.as_ref().filter(|decided| decided.refused_for().is_some())
    }

    /// Why a rotation is refused, if it is.
    #[must_use]
    pub fn refused_for(&self) -> Option<Reason> {
        self.decided.as_ref()?.refused_for()
    }
}

impl Record {
    /// An empty record: nothing is known yet.
    #[must_use]
    pub fn new(key: ConnectionKey, name: ConnectionName, provider: ProviderName) -> Self {
        Self {
            schema: SCHEMA,
            key,
            name,
            provider,
            generation: 0,
            generation_seen: 0,
            phase: Phase::Steady,
            current: None,
            retiring: Vec::new(),
            intents: Vec::new(),
            deleted: BTreeMap::new(),
            vanished: BTreeSet::new(),
            sinks: BTreeMap::new(),
            condemned: BTreeSet::new(),
            unmanaged: BTreeMap::new(),
            refused: BTreeSet::new(),
            digests: BTreeMap::new(),
            unsatisfied_since: None,
            missing: None,
            unshown_since: None,
            slot_denied: false,
            troubles: Troubles::default(),
            survey: None,
            skew: None,
            decided: None,
            warnings: BTreeSet::new(),
            last_rotation: None,
            life_error: None,
            life_errors: Vec::new(),
            names_changed: false,
            tally: Tally::default(),
            notices: Notices::default(),
            pause: None,
            scim: None,
            probe_user: None,
            write_proof: None,
            writes_checked: None,
            wake_at: None,
            work_at: None,
            next_rotation: None,
        }
    }

    /// When the token that the sinks hold stops working: what decides urgency.
    #[must_use]
    pub fn expires_at(&self) -> Option<ProviderTime> {
        self.current.as_ref().and_then(|current| current.token.valid_until)
    }

    /// The phase in one word: what metrics and results call it.
    #[must_use]
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Minting(_) => "minting",
            Phase::Delivering(_) => "delivering",
            Phase::Steady
                if self.retiring.iter().any(|retiring| retiring.state.announced_at().is_some()) =>
            {
                "revoking"
            }
            Phase::Steady if !self.retiring.is_empty() => "retiring",
            Phase::Steady => "steady",
        }
    }
}

/// All that [`Record::phase_name`] can say.
pub const PHASES: [&str; 5] = ["steady", "minting", "delivering", "retiring", "revoking"];
