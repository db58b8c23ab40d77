//! A ledger that cannot be used: nothing is started, nothing is lost, and it is said once.

use chrono::TimeDelta;

use super::live::{Live, Obstacle};
use crate::{clock::Timestamp, words::short};

/// How soon it is tried again, at first.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// How late, at most.
const LATE: TimeDelta = TimeDelta::seconds(30);

/// A failure this soon after the last standstill is the same one: what can be written to and is
/// full again ends none.
const SAME: TimeDelta = TimeDelta::seconds(60);

/// Since nothing is done without writing it down first, all work stands still while the ledger is
/// locked, read-only, full or away.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    now: Option<State>,
    /// When the last one ended, and how long it was then waited.
    last: Option<(Timestamp, TimeDelta)>,
}

#[derive(Debug)]
struct State {
    since: Timestamp,
    delay: TimeDelta,
    until: Timestamp,
    words: String,
}

impl Standstill {
    /// Whether it is not yet time to try again.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.until(now).is_some_and(|until| until > now)
    }

    /// When it is tried again: at once where the clock was set to before it failed.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.now.as_ref().map(|state| if now < state.since { now } else { state.until })
    }

    /// Whether there is none.
    pub(super) fn is_over(&self) -> bool {
        self.now.is_none()
    }

    /// What stands in the way.
    pub(super) fn words(&self) -> Option<&str> {
        self.now.as_ref().map(|state| state.words.as_str())
    }

    /// It could not be used.
    pub(super) fn goes_on(&mut self, live: &Live, now: Timestamp, words: &str) {
        let lately = |ended: Timestamp| ended <= now && now - ended < SAME;
        let before = self.last.filter(|(ended, _)| lately(*ended)).map(|(_, delay)| delay);
        // Workers that were started together fail together: that is one failure.
        let delay = match (&self.now, before) {
            (Some(state), _) if state.since <= now && now < state.until => state.delay,
            (Some(State { delay, .. }), _) => (*delay * 2).min(LATE),
            (None, Some(delay)) => (delay * 2).min(LATE),
            (None, None) => SOON,
        };
        let said =
            format!("{words}; rotations are on hold until the ledger is back; nothing is lost");
        if live.blocked(Obstacle::Ledger, now, &said) {
            tracing::error!(
                error = words,
                "ledger unavailable, rotations are on hold (nothing is lost): {words}"
            );
        }
        self.now = Some(State { since: now, delay, until: now + delay, words: words.to_owned() });
    }

    /// It can be read and written.
    pub(super) fn ends(&mut self, live: &Live, now: Timestamp) {
        let Some(state) = self.now.take() else { return };
        self.last = Some((now, state.delay));
        if let Some(since) = live.cleared(Obstacle::Ledger) {
            let seconds = (now - since).num_seconds();
            tracing::info!(
                seconds,
                "ledger is back after {}",
                short((now - since).to_std().unwrap_or_default())
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn it_is_tried_ever_less_often_and_said_once() {
        let mut now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let live = Live::starting(Vec::new(), now);
        live.cleared(Obstacle::Starting);
        let mut standstill = Standstill::default();
        assert!(standstill.is_over() && !standstill.lasts(now));
        let mut waits = Vec::new();
        for _ in 0..7 {
            standstill.goes_on(&live, now, "locked");
            // Another one that was under way changes nothing.
            standstill.goes_on(&live, now, "locked");
            let until = standstill.until(now).unwrap();
            waits.push((until - now).num_seconds());
            assert!(standstill.lasts(now) && !standstill.lasts(until));
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!((live.obstacles().len(), standstill.words()), (1, Some("locked")));
        standstill.ends(&live, now);
        assert!(standstill.is_over() && live.obstacles().is_empty());
        // A disk that is full can be locked, and then not be written: that goes on where it was.
        standstill.goes_on(&live, now, "full");
        assert_eq!(standstill.until(now), Some(now + LATE));
        standstill.ends(&live, now);
        now += SAME;
        standstill.goes_on(&live, now, "locked");
        assert_eq!(standstill.until(now), Some(now + SOON));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_it() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let live = Live::starting(Vec::new(), now);
        let mut standstill = Standstill::default();
        standstill.goes_on(&live, now, "locked");
        assert!(standstill.lasts(now) && standstill.until(now) == Some(now + SOON));
        let back = now - TimeDelta::hours(1);
        assert!(!standstill.lasts(back), "it is tried at once");
        assert_eq!(standstill.until(back), Some(back));
        assert!(!standstill.is_over());
        // What fails again by the new time is waited for by that.
        standstill.goes_on(&live, back, "locked");
        assert_eq!(standstill.until(back), Some(back + SOON * 2));
        standstill.ends(&live, back);
        standstill.goes_on(&live, back - TimeDelta::hours(1), "locked");
        let again = back - TimeDelta::hours(1);
        assert_eq!(standstill.until(again), Some(again + SOON), "that is another one");
    }
}
