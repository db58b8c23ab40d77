//! Reads the fields of an expression, and time zones.

use std::{collections::BTreeSet, str::FromStr};

use chrono::{Datelike, NaiveDate};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::ScheduleError;

/// Longer than any sensible expression, and short enough for a message.
const LONGEST: usize = 400;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What one field may hold.
struct Unit {
    what: &'static str,
    least: u16,
    most: u16,
    /// What counts from `least` on; three letters are enough.
    names: &'static [&'static str],
    digits: bool,
}

const SECOND: Unit = number("second", 0, 59);
const MINUTE: Unit = number("minute", 0, 59);
const HOUR: Unit = number("hour", 0, 23);
const DAY: Unit = number("day of month", 1, 31);
const MONTH: Unit = Unit { what: "month", least: 1, most: 12, names: &MONTHS, digits: true };
const WEEKDAY: Unit = Unit { what: "weekday", least: 0, most: 7, names: &WEEKDAYS, digits: true };
const NAMED_WEEKDAY: Unit = Unit { digits: false, ..WEEKDAY };
/// The years that the `cron` crate knows.
const YEAR: Unit = number("year", 1970, 2100);

const fn number(what: &'static str, least: u16, most: u16) -> Unit {
    Unit { what, least, most, names: &[], digits: true }
}

/// A field: the values that fit, and whether it starts with a star, which Vixie cron takes for
/// "not restricted" where day of month and weekday are weighed against each other.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) values: BTreeSet<u16>,
    starred: bool,
}

/// A whole expression.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) seconds: Field,
    pub(super) minutes: Field,
    pub(super) hours: Field,
    days: Field,
    months: Field,
    /// 0 is Sunday, and nothing is 7.
    weekdays: Field,
    pub(super) years: Field,
}

impl Fields {
    pub(super) fn parse(expression: &str) -> Result<Self, ScheduleError> {
        if expression.len() > LONGEST {
            return Err(wrong(
                format!("the schedule has {} bytes, more than {LONGEST}", expression.len()),
                "write ranges and steps instead of lists, as in 0-30/5",
            ));
        }
        if expression.starts_with('@') {
            return Self::parse(nickname(expression)?);
        }
        let parts: Vec<&str> = expression.split_whitespace().collect();
        match *parts.as_slice() {
            [minute, hour, day, month, weekday] => {
                Self::read(["0", minute, hour, day, month, weekday, "*"], &WEEKDAY)
            }
            [second, minute, hour, day, month, weekday] => {
                Self::read([second, minute, hour, day, month, weekday, "*"], &NAMED_WEEKDAY)
            }
            [second, minute, hour, day, month, weekday, year] => {
                Self::read([second, minute, hour, day, month, weekday, year], &NAMED_WEEKDAY)
            }
            [] => Err(wrong("the schedule is empty", "for every night: 0 3 * * *")),
            ref other => Err(wrong(
                format!(
                    "the schedule \"{expression}\" has {} field{}, not 5, 6 or 7",
                    other.len(),
                    if other.len() == 1 { "" } else { "s" }
                ),
                "minute, hour, day of month, month, weekday: 0 3 * * Mon-Fri",
            )),
        }
    }

    /// What the `cron` crate is asked, in its own dialect (weekdays from 1 to 7, Sunday first).
    pub(super) fn patterns(&self) -> Vec<String> {
        let all = "*".to_owned();
        let list = |field: &Field, unit: &Unit, offset: u16| {
            let every = usize::from(unit.most - unit.least) + 1;
            if field.values.len() == every {
                return all.clone();
            }
            let values: Vec<String> =
                field.values.iter().map(|value| (value + offset).to_string()).collect();
            values.join(",")
        };
        let days = list(&self.days, &DAY, 0);
        let weekdays = list(&self.weekdays, &WEEKDAY, 1);
        let pattern = |days: &str, weekdays: &str| {
            format!(
                "{} {} {} {days} {} {weekdays} {}",
                list(&self.seconds, &SECOND, 0),
                list(&self.minutes, &MINUTE, 0),
                list(&self.hours, &HOUR, 0),
                list(&self.months, &MONTH, 0),
                list(&self.years, &YEAR, 0),
            )
        };
        if self.both_must_fit() {
            vec![pattern(&days, &weekdays)]
        } else {
            vec![pattern(&days, &all), pattern(&all, &weekdays)]
        }
    }

    /// Whether a day fits.
    pub(super) fn fits(&self, date: NaiveDate) -> bool {
        let has = |field: &Field, value: u32| {
            u16::try_from(value).is_ok_and(|value| field.values.contains(&value))
        };
        let day = has(&self.days, date.day());
        let weekday = has(&self.weekdays, date.weekday().num_days_from_sunday());
        let either = if self.both_must_fit() { day && weekday } else { day || weekday };
        either
            && has(&self.months, date.month())
            && u32::try_from(date.year()).is_ok_and(|year| has(&self.years, year))
    }

    fn both_must_fit(&self) -> bool {
        self.days.starred || self.weekdays.starred
    }

    fn read(parts: [&str; 7], weekday: &Unit) -> Result<Self, ScheduleError> {
        let [second, minute, hour, day, month, weekday_text, year] = parts;
        // "No value" is what some of the six-field dialects write for "any day".
        let any = |text| {
            if text == "?" && !weekday.digits { "*" } else { text }
        };
        let mut weekdays = field(any(weekday_text), weekday)?;
        weekdays.values = weekdays.values.iter().map(|value| value % 7).collect();
        Ok(Self {
            seconds: field(second, &SECOND)?,
            minutes: field(minute, &MINUTE)?,
            hours: field(hour, &HOUR)?,
            days: field(any(day), &DAY)?,
            months: field(month, &MONTH)?,
            weekdays,
            years: field(year, &YEAR)?,
        })
    }
}

/// Finds a zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<Tz, ScheduleError> {
    Tz::from_str(name).map_err(|_| ScheduleError::TimeZone {
        name: shortened(name),
        hint: nearest_zone(name).map(|zone| format!("did you mean \"{zone}\"?")),
    })
}

/// The zone whose name, or whose city, is most like `name`.
fn nearest_zone(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.trim().to_lowercase().replace(' ', "_");
    TZ_VARIANTS
        .iter()
        .map(|zone| {
            let known = zone.name();
            let whole = known.to_lowercase();
            let city = whole.rsplit('/').next().unwrap_or(&whole);
            let like = strsim::jaro_winkler(&wanted, &whole)
                .max(strsim::jaro_winkler(&wanted, city) * 0.99);
            (like, known)
        })
        .filter(|(like, _)| *like > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

fn nickname(expression: &str) -> Result<&'static str, ScheduleError> {
    let wanted = expression.to_ascii_lowercase();
    NICKNAMES.iter().find(|(name, _)| *name == wanted).map(|(_, meaning)| *meaning).ok_or_else(
        || {
            wrong(
                format!("there is no schedule \"{}\"", shortened(expression)),
                "known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
            )
        },
    )
}

fn field(text: &str, unit: &Unit) -> Result<Field, ScheduleError> {
    let mut values = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(self::step(step, unit)?)),
        };
        let (first, last) = bounds(range, unit)?;
        if step.is_some() && !range.starts_with('*') && !range.contains('-') {
            return Err(wrong(
                format!("the {} \"{}\" has a step but no range", unit.what, shortened(item)),
                format!("write {range}-{}/{}", unit.most, step.unwrap_or(1)),
            ));
        }
        values.extend((first..=last).step_by(usize::from(step.unwrap_or(1))));
    }
    Ok(Field { values, starred: text.starts_with('*') })
}

/// The first and the last value of `*`, `3` or `3-7`.
fn bounds(range: &str, unit: &Unit) -> Result<(u16, u16), ScheduleError> {
    if range == "*" {
        return Ok((unit.least, unit.most));
    }
    let Some((first_text, last_text)) = range.split_once('-') else {
        let value = value(range, unit)?;
        return Ok((value, value));
    };
    let first = value(first_text, unit)?;
    let mut last = value(last_text, unit)?;
    // A week may end with Sunday by name too: crontab writes 5-7 for Fri-Sun.
    if !unit.names.is_empty() && unit.least == 0 && last == 0 && first > 0 && !is_digits(last_text)
    {
        last = unit.most;
    }
    if first > last {
        return Err(wrong(
            format!("the {} range \"{}\" runs backwards", unit.what, shortened(range)),
            if unit.what == YEAR.what {
                format!("write {last_text}-{first_text}")
            } else {
                // 7 is Sunday again, so the week is split before Sunday, by name.
                let (most, least) = if unit.least == 0 && !unit.names.is_empty() {
                    ("Sat".to_owned(), "Sun".to_owned())
                } else {
                    (unit.most.to_string(), unit.least.to_string())
                };
                format!("write it as two: {first_text}-{most},{least}-{last_text}")
            },
        ));
    }
    Ok((first, last))
}

fn step(text: &str, unit: &Unit) -> Result<u16, ScheduleError> {
    match text.parse::<u16>() {
        Ok(step) if step > 0 && is_digits(text) => Ok(step),
        Ok(_) | Err(_) => Err(wrong(
            format!(
                "\"{}\" is not a step for the {}: it must be a whole number of at least 1",
                shortened(text),
                unit.what
            ),
            "*/15 is every fifteenth",
        )),
    }
}

fn value(text: &str, unit: &Unit) -> Result<u16, ScheduleError> {
    if is_digits(text) {
        if !unit.digits {
            return Err(wrong(
                format!(
                    "the weekday \"{}\" must be a name in a schedule with seconds: other programs \
                     read digits there as other days",
                    shortened(text)
                ),
                "write Sun, Mon, Tue, Wed, Thu, Fri or Sat",
            ));
        }
        if let Ok(value) = text.parse::<u16>()
            && (unit.least..=unit.most).contains(&value)
        {
            return Ok(value);
        }
        return Err(not_a(text, unit));
    }
    let wanted = text.to_ascii_lowercase();
    (unit.least..)
        .zip(unit.names)
        .find(|(_, name)| wanted == **name || (wanted.len() == 3 && name.starts_with(&wanted)))
        .map(|(value, _)| value)
        .ok_or_else(|| not_a(text, unit))
}

fn not_a(text: &str, unit: &Unit) -> ScheduleError {
    let hint = if unit.names.is_empty() {
        format!("from {} to {}", unit.least, unit.most)
    } else {
        let short: Vec<&str> = unit.names.iter().filter_map(|name| name.get(..3)).collect();
        let digits = if unit.digits {
            format!("from {} to {}, or ", unit.least, unit.most)
        } else {
            String::new()
        };
        format!("{digits}one of {}", short.join(", "))
    };
    wrong(format!("\"{}\" is not a valid {}", shortened(text), unit.what), hint)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Enough of a text to find it by, on one line.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect()
}

fn wrong(detail: impl Into<String>, hint: impl Into<String>) -> ScheduleError {
    ScheduleError::Expression { detail: detail.into(), hint: Some(hint.into()) }
}
