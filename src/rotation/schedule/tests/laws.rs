//! What holds for every expression, zone and time.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

/// The gaps between ticks counted one by one over the same twelve years, for those schedules
/// that have few enough of them.
#[test]
fn gaps_are_those_between_the_ticks() {
    for zone in ["Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "Africa/Casablanca"] {
        for expression in [
            "30 2 * * *",
            "0 0 * * *",
            "10,40 1-3 * * 0",
            "15,45 0-3 * * *",
            "0 0 13 * 5",
            "59 23 31 * *",
        ] {
            let schedule = schedule(expression, zone);
            let zone: Tz = zone.parse().unwrap();
            let end = NaiveDate::from_ymd_opt(2037, 1, 1).unwrap();
            let all: Vec<Timestamp> = std::iter::successors(
                schedule.next_after(
                    schedule.instant(midnight(date(2025, 1, 1))) - TimeDelta::seconds(1),
                ),
                |tick| schedule.next_after(*tick),
            )
            .take_while(|tick| tick.with_timezone(&zone).date_naive() < end)
            .collect();
            let gaps = || all.windows(2).map(|pair| (pair[1] - pair[0]).to_std().unwrap());
            assert_eq!(schedule.shortest_gap(), gaps().min().unwrap(), "{expression} in {zone}");
            assert_eq!(schedule.longest_gap(), gaps().max().unwrap(), "{expression} in {zone}");
        }
    }
}

fn any_field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (0..70_u32).prop_map(|value| value.to_string()),
        (0..70_u32, 0..70_u32).prop_map(|(first, last)| format!("{first}-{last}")),
        (1..70_u32).prop_map(|step| format!("*/{step}")),
        (0..40_u32, 0..60_u32, 1..9_u32).prop_map(|(one, two, step)| format!("{one}-{two}/{step}")),
        prop::sample::select(vec!["Mon", "sun-sat", "Fri-Sun", "jan", "feb,nov", "1,15", "31"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>(), zone in any::<String>()) {
        for (text, zone) in [(&text, "Europe/Berlin"), (&text, &zone)] {
            if let Err(error) = Schedule::parse(text, zone) {
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
            }
        }
    }

    #[test]
    fn no_near_miss_panics(text in "[-*/,0-9@#LW?A-Za-z ]{0,40}") {
        if let Ok(schedule) = Schedule::parse(&text, "America/New_York") {
            prop_assert!(schedule.next_after(utc("2026-01-01T00:00:00Z")).is_some());
        }
    }

    #[test]
    fn ticks_come_after_and_in_order(
        fields in prop::collection::vec(any_field(), 5),
        zone in prop::sample::select(ZONES.to_vec()),
        seconds in any::<i64>(),
        nanos in 0..1_000_000_000_u32,
    ) {
        let Ok(schedule) = Schedule::parse(&fields.join(" "), zone) else { return Ok(()) };
        // Any time that can be written down, and more of those in the years that matter.
        for seconds in [seconds % 8_000_000_000_000, seconds % 3_000_000_000] {
            let after = DateTime::from_timestamp(seconds, nanos).unwrap();
            let Some(next) = schedule.next_after(after) else { continue };
            prop_assert!(next > after);
            prop_assert_eq!(next.nanosecond(), 0);
            // Nothing lies between: asked from any moment before the tick, it is the same.
            let between = after + (next - after) / 2;
            prop_assert_eq!(schedule.next_after(between), Some(next));
            prop_assert_eq!(schedule.next_after(next - TimeDelta::nanoseconds(1)), Some(next));
            if let Some(later) = schedule.next_after(next) {
                prop_assert!(later > next);
                if (utc("2025-01-02T00:00:00Z")..utc("2036-12-31T00:00:00Z")).contains(&later) {
                    let gap = (later - next).to_std().unwrap();
                    prop_assert!(gap <= schedule.longest_gap() || next < utc("2025-01-02T00:00:00Z"));
                    prop_assert!(gap >= schedule.shortest_gap());
                }
            }
        }
    }
}
