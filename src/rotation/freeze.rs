//! Times in which no rotation starts and no token is revoked, by the policy: `freeze`.
//!
//! Written as dates or local times of the policy's time zone: `2026-12-24` is that day,
//! `2026-12-20/2027-01-02` both days and all between them, `2026-12-31T18:00/2027-01-01T06:00` from the
//! first moment to the second.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

use super::schedule::instant;
use crate::clock::Timestamp;

/// The years that can be named.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2100;

/// A time by the clocks of a time zone that is still to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSpan {
    from: NaiveDateTime,
    /// The first moment after it.
    until: NaiveDateTime,
}

/// A text that names no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASpan {
    /// It is neither a date nor an interval.
    #[error("it is neither a date nor an interval of dates")]
    Unreadable,
    /// The end is not after the beginning.
    #[error("it ends before it begins")]
    Backwards,
    /// The time zone is the policy's.
    #[error("it has a UTC offset; times are read in `timezone`")]
    Offset,
    /// A length instead of an end.
    #[error("it has a duration; both ends must be dates or times")]
    Length,
}

impl LocalSpan {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NotASpan> {
        let (first, last) =
            text.trim().split_once('/').unwrap_or_else(|| (text.trim(), text.trim()));
        if first.starts_with('P') || last.starts_with('P') {
            return Err(NotASpan::Length);
        }
        let (from, until) = (End::parse(first)?, End::parse(last)?);
        // A single moment is no time in which anything could be held back.
        if !text.contains('/') && matches!(from, End::Moment(_)) {
            return Err(NotASpan::Unreadable);
        }
        let span = Self { from: from.begins(), until: until.ends()? };
        if span.until > span.from { Ok(span) } else { Err(NotASpan::Backwards) }
    }
}

/// An end as it is written.
#[derive(Clone, Copy)]
enum End {
    Day(NaiveDate),
    Moment(NaiveDateTime),
}

impl End {
    fn parse(text: &str) -> Result<Self, NotASpan> {
        use chrono::Datelike;
        let known = |date: &NaiveDate| YEARS.contains(&date.year());
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if text.len() == 10 && digits(text) {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(known);
            return date.map(Self::Day).ok_or(NotASpan::Unreadable);
        }
        let time = text.split_once('T').map(|(_, time)| time);
        if time.is_some_and(|time| time.contains(['Z', 'z', '+', '-'])) {
            return Err(NotASpan::Offset);
        }
        let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
        let mut read = formats.iter().map(|format| NaiveDateTime::parse_from_str(text, format));
        let moment = read.find_map(Result::ok).filter(|moment| known(&moment.date()));
        moment.map(Self::Moment).ok_or(NotASpan::Unreadable)
    }

    fn begins(self) -> NaiveDateTime {
        match self {
            Self::Day(day) => day.and_time(NaiveTime::MIN),
            Self::Moment(moment) => moment,
        }
    }

    /// The last day belongs to it.
    fn ends(self) -> Result<NaiveDateTime, NotASpan> {
        match self {
            Self::Day(day) => {
                let next = day.succ_opt().ok_or(NotASpan::Unreadable)?;
                Ok(next.and_time(NaiveTime::MIN))
            }
            Self::Moment(moment) => Ok(moment),
        }
    }
}

/// A time from its first moment to the first moment after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// All such times of a policy: apart from each other, the soonest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze(Vec<Span>);

impl Freeze {
    /// By the clocks of a time zone. A local time that a clock change skips is the first moment after
    /// it, one that comes twice the first of the two. What overlaps or follows at once is one.
    #[must_use]
    pub fn new(spans: &[LocalSpan], zone: Tz) -> Self {
        let mut all: Vec<Span> = spans
            .iter()
            .map(|span| Span { from: instant(zone, span.from), until: instant(zone, span.until) })
            .filter(|span| span.from < span.until)
            .collect();
        all.sort_unstable();
        let mut apart: Vec<Span> = Vec::new();
        for span in all {
            match apart.last_mut().filter(|last| span.from <= last.until) {
                Some(last) => last.until = last.until.max(span.until),
                None => apart.push(span),
            }
        }
        Self(apart)
    }

    /// The one in which a moment lies.
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Option<Span> {
        // The last one that has begun by then.
        let begun = self.0.partition_point(|span| span.from <= moment);
        let last = begun.checked_sub(1).and_then(|last| self.0.get(last)).copied();
        last.filter(|span| moment < span.until)
    }

    /// The longest of those that are not over at a moment, the rest of one that has begun included
    /// whole.
    #[must_use]
    pub fn longest_after(&self, moment: Timestamp) -> Option<Span> {
        let ahead = self.0.iter().filter(|span| span.until > moment);
        ahead.max_by_key(|span| span.until - span.from).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{parse_timestamp, rfc3339};

    fn spans(texts: &[&str], zone: Tz) -> Vec<(String, String)> {
        let local: Vec<LocalSpan> =
            texts.iter().map(|text| LocalSpan::parse(text).unwrap()).collect();
        let Freeze(spans) = Freeze::new(&local, zone);
        spans.into_iter().map(|span| (rfc3339(span.from), rfc3339(span.until))).collect()
    }

    fn one(from: &str, until: &str) -> Vec<(String, String)> {
        vec![(from.to_owned(), until.to_owned())]
    }

    #[test]
    fn both_days_belong_to_it_and_all_between_them() {
        let year_end = spans(&["2026-12-20/2027-01-02"], Tz::UTC);
        assert_eq!(year_end, one("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z"));
        let day = one("2026-12-23T23:00:00Z", "2026-12-24T23:00:00Z");
        assert_eq!(spans(&["2026-12-24"], Tz::Europe__Berlin), day);
        assert_eq!(spans(&["2026-12-24/2026-12-24"], Tz::Europe__Berlin), day);
        let night = spans(&["2026-12-31T18:00/2027-01-01T06:00:30"], Tz::Europe__Berlin);
        assert_eq!(night, one("2026-12-31T17:00:00Z", "2027-01-01T05:00:30Z"));
        let mixed = spans(&["2026-12-31T18:00/2027-01-01"], Tz::UTC);
        assert_eq!(mixed, one("2026-12-31T18:00:00Z", "2027-01-02T00:00:00Z"));
    }

    #[test]
    fn a_day_is_as_long_as_the_clocks_make_it() {
        // Clocks go forward in that night, and back in the other.
        let spring = spans(&["2027-03-28"], Tz::Europe__Berlin);
        assert_eq!(spring, one("2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"));
        let autumn = spans(&["2026-10-25"], Tz::Europe__Berlin);
        assert_eq!(autumn, one("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"));
        // 02:30 is skipped: from the first moment after the gap.
        let gap = spans(&["2027-03-28T02:30/2027-03-28T04:00"], Tz::Europe__Berlin);
        assert_eq!(gap, one("2027-03-28T01:00:00Z", "2027-03-28T02:00:00Z"));
        // All of it is skipped.
        let nothing = spans(&["2027-03-28T02:10/2027-03-28T02:50"], Tz::Europe__Berlin);
        assert_eq!(nothing, Vec::new());
    }

    #[test]
    fn what_overlaps_or_follows_at_once_is_one() {
        let texts = ["2027-01-05/2027-01-06", "2026-12-20/2027-01-02", "2027-01-03/2027-01-04"];
        assert_eq!(spans(&texts, Tz::UTC), one("2026-12-20T00:00:00Z", "2027-01-07T00:00:00Z"));
        let within = ["2026-12-20/2027-01-02", "2026-12-24"];
        assert_eq!(spans(&within, Tz::UTC), one("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z"));
        assert_eq!(spans(&["2026-12-24", "2026-12-26"], Tz::UTC).len(), 2);
    }

    #[test]
    fn a_moment_is_in_one_or_in_none() {
        let at = |text| parse_timestamp(text).unwrap();
        let local = ["2026-12-24", "2026-12-26/2026-12-28"].map(|it| LocalSpan::parse(it).unwrap());
        let freeze = Freeze::new(&local, Tz::UTC);
        assert_eq!(freeze.at(at("2026-12-23T23:59:59Z")), None);
        let eve = freeze.at(at("2026-12-24T00:00:00Z")).unwrap();
        assert_eq!(eve.until, at("2026-12-25T00:00:00Z"));
        assert_eq!(freeze.at(eve.until), None, "the end is the first moment after it");
        assert_eq!(
            freeze.at(at("2026-12-28T23:59:59Z")).map(|span| span.from),
            Some(at("2026-12-26T00:00:00Z"))
        );
        assert_eq!(freeze.at(at("2027-06-01T00:00:00Z")), None);
        let longest = freeze.longest_after(at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!((longest.until - longest.from).num_days(), 3);
        assert_eq!(freeze.longest_after(longest.until), None, "past ones do not count");
        assert_eq!(Freeze::default().at(eve.from), None);
    }

    #[test]
    fn what_names_no_time_is_refused_for_what_it_is() {
        for (text, why) in [
            ("", NotASpan::Unreadable),
            ("christmas", NotASpan::Unreadable),
            ("2026-12-24/", NotASpan::Unreadable),
            ("2026-02-30", NotASpan::Unreadable),
            ("2026-1-2", NotASpan::Unreadable),
            ("24.12.2026", NotASpan::Unreadable),
            ("2026-12-24/26", NotASpan::Unreadable),
            ("2026-12-24T18:00", NotASpan::Unreadable),
            ("2026-12-24T25:00/2026-12-25", NotASpan::Unreadable),
            ("1969-12-31", NotASpan::Unreadable),
            ("2101-01-01", NotASpan::Unreadable),
            ("2026-12-24/2026-12-25/2026-12-26", NotASpan::Unreadable),
            ("2027-01-02/2026-12-20", NotASpan::Backwards),
            ("2026-12-24T18:00/2026-12-24T18:00", NotASpan::Backwards),
            ("2026-12-24T18:00Z/2026-12-25", NotASpan::Offset),
            ("2026-12-24T18:00+01:00/2026-12-25", NotASpan::Offset),
            ("2026-12-24/P14D", NotASpan::Length),
            ("P14D/2026-12-24", NotASpan::Length),
        ] {
            assert_eq!(LocalSpan::parse(text), Err(why), "{text}");
        }
    }
}
