//! What a person should look at.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{ConnectionStatus, blocked};
use crate::{
    clock::Timestamp,
    rotation::{
        policy::Policy,
        record::Record,
        view::{self, GONE, Kind},
    },
    words::date,
};

/// An older token that could have gone this long ago needs somebody to look at it: in `alerts.yml`
/// as well.
pub const REVOCATION_STUCK: TimeDelta = TimeDelta::days(3);

/// A hand-off that nobody took for this long: in `alerts.yml` as well.
pub const HAND_OFF_LONG: TimeDelta = TimeDelta::hours(24);

/// With less than one of so many parts of the time left that there was for it, a hand-off is urgent, …
pub const HAND_OFF_PART: i32 = 3;

/// … with this much left at most. Both in `alerts.yml` as well.
pub const HAND_OFF_AT_MOST: TimeDelta = TimeDelta::days(7);

/// A list older than so many intervals is stale: in `alerts.yml` as well.
pub const SURVEYS_MISSED: i32 = 3;

/// Where a job does what is due once a day, instead of a daemon, checks are this old at most.
const DAILY: TimeDelta = TimeDelta::hours(26);

/// No list is stale that is younger than this: with very short intervals an answer, or a pause after a
/// failure, takes longer than several of them.
const SURVEYS_LATE: TimeDelta = TimeDelta::minutes(5);

/// Less than one of so many parts of its life left, and no rotation ahead: the token expires soon.
/// In `alerts.yml` as well, with the following.
pub const SOON_PART: i32 = 4;

/// The same, and it is urgent …
pub const URGENT_PART: i32 = 10;

/// … with a day left at most.
pub(super) const URGENT_AT_MOST: TimeDelta = TimeDelta::days(1);

/// What a person should look at. The most urgent first: in this order connections get series of
/// their own where not all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// The current token works no more: it has expired, or is proven gone at the provider.
    Expired,
    /// It has little time left, and no rotation is ahead.
    AboutToExpire,
    /// The client behind a place has stopped, whatever token it has: leavers keep their access.
    ClientStopped,
    /// A token was not handed over, and the older one, which the client uses, expires soon.
    HandoffUrgent,
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
    /// The SCIM configuration is missing, or is not the one of the policy.
    ScimConfigDrift,
    /// The last proof by writing did not find a user who is deactivated inactive.
    DeactivationLost,
    /// A throw-away user of a proof by writing is not deleted.
    ProbeUserLeft,
}

impl Concern {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Expired,
        Self::AboutToExpire,
        Self::ClientStopped,
        Self::HandoffUrgent,
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
        Self::ScimConfigDrift,
        Self::DeactivationLost,
        Self::ProbeUserLeft,
    ];

    /// Whether somebody has to do something about it. The others say what fails and is tried again,
    /// or what Scimitar itself takes care of.
    #[must_use]
    pub fn needs_person(self) -> bool {
        match self {
            Self::Expired
            | Self::AboutToExpire
            | Self::RotationBlocked
            | Self::RevocationBlocked
            | Self::PreviousStillUsed
            | Self::LeftConfiguration
            | Self::HandoffUrgent
            | Self::HandoffWaiting
            | Self::ClientStopped
            | Self::Unmanaged
            | Self::SinkDrift
            | Self::ScimConfigDrift
            | Self::DeactivationLost
            | Self::ProbeUserLeft => true,
            Self::ExpiresSoon | Self::RotationFailing | Self::SurveyStale | Self::Orphan => false,
        }
    }

    /// In a sentence with the word in front; `None` where a row says it otherwise: by its outcome,
    /// its expiry, its sinks, or a warning of the record.
    pub(super) fn warning(self, status: &ConnectionStatus) -> Option<String> {
        let since = |at: Option<Timestamp>| {
            at.map_or_else(String::new, |at| format!(" since {}", date(at)))
        };
        let words = match self {
            Self::AboutToExpire | Self::ExpiresSoon => {
                "the current token expires soon, and no rotation is scheduled before that"
                    .to_owned()
            }
            Self::RevocationBlocked => {
                format!(
                    "a previous token should have been revoked{}",
                    since(status.revocation_pending)
                )
            }
            Self::SurveyStale => {
                "no complete list of its tokens for three check intervals: the provider gave none, or nobody asked (does a daemon or a timer run?)".to_owned()
            }
            Self::HandoffUrgent => {
                let ends = status.handoff_deadline.map(date).unwrap_or_default();
                format!("a token is not handed over yet, and the previous one expires at {ends}")
            }
            Self::HandoffWaiting => {
                format!("a token waits to be handed over{}", since(status.handoff_waiting))
            }
            Self::ScimConfigDrift => {
                let (words, at) = status.scim_drift.as_ref()?;
                format!("{words}{}", since(Some(*at)))
            }
            Self::ClientStopped => match &status.client_stopped {
                Some((words, since)) => format!("{words} (since {})", date(*since)),
                None => return None,
            },
            Self::Orphan => {
                "a token that Scimitar created and no sink received is not revoked yet".to_owned()
            }
            // What was decided begins with it, unless it was decided before, or nothing may be done.
            Self::Expired => match status.gone_since {
                Some(since) if !status.why.contains(GONE) => {
                    let since = date(since);
                    format!(
                        "the current token {GONE}: clients that use it are locked out (seen {since})"
                    )
                }
                Some(_) | None => return None,
            },
            Self::RotationBlocked
            | Self::RotationFailing
            | Self::PreviousStillUsed
            | Self::LeftConfiguration
            | Self::Unmanaged
            | Self::SinkDrift
            | Self::DeactivationLost
            | Self::ProbeUserLeft => return None,
        };
        Some(format!("{}: {words}", self.as_str()))
    }

    /// The word in `concern`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
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
            Self::HandoffUrgent => "handoff_urgent",
            Self::HandoffWaiting => "handoff_waiting",
            Self::ClientStopped => "client_stopped",
            Self::Orphan => "orphan",
            Self::Unmanaged => "unmanaged",
            Self::SinkDrift => "sink_drift",
            Self::ScimConfigDrift => "scim_config_drift",
            Self::DeactivationLost => "deactivation_lost",
            Self::ProbeUserLeft => "probe_user_left",
        }
    }
}

/// The age at which a list is stale.
fn stale_after(policy: &Policy) -> Option<TimeDelta> {
    let interval = TimeDelta::from_std(policy.survey_interval).ok()?;
    Some((interval * SURVEYS_MISSED).max(SURVEYS_LATE))
}

/// Whether nobody checks the connection any more: the last check, whatever came of it, is older than a daily
/// job's and than a list may be, and the next one has been due for minutes. Where a daemon runs that does not
/// happen, not even while it waits long before it tries again what failed.
#[must_use]
pub fn is_neglected(record: &Record, policy: &Policy, now: Timestamp) -> bool {
    let old = view::checked_at(record)
        .zip(stale_after(policy))
        .is_some_and(|(at, limit)| now - at > limit.max(DAILY));
    let overdue = record.wake_at.is_none_or(|at| now - at > SURVEYS_LATE);
    old && overdue
}

/// All that there are.
pub(super) fn concerns(
    record: &Record,
    policy: Option<&Policy>,
    status: &ConnectionStatus,
    now: Timestamp,
) -> BTreeSet<Concern> {
    let mut found = BTreeSet::new();
    let mut note = |concern, is: bool| {
        if is {
            found.insert(concern);
        }
    };
    // It may say that it expires in a month.
    let life = if status.gone_since.is_some() { Some(Concern::Expired) } else { life(record, now) };
    for concern in [Concern::Expired, Concern::AboutToExpire, Concern::ExpiresSoon] {
        note(concern, life == Some(concern));
    }
    let blocked = &status.rotation_blocked;
    note(Concern::RotationBlocked, blocked.iter().any(|reason| blocked::needs_person(*reason)));
    note(Concern::RotationFailing, blocked.iter().any(|reason| blocked::is_failing(*reason)));
    let longer_than = |since: Option<Timestamp>, most| since.is_some_and(|at| now - at > most);
    let stuck = longer_than(status.revocation_pending, REVOCATION_STUCK);
    note(Concern::RevocationBlocked, stuck);
    let still_used = |retiring| view::still_used(record, retiring).is_some();
    note(Concern::PreviousStillUsed, record.retiring.iter().any(still_used));
    note(Concern::LeftConfiguration, policy.is_none());
    if let Some(limit) = policy.and_then(stale_after) {
        let surveyed = record.survey.as_ref().map(|survey| survey.at);
        note(Concern::SurveyStale, longer_than(surveyed, limit));
    }
    let urgent =
        status.handoff_waiting.zip(status.handoff_deadline).is_some_and(|(since, ends)| {
            ends - now < ((ends - since) / HAND_OFF_PART).min(HAND_OFF_AT_MOST)
        });
    note(Concern::HandoffUrgent, urgent);
    note(Concern::HandoffWaiting, longer_than(status.handoff_waiting, HAND_OFF_LONG));
    note(Concern::ClientStopped, status.client_stopped.is_some());
    note(Concern::Orphan, view::count(record, Kind::Orphan) > 0);
    note(Concern::Unmanaged, view::count(record, Kind::Unmanaged) > 0);
    note(Concern::SinkDrift, record.places().any(|sink| sink.drift.is_some()));
    note(Concern::ScimConfigDrift, status.scim_drift.is_some());
    let lost = record.write_proof.as_ref().is_some_and(|proof| proof.loses_active);
    note(Concern::DeactivationLost, lost);
    let left = record.probe_user.as_ref();
    note(Concern::ProbeUserLeft, left.is_some_and(|user| user.needs_person(now)));
    found
}

/// Which of the three concerns about the current token's life there is.
fn life(record: &Record, now: Timestamp) -> Option<Concern> {
    let token = &record.current.as_ref()?.token;
    let until = token.valid_until?;
    let there = record.believed_clock().to_provider(now);
    let (life, left) = (until - token.created_at, until - there);
    let urgent = (life / URGENT_PART).min(URGENT_AT_MOST);
    // One that fails or is refused is due now, or was due before. What a person holds back is no
    // rotation that can be counted on.
    let paused = record.pause.as_ref().is_some_and(|pause| pause.lasts(now));
    let ahead = !paused && record.next_rotation.is_some_and(|at| at > now);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rotation::{
        fixture::{empty, id, now, policy, rotated, there, trouble},
        record::{Decided, Missing, Status, Trouble},
    };

    const INTERVAL: Duration = Duration::from_secs(300);

    /// In no list for `listed` seconds, and refused or not.
    fn unlisted(record: &mut Record, listed: i64, refused: bool) {
        let first = there() - TimeDelta::minutes(9);
        record.missing = Some(Missing { first, last: first + TimeDelta::seconds(listed), refused });
    }

    #[test]
    fn a_token_that_is_gone_is_as_urgent_as_an_expired_one() {
        let expired = |record: &Record| {
            let status = ConnectionStatus::of(record, Some(&policy()), now());
            (status.concerns.contains(&Concern::Expired), status.needs_person, status.gone_since)
        };
        // It has 30 days left, and the next rotation is ahead.
        let mut record = rotated();
        assert_eq!(expired(&record), (false, false, None));
        // A list may lag, and what is not listed may still work.
        for (listed, refused) in [(4, true), (5, false)] {
            unlisted(&mut record, listed, refused);
            assert_eq!(expired(&record), (false, false, None), "{listed} {refused}");
        }
        unlisted(&mut record, 5, true);
        let since = there() - TimeDelta::minutes(9);
        assert_eq!(expired(&record), (true, true, Some(since)));
        record.current.as_mut().unwrap().token.valid_until = None;
        assert_eq!(expired(&record), (true, true, Some(since)), "without expiry");
        // What had expired before is not gone, but expired.
        record.current.as_mut().unwrap().token.valid_until = Some(since - TimeDelta::days(1));
        assert_eq!(expired(&record), (true, true, None));
        record.current = None;
        assert_eq!(expired(&record), (false, false, None));
    }

    #[test]
    fn a_token_revoked_by_force_is_gone_since_then() {
        let mut record = rotated();
        record.survey = None;
        record.deleted.insert(id("tok_new"), now() + TimeDelta::seconds(30));
        unlisted(&mut record, 60, true);
        let status = ConnectionStatus::of(&record, Some(&policy()), now());
        assert_eq!(status.gone_since, Some(there() + TimeDelta::seconds(30)));
    }

    #[test]
    fn that_a_token_is_gone_is_said_once() {
        let warned = |words: &str| {
            let mut record = rotated();
            unlisted(&mut record, 5, true);
            record.decided = Some(Decided {
                status: Status::Idle,
                reason: None,
                words: words.to_owned(),
                since: now(),
                until: None,
            });
            record.work_at = Some(now());
            let status = ConnectionStatus::of(&record, Some(&policy()), now());
            status.warnings().filter(|warning| warning.contains("locked out")).collect::<Vec<_>>()
        };
        assert_eq!(
            warned("nothing is due"),
            [
                "expired: the current token no longer exists at the provider: clients that use it are locked \
              out (seen 2026-11-22 03:51 UTC)"
            ]
        );
        let said = "tok_new no longer exists at the provider: clients that use it are locked out; and so on";
        assert_eq!(warned(said), [""; 0]);
    }

    #[test]
    fn a_list_is_not_stale_after_a_few_seconds() {
        let stale = |interval, age| {
            let mut record = rotated();
            record.survey.as_mut().unwrap().at = now() - TimeDelta::seconds(age);
            let policy = Policy { survey_interval: Duration::from_secs(interval), ..policy() };
            let status = ConnectionStatus::of(&record, Some(&policy), now());
            status.concerns.contains(&Concern::SurveyStale)
        };
        assert!(!stale(1, 20));
        assert!(stale(1, 301));
        assert!(!stale(600, 1_799));
        assert!(stale(600, 1_801));
    }

    #[test]
    fn one_that_waits_to_try_again_is_not_neglected() {
        let neglected = |age, due: Option<i64>, failed: Option<i64>| {
            let ago = |minutes| now() - TimeDelta::minutes(minutes);
            let mut record = rotated();
            record.survey.as_mut().unwrap().at = ago(age);
            record.wake_at = due.map(ago);
            record.troubles.look = failed.map(|minutes| Trouble { at: ago(minutes), ..trouble(1) });
            is_neglected(&record, &Policy { survey_interval: INTERVAL, ..policy() }, now())
        };
        assert!(!neglected(4, Some(-1), None), "it is checked as often as it is to be");
        assert!(!neglected(25 * 60, Some(24 * 60), None), "a job may run once a day");
        assert!(neglected(27 * 60, Some(11), None));
        assert!(neglected(27 * 60, None, None), "no pass has ended");
        assert!(!neglected(27 * 60, Some(-20), Some(40)), "an hour's pause after a failure");
        assert!(!neglected(27 * 60, Some(2), Some(2)), "a failed check is a check");
        assert!(neglected(28 * 60, Some(60), Some(27 * 60)));
        assert_eq!(view::checked_at(&empty()), None);
    }
}
