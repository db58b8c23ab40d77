//! When a rotation is due.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    backoff::mix,
    policy::{Lead, Policy, ScopePolicy, Share},
    record::{Current, Missing, Record},
    schedule::Schedule,
};
use crate::{
    clock::{ProviderTime, Told, spelled},
    token::{ConnectionKey, Listed, Scopes},
    words::date,
};

/// A connection is never minted for twice within its overlap, or within this where that is shorter.
pub const FLOOR: TimeDelta = TimeDelta::minutes(15);

/// A tick this close before expiry comes too late: a rotation takes a while.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// A life that is longer than the policy's by no more than this satisfies it.
const TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// When the next rotation is due, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it may start; `None`: never by itself.
    pub at: Option<ProviderTime>,
    /// What makes it due, as in "because …".
    pub because: String,
    /// It is gone from where it should be, leaked or was never there: windows and the floor do not
    /// count.
    pub urgent: bool,
    /// Readers are without a token that works, or with a leaked one: no pause and no freeze counts
    /// either.
    pub cut_off: bool,
    /// The token does not satisfy the policy; that alone makes it due.
    pub policy_changed: bool,
    /// A correction that deserves a warning.
    pub warning: Option<String>,
}

/// What the policy asks for and the current token is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is due in the next window: why, in words.
    Replace(String),
    /// It lives longer than the policy allows, and counts as if it did not.
    Outlives,
}

/// How the current token does not satisfy the policy, if it does not. One of ours is judged by what
/// was *asked* for: a provider that grants something else would be asked for ever.
#[must_use]
pub fn mismatch(policy: &Policy, current: &Current) -> Option<Mismatch> {
    let token = &current.token;
    if policy.capabilities.scopes
        && let ScopePolicy::Exactly(wanted) = &policy.terms.scopes
    {
        let has = current.asked.as_ref().map_or(&token.scopes, |asked| &asked.scopes);
        if has != wanted {
            return Some(Mismatch::Replace(scopes_differ(has, wanted)));
        }
    }
    let life = allowed_life(policy)?;
    match &current.asked {
        Some(asked) => {
            let asked =
                asked.life.map(|asked| TimeDelta::from_std(asked).unwrap_or(TimeDelta::MAX));
            let longer = asked.is_none_or(|asked| asked > life + TOLERANCE);
            longer.then(|| {
                let had = asked.and_then(|asked| asked.to_std().ok()).map_or_else(
                    || "without expiry".to_owned(),
                    |asked| format!("for {}", spelled(asked)),
                );
                let now = spelled(life.to_std().unwrap_or_default());
                Mismatch::Replace(format!(
                    "the token was requested {had}, and token_lifetime is now {now}"
                ))
            })
        }
        None => {
            let end = token.created_at + life + TOLERANCE;
            token.valid_until.is_none_or(|until| until > end).then_some(Mismatch::Outlives)
        }
    }
}

/// The life that the policy gives tokens, where they can have one.
fn allowed_life(policy: &Policy) -> Option<TimeDelta> {
    policy.capabilities.shortest_life?;
    TimeDelta::from_std(policy.terms.token_lifetime?).ok()
}

fn scopes_differ(has: &Scopes, wanted: &Scopes) -> String {
    let names = |scopes: Vec<&crate::token::Scope>| {
        scopes.into_iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
    };
    let surplus = names(has.difference(wanted).collect());
    let missing = names(wanted.difference(has).collect());
    match (surplus.is_empty(), missing.is_empty()) {
        (false, true) => format!("the token has scopes that the policy does not name: {surplus}"),
        (true, _) => format!("the token lacks scopes that the policy names: {missing}"),
        (false, false) => format!(
            "the token has scopes that the policy does not name ({surplus}) and lacks others ({missing})"
        ),
    }
}

/// When a token ends by the policy: at its expiry, or earlier where the policy allows it less.
fn ends_at(policy: &Policy, token: &Listed) -> Option<ProviderTime> {
    let allowed = allowed_life(policy).map(|life| token.created_at + life);
    match (token.valid_until, allowed) {
        (Some(until), Some(allowed)) if until <= allowed + TOLERANCE => Some(until),
        (_, Some(allowed)) => Some(allowed),
        (until, None) => until,
    }
}

/// Whether a policy that was changed makes the token due: [`Due::policy_changed`] without the rest, and
/// without the words.
#[must_use]
pub(super) fn is_policy_changed(policy: &Policy, record: &Record) -> bool {
    record.unsatisfied_since.is_some() && next(policy, record).policy_changed
}

/// Says when the next rotation is due by the policy, without regard to slots and failures.
#[must_use]
pub fn next(policy: &Policy, record: &Record) -> Due {
    let urgent = |because: &str| Due {
        at: Some(ProviderTime::UNIX_EPOCH),
        because: because.to_owned(),
        urgent: true,
        cut_off: true,
        policy_changed: false,
        warning: None,
    };
    let Some(current) = &record.current else {
        return urgent("no token has been delivered yet");
    };
    if record.condemned.contains(&current.token.id) {
        return urgent("the current token was reported as leaked");
    }
    if record.missing.as_ref().is_some_and(Missing::proves_gone) {
        return urgent("the current token no longer exists at the provider");
    }

    let token = &current.token;
    let ends = ends_at(policy, token);
    let granted = ends.and_then(|until| (until - token.created_at).to_std().ok());
    let lead = policy.terms.rotate_before.zip(granted).map(|(lead, granted)| lead.of(granted));
    let jitter = if policy.terms.schedule.is_some() {
        TimeDelta::zero()
    } else {
        jitter(&record.key, lead.or_else(|| policy.terms.max_age.map(|age| age / 10)))
    };
    let by_expiry = lead
        .zip(ends)
        .and_then(|(lead, until)| Some(until - TimeDelta::from_std(lead).ok()? - jitter));
    let by_age = policy
        .terms
        .max_age
        .and_then(|age| Some(token.created_at + TimeDelta::from_std(age).ok()? - jitter));
    // However it is, a token is not left to expire.
    let latest = latest(token);
    let (ripe, because) = match (by_expiry, by_age, latest) {
        (Some(expiry), Some(age), _) if age < expiry => (age, older_than(policy)),
        (Some(expiry), _, _) => (expiry, less_left(policy, token, ends)),
        (None, Some(age), Some(latest)) if latest < age => {
            (latest, "the token would expire before it is older than max_age".to_owned())
        }
        (None, Some(age), _) => (age, older_than(policy)),
        (None, None, _) => {
            (token.created_at, "the policy rotates at every tick of the schedule".to_owned())
        }
    };
    // What has come not to satisfy the policy is due from when that was seen.
    let seen = record.unsatisfied_since;
    let ticks_alone = by_expiry.is_none() && by_age.is_none();
    let changed = match mismatch(policy, current).zip(seen) {
        Some((Mismatch::Replace(words), seen)) if seen < ripe || ticks_alone => Some((seen, words)),
        Some((Mismatch::Replace(_) | Mismatch::Outlives, _)) | None => None,
    };
    let policy_changed = changed.is_some();
    let (ripe, because) = changed.unwrap_or((ripe, because));
    let clamped = matches!((policy.terms.rotate_before, granted), (Some(Lead::Fixed(asked)), Some(granted)) if asked > granted / 2);
    let warning = clamped.then(|| {
        "rotate_before is longer than half of the granted lifetime; half of the lifetime is used instead"
            .to_owned()
    });

    let Some(schedule) = &policy.terms.schedule else {
        let never = by_expiry.is_none() && by_age.is_none() && !policy_changed;
        return Due {
            at: (!never).then_some(ripe),
            because,
            urgent: false,
            cut_off: false,
            policy_changed,
            warning,
        };
    };
    // Ticks count from when the token came into our hands: what was ripe long before that waits
    // for the next window like anything else, and the tick that brought it brings no other.
    let handed = current.delivered_at.unwrap_or(token.created_at);
    // A policy that was changed meanwhile has not had its window yet.
    let waits = policy_changed || matches!(mismatch(policy, current), Some(Mismatch::Outlives));
    let handed = seen.filter(|_| waits).map_or(handed, |seen| seen.max(handed));
    let tick = if ripe > handed {
        next_tick(schedule, ripe - TimeDelta::milliseconds(1))
    } else {
        next_tick(schedule, handed)
    };
    let ripe = ripe.max(handed);
    let (Some(until), Some(latest)) = (token.valid_until, latest) else {
        let at = tick.map(|tick| start(schedule, tick, &record.key));
        return Due { at, because, urgent: false, cut_off: false, policy_changed, warning };
    };
    if let Some(tick) = tick.filter(|tick| *tick + MARGIN <= until) {
        let at = Some(spread(schedule, tick, &record.key, until));
        return Due { at, because, urgent: false, cut_off: false, policy_changed, warning };
    }
    // With ticks alone there is no other moment at which it is due than the last one.
    let at = if ticks_alone { latest } else { ripe.min(latest) };
    let next = tick.map_or_else(
        || "the schedule has no future tick".to_owned(),
        |tick| format!("the next tick of the schedule is at {}, which is too late", date(tick)),
    );
    Due {
        at: Some(at.max(token.created_at)),
        because: format!("the token expires at {} and {next}", date(until)),
        urgent: false,
        cut_off: false,
        policy_changed,
        warning: Some(
            "the token would expire before the next tick of the schedule: Scimitar rotates it outside the schedule".to_owned(),
        ),
    }
}

/// The first tick after a moment. A schedule knows the calendar and no clock: here it is read on the
/// provider's.
fn next_tick(schedule: &Schedule, after: ProviderTime) -> Option<ProviderTime> {
    schedule.next_after(after.as_told()).map(ProviderTime::told)
}

/// When a connection starts for this tick.
pub(super) fn start(schedule: &Schedule, tick: ProviderTime, key: &ConnectionKey) -> ProviderTime {
    ProviderTime::told(schedule.start(tick.as_told(), salt(key)))
}

/// When a connection starts for this tick, before its token's end comes too near.
fn spread(
    schedule: &Schedule,
    tick: ProviderTime,
    key: &ConnectionKey,
    until: ProviderTime,
) -> ProviderTime {
    start(schedule, tick, key).min(until - MARGIN).max(tick)
}

/// When a token has to be replaced at the latest: a third of its life before its end.
pub(super) fn latest(token: &Listed) -> Option<ProviderTime> {
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
    let age = policy.terms.max_age.map(spelled);
    format!("the token is older than max_age ({})", age.unwrap_or_default())
}

fn less_left(policy: &Policy, token: &Listed, ends: Option<ProviderTime>) -> String {
    let lead = match policy.terms.rotate_before {
        Some(Lead::Fixed(lead)) => spelled(lead),
        Some(Lead::Share(share)) => format!("{:.0}% of its lifetime", share.get() * 100.0),
        None => String::new(),
    };
    let until = ends.map(date).unwrap_or_default();
    if ends != token.valid_until {
        let life = policy.terms.token_lifetime.map(spelled).unwrap_or_default();
        let longer = token.valid_until.map_or_else(
            || "never expires".to_owned(),
            |until| format!("expires at {}", date(until)),
        );
        return format!(
            "the token {longer}, and the policy allows {life} (token_lifetime): it is treated as expiring at {until}, with less than rotate_before ({lead}) left"
        );
    }
    format!("the token expires at {until}, with less than rotate_before ({lead}) left")
}
