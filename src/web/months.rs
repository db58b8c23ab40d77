//! The next 90 days: how many rotations, expiries and ends of overlaps fall on each.

use chrono::{Datelike, Days as Span, NaiveDate, Weekday};
use serde::Serialize;

use crate::clock::{Timestamp, Told};

/// How far ahead is shown.
const DAYS: usize = 90;

/// The height of a lane's tallest column, in pixels.
const TALLEST: f64 = 26.0;

/// What falls on each day, in UTC.
#[derive(Clone, Debug)]
pub(super) struct Days {
    today: NaiveDate,
    counts: [[u32; DAYS]; 3],
}

const NAMES: [(&str, &str); 3] = [
    ("rotation", "Rotations due"),
    ("expiry", "Expiries, if nothing rotates"),
    ("overlap", "Overlaps ending"),
];

impl Days {
    /// Nothing yet, from today on.
    pub(super) fn from(now: Timestamp) -> Self {
        Self { today: now.date_naive(), counts: [[0; DAYS]; 3] }
    }

    /// A rotation starts; one that is overdue counts for today.
    pub(super) fn rotation(&mut self, at: Option<Timestamp>) {
        let today = self.today;
        self.add(0, at.map(|at| at.date_naive().max(today)));
    }

    /// A token that sinks hold expires.
    pub(super) fn expiry(&mut self, at: Option<impl Told>) {
        self.add(1, at.map(|at| at.as_told().date_naive()));
    }

    /// An older token's overlap ends.
    pub(super) fn overlap(&mut self, at: Option<impl Told>) {
        self.add(2, at.map(|at| at.as_told().date_naive()));
    }

    fn add(&mut self, lane: usize, on: Option<NaiveDate>) {
        let ahead = on.and_then(|on| usize::try_from((on - self.today).num_days()).ok());
        let day = ahead.and_then(|ahead| self.counts.get_mut(lane)?.get_mut(ahead));
        if let Some(day) = day {
            *day = day.saturating_add(1);
        }
    }

    /// The picture and the same as a table.
    pub(super) fn calendar(&self) -> Calendar {
        let lanes = NAMES.iter().zip(&self.counts).map(|((kind, label), counts)| {
            let most = counts.iter().copied().max().unwrap_or_default();
            let days = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            Lane {
                kind,
                label,
                total: counts.iter().copied().sum(),
                most,
                days: days
                    .map(|(day, count)| {
                        let height = (f64::from(*count) / f64::from(most) * TALLEST).max(3.0);
                        Column {
                            x: across(day),
                            y: TALLEST - height,
                            height,
                            words: format!("{}: {count}", self.on(day).format("%a %-d %b %Y")),
                        }
                    })
                    .collect(),
            }
        });
        let busy = (0..DAYS).filter_map(|day| {
            let counts = self.counts.each_ref().map(|lane| lane.get(day).copied().unwrap_or(0));
            let date = self.on(day);
            counts.iter().any(|count| *count > 0).then(|| Line {
                date: date.format("%Y-%m-%d").to_string(),
                words: date.format("%a %-d %b %Y").to_string(),
                counts,
            })
        });
        let mut ticks = Vec::new();
        let mut months = Vec::new();
        for day in 0..DAYS {
            let date = self.on(day);
            if date.weekday() == Weekday::Mon {
                ticks.push(across(day));
            }
            // A name needs room for itself, also on a phone.
            if (date.day() == 1 && day >= 12) || day == 0 {
                let format = if day == 0 { "%-d %b" } else { "%b" };
                let label = date.format(format).to_string();
                months.push(Month { x: across(day), label, fits: day + 6 < DAYS });
            }
        }
        let width = across(1);
        Calendar { lanes: lanes.collect(), busy: busy.collect(), ticks, months, width }
    }

    fn on(&self, day: usize) -> NaiveDate {
        let ahead = u64::try_from(day).unwrap_or_default();
        self.today.checked_add_days(Span::new(ahead)).unwrap_or(self.today)
    }
}

/// Where a day begins, in percent of the width.
fn across(day: usize) -> f64 {
    let day = u32::try_from(day).unwrap_or_default();
    let days = u32::try_from(DAYS).unwrap_or(1);
    (f64::from(day) / f64::from(days) * 100_000.0).round() / 1000.0
}

/// The picture.
#[derive(Debug, Serialize)]
pub(super) struct Calendar {
    lanes: Vec<Lane>,
    busy: Vec<Line>,
    /// Where weeks begin.
    ticks: Vec<f64>,
    months: Vec<Month>,
    /// Of a day.
    width: f64,
}

#[derive(Debug, Serialize)]
struct Lane {
    kind: &'static str,
    label: &'static str,
    total: u32,
    /// On the busiest day.
    most: u32,
    days: Vec<Column>,
}

#[derive(Debug, Serialize)]
struct Column {
    x: f64,
    y: f64,
    height: f64,
    words: String,
}

#[derive(Debug, Serialize)]
struct Month {
    x: f64,
    label: String,
    fits: bool,
}

/// A day as a line of the table.
#[derive(Debug, Serialize)]
struct Line {
    date: String,
    words: String,
    counts: [u32; 3],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn what_falls_within_90_days_is_counted_on_its_day() {
        let at = |text: &str| parse_timestamp(text);
        let mut days = Days::from(at("2026-11-22T13:00:00Z").unwrap());
        // Overdue, today, the last day, the day after.
        for text in [
            "2026-11-01T00:00:00Z",
            "2026-11-22T23:59:59Z",
            "2027-02-19T23:59:59Z",
            "2027-02-20T00:00:00Z",
        ] {
            days.rotation(at(text));
            days.expiry(at(text));
        }
        days.rotation(None);
        let calendar = days.calendar();
        assert_eq!((calendar.lanes[0].total, calendar.lanes[0].most), (3, 2));
        assert_eq!(calendar.lanes[1].total, 2);
        let lines: Vec<_> =
            calendar.busy.iter().map(|line| (line.date.as_str(), line.counts)).collect();
        assert_eq!(lines, [("2026-11-22", [2, 1, 0]), ("2027-02-19", [1, 1, 0])]);
        assert!(calendar.lanes[0].days.iter().all(|day| day.x + calendar.width <= 100.01));
        assert_eq!(calendar.lanes[0].days[0].words, "Sun 22 Nov 2026: 2");
        let months: Vec<_> = calendar.months.iter().map(|month| month.label.as_str()).collect();
        assert_eq!(months, ["22 Nov", "Jan", "Feb"]);
    }
}
