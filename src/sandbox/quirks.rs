//! Where public sources leave open what Auth0 does, tests choose.

use chrono::TimeDelta;
use serde::Deserialize;

use super::{ratelimit::Reset, state::Expired};

/// Standing habits of the tenant where public sources leave them open.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// What becomes of expired tokens.
    pub expired: Expired,
    /// `valid_until` and `last_used_at` are null when they do not apply, as in June 2024,
    /// instead of absent.
    pub nulls: bool,
    /// Seconds within which only the first use of a token is noted.
    pub use_grain: u32,
    /// Seconds until a use shows in lists. Raises `use_grain` to itself.
    pub use_delay: u32,
    /// What DELETE of an unknown token is answered: 404, or 204 when set.
    pub delete_is_idempotent: bool,
    /// The scopes that a log-in is granted; absent: all.
    pub grant: Option<Vec<String>>,
    /// A strategy without SCIM is answered as in 2024 ("scim strategy not enabled").
    pub terse_strategy_error: bool,
    /// What `x-ratelimit-reset` names where there is a limit.
    pub reset: Reset,
    /// A user who is deactivated stays active, as with a mapping that loses it.
    pub loses_active: bool,
    /// A user who is not active is hidden: a read is answered 404, and no list has it. It can be deleted.
    pub hides_inactive: bool,
    /// No answer says whether a user is active.
    pub hides_active: bool,
    /// A list of users is answered with all of them, whatever the filter.
    pub ignores_filters: bool,
    /// dbt Cloud wants `Authorization: Bearer …` instead of `Token …`.
    pub dbt_bearer: bool,
    /// How many tokens one page of dbt Cloud's list holds; absent: 100.
    pub dbt_page: Option<u32>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            expired: Expired::Listed,
            nulls: false,
            use_grain: 0,
            use_delay: 0,
            delete_is_idempotent: false,
            grant: None,
            terse_strategy_error: false,
            reset: Reset::OneMore,
            loses_active: false,
            hides_inactive: false,
            hides_active: false,
            ignores_filters: false,
            dbt_bearer: false,
            dbt_page: None,
        }
    }
}

impl Quirks {
    /// Whether a log-in is granted `scope`.
    pub(super) fn grants(&self, scope: &str) -> bool {
        self.grant.as_ref().is_none_or(|granted| granted.iter().any(|name| name == scope))
    }

    /// How late uses show.
    pub(super) fn use_delay(&self) -> TimeDelta {
        TimeDelta::seconds(self.use_delay.into())
    }

    /// How far apart noted uses are.
    pub(super) fn use_grain(&self) -> TimeDelta {
        TimeDelta::seconds(self.use_grain.max(self.use_delay).into())
    }
}
