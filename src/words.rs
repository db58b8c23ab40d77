//! Times in the words of people: how far away, and exactly when.

use std::time::Duration;

use crate::clock::{Timestamp, Told, rfc3339};

/// "in 59 s (2026-11-22T04:00:00Z)", "3 days ago (…)".
#[must_use]
pub fn moment(at: impl Told, now: Timestamp) -> String {
    format!("{} ({})", relative(at, now), rfc3339(at))
}

/// "in 59 s", "now", "just now", "3 days ago". A provider's time is taken as it is told: no reader minds
/// by how little the two clocks differ, and the exact time beside it is the provider's own.
#[must_use]
pub fn relative(at: impl Told, now: Timestamp) -> String {
    let at = at.as_told();
    let ahead = (at - now).to_std();
    let behind = (now - at).to_std();
    match (ahead, behind) {
        (Ok(ahead), _) if ahead >= Duration::from_millis(500) => format!("in {}", span(ahead)),
        (_, Ok(behind)) if behind >= Duration::from_millis(500) => format!("{} ago", span(behind)),
        (Err(_), _) | (_, Ok(_)) => "just now".to_owned(),
        (Ok(_), Err(_)) => "now".to_owned(),
    }
}

/// How long ago that is to a person; nothing for what is still to come.
#[must_use]
pub fn since(at: impl Told, now: Timestamp) -> Duration {
    (now - at.as_told()).to_std().unwrap_or_default()
}

/// Whether a sentence says it in the past, as [`relative`] does.
#[must_use]
pub fn is_past(at: impl Told, now: Timestamp) -> bool {
    at.as_told() <= now
}

/// A duration in its largest sensible unit, rounded to the nearest: "59 s", "15 min", "24 h",
/// "30 days".
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = round(duration.as_millis(), 1000);
    let (minutes, hours, days) = (round(seconds, 60), round(seconds, 3600), round(seconds, 86_400));
    if seconds < 120 {
        format!("{seconds} s")
    } else if minutes < 120 {
        format!("{minutes} min")
    } else if hours < 48 {
        format!("{hours} h")
    } else {
        format!("{days} days")
    }
}

fn round(amount: u128, unit: u128) -> u128 {
    (amount + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;
    use chrono::TimeDelta;

    #[test]
    fn a_moment_is_both_near_and_exact() {
        let now = parse_timestamp("2026-11-22T03:59:01Z").unwrap();
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        assert_eq!(moment(at, now), "in 59 s (2026-11-22T04:00:00Z)");
        assert_eq!(moment(now, at), "59 s ago (2026-11-22T03:59:01Z)");
        assert_eq!(relative(now, now), "just now");
        assert_eq!(relative(now + TimeDelta::milliseconds(300), now), "now");
    }

    #[test]
    fn spans_take_the_largest_sensible_unit() {
        for (seconds, words) in [
            (1, "1 s"),
            (119, "119 s"),
            (120, "2 min"),
            (900, "15 min"),
            (86_400, "24 h"),
            (2 * 86_400, "2 days"),
            (30 * 86_400 - 1, "30 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
    }
}
