//! A ledger that cannot be used: nothing is started, nothing is lost, and it is said once.

use chrono::TimeDelta;

use super::live::{Live, Obstacle};
use crate::clock::Timestamp;

/// How soon it is tried again, at first.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// How late, at most.
const LATE: TimeDelta = TimeDelta::seconds(30);

/// Since nothing is done without writing it down first, all work stands still while the ledger is
/// locked, read-only, full or away.
#[derive(Debug, Default)]
pub(super) struct Standstill(Option<State>);

#[derive(Debug)]
struct State {
    delay: TimeDelta,
    until: Timestamp,
    /// It is a write that failed: that it can be read does not end the standstill.
    of_writes: bool,
    words: String,
}

impl Standstill {
    /// Whether it is not yet time to try again.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.until().is_some_and(|until| until > now)
    }

    /// When it is tried again.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|state| state.until)
    }

    /// Whether there is none.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// What stands in the way.
    pub(super) fn words(&self) -> Option<&str> {
        self.0.as_ref().map(|state| state.words.as_str())
    }

    /// It could not be asked.
    pub(super) fn unreadable(&mut self, live: &Live, now: Timestamp, words: &str) {
        let of_writes = self.0.as_ref().is_some_and(|state| state.of_writes);
        self.goes_on(live, now, words, of_writes);
    }

    /// It could not be written.
    pub(super) fn unwritable(&mut self, live: &Live, now: Timestamp, words: &str) {
        self.goes_on(live, now, words, true);
    }

    /// It was asked.
    pub(super) fn readable(&mut self, live: &Live, now: Timestamp) {
        if self.0.as_ref().is_some_and(|state| !state.of_writes) {
            self.ends(live, now);
        }
    }

    /// It was written.
    pub(super) fn writable(&mut self, live: &Live, now: Timestamp) {
        if self.0.is_some() {
            self.ends(live, now);
        }
    }

    fn goes_on(&mut self, live: &Live, now: Timestamp, words: &str, of_writes: bool) {
        // Workers that were started together fail together: that is one failure.
        let delay = match &self.0 {
            None => SOON,
            Some(state) if state.until > now => state.delay,
            Some(state) => (state.delay * 2).min(LATE),
        };
        let said = format!("{words}; nothing is begun until it can be used, and nothing is lost");
        if live.blocked(Obstacle::Ledger, now, &said) {
            tracing::error!(
                error = words,
                "the ledger cannot be used: nothing is begun until it can, and nothing is lost"
            );
        }
        self.0 = Some(State { delay, until: now + delay, of_writes, words: words.to_owned() });
    }

    fn ends(&mut self, live: &Live, now: Timestamp) {
        self.0 = None;
        if let Some(since) = live.cleared(Obstacle::Ledger) {
            let seconds = (now - since).num_seconds();
            tracing::info!(seconds, "the ledger can be used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn it_is_tried_ever_less_often_and_a_failed_write_is_not_ended_by_a_read() {
        let mut now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let live = Live::starting(Vec::new(), now);
        live.cleared(Obstacle::Starting);
        let mut standstill = Standstill::default();
        assert!(standstill.is_over() && !standstill.lasts(now));
        let mut waits = Vec::new();
        for _ in 0..7 {
            standstill.unreadable(&live, now, "locked");
            // Another one that was under way changes nothing.
            standstill.unreadable(&live, now, "locked");
            let until = standstill.until().unwrap();
            waits.push((until - now).num_seconds());
            assert!(standstill.lasts(now) && !standstill.lasts(until));
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(live.obstacles().len(), 1);
        standstill.readable(&live, now);
        assert!(standstill.is_over() && live.obstacles().is_empty());
        standstill.unwritable(&live, now, "read-only");
        standstill.readable(&live, now);
        assert_eq!(standstill.words(), Some("read-only"));
        // A read that fails meanwhile does not make it a matter of reading.
        standstill.unreadable(&live, now, "locked");
        standstill.readable(&live, now);
        assert!(!standstill.is_over());
        standstill.writable(&live, now);
        assert!(standstill.is_over() && live.obstacles().is_empty());
    }
}
