//! What a record says about what is blocked, since when, and what a person should look at.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::{
    clock::Timestamp,
    error::Code,
    rotation::{
        due,
        policy::{Mode, Policy},
        record::{Cause, Older, Phase, Record},
        view::{self, Kind},
        why::Reason,
    },
};

/// An older token that could have gone this long ago needs somebody to look at it: in `alerts.yml`
/// as well.
pub(super) const REVOCATION_STUCK: TimeDelta = TimeDelta::days(3);

/// A client that uses the older token this long after every sink had the newer one was not updated,
/// or is somebody else: in `alerts.yml` as well.
pub(super) const STILL_USED: TimeDelta = TimeDelta::hours(1);

/// A hand-off that nobody took for this long: in `alerts.yml` as well.
pub(super) const HAND_OFF_LONG: TimeDelta = TimeDelta::hours(1);

/// A list older than so many intervals is stale: in `alerts.yml` as well.
pub(super) const SURVEYS_MISSED: i32 = 3;

/// Less than one of so many parts of its life left, and no rotation ahead: the token expires soon.
/// In `alerts.yml` as well, with the following.
pub(super) const SOON_PART: i32 = 4;

/// The same, and it is urgent; a day at most.
pub(super) const URGENT_PART: i32 = 10;

/// What a person should look at. The most urgent first: in this order connections get series of
/// their own where not all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    /// The current token works no more.
    Expired,
    /// It has little time left, and no rotation is ahead.
    AboutToExpire,
    /// It has a quarter of its life left, and no rotation is ahead.
    ExpiresSoon,
    /// No rotation can start until an operator decides, or the older token is gone.
    RotationBlocked,
    /// Making a token fails, or provider or sinks cannot be reached.
    RotationFailing,
    /// An older token could have gone long ago.
    RevocationBlocked,
    /// The older token is used although every sink has the newer one.
    PreviousStillUsed,
    /// The connection left the configuration with tokens that are to be revoked.
    LeftConfiguration,
    /// The provider has not given a list for long.
    SurveyStale,
    /// A token waits to be handed over.
    HandoffWaiting,
    /// A token of ours is there that no sink ever got.
    Orphan,
    /// A token is there that nobody here owns.
    Unmanaged,
    /// A sink holds what it should not.
    SinkDrift,
}

impl Concern {
    /// All of them.
    pub(super) const ALL: [Self; 13] = [
        Self::Expired,
        Self::AboutToExpire,
        Self::ExpiresSoon,
        Self::RotationBlocked,
        Self::RotationFailing,
        Self::RevocationBlocked,
        Self::PreviousStillUsed,
        Self::LeftConfiguration,
        Self::SurveyStale,
        Self::HandoffWaiting,
        Self::Orphan,
        Self::Unmanaged,
        Self::SinkDrift,
    ];

    /// The word in `concern`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::AboutToExpire => "about_to_expire",
            Self::ExpiresSoon => "expires_soon",
            Self::RotationBlocked => "rotation_blocked",
            Self::RotationFailing => "rotation_failing",
            Self::RevocationBlocked => "revocation_blocked",
            Self::PreviousStillUsed => "previous_still_used",
            Self::LeftConfiguration => "left_configuration",
            Self::SurveyStale => "survey_stale",
            Self::HandoffWaiting => "handoff_waiting",
            Self::Orphan => "orphan",
            Self::Unmanaged => "unmanaged",
            Self::SinkDrift => "sink_drift",
        }
    }
}

/// How a connection stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Why no rotation can start.
    pub(super) rotation_blocked: BTreeSet<Reason>,
    /// Why older tokens have to stay.
    pub(super) revocation_blocked: BTreeSet<Reason>,
    /// Since when one could have gone but for evidence or failures.
    pub(super) revocation_pending: Option<Timestamp>,
    /// Since when a place that cannot be asked was to take a token.
    pub(super) handoff_waiting: Option<Timestamp>,
    /// What a person should look at.
    pub(super) concerns: BTreeSet<Concern>,
}

impl Standing {
    /// Of a connection that the ledger knows at another tenant: it is refused.
    pub(super) fn moved() -> Self {
        Self {
            rotation_blocked: [Reason::TenantChanged].into(),
            concerns: [Concern::RotationBlocked].into(),
            ..Self::default()
        }
    }
}

/// Whether a rotation can wait for this; each such reason has a series from the beginning.
pub(super) fn blocks_rotation(reason: Reason) -> bool {
    match reason {
        Reason::NoFreeSlot
        | Reason::UnmanagedToken
        | Reason::PreviousInUse
        | Reason::Window
        | Reason::SinkUnavailable
        | Reason::ProviderUnavailable
        | Reason::ForeignOwner
        | Reason::TenantChanged
        | Reason::Brake
        | Reason::NoScopes
        | Reason::TokenRefused
        | Reason::PlaceChanged
        | Reason::ForeignContent
        | Reason::TokenElsewhere
        | Reason::DeadToken
        | Reason::PolicyChanged
        | Reason::NeverDue
        | Reason::Observe => true,
        // Of a call or of an older token; drift is repaired by the next rotation.
        Reason::Drift
        | Reason::Overlap
        | Reason::Evidence
        | Reason::NotUsed
        | Reason::ClaimedElsewhere
        | Reason::Timeout
        | Reason::Backoff
        | Reason::Interrupted => false,
    }
}

/// Whether an older token can have to stay for this; each such reason has a series from the
/// beginning.
pub(super) fn blocks_revocation(reason: Reason) -> bool {
    match reason {
        Reason::Overlap
        | Reason::Evidence
        | Reason::NotUsed
        | Reason::Drift
        | Reason::SinkUnavailable
        | Reason::ProviderUnavailable
        | Reason::PlaceChanged
        | Reason::Observe => true,
        Reason::NoFreeSlot
        | Reason::UnmanagedToken
        | Reason::PreviousInUse
        | Reason::Window
        | Reason::ForeignOwner
        | Reason::TenantChanged
        | Reason::Brake
        | Reason::ClaimedElsewhere
        | Reason::NoScopes
        | Reason::TokenRefused
        | Reason::ForeignContent
        | Reason::TokenElsewhere
        | Reason::DeadToken
        | Reason::PolicyChanged
        | Reason::NeverDue
        | Reason::Timeout
        | Reason::Backoff
        | Reason::Interrupted => false,
    }
}

/// How a connection stands; `policy` is `None` when it left the configuration.
pub(super) fn of(record: &Record, policy: Option<&Policy>, now: Timestamp) -> Standing {
    let older = || record.older.iter();
    let mut standing = Standing {
        rotation_blocked: rotation(record, policy, now),
        revocation_blocked: older().flat_map(|older| holds_back(record, older, now)).collect(),
        revocation_pending: older().filter_map(|older| pending_since(record, older, now)).min(),
        handoff_waiting: handoff_since(record),
        concerns: BTreeSet::new(),
    };
    let observed = policy.is_some_and(|policy| policy.mode == Mode::Observe);
    if observed && !record.older.is_empty() {
        standing.revocation_blocked.insert(Reason::Observe);
    }
    standing.concerns = concerns(record, policy, &standing, now);
    standing
}

fn concerns(
    record: &Record,
    policy: Option<&Policy>,
    standing: &Standing,
    now: Timestamp,
) -> BTreeSet<Concern> {
    let mut found = BTreeSet::new();
    let mut note = |concern, is: bool| {
        if is {
            found.insert(concern);
        }
    };
    let life = life(record, now);
    for concern in [Concern::Expired, Concern::AboutToExpire, Concern::ExpiresSoon] {
        note(concern, life == Some(concern));
    }
    let blocked = &standing.rotation_blocked;
    note(Concern::RotationBlocked, blocked.iter().any(|reason| needs_a_person(*reason)));
    note(Concern::RotationFailing, blocked.iter().any(|reason| is_failing(*reason)));
    let longer_than = |since: Option<Timestamp>, most| since.is_some_and(|at| now - at > most);
    let stuck = longer_than(standing.revocation_pending, REVOCATION_STUCK);
    note(Concern::RevocationBlocked, stuck);
    note(Concern::PreviousStillUsed, still_used(record));
    note(Concern::LeftConfiguration, policy.is_none());
    if let Some(interval) =
        policy.and_then(|policy| TimeDelta::from_std(policy.survey_interval).ok())
    {
        let surveyed = record.survey.as_ref().map(|survey| survey.at);
        note(Concern::SurveyStale, longer_than(surveyed, interval * SURVEYS_MISSED));
    }
    note(Concern::HandoffWaiting, longer_than(standing.handoff_waiting, HAND_OFF_LONG));
    note(Concern::Orphan, view::count(record, Kind::Orphan) > 0);
    note(Concern::Unmanaged, view::count(record, Kind::Unmanaged) > 0);
    note(Concern::SinkDrift, record.places().any(|sink| sink.drift.is_some()));
    found
}

/// Which of the three concerns about the current token's life there is.
fn life(record: &Record, now: Timestamp) -> Option<Concern> {
    let token = &record.current.as_ref()?.token;
    let until = token.valid_until?;
    let (life, left) = (until - token.created_at, until - now);
    let urgent = (life / URGENT_PART).min(TimeDelta::days(1));
    // One that fails or is refused is due now, or was due before.
    let ahead = record.next_rotation.is_some_and(|at| at > now);
    if left <= TimeDelta::zero() {
        Some(Concern::Expired)
    } else if ahead {
        None
    } else if left <= urgent {
        Some(Concern::AboutToExpire)
    } else {
        (left <= life / SOON_PART).then_some(Concern::ExpiresSoon)
    }
}

/// A refusal that an operator has to end, or an older token that is in the way of what is due.
pub(super) fn needs_a_person(reason: Reason) -> bool {
    blocks_rotation(reason)
        && !is_failing(reason)
        && !matches!(reason, Reason::Window | Reason::Observe | Reason::PolicyChanged)
}

/// A failure that is being retried.
pub(super) fn is_failing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ProviderUnavailable
            | Reason::SinkUnavailable
            | Reason::TokenRefused
            | Reason::DeadToken
    )
}

fn still_used(record: &Record) -> bool {
    let used = view::previous(record).and_then(|older| view::older_use(record, older));
    let all_had_it = record.last_rotation.as_ref().map(|last| last.finished);
    used.zip(all_had_it).is_some_and(|(used, had)| used - had > STILL_USED)
}

/// Why no rotation could start now.
fn rotation(record: &Record, policy: Option<&Policy>, now: Timestamp) -> BTreeSet<Reason> {
    let mut reasons: BTreeSet<Reason> =
        record.refusal.iter().map(|refusal| refusal.reason).collect();
    if let Some(trouble) = &record.troubles.mint {
        reasons.insert(view::blame(record, trouble.fault.code));
    }
    if record.troubles.look.is_some() {
        reasons.insert(Reason::ProviderUnavailable);
    }
    if record.places().any(|sink| sink.trouble.is_some()) {
        reasons.insert(Reason::SinkUnavailable);
    }
    if record.outage().is_some() {
        reasons.insert(Reason::DeadToken);
    }
    let Some(policy) = policy else { return reasons };
    if policy.mode == Mode::Observe {
        reasons.insert(Reason::Observe);
    } else if due::next(policy, record).policy_changed {
        reasons.insert(Reason::PolicyChanged);
    } else if waits_for_window(record, policy, now) {
        reasons.insert(Reason::Window);
    }
    reasons
}

/// Due by its life or age, but the schedule has not come.
fn waits_for_window(record: &Record, policy: &Policy, now: Timestamp) -> bool {
    if policy.schedule.is_none() || record.next_rotation.is_none_or(|next| next <= now) {
        return false;
    }
    let at_any_time = Policy { schedule: None, ..policy.clone() };
    due::next(&at_any_time, record).at.is_some_and(|at| at <= now)
}

/// Why an older token has to stay.
fn holds_back(record: &Record, older: &Older, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let troubles = || record.sinks.values().filter_map(|sink| sink.trouble.as_ref());
    let moved = troubles().any(|trouble| trouble.fault.code == Code::PlaceChanged);
    if older.cause == Cause::Superseded && !record.condemned.contains(&older.token.id) {
        let steady = record.phase == Phase::Steady;
        let elsewhere = record.places().any(|sink| sink.holds.as_ref() != record.target());
        match view::overlap_ends(older) {
            // Some sink still lacks the newer one: the overlap has not begun.
            None => {
                reasons.push(if moved {
                    Reason::PlaceChanged
                } else if troubles().next().is_some() {
                    Reason::SinkUnavailable
                } else {
                    Reason::Overlap
                });
            }
            Some(end) if end > now => reasons.push(Reason::Overlap),
            Some(_) => {
                // No last look is to be had of a place that is another one.
                reasons.extend(moved.then_some(Reason::PlaceChanged));
                // What replaces it is not where it should be.
                reasons.extend((elsewhere && steady).then_some(Reason::Drift));
                // Where the evidence is in, the token is deleted in the same step: one that is
                // still there, and not announced, waits for it.
                let waits = older.announced_at.is_none() && asks_for_evidence(older);
                reasons.extend(waits.then_some(Reason::Evidence));
            }
        }
        reasons.extend(view::not_used_since(record, older, now).map(|_| Reason::NotUsed));
    }
    if record.troubles.revoke.is_some() {
        reasons.push(Reason::ProviderUnavailable);
    }
    reasons
}

fn asks_for_evidence(older: &Older) -> bool {
    older.retire.after_use || older.retire.when_idle.is_some() || older.on_evidence
}

/// Since when an older token could have gone but for evidence or failures.
fn pending_since(record: &Record, older: &Older, now: Timestamp) -> Option<Timestamp> {
    let overlap_over = view::overlap_ends(older).filter(|end| *end <= now);
    let failing = record.troubles.revoke.as_ref().map(|trouble| trouble.since);
    overlap_over.or(older.announced_at).or(failing)
}

/// Since when a place that cannot be asked, such as a person to hand a token over to, was to take
/// the token that it does not have yet.
fn handoff_since(record: &Record) -> Option<Timestamp> {
    let waiting = record
        .places()
        .filter(|sink| !sink.readable && sink.holds.as_ref() != record.target())
        .filter_map(|sink| {
            let begun = sink.begun.as_ref().map(|begun| begun.at);
            begun.or_else(|| sink.trouble.as_ref().map(|trouble| trouble.since))
        });
    waiting.min()
}
