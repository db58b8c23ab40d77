//! When something may start: schedule, freeze, and the time zone of both.

use chrono_tz::Tz;

use super::Reader;
use crate::{
    config::{policy::PolicyKeys, terms::Gaps},
    rotation::{
        freeze::Freeze,
        schedule::{Jitter, Schedule},
    },
    table::{nearest, shown},
};

impl Reader<'_> {
    /// The time zone of schedule and freeze; `None` where there is none of that name.
    fn zone(&self, keys: &PolicyKeys<'_>) -> Option<Tz> {
        let Some(given) = &keys.timezone else { return Some(Tz::UTC) };
        let zone = given.value.parse::<Tz>().ok();
        if zone.is_none() {
            let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let hint = match nearest(given.value, known) {
                Some(zone) => format!("did you mean \"{zone}\"?"),
                None => "write an IANA name such as \"Europe/Berlin\"".to_owned(),
            };
            let message = format!("there is no time zone `{}`", shown(given.value));
            self.findings.error(given.at, message, hint);
        }
        zone
    }

    /// The times in which nothing is changed, in the policy's time zone.
    pub(super) fn freeze(&self, keys: &PolicyKeys<'_>) -> Freeze {
        let spans = keys.freeze.as_ref().map(|given| given.value.as_slice()).unwrap_or_default();
        let zone = keys.timezone.as_ref().and_then(|given| given.value.parse::<Tz>().ok());
        Freeze::new(spans, zone.unwrap_or(Tz::UTC))
    }

    /// The schedule in its time zone, with its gaps.
    pub(super) fn schedule(&self, keys: &PolicyKeys<'_>) -> Option<(Schedule, Gaps)> {
        let zone = self.zone(keys)?;
        let given = keys.schedule.as_ref()?;
        let mut known = self.schedules.borrow_mut();
        let parsed = known.entry((given.value.to_owned(), zone.name())).or_insert_with(|| {
            let schedule = Schedule::parse(given.value, zone.name())?;
            let gaps = Gaps { longest: schedule.longest_gap(), shortest: schedule.shortest_gap() };
            Ok((schedule, gaps))
        });
        match parsed {
            Ok((schedule, gaps)) => {
                let jitter = keys.jitter.as_ref().map(|given| Jitter::Fixed(given.value));
                let schedule = schedule.clone().with_jitter(jitter.unwrap_or_default());
                let window = keys.window.as_ref().map(|given| given.value);
                Some((schedule.with_window(window), *gaps))
            }
            Err(error) => {
                let hint = error.hint().unwrap_or(
                    "write minute, hour, day, month and weekday, such as \"0 3 * * Mon-Fri\"",
                );
                let message = format!("`schedule`: {error}");
                self.findings.error(given.at, message, hint);
                None
            }
        }
    }
}
