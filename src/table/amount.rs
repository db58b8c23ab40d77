//! Durations (`"24h"`) and shares (`"33%"`).

use std::{fmt::Write, time::Duration};

use crate::rotation::policy::Share;

/// The units, in seconds, longest first.
const UNITS: [(char, u64); 5] =
    [('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// One second, the unit that everything is counted in.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// 100 years: longer is a typing error, and could overflow dates that it is added to.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads `90s`, `15m`, `24h`, `30d`, `2w`, or several of them (`1h 30m`).
///
/// Not read by a general parser on purpose: those also know `M` for a month, and one slip of the
/// shift key must not make thirty days of a minute.
///
/// # Errors
/// The way out.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HOW: &str = "write a whole number and a unit: 90s, 15m, 24h, 30d or 2w";
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(HOW.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or(HOW)?;
        let unit =
            after.chars().next().and_then(|unit| UNITS.iter().find(|(name, _)| *name == unit));
        let (Ok(number), Some((name, length))) = (number.parse::<u64>(), unit) else {
            return Err(HOW.to_owned());
        };
        seconds = number
            .checked_mul(*length)
            .and_then(|part| seconds.checked_add(part))
            .filter(|seconds| *seconds <= LONGEST.as_secs())
            .ok_or("it is longer than 100 years")?;
        rest = after.strip_prefix(*name).unwrap_or_default().trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads `33%` or `12.5%` as a share; `None` when it is not written like one.
pub(crate) fn percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let share = number.parse::<f64>().ok()? / 100.0;
    (plain && share.is_finite()).then_some(share)
}

/// A duration as it would be written in the file, such as `1d 6h`; never more than two units.
pub(crate) fn in_words(duration: Duration) -> String {
    let mut left = duration.as_secs();
    let mut words = String::new();
    // Weeks are not used: "30d" is how people say it.
    for (name, length) in UNITS.iter().skip(1) {
        let count = left / length;
        left %= length;
        if count > 0 {
            let gap = if words.is_empty() { "" } else { " " };
            let _ = write!(words, "{gap}{count}{name}");
            if !gap.is_empty() {
                break;
            }
        }
    }
    if words.is_empty() {
        words.push_str("0s");
    }
    words
}

/// A share as it would be written in the file.
pub(crate) fn percent_in_words(share: Share) -> String {
    let percent = (share.get() * 10_000.0).round() / 100.0;
    format!("{percent}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_contract_are_read() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("24h", 86_400),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("1h 30m", 5_400),
            ("1h30m", 5_400),
            ("0s", 0),
            ("5200w", 3_144_960_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            " ",
            "24",
            "h",
            "1M",
            "1y",
            "1.5h",
            "-1h",
            "1 h",
            "é",
            "24h!",
            "٣h",
            "36501d",
            "99999999999999999999s",
            "9223372036854775807w",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(percent("33%"), Some(0.33));
        assert_eq!(percent("12.5 %"), Some(0.125));
        for text in ["33", "%", "-1%", "+1%", "1e1%", "inf%", "NaN%", "1.2.3%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }

    #[test]
    fn words_can_be_written_back() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (3_600, "1h"),
            (86_400, "1d"),
            (2_592_000, "30d"),
            (90_061, "1d 1h"),
            (2_376, "39m 36s"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
        assert_eq!(percent_in_words(Share::try_new(0.33).unwrap()), "33%");
        assert_eq!(percent_in_words(Share::try_new(0.125).unwrap()), "12.5%");
    }
}
