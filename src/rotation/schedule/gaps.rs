//! How far apart the ticks of a schedule are.

use std::{collections::BTreeSet, time::Duration};

use chrono::{NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};

use super::{Schedule, date, midnight};
use crate::clock::Timestamp;

/// Where the look begins: a fixed day, so that the answer is the same tomorrow.
const FROM: NaiveDate = date(2025, 1, 1);

/// Twelve years hold three leap days and every way in which weekdays meet days of a month but
/// the rarest.
const UNTIL: NaiveDate = date(2037, 1, 1);

/// The end for schedules with few days in that time (a 29th of February that is a Monday comes
/// once in 28 years).
const UNTIL_RARE: NaiveDate = date(2101, 1, 1);

/// Fewer days than this in the first twelve years are few.
const FEW: usize = 24;

/// The extremes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

/// Looks at the days that fit, not at each tick: within a day the gaps are those between its
/// times, except next to a clock change.
pub(super) fn measure(schedule: &Schedule) -> Gaps {
    let times = times(schedule);
    let mut extremes = Extremes::default();
    for pair in times.windows(2) {
        if let [one, next] = pair {
            extremes.note(*next - *one);
        }
    }
    let fits = |day: &NaiveDate| schedule.fields.fits(*day);
    let mut days: Vec<NaiveDate> = days(FROM, UNTIL).filter(fits).collect();
    if days.len() < FEW {
        days.extend(self::days(UNTIL, UNTIL_RARE).filter(fits));
    }
    let mut last: Option<Timestamp> = None;
    for day in days {
        let at = |time: &TimeDelta| schedule.instant(midnight(day) + *time);
        if let (Some(last), Some(first)) = (last, times.first()) {
            extremes.note(at(first) - last);
        }
        for pair in beside_the_change(schedule, day, &times).windows(2) {
            if let [one, next] = *pair
                && next == one + 1
                && let (Some(one), Some(next)) = (times.get(one), times.get(next))
            {
                extremes.note(at(next) - at(one));
            }
        }
        last = times.last().map(at);
    }
    extremes.gaps(ends(schedule))
}

/// Whether its years are over before the look is.
fn ends(schedule: &Schedule) -> bool {
    use chrono::Datelike;
    let years = &schedule.fields.years.values;
    years.last().is_none_or(|last| i32::from(*last) < UNTIL.year())
}

/// The times of a day at which it ticks, in order.
fn times(schedule: &Schedule) -> Vec<TimeDelta> {
    let fields = &schedule.fields;
    let mut times = Vec::new();
    for hour in &fields.hours.values {
        for minute in &fields.minutes.values {
            for second in &fields.seconds.values {
                let seconds = i64::from(*hour) * 3600 + i64::from(*minute) * 60;
                times.push(TimeDelta::seconds(seconds + i64::from(*second)));
            }
        }
    }
    times
}

fn days(from: NaiveDate, until: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    from.iter_days().take_while(move |day| *day < until)
}

/// Which of `times` lie next to a clock change on that day; none on most days.
fn beside_the_change(schedule: &Schedule, day: NaiveDate, times: &[TimeDelta]) -> Vec<usize> {
    let offset = |at: Timestamp| {
        let offset = schedule.zone.offset_from_utc_datetime(&at.naive_utc());
        TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
    };
    // A second earlier, since the day itself may begin with the change (Cairo's do).
    let mut before = schedule.instant(midnight(day)) - TimeDelta::seconds(1);
    let mut changed = schedule.instant(midnight(day) + TimeDelta::days(1));
    let (old, new) = (offset(before), offset(changed));
    if old == new {
        return Vec::new();
    }
    while changed - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((changed - before).num_seconds() / 2);
        if offset(middle) == old {
            before = middle;
        } else {
            changed = middle;
        }
    }
    let local = |offset: TimeDelta| -> NaiveDateTime { changed.naive_utc() + offset };
    let beside: BTreeSet<usize> = [local(old), local(new)]
        .into_iter()
        .flat_map(|edge| {
            let next = times.partition_point(|time| midnight(day) + *time < edge);
            next.saturating_sub(2)..(next + 2).min(times.len())
        })
        .collect();
    beside.into_iter().collect()
}

#[derive(Default)]
struct Extremes {
    shortest: Option<TimeDelta>,
    longest: Option<TimeDelta>,
}

impl Extremes {
    /// Ticks that a clock change puts on one moment are one tick: no gap lies between them.
    fn note(&mut self, gap: TimeDelta) {
        if gap > TimeDelta::zero() {
            self.shortest = Some(self.shortest.map_or(gap, |shortest| shortest.min(gap)));
            self.longest = Some(self.longest.map_or(gap, |longest| longest.max(gap)));
        }
    }

    fn gaps(&self, ends: bool) -> Gaps {
        let known =
            |gap: Option<TimeDelta>| gap.and_then(|gap| gap.to_std().ok()).unwrap_or(Duration::MAX);
        Gaps {
            shortest: known(self.shortest),
            longest: if ends { Duration::MAX } else { known(self.longest) },
        }
    }
}
