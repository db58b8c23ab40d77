//! What expressions mean, what is refused, and what happens on days when clocks change.

mod laws;
mod peer;

use chrono::DateTime;

use super::*;

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Antarctica/Troll",
];

fn schedule(expression: &str, zone: &str) -> Schedule {
    Schedule::parse(expression, zone).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn refused(expression: &str) -> ScheduleError {
    match Schedule::parse(expression, "UTC") {
        Ok(_) => panic!("{expression} was accepted"),
        Err(error) => error,
    }
}

fn utc(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .with_timezone(&Utc)
}

/// The ticks in (`from`, `until`], as the zone's clock shows them.
fn ticks(expression: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let schedule = schedule(expression, zone);
    let zone: Tz = zone.parse().unwrap();
    std::iter::successors(schedule.next_after(utc(from)), |tick| schedule.next_after(*tick))
        .take_while(|tick| *tick <= utc(until))
        .map(|tick| tick.with_timezone(&zone).format("%a %d %H:%M:%S %z").to_string())
        .collect()
}

#[test]
fn a_skipped_local_time_runs_right_after_the_gap() {
    // Berlin, 29 March 2026: 02:00 CET is 03:00 CEST.
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
        ["Sat 28 02:30:00 +0100", "Sun 29 03:00:00 +0200", "Mon 30 02:30:00 +0200"]
    );
    // All that the gap swallows runs once, together with what is due at its end.
    assert_eq!(
        ticks("*/20 1-3 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T02:00:00Z"),
        [
            "Sun 29 01:40:00 +0100",
            "Sun 29 03:00:00 +0200",
            "Sun 29 03:20:00 +0200",
            "Sun 29 03:40:00 +0200",
        ]
    );
    // Lord Howe moves by half an hour: 02:00 is 02:30.
    assert_eq!(
        ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T00:00:00Z"),
        ["Sun 04 02:30:00 +1100"]
    );
    // Cairo skips midnight itself.
    assert_eq!(
        ticks("@daily", "Africa/Cairo", "2026-04-22T23:00:00Z", "2026-04-25T00:00:00Z"),
        ["Fri 24 01:00:00 +0300", "Sat 25 00:00:00 +0300"]
    );
    // Samoa had no 30 December 2011: it runs as the 31st begins, and the 31st's own is the same.
    let samoa = schedule("@daily", "Pacific/Apia");
    assert_eq!(samoa.next_after(utc("2011-12-30T09:00:00Z")), Some(utc("2011-12-30T10:00:00Z")));
    assert_eq!(samoa.next_after(utc("2011-12-30T10:00:00Z")), Some(utc("2011-12-31T10:00:00Z")));
}

#[test]
fn a_local_time_that_comes_twice_runs_the_first_time_only() {
    // Berlin, 25 October 2026: 03:00 CEST is 02:00 CET.
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["Sun 25 02:30:00 +0200", "Mon 26 02:30:00 +0100"]
    );
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", "2026-10-25T02:30:00Z"),
        [
            "Sun 25 02:00:00 +0200",
            "Sun 25 02:30:00 +0200",
            "Sun 25 03:00:00 +0100",
            "Sun 25 03:30:00 +0100",
        ]
    );
    // Asked in the second pass, the answer is after it, and not in the past.
    let quarterly = schedule("*/15 * * * *", "Europe/Berlin");
    let second_pass = utc("2026-10-25T01:05:00Z");
    assert_eq!(quarterly.next_after(second_pass), Some(utc("2026-10-25T02:00:00Z")));
}

#[test]
fn digits_and_names_mean_crontabs_days() {
    // 1 January 2024 was a Monday.
    let first = |expression: &str| {
        let tick = schedule(expression, "UTC").next_after(utc("2023-12-31T12:00:00Z"));
        tick.unwrap().format("%a %d").to_string()
    };
    assert_eq!(first("0 0 * * 1"), "Mon 01");
    assert_eq!(first("0 0 * * 0"), "Sun 07");
    assert_eq!(first("0 0 * * 7"), "Sun 07");
    assert_eq!(first("0 0 * * Sunday"), "Sun 07");
    assert_eq!(first("0 0 * * sat"), "Sat 06");
    assert_eq!(first("0 0 0 * * Tue"), "Tue 02");
    assert_eq!(first("0 0 0 ? * Tue"), "Tue 02");
    assert_eq!(first("0 0 1 jAn *"), "Mon 01");
    assert_eq!(
        ticks("0 0 * * Fri-Sun", "UTC", "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z"),
        ["Fri 05 00:00:00 +0000", "Sat 06 00:00:00 +0000", "Sun 07 00:00:00 +0000"]
    );
    assert_eq!(
        ticks("0 0 * * */3", "UTC", "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z"),
        ["Wed 03 00:00:00 +0000", "Sat 06 00:00:00 +0000", "Sun 07 00:00:00 +0000"]
    );
}

#[test]
fn either_day_counts_unless_a_field_starts_with_a_star() {
    let january = |expression: &str| {
        ticks(expression, "UTC", "2023-12-31T12:00:00Z", "2024-01-31T12:00:00Z")
            .iter()
            .map(|tick| tick.split(' ').nth(1).unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(january("0 0 13 * Fri"), "05 12 13 19 26");
    assert_eq!(january("0 0 13 * *"), "13");
    assert_eq!(january("0 0 * * Fri"), "05 12 19 26");
    assert_eq!(january("0 0 */2 * Fri"), "05 19");
    assert_eq!(january("0 0 1-7 * */7"), "07");
    // 1-31 is restricted, though it leaves nothing out: either counts, so every day does.
    assert_eq!(january("0 0 1-31 * Fri").len(), 31 * 3 - 1);
}

#[test]
fn what_crontab_would_not_read_is_refused_with_the_way_out() {
    let message = |expression: &str| {
        let error = refused(expression);
        format!("{error}; {}", error.hint().unwrap_or("no hint"))
    };
    for (expression, words) in [
        ("", "the schedule is empty; for every night: 0 3 * * *"),
        ("0 3 * *", "has 4 fields, not 5, 6 or 7"),
        ("daily", "has 1 field, not 5"),
        ("60 * * * *", "\"60\" is not a valid minute; from 0 to 59"),
        ("0 24 * * *", "\"24\" is not a valid hour; from 0 to 23"),
        ("0 0 0 * *", "\"0\" is not a valid day of month; from 1 to 31"),
        ("0 0 * 13 *", "\"13\" is not a valid month; from 1 to 12, or one of Jan"),
        ("0 0 * * 8", "\"8\" is not a valid weekday; from 0 to 7, or one of sun"),
        ("0 0 * * Fry", "\"Fry\" is not a valid weekday"),
        ("0 0 L * *", "\"L\" is not a valid day of month"),
        ("0 0 ? * *", "\"?\" is not a valid day of month"),
        ("0 0 * * 5#2", "\"5#2\" is not a valid weekday"),
        ("0 22-2 * * *", "runs backwards; write it as two: 22-23,0-2"),
        ("0 0 * * Fri-Mon", "runs backwards; write it as two: Fri-Sat,Sun-Mon"),
        ("5/15 * * * *", "has a step but no range; write 5-59/15"),
        ("*/0 * * * *", "\"0\" is not a step"),
        ("*/-1 * * * *", "\"-1\" is not a step"),
        ("*/+1 * * * *", "\"+1\" is not a step"),
        ("*/ * * * *", "\"\" is not a step"),
        ("1,,2 * * * *", "\"\" is not a valid minute"),
        ("-5 * * * *", "\"\" is not a valid minute"),
        ("99999999999 * * * *", "is not a valid minute"),
        ("0 0 3 * * 1", "the weekday \"1\" must be a name"),
        ("0 0 3 * * 1-5", "write Sun, Mon, Tue"),
        ("0 0 3 * * * 1969", "\"1969\" is not a valid year; from 1970 to 2100"),
        ("@reboot", "there is no schedule \"@reboot\"; known are @hourly"),
        ("@every 5m", "there is no schedule"),
        ("0 0 31 2 *", "never matches a date"),
        ("0 0 30 Feb *", "the schedule \"0 0 30 Feb *\" never matches a date; day of month"),
        ("0 0 3 * * * 2020-2025", "never matches a date"),
    ] {
        let found = message(expression).to_lowercase();
        assert!(found.contains(&words.to_lowercase()), "{expression}: {found}");
    }
    assert!(message(&"1,".repeat(300)).contains("600 bytes"));
}

#[test]
fn an_unknown_zone_gets_the_nearest_one() {
    for (name, nearest) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("Kolkata", "Asia/Kolkata"),
        ("utc", "UTC"),
    ] {
        let error = Schedule::parse("@daily", name).err().unwrap();
        assert_eq!(error.hint(), Some(format!("did you mean \"{nearest}\"?").as_str()), "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = Schedule::parse("@daily", "").err().unwrap();
    assert_eq!(error.hint(), None);
}

#[test]
fn it_says_what_it_is() {
    let schedule = schedule("  0 3 * * Mon-Fri ", "Europe/Berlin");
    assert_eq!(schedule.expression(), "0 3 * * Mon-Fri");
    assert_eq!(schedule.timezone(), "Europe/Berlin");
    assert_eq!(schedule.to_string(), "0 3 * * Mon-Fri (Europe/Berlin)");
}

#[test]
fn it_ends_where_its_years_do() {
    let schedule = schedule("0 0 0 1 1 * 2027,2030", "UTC");
    let first = utc("2027-01-01T00:00:00Z");
    let last = utc("2030-01-01T00:00:00Z");
    assert_eq!(schedule.next_after(Timestamp::MIN_UTC), Some(first));
    assert_eq!(schedule.next_after(first), Some(last));
    assert_eq!(schedule.next_after(last), None);
    assert_eq!(schedule.next_after(Timestamp::MAX_UTC), None);
    assert_eq!(schedule.longest_gap(), Duration::MAX);
    assert_eq!(schedule.shortest_gap(), Duration::from_secs(1096 * 86_400));
}

#[test]
fn gaps_are_those_of_the_clock_on_the_wall() {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;
    const DAY: u64 = 86_400;
    for (expression, zone, shortest, longest) in [
        ("* * * * *", "UTC", MINUTE, MINUTE),
        // The second pass through the repeated hour has no ticks.
        ("* * * * *", "Europe/Berlin", MINUTE, HOUR + MINUTE),
        ("0 3 * * *", "UTC", DAY, DAY),
        ("0 3 * * *", "Europe/Berlin", DAY - HOUR, DAY + HOUR),
        // 02:30 comes at 03:00 on the short day: half an hour late, then half an hour early.
        ("30 2 * * *", "Europe/Berlin", DAY - HOUR / 2, DAY + HOUR),
        ("15 2 * * *", "Australia/Lord_Howe", DAY - HOUR / 4, DAY + HOUR / 2),
        ("0 3 * * Mon-Fri", "UTC", DAY, 3 * DAY),
        ("0 3 * * Sun", "Europe/Berlin", 7 * DAY - HOUR, 7 * DAY + HOUR),
        ("* * 3 * * *", "UTC", 1, 23 * HOUR + 1),
        ("* * * * * Mon", "UTC", 1, 6 * DAY + 1),
        ("0 0 1 * *", "UTC", 28 * DAY, 31 * DAY),
        ("0 0 29 2 *", "UTC", 1461 * DAY, 1461 * DAY),
        ("0 0 13 * 5", "UTC", DAY, 7 * DAY),
        ("40 2 * * *", "America/New_York", DAY - HOUR * 2 / 3, DAY + HOUR),
        // 02:40 and 03:10 are ten minutes apart when 02:40 runs at 03:00.
        ("10,40 2-3 * * *", "Europe/Berlin", 10 * MINUTE, 22 * HOUR + 30 * MINUTE),
        // A 29th of February that is a Sunday: only a look at the whole century sees two.
        ("0 0 29 2 */7", "UTC", 28 * 365 * DAY + 7 * DAY, 28 * 365 * DAY + 7 * DAY),
    ] {
        let schedule = schedule(expression, zone);
        let found = (schedule.shortest_gap(), schedule.longest_gap());
        let expected = (Duration::from_secs(shortest), Duration::from_secs(longest));
        assert_eq!(found, expected, "{expression} in {zone}");
    }
}
