//! How long to wait after a failure.

use chrono::TimeDelta;

use super::trouble::Trouble;
use crate::{
    clock::Timestamp,
    error::{Class, Fault},
};

/// The pause after a first failure that may mend by itself.
const FIRST: TimeDelta = TimeDelta::seconds(2);

/// The pause after a first failure that will not.
const FIRST_TERMINAL: TimeDelta = TimeDelta::minutes(1);

/// No pause is longer, whatever happened.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// How often it is tried in an outage that has just begun.
const OFTEN: TimeDelta = TimeDelta::minutes(1);

/// No pause is shorter, however little life is left.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);

/// Continues `before` with one more failure. `life_left` is that of the token in use (none where
/// it does not expire; negative since readers are cut off); a tenth of it caps the pause. `salt`
/// spreads the retries of different connections; the same failure of the same connection always
/// waits equally long.
#[must_use]
pub fn after(
    before: Option<&Trouble>,
    fault: Fault,
    now: Timestamp,
    life_left: Option<TimeDelta>,
    salt: u64,
) -> Trouble {
    let count = before.map_or(0, |trouble| trouble.count).saturating_add(1);
    let first = match fault.class {
        Class::Terminal => FIRST_TERMINAL,
        Class::Transient | Class::Ambiguous | Class::Conflict => FIRST,
    };
    let doubled = first * 2_i32.pow(count.saturating_sub(1).min(12));
    let spread = i32::try_from(mix(salt ^ u64::from(count)) % 400).unwrap_or(0);
    let jittered = doubled * (800 + spread) / 1000;
    let asked = fault
        .retry_after
        .and_then(|pause| TimeDelta::from_std(pause).ok())
        .unwrap_or(TimeDelta::zero());
    let pause = jittered.max(asked).min(cap(life_left)).max(SHORTEST);
    Trouble {
        count,
        since: before.map_or(now, |trouble| trouble.since),
        fault,
        at: now,
        retry_at: now + pause,
        of_sink: false,
    }
}

/// A failed look, which makes nothing, is tried again sooner: what comes back while readers are cut
/// off is noticed within a minute, however long it was away.
#[must_use]
pub fn of_a_look(trouble: Trouble, life_left: Option<TimeDelta>) -> Trouble {
    if life_left.is_none_or(|left| left > TimeDelta::zero()) {
        return trouble;
    }
    Trouble { retry_at: trouble.retry_at.min(trouble.at + OFTEN), ..trouble }
}

/// When it is tried again where that happens at least every so often.
#[must_use]
pub fn at_least_every(trouble: &Trouble, interval: TimeDelta) -> Timestamp {
    let latest = trouble.at.checked_add_signed(interval.max(FIRST_TERMINAL));
    latest.map_or(trouble.retry_at, |latest| latest.min(trouble.retry_at))
}

/// The longest pause with so much life left.
#[must_use]
pub fn cap(life_left: Option<TimeDelta>) -> TimeDelta {
    match life_left {
        // With the token expired there is nothing left to take a tenth of: an outage, tried often,
        // and a little less so the longer it lasts.
        Some(left) if left <= TimeDelta::zero() => {
            (-left / 10).clamp(OFTEN, TimeDelta::minutes(15))
        }
        Some(left) => (left / 10).clamp(SHORTEST, LONGEST),
        None => LONGEST,
    }
}

/// Spreads the bits of a number (SplitMix64's finaliser).
#[must_use]
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    fn fault(class: Class, retry_after: Option<Duration>) -> Fault {
        Fault::new("try", class, Code::Unavailable, "503").retry_after(retry_after)
    }

    proptest! {
        #[test]
        fn a_pause_never_exceeds_a_tenth_of_the_life_left_nor_an_hour(
            failures in 1_u32..60, left in 60_i64..10_000_000, salt: u64, asked in proptest::option::of(0_u64..1_000_000),
        ) {
            let mut now = DateTime::UNIX_EPOCH;
            let mut trouble = None;
            for _ in 0..failures {
                let next = after(trouble.as_ref(), fault(Class::Terminal, asked.map(Duration::from_secs)), now, Some(TimeDelta::seconds(left)), salt);
                prop_assert!(next.retry_at - now <= TimeDelta::seconds(left) / 10);
                prop_assert!(next.retry_at - now <= TimeDelta::hours(1));
                prop_assert!(next.retry_at > now);
                now = next.retry_at;
                trouble = Some(next);
            }
        }
    }

    #[test]
    fn what_has_expired_is_tried_often_however_long_that_lasts() {
        let minutes = TimeDelta::minutes;
        assert_eq!(cap(Some(TimeDelta::zero())), minutes(1));
        assert_eq!(cap(Some(minutes(-60))), minutes(6));
        assert_eq!(cap(Some(TimeDelta::days(-30))), minutes(15));
        let mut trouble = None;
        let mut now = DateTime::UNIX_EPOCH;
        for _ in 0..100 {
            let left = Some(minutes(-60));
            let failed = after(trouble.as_ref(), fault(Class::Terminal, None), now, left, 1);
            let next = of_a_look(failed, left);
            assert!(next.retry_at - now <= minutes(1));
            now = next.retry_at;
            trouble = Some(next);
        }
    }

    #[test]
    fn pauses_grow_and_honour_retry_after() {
        let now = DateTime::UNIX_EPOCH;
        let first = after(None, fault(Class::Transient, None), now, None, 1);
        let second = after(Some(&first), fault(Class::Transient, None), now, None, 1);
        assert!(first.retry_at < second.retry_at);
        assert_eq!((first.count, second.count, second.since), (1, 2, now));
        let asked =
            after(None, fault(Class::Transient, Some(Duration::from_secs(300))), now, None, 1);
        assert_eq!(asked.retry_at - now, TimeDelta::seconds(300));
    }
}
