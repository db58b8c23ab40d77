//! How much of a tenant's request limit is used.

use super::budget::RateLimit;

/// A tenant's request limit, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The limit; `None`: as its kind usually has it.
    pub limit: Option<RateLimit>,
    /// How much of that limit is used at most.
    pub share: LimitShare,
}

/// A part of a limit, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LimitShare(pub(super) f64);

impl LimitShare {
    /// As a number in (0, 1].
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Allowance {
    /// What is within both.
    pub(crate) fn lower(self, other: Self) -> Self {
        let limit = match (self.limit, other.limit) {
            (Some(one), Some(other)) => Some(RateLimit {
                per_second: one.per_second.min(other.per_second),
                burst: one.burst.min(other.burst),
            }),
            (one, other) => one.or(other),
        };
        let share = if other.share < self.share { other.share } else { self.share };
        Self { limit, share }
    }
}
