//! When a rotation is due.

use chrono::TimeDelta;

use super::{
    backoff::mix,
    policy::{Lead, Policy, Share},
    record::{Missing, Record},
};
use crate::{
    clock::{Timestamp, rfc3339, spelled},
    token::ConnectionKey,
};

/// A connection is never minted for twice within its overlap, or within this where that is shorter.
pub const FLOOR: TimeDelta = TimeDelta::minutes(15);

/// A tick this close before expiry comes too late: a rotation takes a while.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// When the next rotation is due, and why. Times are the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it may start; `None`: never by itself.
    pub at: Option<Timestamp>,
    /// What makes it due, as in "because …".
    pub because: String,
    /// The token in use is gone, leaked or was never there: windows and the floor do not count.
    pub urgent: bool,
    /// A correction that deserves a warning.
    pub warning: Option<String>,
}

/// Says when the next rotation is due by the policy, without regard to slots and failures.
#[must_use]
pub fn next(policy: &Policy, record: &Record) -> Due {
    let urgent = |because: &str| Due {
        at: Some(Timestamp::UNIX_EPOCH),
        because: because.to_owned(),
        urgent: true,
        warning: None,
    };
    let Some(current) = &record.current else {
        return urgent("no token has been delivered yet");
    };
    if record.condemned.contains(&current.token.id) {
        return urgent("the current token was declared leaked");
    }
    if record.missing.as_ref().is_some_and(Missing::proves_gone) {
        return urgent("the current token is gone at the provider");
    }

    let token = &current.token;
    let granted = token.valid_until.and_then(|until| (until - token.created_at).to_std().ok());
    let lead = policy.rotate_before.zip(granted).map(|(lead, granted)| lead.of(granted));
    let jitter =
        if policy.schedule.is_some() { TimeDelta::zero() } else { jitter(&record.key, policy) };
    let by_expiry = lead
        .zip(token.valid_until)
        .and_then(|(lead, until)| Some(until - TimeDelta::from_std(lead).ok()? - jitter));
    let by_age = policy
        .max_age
        .and_then(|age| Some(token.created_at + TimeDelta::from_std(age).ok()? - jitter));
    let (ripe, because) = match (by_expiry, by_age) {
        (Some(expiry), Some(age)) if age < expiry => (age, older_than(policy)),
        (Some(expiry), _) => (expiry, less_left(policy, token.valid_until)),
        (None, Some(age)) => (age, older_than(policy)),
        (None, None) => (token.created_at, "every tick of the schedule is due".to_owned()),
    };
    let clamped = matches!((policy.rotate_before, granted), (Some(Lead::Fixed(asked)), Some(granted)) if asked > granted / 2);
    let warning = clamped.then(|| {
        "rotate_before is longer than half of the life that was granted; half of it is used"
            .to_owned()
    });

    let Some(schedule) = &policy.schedule else {
        let never = by_expiry.is_none() && by_age.is_none();
        return Due { at: (!never).then_some(ripe), because, urgent: false, warning };
    };
    // Ticks count from when the token came into our hands: what was ripe long before that waits
    // for the next window like anything else.
    let ripe = ripe.max(current.delivered_at.unwrap_or(token.created_at));
    let tick = schedule.next_after(ripe - TimeDelta::milliseconds(1));
    match (tick, token.valid_until) {
        (Some(tick), Some(until)) if tick + MARGIN > until => {
            let half = granted.unwrap_or_default();
            let third = Share::try_new(0.33).map_or(half, |share| share.of(half));
            let latest = until - TimeDelta::from_std(third).unwrap_or_default();
            Due {
                at: Some(ripe.min(latest).max(token.created_at)),
                because: format!(
                    "the token expires at {} and the next tick of the schedule is at {}, which is too late",
                    rfc3339(until),
                    rfc3339(tick)
                ),
                urgent: false,
                warning: Some(
                    "the token would expire before the next tick of the schedule: it is rotated outside of it".to_owned(),
                ),
            }
        }
        (tick, _) => Due { at: tick, because, urgent: false, warning },
    }
}

/// How much earlier than due a connection starts, from its identity: restarts do not move it.
fn jitter(key: &ConnectionKey, policy: &Policy) -> TimeDelta {
    let base = match (policy.rotate_before, policy.token_lifetime, policy.max_age) {
        (Some(lead), Some(life), _) => lead.of(life),
        (_, _, Some(age)) => age / 10,
        (_, _, None) => return TimeDelta::zero(),
    };
    let most = TimeDelta::from_std(base / 10).unwrap_or_default().min(TimeDelta::hours(1));
    let share = i32::try_from(salt(key) % 1000).unwrap_or(0);
    // Whole seconds: what is shown to people is what is meant.
    TimeDelta::seconds((most * share / 1000).num_seconds())
}

/// A number that is a connection's own and never changes (FNV-1a over its identity).
#[must_use]
pub fn salt(key: &ConnectionKey) -> u64 {
    let bytes = key.tenant.as_str().bytes().chain([0]).chain(key.connection.as_str().bytes());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

fn older_than(policy: &Policy) -> String {
    let age = policy.max_age.map(|age| spelled(age));
    format!("the token is older than max_age ({})", age.unwrap_or_default())
}

fn less_left(policy: &Policy, until: Option<Timestamp>) -> String {
    let lead = match policy.rotate_before {
        Some(Lead::Fixed(lead)) => spelled(lead),
        Some(Lead::Share(share)) => format!("{:.0}% of its life", share.get() * 100.0),
        None => String::new(),
    };
    let until = until.map(rfc3339).unwrap_or_default();
    format!("the token expires at {until} and less than rotate_before ({lead}) is left then")
}
