//! When a rotation may start: cron expressions in an IANA time zone, read as crontab reads them.
//!
//! | fields | read as |
//! |---|---|
//! | 5 | minute, hour, day of month, month, weekday: crontab's own (0 and 7 are Sunday, 1 is Monday) |
//! | 6 | second in front; weekdays by name only, since their digits mean other days elsewhere |
//! | 7 | and year behind (1970 to 2100) |
//! | `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually` | crontab's own |
//!
//! Where day of month *and* weekday are restricted, a day that fits *either* is taken; a field
//! that starts with `*` (so `*/2` too) is not restricted in that sense, and then a day must fit
//! *both*: both as Vixie cron has it.
//!
//! The `cron` crate finds the next fitting local time, over local times dressed up as UTC, so
//! that its own ways with clock changes never come into play. Ours are: a local time that a
//! change skips runs at the first moment after the gap, one that comes twice runs the first time
//! only. Hence ticks never go back, and each local time has one tick.

mod gaps;
mod jitter;
mod parse;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::OnceLock, time::Duration};

use chrono::{
    LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

pub use self::jitter::Jitter;
use self::{gaps::Gaps, parse::Fields};
use crate::clock::Timestamp;

/// The earliest day that is asked for; no year before 1970 can be named.
const EARLIEST: NaiveDate = date(1969, 12, 30);

/// A day after the last one that can fit, in every zone.
const LATEST: NaiveDate = date(2101, 1, 3);

/// A schedule must have a tick after this fixed day: one that ended long ago is a mistake.
const ALIVE_AFTER: NaiveDate = date(2026, 1, 1);

/// An expression or a time zone that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error("{detail}")]
    Expression {
        /// What is wrong with which field.
        detail: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// No such zone.
    #[error("there is no time zone \"{name}\"")]
    TimeZone {
        /// What was asked for.
        name: String,
        /// The nearest names there are.
        hint: Option<String>,
    },
    /// It can be read, but fits no day from 2026 to 2100.
    #[error("the schedule \"{expression}\" never matches a date")]
    Never {
        /// The expression.
        expression: String,
    },
}

impl ScheduleError {
    /// What to write instead, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Expression { hint, .. } | Self::TimeZone { hint, .. } => hint.as_deref(),
            Self::Never { .. } => Some("day of month, month and year must name a day that exists"),
        }
    }
}

/// A validated cron expression in a time zone: it has at least one tick.
#[derive(Clone, Debug)]
pub struct Schedule {
    expression: String,
    zone: Tz,
    fields: Fields,
    /// One, or two where day of month or weekday decide.
    patterns: Vec<cron::Schedule>,
    gaps: OnceLock<Gaps>,
    /// How far its ticks are spread; `None`: not at all.
    jitter: Option<Jitter>,
    /// For how long after a tick a rotation may start; `None`: at any time after it.
    window: Option<TimeDelta>,
}

/// Two are one when they are written alike.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
            && self.zone == other.zone
            && self.jitter == other.jitter
            && self.window == other.window
    }
}

impl Schedule {
    /// Reads an expression (see the module) and the IANA name of a time zone.
    ///
    /// # Errors
    /// When either cannot be read, or when the expression has no tick from 2026 to 2100.
    pub fn parse(expression: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let zone = parse::zone(timezone)?;
        let expression = expression.trim();
        let fields = Fields::parse(expression)?;
        let patterns = fields
            .patterns()
            .iter()
            .map(|pattern| cron::Schedule::from_str(pattern))
            .collect::<Result<_, _>>()
            .map_err(|error| ScheduleError::Expression {
                detail: format!("the schedule \"{expression}\" cannot be read: {error}"),
                hint: None,
            })?;
        let schedule = Self {
            expression: expression.to_owned(),
            zone,
            fields,
            patterns,
            gaps: OnceLock::new(),
            jitter: None,
            window: None,
        };
        match schedule.next_after(midnight(ALIVE_AFTER).and_utc()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never { expression: schedule.expression }),
        }
    }

    /// The first tick after `after`, and never `after` itself. `None` after the last one: the
    /// expression names years that are over, or it is 2101.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if after >= midnight(LATEST).and_utc() {
            return None;
        }
        let from = after.max(midnight(EARLIEST).and_utc());
        let local = from.with_timezone(&self.zone).naive_local();
        // Whole seconds, like the ticks: the crate adds one second to where it starts.
        let local = local.with_nanosecond(0).unwrap_or(local);
        self.patterns
            .iter()
            .filter_map(|pattern| {
                pattern
                    .after(&Utc.from_utc_datetime(&local))
                    .map(|fitting| self.instant(fitting.naive_utc()))
                    // Not every later local time is a later instant: in the second pass through
                    // a repeated hour, its ticks are over.
                    .find(|tick| *tick > after)
            })
            .min()
    }

    /// The same schedule, each of whose ticks opens a window of this length: a rotation that did not start
    /// in it waits for the next.
    #[must_use]
    pub fn with_window(self, window: Option<Duration>) -> Self {
        Self { window: window.and_then(|window| TimeDelta::from_std(window).ok()), ..self }
    }

    /// The tick that opens the next window, where none is open; `None`: a rotation may start now, or there
    /// is no further tick to wait for.
    #[must_use]
    pub fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        // The first tick whose window is not over.
        let tick = self.next_after(at.checked_sub_signed(self.window?)?)?;
        (tick > at).then_some(tick)
    }

    /// The longest time between two ticks: how late a rotation can start after it is due.
    ///
    /// Taken over 2025 to 2036, or, where fewer than 24 days of these fit, over 2025 to 2100. It
    /// is [`Duration::MAX`] for a schedule that ends by 2036 (its years are over) or that has
    /// one tick only.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.gaps().longest
    }

    /// The shortest time between two ticks, over the same years as [`Schedule::longest_gap`];
    /// [`Duration::MAX`] when there is one tick only.
    #[must_use]
    pub fn shortest_gap(&self) -> Duration {
        self.gaps().shortest
    }

    /// The expression as it was given, without white space around it.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The IANA name of the time zone.
    #[must_use]
    pub fn timezone(&self) -> &str {
        self.zone.name()
    }

    fn gaps(&self) -> &Gaps {
        self.gaps.get_or_init(|| gaps::measure(self))
    }

    /// The moment at which a local time runs.
    fn instant(&self, local: NaiveDateTime) -> Timestamp {
        instant(self.zone, local)
    }
}

/// The moment at which the clocks of a zone show a local time: one that a change skips is the first moment
/// after the gap, one that comes twice the first of the two.
pub(super) fn instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => at.with_timezone(&Utc),
        LocalResult::Ambiguous(one, other) => one.min(other).with_timezone(&Utc),
        LocalResult::None => first_not_before(zone, local),
    }
}

/// The first moment at which the local clock shows `local` or later. Two days on either side hold every
/// change that there has been, that of a whole day (Samoa, 2011) included.
fn first_not_before(zone: Tz, local: NaiveDateTime) -> Timestamp {
    let mut before = (local - TimeDelta::days(2)).and_utc();
    let mut reached = (local + TimeDelta::days(2)).and_utc();
    while reached - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((reached - before).num_seconds() / 2);
        if middle.with_timezone(&zone).naive_local() < local {
            before = middle;
        } else {
            reached = middle;
        }
    }
    reached
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone.name())
    }
}

/// A day; one that there is not does not compile.
#[expect(clippy::panic, reason = "only constants call it: the compiler refuses what would panic")]
const fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => panic!("there is no such day"),
    }
}

fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}
