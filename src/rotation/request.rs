//! What a call wants of a connection.

use chrono::TimeDelta;

use super::record::Rotation;
use crate::clock::Timestamp;

/// What a call wants of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationRequest {
    /// Whatever is due, by a look at the provider and at every place.
    Due,
    /// What the connection was put into the queue for: the same, unless only a hook waits.
    Woken,
    /// What a replica that has just begun wants: the same as [`RotationRequest::Due`], unless another one
    /// has looked meanwhile.
    First {
        /// When it began.
        since: Timestamp,
    },
    /// A token whose rotation finished after this moment.
    Rotate {
        /// When the call began.
        since: Timestamp,
    },
    /// A token whose rotation began after this moment; the ones before it are condemned first.
    Compromised {
        /// When the call began.
        since: Timestamp,
    },
}

/// How far apart the clocks of replicas may be that go by one ledger's.
const APART: TimeDelta = TimeDelta::minutes(1);

/// Whether what happened `at` that moment happened after another. A moment that is still to come was
/// written down before the clock was set back: it says nothing of the order of the two.
pub(super) fn is_since(moment: Timestamp, at: Timestamp, now: Timestamp) -> bool {
    at >= moment && at - now <= APART
}

impl RotationRequest {
    /// When the call began, if a person asks for a rotation.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Due | Self::Woken | Self::First { .. } => None,
            Self::Rotate { since } | Self::Compromised { since } => Some(*since),
        }
    }

    /// Whether a rotation is what a person's call asks for.
    #[must_use]
    pub fn is_answered_by(&self, rotation: &Rotation, now: Timestamp) -> bool {
        match self {
            Self::Due | Self::Woken | Self::First { .. } => false,
            Self::Rotate { since } => is_since(*since, rotation.finished, now),
            Self::Compromised { since } => is_since(*since, rotation.began, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, token::TokenId};

    #[test]
    fn what_a_clock_set_back_left_behind_answers_no_call() {
        let now = parse_timestamp("2026-11-30T12:00:00Z").unwrap();
        let since = now - TimeDelta::seconds(5);
        let done = |began: TimeDelta| Rotation {
            began: now + began,
            finished: now + began,
            id: TokenId::try_new("tok_1").unwrap(),
        };
        for call in [RotationRequest::Rotate { since }, RotationRequest::Compromised { since }] {
            let answers = |began| call.is_answered_by(&done(began), now);
            assert!(!answers(TimeDelta::seconds(-6)), "before the call");
            assert!(answers(TimeDelta::seconds(-5)));
            assert!(answers(TimeDelta::zero()));
            assert!(answers(TimeDelta::seconds(2)), "by another replica, whose clock is near ours");
            assert!(!answers(TimeDelta::hours(3)), "written by a clock that was set back");
        }
        assert!(!RotationRequest::Due.is_answered_by(&done(TimeDelta::zero()), now));
    }
}
