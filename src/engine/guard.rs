//! Waits for what others answer: with the claim kept, with an end, and in nobody's way.
//!
//! Whatever is let go of here was announced in the record before it was sent: what a call that ends
//! leaves behind is what `kill -9` leaves behind, and the next run handles it as that.

use std::future::Future;

use chrono::TimeDelta;
use reqwest::Url;

use super::{
    report::{Outcome, Report},
    run::{Run, Stop},
    worker::{LEASE, Patience},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::LedgerError,
    probe::Verdict,
    provider::{Call, Revoked},
    rotation::{
        decide::{Ending, Rest, Standing},
        why::Reason,
    },
    sink::Sink,
    token::{Listing, TokenId, TokenValue},
};

/// A sink or a SCIM endpoint that takes longer than this to answer is waited for without a worker.
const SLOW: TimeDelta = TimeDelta::seconds(1);

/// How much longer than the call a question that changes nothing may take.
const GRACE_TO_READ: TimeDelta = TimeDelta::seconds(1);

/// How much longer than the call anything else may take.
const GRACE: TimeDelta = TimeDelta::milliseconds(2_500);

/// How much longer than the call a connection's work may take as a whole, a ledger that does not
/// answer included.
pub(super) const HARD: TimeDelta = TimeDelta::seconds(3);

/// How long anything may take. Requests have time-outs of their own: this is for disks that hang.
const LONGEST: TimeDelta = TimeDelta::minutes(5);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The provider, its request budget included: that holds a worker of its own tenant.
    Provider,
    /// A sink or a SCIM endpoint.
    Others,
}

/// Whether an answer changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Some,
}

impl Run<'_> {
    /// Runs a side effect at a sink while the claim is kept. When the claim is lost, or the call's
    /// time is up, the effect is let go of: whether it happened is then not known here.
    pub(super) async fn guarded<T>(&self, effect: impl Future<Output = T>) -> Result<T, Stop> {
        let done = self.bounded(effect, Awaited::Others, Effect::Some).await?;
        done.ok_or_else(|| self.out_of_time())
    }

    /// The same for something that changes nothing.
    pub(super) async fn reading<T>(&self, effect: impl Future<Output = T>) -> Result<T, Stop> {
        let done = self.bounded(effect, Awaited::Others, Effect::None).await?;
        done.ok_or_else(|| self.out_of_time())
    }

    /// The same for a side effect at the provider.
    pub(super) async fn asking<T>(&self, effect: impl Future<Output = T>) -> Result<T, Stop> {
        let done = self.bounded(effect, Awaited::Provider, Effect::Some).await?;
        done.ok_or_else(|| self.out_of_time())
    }

    /// Lists the tokens. A request budget that has no room for that is a failure like another.
    pub(super) async fn list(&self, call: Call<'_>) -> Result<Result<Listing, Fault>, Stop> {
        let clock = &self.engine.clock;
        let timeout = TimeDelta::from_std(self.engine.request_timeout).unwrap_or(LONGEST);
        let longest = timeout.min(LONGEST / 2) * 2;
        let deadline = clock.now() + longest;
        let list = async {
            tokio::select! {
                biased;
                list = self.connection.provider.list(call) => list,
                () = clock.sleep_until(deadline) => Err(Fault::new(
                    format!("list the tokens of {}", call.connection),
                    Class::Transient,
                    Code::Throttled,
                    format!(
                        "no answer within {} s, in which other requests to the same tenant came first",
                        longest.num_seconds()
                    ),
                )),
            }
        };
        let done = self.bounded(list, Awaited::Provider, Effect::None).await?;
        done.ok_or_else(|| self.out_of_time())
    }

    /// Sends a token to the SCIM endpoint. No answer by the end of the call proves nothing, so that
    /// the call can still put things in order.
    pub(super) async fn proving(&self, to: &Url, value: &TokenValue) -> Result<Verdict, Stop> {
        let probe = self.connection.probe.read(to, value);
        let verdict = self.bounded(probe, Awaited::Others, Effect::None).await?;
        Ok(verdict.unwrap_or_else(|| {
            Verdict::Inconclusive(Fault::new(
                "ask the SCIM endpoint with the token",
                Class::Transient,
                Code::Timeout,
                "no answer before the end of this call",
            ))
        }))
    }

    /// Runs a call to a sink, and notes meanwhile where the sink does not answer at once.
    pub(super) async fn at_place<T>(
        &self,
        sink: Option<&dyn Sink>,
        call: impl Future<Output = T>,
    ) -> T {
        let Some(sink) = sink else { return call.await };
        let clock = &self.engine.clock;
        let mut call = std::pin::pin!(call);
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = clock.sleep_until(clock.now() + SLOW) => {}
        }
        let _slow = self.seat.slow(&sink.place().sink);
        call.await
    }

    /// Deletes a token that this run made and that is in no sink, where the run cannot go on.
    pub(super) async fn let_go(&self, id: &TokenId) -> Result<Revoked, Fault> {
        let clock = &self.engine.clock;
        let longest = clock.now() + TimeDelta::minutes(2);
        let deadline = async {
            loop {
                let deadline = self.ends_at().map_or(longest, |end| longest.min(end + GRACE));
                if clock.now() >= deadline {
                    return;
                }
                self.until_stop_or(deadline).await;
            }
        };
        tokio::select! {
            biased;
            done = self.connection.provider.revoke(self.call(), id) => done,
            () = deadline => Err(Fault::new(
                format!("revoke {id}"),
                Class::Ambiguous,
                Code::Timeout,
                "no answer before the end of this call",
            )),
        }
    }

    /// When the call must end, if that is known: its own time, or the moment of the signal.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        let stopped = || *self.stopped_at.get_or_init(|| self.now());
        let stopped = self.patience.stop.is_cancelled().then(stopped);
        self.patience.until.into_iter().chain(stopped).min()
    }

    /// Whether a ledger that cannot be reached is still asked again.
    pub(super) fn still_tries(&self, until: Timestamp) -> bool {
        self.now() < self.ends_at().map_or(until, |end| until.min(end + GRACE))
    }

    async fn until_stop_or(&self, moment: Timestamp) {
        let stop = &self.patience.stop;
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = self.engine.clock.sleep_until(moment) => {}
        }
    }

    /// Waits for an effect, renewing the claim; `None` when there is no time left for it.
    async fn bounded<T>(
        &self,
        effect: impl Future<Output = T>,
        awaited: Awaited,
        changes: Effect,
    ) -> Result<Option<T>, Stop> {
        self.renew().await?;
        let mut effect = std::pin::pin!(effect);
        let nap = TimeDelta::from_std(LEASE / 3).unwrap_or(TimeDelta::seconds(30));
        let mut last = self.now();
        let (mut began, mut renew_at) = (last, last + nap);
        let ended_before = self.ends_at().is_some_and(|end| end <= began);
        let grace = match changes {
            // What is begun after the end is part of putting things in order.
            Effect::None if !ended_before => GRACE_TO_READ,
            Effect::None | Effect::Some => GRACE,
        };
        let mut waiting = None;
        loop {
            let now = self.now();
            if now < last {
                // A clock that was set back makes nothing last longer.
                (began, renew_at) = (began - (last - now), renew_at - (last - now));
            }
            last = now;
            let longest = began + LONGEST;
            let limit = self.ends_at().map_or(longest, |end| longest.min(end + grace));
            if now >= limit {
                return Ok(None);
            }
            if now >= renew_at {
                match self.engine.ledger.renew(&self.claim, LEASE).await {
                    Ok(()) | Err(LedgerError::Unavailable { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                renew_at = now + nap;
            }
            let mut next = limit.min(renew_at);
            if awaited == Awaited::Others && waiting.is_none() {
                if now >= began + SLOW {
                    waiting = Some(self.seat.waits());
                } else {
                    next = next.min(began + SLOW);
                }
            }
            tokio::select! {
                biased;
                done = &mut effect => return Ok(Some(done)),
                () = self.until_stop_or(next) => {}
            }
        }
    }

    fn out_of_time(&self) -> Stop {
        let doing = self.doing.as_deref().unwrap_or("looking at the provider and at every sink");
        Stop::OutOfTime(doing.to_owned())
    }

    /// How a call stands that was cut off, written down if the ledger answers.
    pub(super) async fn cut_off(&mut self, doing: &str) -> (Rest, String) {
        let (reason, words) = match ending(self.patience, self.now()) {
            Some(Ending::Interrupted) => (Some(Reason::Interrupted), "interrupted"),
            Some(Ending::Timeout) => (Some(Reason::Timeout), "timed out"),
            None => (None, "gave up"),
        };
        let why = format!(
            "{words} while waiting for an answer ({doing}); the next run goes on from here"
        );
        let rest = Rest {
            standing: Standing::Troubled,
            reason,
            until: Some(self.now()),
            next_rotation: self.record.next_rotation,
            warnings: self.record.warnings.clone(),
            hooks_only: false,
        };
        let clock = self.engine.clock.clone();
        let deadline = self.ends_at().map_or_else(|| clock.now() + SLOW, |end| end + GRACE);
        tokio::select! {
            biased;
            written = self.write_rest(&rest, &why) => if let Err(stop) = written {
                tracing::warn!(error = ?stop, "how the call ended could not be written down");
            },
            () = clock.sleep_until(deadline) => {}
        }
        (rest, why)
    }
}

/// Why a call could not wait any longer.
pub(super) fn cut_short(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Timeout) => "the time for this call is up",
        Some(Ending::Interrupted) => "interrupted",
        None => "no answer came in time",
    }
}

/// Why a call with that patience must end now.
pub(super) fn ending(patience: &Patience, now: Timestamp) -> Option<Ending> {
    if patience.stop.is_cancelled() {
        Some(Ending::Interrupted)
    } else if patience.until.is_some_and(|until| until <= now) {
        Some(Ending::Timeout)
    } else {
        None
    }
}

/// The report of work that ended without one, or that was not begun, because the call is over.
pub(super) fn ended(ending: Ending, what: &str) -> Report {
    let (outcome, reason, words) = match ending {
        Ending::Interrupted => (Outcome::Waiting, Reason::Interrupted, "interrupted"),
        Ending::Timeout => (Outcome::Failed, Reason::Timeout, "timed out"),
    };
    Report {
        outcome,
        reason: Some(reason),
        why: format!("{words} {what}; the next run goes on from here"),
        record: None,
        fault: None,
        hooks_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_not_called_a_timeout() {
        assert_eq!(cut_short(Some(Ending::Interrupted)), "interrupted");
        assert_eq!(cut_short(Some(Ending::Timeout)), "the time for this call is up");
        assert_eq!(cut_short(None), "no answer came in time");
    }
}
