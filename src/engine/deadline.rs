//! How long a call may still take.

use std::sync::OnceLock;

use chrono::TimeDelta;

use super::worker::{Engine, Patience};
use crate::{clock::Timestamp, rotation::decide::Ending};

/// How much longer than the call a question that changes nothing may take.
pub(super) const GRACE_TO_READ: TimeDelta = TimeDelta::seconds(1);

/// How much longer than the call anything else may take.
pub(super) const GRACE: TimeDelta = TimeDelta::milliseconds(2_500);

/// How much longer than the call a connection's work may take as a whole, a ledger that does not
/// answer included.
pub(super) const HARD: TimeDelta = TimeDelta::seconds(3);

/// When a call must end.
#[derive(Debug)]
pub(super) struct Deadline<'a> {
    engine: &'a Engine,
    pub(super) patience: &'a Patience,
    /// When the call began.
    pub(super) began: Timestamp,
    /// When it was first noticed that the process was asked to end.
    stopped_at: OnceLock<Timestamp>,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(engine: &'a Engine, patience: &'a Patience) -> Self {
        Self { engine, patience, began: engine.clock.now(), stopped_at: OnceLock::new() }
    }

    /// When the call must end, if that is known: its own time, or the moment of the signal.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        let stopped = || *self.stopped_at.get_or_init(|| self.engine.clock.now());
        let stopped = self.patience.stop.is_cancelled().then(stopped);
        self.patience.until.into_iter().chain(stopped).min()
    }

    /// Whether a ledger that cannot be reached is still asked again.
    pub(super) fn still_tries(&self, until: Timestamp) -> bool {
        let now = self.engine.clock.now();
        now < self.ends_at().map_or(until, |end| until.min(end + GRACE))
    }

    /// Comes at this moment, or once when the process is asked to end.
    pub(super) async fn until_stop_or(&self, moment: Timestamp) {
        let stop = &self.patience.stop;
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = self.engine.clock.sleep_until(moment) => {}
        }
    }

    /// Why the call must end now.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.patience.ending(self.engine.clock.now())
    }

    /// Whether the call has a time of its own, or stays until all is done.
    pub(super) fn is_one_shot(&self) -> bool {
        self.patience.wait || self.patience.until.is_some()
    }
}

/// Why a call could not wait any longer.
pub(super) fn cut_short(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Timeout) => "the call timed out",
        Some(Ending::Interrupted) => "interrupted",
        None => "no answer in time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_not_called_a_timeout() {
        assert_eq!(cut_short(Some(Ending::Interrupted)), "interrupted");
        assert_eq!(cut_short(Some(Ending::Timeout)), "the call timed out");
        assert_eq!(cut_short(None), "no answer in time");
    }
}
