//! An independent cron library must name the same ticks.

use chrono::{DateTime, NaiveDate, Offset, TimeZone};

use super::*;

/// Whether the zone's clock is changed on that local day, or on the days beside it.
fn changes_near(zone: Tz, day: NaiveDate) -> bool {
    let offset = |day: NaiveDate| {
        let at = zone.offset_from_utc_datetime(&midnight(day));
        at.fix().local_minus_utc()
    };
    offset(day - TimeDelta::days(1)) != offset(day + TimeDelta::days(2))
}

/// Where both libraries say that they read alike. (An expression such as `0 0 */2 * 1` is not
/// here: croner takes either day, Vixie cron and this schedule only one that fits both.)
const EXPRESSIONS: [&str; 44] = [
    "* * * * *",
    "0 * * * *",
    "*/15 * * * *",
    "7-59/13 * * * *",
    "30 2 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0 0 * * *",
    "15 1 * * *",
    "0 3 * * Mon-Fri",
    "0 3 * * 1-5",
    "0 3 * * 0",
    "0 3 * * 7",
    "0 3 * * 5-7",
    "0 3 * * 6,0",
    "0 3 * * sun,WED",
    "0 0 1 * *",
    "0 0 31 * *",
    "0 12 29 2 *",
    "0 0 30 1,3,5 *",
    "0 0 1 1 *",
    "0 6 15 jun-aug *",
    // Day of month OR weekday.
    "0 0 13 * 5",
    "30 4 1,15 * 5",
    "0 5 1-7 * Mon",
    "0 5 31 2 Sun",
    "0 5 */1 * *",
    "10 8-18/2 * * 1-5",
    "0 0,12 1 */2 *",
    "0 22 * * 1-5",
    "5,10,15 0 1 * *",
    "0 4 8-14 * *",
    "*/20 9-17 * 4-9/2 *",
    "0 0 28-31 * *",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@hourly",
    // Seconds, and years.
    "30 0 3 * * *",
    "*/20 30 2 * * Mon",
    "0 0 3 13 * Fri",
    "0 30 2 * * Sun 2024-2026",
    "15 45 6 1 * * 2025-2030",
];

#[test]
fn an_independent_library_names_the_same_ticks() {
    let mut compared = 0_usize;
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        for expression in EXPRESSIONS {
            let ours = schedule(expression, name);
            let theirs: croner::Cron = expression.parse().unwrap();
            // A job at one time a day follows CONTRACT's rule there too, on every day.
            let fixed = theirs.determine_job_type() == croner::JobType::FixedTime;
            for year in 2024..=2027 {
                let mut at = utc(&format!("{year}-01-01T00:00:00Z"));
                let mut other = at.with_timezone(&zone);
                let end = utc(&format!("{}-01-01T00:00:00Z", year + 1));
                for _ in 0..400 {
                    let changed = |tick: &DateTime<Tz>| changes_near(zone, tick.date_naive());
                    let mut next = ours.next_after(at).map(|tick| tick.with_timezone(&zone));
                    let mut expected = theirs.find_next_occurrence(&other, false).ok();
                    while !fixed && next.as_ref().is_some_and(changed) {
                        next = next
                            .and_then(|tick| ours.next_after(tick.with_timezone(&Utc)))
                            .map(|tick| tick.with_timezone(&zone));
                    }
                    while !fixed && expected.as_ref().is_some_and(changed) {
                        expected = expected
                            .and_then(|tick| theirs.find_next_occurrence(&tick, false).ok());
                    }
                    let next = next.filter(|tick| *tick < end);
                    let expected = expected.filter(|tick| *tick < end);
                    assert_eq!(next, expected, "{expression} in {name} after {at}");
                    let Some(tick) = next else { break };
                    at = tick.with_timezone(&Utc);
                    other = tick;
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 100_000, "only {compared} ticks were compared");
}
