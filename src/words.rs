//! Times in the words of people: how far away, and exactly when.

use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::{Timestamp, Told, parse_timestamp};

/// The distance below which [`span`] counts seconds, and a date shows them.
const IN_SECONDS: u128 = 120;

/// A time in a sentence that does not say how far away it is: `2026-12-12 13:19 UTC`, and with its seconds,
/// `2026-12-12 13:19:05 UTC`, off the whole minute. Such a sentence may be kept and read at any later time.
#[must_use]
pub fn date(at: impl Told) -> String {
    write(at, None)
}

/// The same for a reader at `now`: a time that is two minutes or more away shows no seconds.
#[must_use]
pub fn date_seen(at: impl Told, now: Timestamp) -> String {
    write(at, Some(now))
}

/// The date and how far away it is: `2026-12-12 13:19 UTC (in 14 days)`.
#[must_use]
pub fn moment(at: impl Told, now: Timestamp) -> String {
    format!("{} ({})", date_seen(at, now), relative(at, now))
}

/// A time in a column, or in front of a line: always with its seconds, so that all are equally wide.
#[must_use]
pub fn stamp(at: impl Told) -> String {
    at.as_told().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How people read times, everywhere: in UTC, with seconds only where they matter. They do off the whole minute,
/// where the distance to `now` is not known or is itself counted in seconds.
fn write(at: impl Told, now: Option<Timestamp>) -> String {
    let told = at.as_told();
    let is_far = now.is_some_and(|now| in_seconds((told - now).abs()) >= IN_SECONDS);
    if is_far || told.timestamp() % 60 == 0 {
        told.format("%Y-%m-%d %H:%M UTC").to_string()
    } else {
        stamp(at)
    }
}

/// Reads what [`date`] wrote, for those who type a time as they have read it.
#[must_use]
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let (day, clock) = text.strip_suffix(" UTC")?.split_once(' ')?;
    let seconds = if clock.len() == "13:19".len() { ":00" } else { "" };
    parse_timestamp(&format!("{day}T{clock}{seconds}Z"))
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

/// When something is due: "in 3h", "now", "overdue by 47s"; what is due is never "ago".
#[must_use]
pub fn due(at: impl Told, now: Timestamp) -> String {
    let at = at.as_told();
    let half = Duration::from_millis(500);
    match ((at - now).to_std(), (now - at).to_std()) {
        (Ok(ahead), _) if ahead >= half => format!("in {}", short(ahead)),
        (_, Ok(behind)) if behind >= half => format!("overdue by {}", short(behind)),
        (_, _) => "now".to_owned(),
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
    if seconds < IN_SECONDS {
        format!("{seconds} s")
    } else if minutes < 120 {
        format!("{minutes} min")
    } else if hours < 48 {
        format!("{hours} h")
    } else {
        format!("{days} days")
    }
}

/// The same in the fewest characters: "40s", "6m", "3h", "2d".
#[must_use]
pub fn short(duration: Duration) -> String {
    let seconds = round(duration.as_millis(), 1000);
    let (minutes, hours, days) = (round(seconds, 60), round(seconds, 3600), round(seconds, 86_400));
    if seconds < 60 {
        format!("{seconds}s")
    } else if minutes < 60 {
        format!("{minutes}m")
    } else if hours < 48 {
        format!("{hours}h")
    } else {
        format!("{days}d")
    }
}

fn in_seconds(distance: TimeDelta) -> u128 {
    round(distance.to_std().unwrap_or_default().as_millis(), 1000)
}

fn round(amount: u128, unit: u128) -> u128 {
    (amount + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_both_near_and_exact() {
        let now = parse_timestamp("2026-11-22T03:59:01Z").unwrap();
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        assert_eq!(moment(at, now), "2026-11-22 04:00 UTC (in 59 s)");
        assert_eq!(moment(now, at), "2026-11-22 03:59:01 UTC (59 s ago)");
        assert_eq!(relative(now, now), "just now");
        assert_eq!(relative(now + TimeDelta::milliseconds(300), now), "now");
    }

    /// The rule of [`write`]: the seconds are shown as long as the words beside them count seconds.
    #[test]
    fn a_date_shows_seconds_where_they_matter() {
        let now = parse_timestamp("2026-12-12T13:19:05Z").unwrap();
        for (milliseconds, words) in [
            (0, "2026-12-12 13:19:05 UTC (just now)"),
            (55_000, "2026-12-12 13:20 UTC (in 55 s)"),
            (119_000, "2026-12-12 13:21:04 UTC (in 119 s)"),
            (119_499, "2026-12-12 13:21:04 UTC (in 119 s)"),
            (119_500, "2026-12-12 13:21 UTC (in 2 min)"),
            (120_000, "2026-12-12 13:21 UTC (in 2 min)"),
            (14 * 86_400_000, "2026-12-26 13:19 UTC (in 14 days)"),
            (-119_000, "2026-12-12 13:17:06 UTC (119 s ago)"),
            (-360_000, "2026-12-12 13:13 UTC (6 min ago)"),
        ] {
            assert_eq!(moment(now + TimeDelta::milliseconds(milliseconds), now), words);
        }
        let minute = parse_timestamp("2026-12-12T13:19:00.900Z").unwrap();
        assert_eq!((&*date(now), &*stamp(now)), ("2026-12-12 13:19:05 UTC", &*date(now)));
        assert_eq!(date(minute), "2026-12-12 13:19 UTC");
        assert_eq!(stamp(minute), "2026-12-12 13:19:00 UTC");
        assert_eq!(date_seen(now, now + TimeDelta::hours(1)), "2026-12-12 13:19 UTC");
        assert_eq!(date_seen(Timestamp::MIN_UTC, Timestamp::MAX_UTC).get(..1), Some("-"));
    }

    #[test]
    fn a_date_is_read_as_it_was_written() {
        for text in ["2026-12-12T13:19:00Z", "2026-12-12T13:19:05Z"] {
            let at = parse_timestamp(text).unwrap();
            assert_eq!(parse_date(&date(at)), Some(at));
            assert_eq!(parse_date(&stamp(at)), Some(at));
        }
        for text in ["2026-12-12 13:19", "2026-12-12 UTC", "2026-12-12 25:00 UTC", " UTC", "soon"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_due_is_never_ago() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        for (seconds, words) in [
            (47, "in 47s"),
            (600, "in 10m"),
            (3 * 3600, "in 3h"),
            (14 * 86_400, "in 14d"),
            (0, "now"),
            (-47, "overdue by 47s"),
            (-600, "overdue by 10m"),
        ] {
            assert_eq!(due(now + TimeDelta::seconds(seconds), now), words);
        }
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
        for (seconds, words) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (400, "7m"), (3_600, "1h"), (172_800, "2d")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), words);
        }
    }
}
