//! Times in stored documents: RFC 3339, as `chrono` writes and reads them, byte for byte. A ledger holds
//! very many, nearly all in one form, and to read any form takes many times as long as to read that one.

use std::fmt;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::Timestamp;

/// Writes one, or none: for `#[serde(with = "…")]`.
pub(crate) fn serialize<T: Times, S: Serializer>(at: &T, serializer: S) -> Result<S::Ok, S::Error> {
    at.write(serializer)
}

/// Reads what [`serialize`] wrote, and every other form of RFC 3339.
pub(crate) fn deserialize<'de, T: Times, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// What a field that holds a time can be.
pub(crate) trait Times: Sized {
    /// Writes it.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl Times for Timestamp {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored(*self).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Stored::deserialize(deserializer).map(|Stored(at)| at)
    }
}

impl Times for Option<Timestamp> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map(Stored).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let at = Option::<Stored>::deserialize(deserializer)?;
        Ok(at.map(|Stored(at)| at))
    }
}

/// A time, as it is stored.
struct Stored(Timestamp);

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; LONGEST];
        match written(self.0, &mut text) {
            Some(text) => serializer.serialize_str(text),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text).map(Self)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 formatted date and time string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        if let Some(at) = usual(text.as_bytes()) {
            return Ok(at);
        }
        text.parse::<DateTime<FixedOffset>>().map(|at| at.with_timezone(&Utc)).map_err(E::custom)
    }
}

/// `2026-11-22T04:00:00.123456789Z`.
const LONGEST: usize = 30;

/// Reads the form that is written here. `None`: it is another one, or no time at all.
fn usual(text: &[u8]) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1] =
        *seconds
    else {
        return None;
    };
    let nanos = match fraction {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let padding = std::iter::repeat_n(&b'0', 9 - digits.len());
            number(digits.iter().chain(padding))?
        }
        _ => return None,
    };
    let year = i32::try_from(number(&[y0, y1, y2, y3])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m0, m1])?, number(&[d0, d1])?)?;
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    Some(date.and_hms_nano_opt(hour, minute, second, nanos)?.and_utc())
}

fn number<'b>(digits: impl IntoIterator<Item = &'b u8>) -> Option<u32> {
    digits.into_iter().try_fold(0, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u32::from(digit))
    })
}

/// Writes it into `text`. `None`: a leap second, or a year that does not have four digits.
fn written(at: Timestamp, text: &mut [u8; LONGEST]) -> Option<&str> {
    let at: NaiveDateTime = at.naive_utc();
    let (year, nanos) = (u32::try_from(at.year()).ok()?, at.nanosecond());
    if year > 9999 || nanos >= 1_000_000_000 {
        return None;
    }
    text[..20].copy_from_slice(b"0000-00-00T00:00:00Z");
    put(&mut text[..4], year);
    put(&mut text[5..7], at.month());
    put(&mut text[8..10], at.day());
    put(&mut text[11..13], at.hour());
    put(&mut text[14..16], at.minute());
    put(&mut text[17..19], at.second());
    let (digits, fraction) = match nanos {
        0 => (0, 0),
        _ if nanos.is_multiple_of(1_000_000) => (3, nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => (6, nanos / 1_000),
        _ => (9, nanos),
    };
    let end = if digits == 0 {
        20
    } else {
        text[19] = b'.';
        put(&mut text[20..20 + digits], fraction);
        text[20 + digits] = b'Z';
        21 + digits
    };
    std::str::from_utf8(&text[..end]).ok()
}

/// Writes a number with leading zeros.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `chrono` itself does it.
    fn by_chrono(json: &str) -> Result<Timestamp, String> {
        serde_json::from_str::<Timestamp>(json).map_err(|error| error.to_string())
    }

    fn by_us(json: &str) -> Result<Timestamp, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        deserialize::<Timestamp, _>(&mut json).map_err(|error| error.to_string())
    }

    fn ours(at: Timestamp) -> String {
        serde_json::to_string(&Stored(at)).unwrap()
    }

    proptest! {
        #[test]
        fn times_are_written_and_read_as_chrono_does_it(
            seconds in -70_000_000_000_i64..300_000_000_000,
            nanos in prop_oneof![
                Just(0_u32),
                (0_u32..1_000).prop_map(|ms| ms * 1_000_000),
                (0_u32..1_000_000).prop_map(|us| us * 1_000),
                0_u32..2_000_000_000,
            ],
        ) {
            let Some(at) = DateTime::from_timestamp(seconds, nanos) else { return Ok(()) };
            let text = serde_json::to_string(&at).unwrap();
            prop_assert_eq!(&ours(at), &text);
            prop_assert_eq!(by_us(&text), by_chrono(&text));
        }

        #[test]
        fn what_is_damaged_is_what_chrono_says_it_is(
            place in 0_usize..32,
            byte in prop_oneof![Just(b'9'), Just(b'0'), Just(b'-'), Just(b' '), 0x20_u8..0x7f],
            long in any::<bool>(),
            cut in 0_usize..40,
        ) {
            let sound = if long { "2026-11-22T04:00:00.123456789Z" } else { "2026-02-28T23:59:59Z" };
            let mut bytes = sound.as_bytes().to_vec();
            if let Some(place) = bytes.get_mut(place) {
                *place = byte;
            }
            bytes.truncate(cut);
            let json = serde_json::to_string(&String::from_utf8(bytes).unwrap()).unwrap();
            prop_assert_eq!(by_us(&json), by_chrono(&json));
        }
    }

    #[test]
    fn every_other_form_is_read_as_chrono_reads_it() {
        for text in [
            "2026-11-22T04:00:00+01:00",
            "2026-11-22 04:00:00Z",
            "2026-11-22t04:00:00z",
            "2026-11-22T04:00:60Z",
            "2026-11-22T23:59:60Z",
            "2026-11-22T04:00:00.1234567891Z",
            "2026-11-22T04:00:00.Z",
            "2026-02-29T04:00:00Z",
            "2026-13-01T04:00:00Z",
            "2026-11-22T24:00:00Z",
            "+12026-11-22T04:00:00Z",
            "-0001-11-22T04:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-22T04:00Z",
            "2026-11-22",
            "\u{ff12}026-11-22T04:00:00Z",
            "",
        ] {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(by_us(&json), by_chrono(&json), "{text}");
        }
        for json in ["null", "1", "[]", "{}", "\"2026-11-22T04:00:00Z"] {
            assert_eq!(by_us(json), by_chrono(json), "{json}");
        }
    }

    #[test]
    fn none_is_null() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Field {
            #[serde(default, with = "super")]
            at: Option<Timestamp>,
        }
        let at = crate::clock::parse_timestamp("2026-11-22T04:00:00.5Z");
        for (at, text) in [(at, "{\"at\":\"2026-11-22T04:00:00.500Z\"}"), (None, "{\"at\":null}")] {
            assert_eq!(serde_json::to_string(&Field { at }).unwrap(), text);
            assert_eq!(serde_json::from_str::<Field>(text).unwrap(), Field { at });
        }
        assert_eq!(serde_json::from_str::<Field>("{}").unwrap(), Field { at: None });
    }
}
