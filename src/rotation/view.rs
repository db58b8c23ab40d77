//! What a record says to people and to monitoring: derived, never decided on.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;

use super::{
    record::{Cause, Phase, Probe, Proof, Record, Retiring, SinkState},
    trouble::Trouble,
    why::Reason,
};
use crate::{
    clock::{ProviderTime, Timestamp},
    error::{Code, Fault},
    token::{Listed, TokenId},
};

/// Whether a place has the token that it is meant to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkStatus {
    /// It has.
    Delivered,
    /// Not yet, or it is not known yet.
    Pending,
    /// It holds what it should not.
    Drift,
    /// It could not be asked.
    Unreadable,
}

/// When the connection was last checked, whatever came of it: a list of its tokens, or a failure to get one
/// or to reach a place.
#[must_use]
pub fn checked_at(record: &Record) -> Option<Timestamp> {
    let failed = record.troubles.iter().map(|(_, trouble)| trouble);
    let failed = failed.chain(record.sinks.values().flat_map(SinkState::troubles));
    record.survey.iter().map(|survey| survey.at).chain(failed.map(|trouble| trouble.at)).max()
}

impl SinkStatus {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Pending => "pending",
            Self::Drift => "drift",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Whose failure it is that a token was not made: a sink may have been shown beforehand not to take
/// it, or the SCIM endpoint may have refused it afterwards.
#[must_use]
pub fn blame(record: &Record, trouble: &Trouble) -> Reason {
    match trouble.fault.code {
        Code::PlaceChanged => Reason::PlaceChanged,
        Code::ForeignContent => Reason::ForeignContent,
        Code::Io | Code::Changed | Code::ForeignOwner | Code::ClaimLost => Reason::SinkUnavailable,
        Code::NoSlot => Reason::NoFreeSlot,
        Code::ScimNotConfigured => Reason::ScimNotConfigured,
        _ if trouble.of_sink => Reason::SinkUnavailable,
        Code::Unauthorized
            if record.retiring.iter().any(|retiring| retiring.cause == Cause::Bad) =>
        {
            Reason::TokenRefused
        }
        Code::Unauthorized
        | Code::Forbidden
        | Code::NoConnection
        | Code::ScimUnsupported
        | Code::Invalid
        | Code::Throttled
        | Code::Unavailable
        | Code::Timeout
        | Code::Unreachable
        | Code::Unreadable => Reason::ProviderUnavailable,
    }
}

/// Why the provider could not be listed, and what failed: where there is no SCIM configuration, making
/// one comes first.
#[must_use]
pub fn unlisted<'r>(record: &'r Record, listing: &'r Fault) -> (Reason, &'r Fault) {
    if listing.code != Code::ScimNotConfigured {
        return (Reason::ProviderUnavailable, listing);
    }
    match record.scim.as_ref().and_then(|scim| scim.unwritten.as_ref()) {
        Some(trouble) if !trouble.needs_person() => (Reason::ProviderUnavailable, &trouble.fault),
        Some(trouble) => (Reason::ScimNotConfigured, &trouble.fault),
        None => (Reason::ScimNotConfigured, listing),
    }
}

/// What an older token is to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was current.
    Previous,
    /// Ours, and no sink ever got it.
    Orphan,
    /// Nobody's here.
    Unmanaged,
    /// Expired long ago; it counts in no slot.
    Dead,
}

/// What an older token is to people.
#[must_use]
pub fn kind(retiring: &Retiring) -> Kind {
    match retiring.cause {
        Cause::Dead => Kind::Dead,
        Cause::Unmanaged => Kind::Unmanaged,
        // One that was ours keeps the moment at which it was superseded.
        Cause::Asked if retiring.superseded_at.is_none() => Kind::Unmanaged,
        Cause::Superseded | Cause::Asked | Cause::Forced => Kind::Previous,
        Cause::Orphan | Cause::Bad | Cause::GivenUp | Cause::Lingering => Kind::Orphan,
    }
}

/// How many tokens of a kind there are; a stranger on its way out is counted once.
#[must_use]
pub fn count(record: &Record, wanted: Kind) -> usize {
    let retiring = record.retiring.iter().filter(|retiring| kind(retiring) == wanted).count();
    let unmanaged = record
        .unmanaged
        .keys()
        .filter(|id| !record.retiring.iter().any(|retiring| retiring.token.id == **id))
        .count();
    retiring + if wanted == Kind::Unmanaged { unmanaged } else { 0 }
}

/// A token as the last survey showed it, else as the record remembers it.
#[must_use]
pub fn freshest<'a>(record: &'a Record, token: &'a Listed) -> &'a Listed {
    record
        .survey
        .iter()
        .flat_map(|survey| &survey.tokens)
        .find(|listed| listed.id == token.id)
        .unwrap_or(token)
}

/// When a token was last used by somebody else than our own probe, as far as the provider's mark
/// tells: one that may be the probe's says nothing.
#[must_use]
pub fn last_use(listed: &Listed, probe: Option<&Probe>) -> Option<ProviderTime> {
    let used = listed.last_used_at?;
    let Some(probe) = probe else { return Some(used) };
    let ours_until = probe.mark.map_or(probe.arrives_by, |mark| {
        let delay = (mark.seen - probe.sent).max(TimeDelta::zero());
        (probe.arrives_by + delay).max(mark.says)
    });
    // A mark may be coarse, and the provider's clock is known to a second only.
    let is_the_mark = probe.mark.is_some_and(|mark| mark.says == used);
    let ours = is_the_mark || (probe.first_sent - GRAIN..=ours_until).contains(&used);
    (!ours).then_some(used)
}

/// When a client last used the current token, as far as is known.
#[must_use]
pub fn current_use(record: &Record) -> Option<ProviderTime> {
    let current = record.current.as_ref()?;
    let listed = freshest(record, &current.token);
    last_use(listed, current.probe.as_ref()).or(current.first_use)
}

/// What is said of a current token that is certainly gone: in what is decided, and in all that shows it.
pub const GONE: &str = "no longer exists at the provider";

/// Since when the current token is known to be gone at the provider before its time, where that is proven:
/// clients that use it are locked out. Every reader of `expires_at` has to ask this first.
#[must_use]
pub fn gone_since(record: &Record) -> Option<ProviderTime> {
    let token = &record.current.as_ref()?.token;
    let missing = record.missing.as_ref().filter(|missing| missing.proves_gone())?;
    // One that an operator revoked by force is known to the moment, and no list was needed.
    let revoked = record.deleted.get(&token.id);
    let since = revoked.map_or(missing.first, |at| record.believed_clock().to_provider(*at));
    token.valid_until.is_none_or(|until| until > since).then_some(since)
}

/// Since when no list has shown the current token, where that is not yet proof that it is gone.
#[must_use]
pub fn unlisted_since(record: &Record) -> Option<ProviderTime> {
    record.current.as_ref()?;
    record.missing.as_ref().filter(|missing| !missing.proves_gone()).map(|missing| missing.first)
}

/// Until when the current token works, or worked; `None`: there is none, or it does not expire.
#[must_use]
pub fn works_until(record: &Record) -> Option<ProviderTime> {
    gone_since(record).or_else(|| record.expires_at())
}

/// When any listed token was last used by somebody else than our own probe, as far as is known.
#[must_use]
pub fn use_of(record: &Record, token: &Listed) -> Option<ProviderTime> {
    if record.current.as_ref().is_some_and(|current| current.token.id == token.id) {
        return current_use(record);
    }
    if let Phase::Delivering(replacement) = &record.phase
        && replacement.token.id == token.id
    {
        return last_use(freshest(record, token), replacement.probe.as_ref());
    }
    let retiring = record.retiring.iter().find(|retiring| retiring.token.id == token.id);
    retiring.map_or(token.last_used_at, |retiring| retiring_use(record, retiring))
}

/// When somebody last used an older token, as far as is known.
#[must_use]
pub fn retiring_use(record: &Record, retiring: &Retiring) -> Option<ProviderTime> {
    last_use(freshest(record, &retiring.token), retiring.probe.as_ref())
}

/// A client that uses the older token this long after every sink had the newer one was not updated,
/// or is somebody else.
pub const STILL_USED: TimeDelta = TimeDelta::hours(1);

/// When an older token was last used, where that is long after every sink had the newer one.
#[must_use]
pub fn still_used(record: &Record, retiring: &Retiring) -> Option<ProviderTime> {
    let used = retiring_use(record, retiring)?;
    (used - retiring.superseded_at? > STILL_USED).then_some(used)
}

/// After so long a delivered token that nobody uses is said, or after a tenth of the overlap where
/// that is shorter.
const NOT_USED_AFTER: TimeDelta = TimeDelta::hours(4);

/// Since when the current token has been everywhere without a client using it, where an older one
/// waits for that and it has lasted long enough to be said.
#[must_use]
pub fn not_used_since(
    record: &Record,
    retiring: &Retiring,
    now: ProviderTime,
) -> Option<ProviderTime> {
    let current = record.current.as_ref().filter(|current| current.first_use.is_none())?;
    let waits = retiring.cause == Cause::Superseded && retiring.retire.after_use;
    let since = retiring.superseded_at.filter(|_| waits && gone_since(record).is_none())?;
    // Another one may have been delivered since that one was superseded.
    let since = current.delivered_at.map_or(since, |delivered| since.max(delivered));
    let overlap = TimeDelta::from_std(retiring.retire.overlap).unwrap_or(NOT_USED_AFTER * 10);
    (now - since >= NOT_USED_AFTER.min(overlap / 10)).then_some(since)
}

/// The newest token that a newer one has superseded.
#[must_use]
pub fn previous(record: &Record) -> Option<&Retiring> {
    record
        .retiring
        .iter()
        .filter(|retiring| retiring.cause == Cause::Superseded)
        .max_by_key(|retiring| retiring.token.created_at)
}

/// The earliest moment at which an older token may go. Evidence that the policy asks for may keep it
/// longer.
#[must_use]
pub fn revoke_after(record: &Record) -> Option<ProviderTime> {
    let earliest = |retiring: &Retiring| {
        let ends = overlap_ends(retiring)?;
        if !retiring.on_evidence {
            return Some(ends);
        }
        let idle = TimeDelta::from_std(unused_for(retiring)).ok()?;
        Some(ends.max(retiring.superseded_at?.checked_add_signed(idle)?))
    };
    record.retiring.iter().filter_map(earliest).min()?.checked_add_signed(GRAIN)
}

/// How long a token has to be unused that goes on evidence alone.
#[must_use]
pub fn unused_for(retiring: &Retiring) -> Duration {
    retiring.retire.when_idle.unwrap_or(UNUSED_BY_DEFAULT)
}

/// The same, where the policy names no time.
const UNUSED_BY_DEFAULT: Duration = Duration::from_secs(24 * 3_600);

/// The provider's clock is told in whole seconds: a moment that people are told is this much later,
/// so that it has come when they look again.
pub const GRAIN: TimeDelta = TimeDelta::seconds(1);

/// When an older token's overlap is over; `None` while a sink still has to get the newer one.
#[must_use]
pub fn overlap_ends(retiring: &Retiring) -> Option<ProviderTime> {
    let overlap = TimeDelta::from_std(retiring.retire.overlap).ok()?;
    retiring.superseded_at?.checked_add_signed(overlap)
}

/// The token that the sinks are to hold when everything under way is done.
#[must_use]
pub fn wanted(record: &Record) -> Option<&TokenId> {
    match &record.phase {
        Phase::Delivering(replacement) if replacement.proof != Proof::Bad => {
            Some(&replacement.token.id)
        }
        Phase::Delivering(_) | Phase::Minting(_) | Phase::Steady => {
            record.current.as_ref().map(|current| &current.token.id)
        }
    }
}

/// Whether a place has the token that it is meant to hold.
#[must_use]
pub fn sink_status(sink: &SinkState, wanted: Option<&TokenId>) -> SinkStatus {
    let holds_wanted = sink.holds.is_some() && sink.holds.as_ref() == wanted;
    if sink.drift.is_some() {
        SinkStatus::Drift
    } else if sink.begun.is_some() || sink.waits_for_person().is_some() {
        SinkStatus::Pending
    } else if sink.trouble.is_some() && (holds_wanted && !sink.unwritable || sink.holds.is_none()) {
        SinkStatus::Unreadable
    } else if holds_wanted {
        SinkStatus::Delivered
    } else {
        SinkStatus::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::{
        fixture,
        record::{Cause, Mark},
    };

    #[test]
    fn a_token_is_not_unused_since_before_it_was_delivered() {
        let mut record = fixture::rotated();
        let now = fixture::there();
        let previous = record.retiring.first_mut().unwrap();
        previous.retire.after_use = true;
        previous.retire.overlap = Duration::from_secs(86_400);
        previous.cause = Cause::Superseded;
        previous.superseded_at = Some(now - TimeDelta::days(3));
        let previous = previous.clone();
        let since = |record: &Record| not_used_since(record, &previous, now);
        let current = record.current.as_mut().unwrap();
        current.first_use = None;
        current.delivered_at = Some(now - TimeDelta::hours(30));
        assert_eq!(since(&record), Some(now - TimeDelta::hours(30)));
        record.current.as_mut().unwrap().delivered_at = Some(now - TimeDelta::seconds(16));
        assert_eq!(since(&record), None, "another one took its place just now");
        let mut gone = fixture::gone();
        gone.current.as_mut().unwrap().first_use = None;
        assert_eq!(since(&gone), None, "nobody can use it");
    }

    #[test]
    fn our_own_probe_is_no_use_however_coarse_its_mark_is() {
        let sent = fixture::there() + TimeDelta::milliseconds(700);
        let probe = |mark| Probe {
            first_sent: sent,
            sent,
            arrives_by: sent + TimeDelta::seconds(25),
            mark,
        };
        let used = |at: ProviderTime| {
            let token = &fixture::rotated().current.unwrap().token;
            Listed { last_used_at: Some(at), ..token.clone() }
        };
        // In whole seconds, as marks and the provider's clock come.
        let second = used(fixture::there());
        assert_eq!(last_use(&second, Some(&probe(None))), None);
        // In whole minutes: what was seen as the probe's mark stays that.
        let says = fixture::there() - TimeDelta::seconds(40);
        let mark = Mark { seen: sent + TimeDelta::seconds(5), says };
        assert_eq!(last_use(&used(says), Some(&probe(Some(mark)))), None);
        assert_eq!(last_use(&used(says), Some(&probe(None))), Some(says));
        // A client before the probe, and one after anything of ours can have arrived.
        for other in [sent - TimeDelta::seconds(3), sent + TimeDelta::seconds(31)] {
            assert_eq!(last_use(&used(other), Some(&probe(Some(mark)))), Some(other));
        }
    }
}
