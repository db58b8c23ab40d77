//! When a rotation is due.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    backoff::mix,
    policy::{Lead, Policy, Share},
    record::{Missing, Record},
    schedule::Schedule,
};
use crate::{
    clock::{Timestamp, rfc3339, spelled},
    token::{ConnectionKey, Listed},
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
    let jitter = if policy.schedule.is_some() {
        TimeDelta::zero()
    } else {
        jitter(&record.key, lead.or_else(|| policy.max_age.map(|age| age / 10)))
    };
    let by_expiry = lead
        .zip(token.valid_until)
        .and_then(|(lead, until)| Some(until - TimeDelta::from_std(lead).ok()? - jitter));
    let by_age = policy
        .max_age
        .and_then(|age| Some(token.created_at + TimeDelta::from_std(age).ok()? - jitter));
    // However it is, a token is not left to expire.
    let latest = latest(token);
    let (ripe, because) = match (by_expiry, by_age, latest) {
        (Some(expiry), Some(age), _) if age < expiry => (age, older_than(policy)),
        (Some(expiry), _, _) => (expiry, less_left(policy, token.valid_until)),
        (None, Some(age), Some(latest)) if latest < age => {
            (latest, "the token would expire before it is older than max_age".to_owned())
        }
        (None, Some(age), _) => (age, older_than(policy)),
        (None, None, _) => (token.created_at, "every tick of the schedule is due".to_owned()),
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
    // for the next window like anything else, and the tick that brought it brings no other.
    let handed = current.delivered_at.unwrap_or(token.created_at);
    let tick = if ripe > handed {
        schedule.next_after(ripe - TimeDelta::milliseconds(1))
    } else {
        schedule.next_after(handed)
    };
    let ripe = ripe.max(handed);
    let (Some(until), Some(latest)) = (token.valid_until, latest) else {
        let at = tick.map(|tick| schedule.start(tick, salt(&record.key)));
        return Due { at, because, urgent: false, warning };
    };
    if let Some(tick) = tick.filter(|tick| *tick + MARGIN <= until) {
        let at = Some(spread(schedule, tick, &record.key, until));
        return Due { at, because, urgent: false, warning };
    }
    // With ticks alone there is no other moment at which it is due than the last one.
    let ticks_alone = by_expiry.is_none() && by_age.is_none();
    let at = if ticks_alone { latest } else { ripe.min(latest) };
    let next = tick.map_or_else(
        || "the schedule has no further tick".to_owned(),
        |tick| format!("the next tick of the schedule is at {}, which is too late", rfc3339(tick)),
    );
    Due {
        at: Some(at.max(token.created_at)),
        because: format!("the token expires at {} and {next}", rfc3339(until)),
        urgent: false,
        warning: Some(
            "the token would expire before the next tick of the schedule: it is rotated outside of it".to_owned(),
        ),
    }
}

/// When a connection starts for this tick, before its token's end comes too near.
fn spread(
    schedule: &Schedule,
    tick: Timestamp,
    key: &ConnectionKey,
    until: Timestamp,
) -> Timestamp {
    schedule.start(tick, salt(key)).min(until - MARGIN).max(tick)
}

/// When a token has to be replaced at the latest: a third of its life before its end.
pub(super) fn latest(token: &Listed) -> Option<Timestamp> {
    let until = token.valid_until?;
    let granted = (until - token.created_at).to_std().ok()?;
    let third = Share::try_new(0.33).map_or(granted / 3, |share| share.of(granted));
    Some(until - TimeDelta::from_std(third).ok()?)
}

/// How much earlier than due a connection starts, from its identity: restarts do not move it. Up to
/// a tenth of the lead, an hour at most.
fn jitter(key: &ConnectionKey, lead: Option<Duration>) -> TimeDelta {
    let tenth = lead.map(|lead| lead / 10).and_then(|tenth| TimeDelta::from_std(tenth).ok());
    let most = tenth.unwrap_or_default().min(TimeDelta::hours(1));
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
    let age = policy.max_age.map(spelled);
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
