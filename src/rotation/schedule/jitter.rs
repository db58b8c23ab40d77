//! Ticks are spread: hundreds of connections of one schedule do not fall due in one second.

use std::time::Duration;

use chrono::TimeDelta;

use super::Schedule;
use crate::clock::Timestamp;

/// Into how many parts the time to the next tick is divided: the first of them is spread over.
const PART: i32 = 20;

/// Where nothing else is said, ticks are spread over no more than this.
const MOST: TimeDelta = TimeDelta::minutes(15);

/// How far ticks are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// Over a twentieth of the time to the next tick, at most 15 minutes.
    #[default]
    Share,
    /// Over this; zero: not at all.
    Fixed(Duration),
}

impl Schedule {
    /// The same schedule with its ticks spread. As it was parsed they are not.
    #[must_use]
    pub fn with_jitter(self, jitter: Jitter) -> Self {
        Self { jitter: Some(jitter), ..self }
    }

    /// The moment at which a connection with this salt starts, for a tick of the schedule: the same
    /// whenever it is asked, by whichever process.
    #[must_use]
    pub fn start(&self, tick: Timestamp, salt: u64) -> Timestamp {
        let over = match self.jitter {
            None => TimeDelta::zero(),
            Some(Jitter::Fixed(over)) => TimeDelta::from_std(over).unwrap_or(MOST),
            Some(Jitter::Share) => {
                let next = self.next_after(tick);
                next.map_or(MOST, |next| MOST.min((next - tick) / PART))
            }
        };
        // No connection starts near the end of its window.
        let over = self.window.map_or(over, |window| over.min(window / 2));
        // Whole seconds: what is shown to people is what is meant.
        let seconds = u64::try_from(over.num_seconds()).unwrap_or(0);
        let share = i64::try_from(salt % (seconds + 1)).unwrap_or(0);
        tick + TimeDelta::seconds(share)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{clock::parse_timestamp, rotation::backoff::mix};

    fn starts(expression: &str, jitter: Option<Jitter>) -> BTreeSet<i64> {
        let schedule = Schedule::parse(expression, "UTC").unwrap();
        let schedule = match jitter {
            Some(jitter) => schedule.with_jitter(jitter),
            None => schedule,
        };
        let tick = parse_timestamp("2026-11-22T03:00:00Z").unwrap();
        (0..500).map(|number| (schedule.start(tick, mix(number)) - tick).num_seconds()).collect()
    }

    #[test]
    fn connections_of_one_schedule_do_not_start_in_one_second() {
        for (expression, most) in [
            ("0 3 * * *", 900),
            ("0 * * * *", 180),
            ("*/15 * * * *", 45),
            ("0 0 3 22 11 * 2026", 900),
        ] {
            let starts = starts(expression, Some(Jitter::Share));
            let (first, last) = (*starts.first().unwrap(), *starts.last().unwrap());
            assert!(first >= 0 && first <= most / 10, "{expression}: {first}");
            assert!(last <= most && last >= most * 9 / 10, "{expression}: {last}");
            assert!(starts.len() > 40, "{expression}: {}", starts.len());
        }
        let hour = Duration::from_secs(3_600);
        let last = *starts("0 3 * * *", Some(Jitter::Fixed(hour))).last().unwrap();
        assert!((3_240..=3_600).contains(&last), "{last}");
    }

    #[test]
    fn without_jitter_all_start_with_the_tick() {
        assert_eq!(starts("0 3 * * *", None), BTreeSet::from([0]));
        assert_eq!(starts("0 3 * * *", Some(Jitter::Fixed(Duration::ZERO))), BTreeSet::from([0]));
    }
}
