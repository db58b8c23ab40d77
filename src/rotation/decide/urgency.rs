//! How much a request matters where a tenant's request budget is short.

use chrono::TimeDelta;

use super::{Situation, life_left};
use crate::rotation::request::RotationRequest;

/// A current token with less than this left is urgent.
const SOON: TimeDelta = TimeDelta::hours(1);

/// How much a request matters where a tenant's request budget is short: urgent work goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A survey, a rotation well ahead of expiry.
    Routine,
    /// A token is gone or near its expiry.
    Urgent,
    /// `--compromised`: may take the tenant's whole limit.
    Emergency,
}

/// How much the next request for this connection matters.
#[must_use]
pub fn urgency(s: &Situation<'_>) -> Urgency {
    let near = life_left(s.record, s.provider_now()).is_some_and(|left| left < SOON);
    match s.request {
        RotationRequest::Compromised { .. } => Urgency::Emergency,
        RotationRequest::Due
        | RotationRequest::Woken
        | RotationRequest::First { .. }
        | RotationRequest::Rotate { .. } => {
            if near || s.record.cut_off_since().is_some() {
                Urgency::Urgent
            } else {
                Urgency::Routine
            }
        }
    }
}
