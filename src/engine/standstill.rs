//! A ledger that cannot be used: nothing is started, nothing is lost, and it is said once.

use chrono::TimeDelta;

use super::live::{Live, Obstacle};
use crate::clock::Timestamp;

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
    delay: TimeDelta,
    until: Timestamp,
    words: String,
}

impl Standstill {
    /// Whether it is not yet time to try again.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.until().is_some_and(|until| until > now)
    }

    /// When it is tried again.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.now.as_ref().map(|state| state.until)
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
        let before = self.last.filter(|(ended, _)| now - *ended < SAME).map(|(_, delay)| delay);
        // Workers that were started together fail together: that is one failure.
        let delay = match (&self.now, before) {
            (Some(state), _) if state.until > now => state.delay,
            (Some(State { delay, .. }), _) => (*delay * 2).min(LATE),
            (None, Some(delay)) => (delay * 2).min(LATE),
            (None, None) => SOON,
        };
        let said = format!("{words}; nothing is begun until it can be used, and nothing is lost");
        if live.blocked(Obstacle::Ledger, now, &said) {
            tracing::error!(
                error = words,
                "the ledger cannot be used: nothing is begun until it can, and nothing is lost: {words}"
            );
        }
        self.now = Some(State { delay, until: now + delay, words: words.to_owned() });
    }

    /// It can be read and written.
    pub(super) fn ends(&mut self, live: &Live, now: Timestamp) {
        let Some(state) = self.now.take() else { return };
        self.last = Some((now, state.delay));
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
            let until = standstill.until().unwrap();
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
        assert_eq!(standstill.until(), Some(now + LATE));
        standstill.ends(&live, now);
        now += SAME;
        standstill.goes_on(&live, now, "locked");
        assert_eq!(standstill.until(), Some(now + SOON));
    }
}
