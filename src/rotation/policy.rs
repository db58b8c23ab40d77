//! A connection's policy: what the operator asked for, in types that cannot hold nonsense.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{freeze::Freeze, schedule::Schedule, scim_config::WantedConfig};
use crate::{
    shared::Shared,
    token::{ConnectionKey, ConnectionName, ProviderName, Scope, Scopes},
};

/// What a provider can do, as data for the decisions; no decision knows a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// How many live tokens a connection may have; `None`: no limit is known.
    pub cap: Option<u32>,
    /// The shortest life that may be asked for; `None`: tokens of this provider do not expire.
    pub shortest_life: Option<Duration>,
    /// Lives are granted in whole multiples of this: any other one would be rounded.
    pub life_step: Duration,
    /// Whether lists show when a token was last used.
    pub last_used: bool,
    /// Whether tokens have scopes that are asked for and listed.
    pub scopes: bool,
    /// The scope without which a token cannot be proven by reading; `None`: each may read.
    pub read_scope: Option<Scope>,
    /// Whether a token is made with a name that lists show: by it a token of ours is recognised.
    pub names: bool,
    /// Whether every value begins with its token's id: one that does not is no token.
    pub id_in_value: bool,
    /// The scopes of a token where the policy names none and there is no current one to take them
    /// from; empty where tokens have no scopes.
    pub default_scopes: Scopes,
    /// The scopes that the SCIM operations on users need; `None`: it is not known that a user can be
    /// created there and deleted without a trace, so that no token is proven by writing.
    #[serde(default)]
    pub user_scopes: Option<UserScopes>,
}

/// The scopes that the SCIM operations on users need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserScopes {
    /// To read and to search.
    pub read: Scope,
    /// To create.
    pub create: Scope,
    /// To replace.
    pub replace: Scope,
    /// To change attributes.
    pub patch: Scope,
    /// To delete.
    pub delete: Scope,
}

impl UserScopes {
    /// The scopes with these names, in the order of the fields. `None`: one is no scope.
    #[must_use]
    pub fn named([read, create, replace, patch, delete]: [&str; 5]) -> Option<Self> {
        let scope = |name| Scope::try_new(name).ok();
        Some(Self {
            read: scope(read)?,
            create: scope(create)?,
            replace: scope(replace)?,
            patch: scope(patch)?,
            delete: scope(delete)?,
        })
    }
}

/// A share of a life, in (0, 1).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// Accepts more than nothing and less than everything.
    #[must_use]
    pub fn try_new(share: f64) -> Option<Self> {
        (share > 0.0 && share < 1.0).then_some(Self(share))
    }

    /// That share of `whole`.
    #[must_use]
    pub fn of(self, whole: Duration) -> Duration {
        whole.mul_f64(self.0)
    }

    /// As a number in (0, 1).
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// How long before expiry a token is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lead {
    /// When less than this is left.
    Fixed(Duration),
    /// When less than this share of the granted life is left.
    Share(Share),
}

impl Lead {
    /// What that is for a life of `granted`, held to half of it.
    #[must_use]
    pub fn of(self, granted: Duration) -> Duration {
        let asked = match self {
            Self::Fixed(duration) => duration,
            Self::Share(share) => share.of(granted),
        };
        asked.min(granted / 2)
    }
}

/// Which scopes a replacement gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopePolicy {
    /// Those of the current token.
    Inherit,
    /// The same; where there is no current token, the provider's default.
    InheritOrDefault,
    /// These.
    Exactly(Scopes),
}

/// How a new token is proven before it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Not at all.
    Off,
    /// `GET /Users?count=1`.
    Read,
    /// The same, then with a throw-away user that is created, changed and deleted.
    Write,
}

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Yes.
    Rotate,
    /// Watch, measure and alert only.
    Observe,
}

impl Mode {
    /// The word, in the configuration and in rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Observe => "observe",
        }
    }
}

/// What is done about a token that nobody owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmanaged {
    /// It is shown.
    Report,
    /// Older than our current one, seen for 24 h and unused for 7 days, it is retired.
    Retire,
}

/// What is done about a sink that somebody else wrote to, and about a SCIM configuration that somebody
/// else changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrift {
    /// It is shown; a sink is repaired by the next rotation.
    Report,
    /// A sink is repaired from one that holds the current token, a configuration from the policy.
    Restore,
}

/// When an older token may be revoked. Frozen into the record when a rotation begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// The older token lives at least this long beside the new one, once every sink has that.
    pub overlap: Duration,
    /// And until the new token has been used after our own probe.
    pub after_use: bool,
    /// And until the older one has been unused this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_idle: Option<Duration>,
    /// Revoke then even without that evidence; `None`: it waits and alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_latest: Option<Duration>,
}

impl Retire {
    /// How long an older token lives beside the new one where the policy does not say.
    pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 3_600);
}

impl Default for Retire {
    /// A day, and no evidence.
    fn default() -> Self {
        Self { overlap: Self::DEFAULT_OVERLAP, after_use: false, when_idle: None, at_latest: None }
    }
}

/// What the operator asked for: what `[defaults]` and a connection can say. The default is what a
/// connection has that says nothing, where the provider does not tell of use.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What a replacement may do.
    pub scopes: ScopePolicy,
    /// How long a replacement lives; `None`: without expiry.
    pub token_lifetime: Option<Duration>,
    /// Due when less than this is left. `None` when only `schedule` or `max_age` decide.
    pub rotate_before: Option<Lead>,
    /// Due when older than this.
    pub max_age: Option<Duration>,
    /// When a rotation may start; `None`: as soon as due.
    pub schedule: Option<Schedule>,
    /// When nothing is started and nothing is revoked.
    pub freeze: Freeze,
    /// When an older token may go.
    pub retire: Retire,
    /// How a new token is proven.
    pub verify: Verify,
    /// Whether anything may be changed.
    pub mode: Mode,
    /// What is done about tokens that nobody owns.
    pub unmanaged: Unmanaged,
    /// What is done about drift.
    pub on_drift: OnDrift,
    /// How long before the token in use stops working hooks are told so; `None`: as is usual.
    pub notify_before: Option<BTreeSet<Duration>>,
    /// What the connection's SCIM configuration is to be; `None`: it is not looked at.
    pub scim_config: Option<WantedConfig>,
    /// Who is asked about the connection.
    pub owner: Option<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            scopes: ScopePolicy::InheritOrDefault,
            token_lifetime: None,
            rotate_before: None,
            max_age: None,
            schedule: None,
            freeze: Freeze::default(),
            retire: Retire::default(),
            verify: Verify::Read,
            mode: Mode::Rotate,
            unmanaged: Unmanaged::Report,
            on_drift: OnDrift::Report,
            notify_before: None,
            scim_config: None,
            owner: None,
        }
    }
}

/// [`Terms::notify_before`] where the policy does not say.
pub const USUAL_NOTICE: [Duration; 3] = [
    Duration::from_secs(14 * 86_400),
    Duration::from_secs(3 * 86_400),
    Duration::from_secs(86_400),
];

impl Terms {
    /// How long before its end hooks are told that a token with this life stops working. The usual
    /// times are those that a token only reaches when it was not rotated in time.
    pub fn thresholds(&self, life: Duration) -> impl Iterator<Item = Duration> {
        let in_time = match (self.mode, self.rotate_before) {
            (Mode::Observe, _) => life,
            (Mode::Rotate, Some(lead)) => lead.of(life),
            (Mode::Rotate, None) => life / 10,
        };
        let usual = USUAL_NOTICE.into_iter().filter(|threshold| *threshold < in_time);
        let asked = self.notify_before.as_ref();
        let all: Vec<Duration> = match asked {
            Some(asked) => asked.iter().copied().filter(|threshold| *threshold < life).collect(),
            None => usual.collect(),
        };
        all.into_iter()
    }
}

/// One connection, as decisions see it: who it is, what its provider can do, and what was asked for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The label.
    pub name: ConnectionName,
    /// The provider's label.
    pub provider: ProviderName,
    /// What the record is kept for.
    pub key: ConnectionKey,
    /// What the provider can do.
    pub capabilities: Shared<Capabilities>,
    /// How often a steady connection is looked at.
    pub survey_interval: Duration,
    /// What was asked for.
    pub terms: Shared<Terms>,
}
