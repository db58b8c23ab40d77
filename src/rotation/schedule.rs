//! When a rotation may start: cron expressions in an IANA time zone, read as crontab reads them.

use std::{str::FromStr, time::Duration};

use chrono::TimeZone;

use crate::clock::Timestamp;

/// A validated cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    ticks: cron::Schedule,
    zone: chrono_tz::Tz,
}

/// Why an expression or zone was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

impl Schedule {
    /// Stand-in.
    ///
    /// # Errors
    /// When the expression or the zone is none.
    pub fn parse(expression: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let text = if expression.split_whitespace().count() == 5 {
            format!("0 {expression}")
        } else {
            expression.to_owned()
        };
        Ok(Self {
            ticks: cron::Schedule::from_str(&text).map_err(|e| ScheduleError(e.to_string()))?,
            zone: timezone
                .parse()
                .map_err(|_| ScheduleError("zone".to_owned()))?,
        })
    }

    /// The first tick after `after`.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let tick = self.ticks.after(&after.with_timezone(&self.zone)).next()?;
        Some(tick.to_utc())
    }

    /// The longest time between two ticks.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.gaps().max().unwrap_or(Duration::MAX)
    }

    /// The shortest time between two ticks.
    #[must_use]
    pub fn shortest_gap(&self) -> Duration {
        self.gaps().min().unwrap_or(Duration::MAX)
    }

    fn gaps(&self) -> impl Iterator<Item = Duration> {
        let start = self
            .zone
            .from_utc_datetime(&chrono::NaiveDateTime::default());
        let ticks: Vec<_> = self.ticks.after(&start).take(3000).collect();
        let gaps: Vec<_> = ticks
            .windows(2)
            .filter_map(|w| match w {
                [a, b] => (*b - *a).to_std().ok(),
                _ => None,
            })
            .collect();
        gaps.into_iter()
    }
}
