//! What stands behind a flag, as the rest of the program takes it.

use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};

use super::{Condition, Named};
use crate::{
    clock::{Timestamp, parse_timestamp, rfc3339},
    pattern::Pattern,
    rotation::probe_user::ProbeUserName,
    secret::Secret,
    token::{ConnectionName, ProviderName, TokenId, looks_like_a_value},
    words::parse_date,
};

/// The longest duration that can be asked for (100 years), so that adding it to a time cannot
/// overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The longest reason that is kept with a pause, in characters.
const LONGEST_REASON: usize = 200;

/// A moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This one.
    At(Timestamp),
    /// So long from now.
    For(Duration),
}

/// A moment: as [`time`] takes it, a date, or a duration from now.
pub(super) fn until(text: &str) -> Result<Until, String> {
    if let Some(at) = written(text) {
        return Ok(Until::At(at));
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let at = date.and_time(NaiveTime::MIN).and_utc();
        // The same years as of every other time.
        let at = parse_timestamp(&rfc3339(at)).ok_or("its year must be 1970 to 9999")?;
        return Ok(Until::At(at));
    }
    duration(text).map(Until::For).map_err(|_| {
        "write a time (2026-12-24T06:00:00Z), a date (2026-12-24) or a duration (8h)".to_owned()
    })
}

/// A moment: RFC 3339, or as messages show it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    written(text).ok_or_else(|| "write a time such as 2026-12-24T06:00:00Z".to_owned())
}

fn written(text: &str) -> Option<Timestamp> {
    parse_timestamp(text).or_else(|| parse_date(text))
}

/// Why, in a line that everybody may read.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("give a reason; it is shown to others".to_owned());
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(format!("it may have at most {LONGEST_REASON} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("it must be one line, without control characters".to_owned());
    }
    text.split_whitespace().try_for_each(no_value)?;
    Ok(text.to_owned())
}

pub(super) fn name(text: &str) -> Result<ConnectionName, String> {
    no_value(text)?;
    ConnectionName::try_new(text).map_err(|error| error.to_string())
}

/// A name, or a pattern of names.
pub(super) fn named(text: &str) -> Result<Named, String> {
    if Pattern::is_in(text) { pattern(text).map(Named::Like) } else { name(text).map(Named::Name) }
}

pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    no_value(text)?;
    Pattern::try_new(text).map_err(str::to_owned)
}

pub(super) fn provider(text: &str) -> Result<ProviderName, String> {
    no_value(text)?;
    ProviderName::try_new(text).map_err(|error| error.to_string())
}

pub(super) fn condition(text: &str) -> Result<Condition, String> {
    Condition::parse(text, duration)
}

pub(super) fn token_id(text: &str) -> Result<TokenId, String> {
    no_value(text)?;
    TokenId::try_new(text).map_err(|error| error.to_string())
}

pub(super) fn probe_user(text: &str) -> Result<ProbeUserName, String> {
    ProbeUserName::parse(text)
        .ok_or_else(|| "`scimitar explain CONNECTION` shows the name: scimitar-probe-…".to_owned())
}

fn no_value(text: &str) -> Result<(), String> {
    if looks_like_a_value(text) {
        return Err("this looks like a token's value: never type it on a command line. Give the \
                    token's id, which is the part before the dot"
            .to_owned());
    }
    Ok(())
}

pub(super) fn hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a hash has 64 hexadecimal digits".to_owned())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap's value parsers return a Result")]
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.to_owned()))
}

/// Durations as in the configuration: `90s`, `15m`, `24h`, `30d`, `2w`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 90s, 15m, 24h, 30d or 2w"))?;
    if duration.is_zero() || duration > LONGEST {
        return Err("it must be more than zero and at most 100 years".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_as_messages_show_it() {
        let at = parse_timestamp("2026-12-24T06:00:00Z").unwrap();
        let texts = ["2026-12-24T06:00:00Z", "2026-12-24T07:00:00+01:00", "2026-12-24 06:00 UTC"];
        for text in texts {
            assert_eq!((time(text), until(text)), (Ok(at), Ok(Until::At(at))), "{text}");
        }
        assert_eq!(until("8h"), Ok(Until::For(Duration::from_secs(8 * 3_600))));
        for text in ["2026-12-24 06:00", "2026-12-24 06:00 CET", "1969-12-24 06:00 UTC", "soon"] {
            assert!(time(text).is_err() && until(text).is_err(), "{text}");
        }
    }
}
