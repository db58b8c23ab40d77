//! Waits for what others answer: with the claim kept, with an end, and in nobody's way.
//!
//! Whatever is let go of here was announced in the record before it was sent: what a call that ends
//! leaves behind is what `kill -9` leaves behind, and the next run handles it as that.

use std::future::Future;

use chrono::TimeDelta;
use reqwest::Url;

use super::{
    deadline::{GRACE, GRACE_TO_READ},
    lease::Stop,
    outages::Service,
    run::Run,
    worker::NAP,
};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    ledger::Durability,
    provider::{Call, Revoked},
    rotation::{
        answer::ProbeAnswer,
        decide::{self, Ending, Rest, Status},
        scim_config::FoundConfig,
        why::Reason,
    },
    sink::Sink,
    token::{Listing, TokenId, TokenValue},
};

/// A sink or a SCIM endpoint that takes longer than this to answer is waited for without a worker.
const SLOW: TimeDelta = TimeDelta::seconds(1);

/// So long at least it is tried to write down how a call ended.
const AT_THE_END: TimeDelta = TimeDelta::milliseconds(400);

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
    /// It leaves a trace outside, and is given up as what leaves none.
    Trace,
    Some,
}

/// An answer, if it comes within this long.
///
/// # Errors
/// When it does not, or as the answer says.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    longest: TimeDelta,
    doing: String,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let deadline = clock.now() + longest;
    tokio::select! {
        biased;
        answer = asked => answer,
        () = clock.sleep_until(deadline) => Err(Fault::new(
            doing,
            Class::Transient,
            Code::Timeout,
            format!("no answer within {} s", longest.num_seconds()),
        )),
    }
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
    pub(super) async fn asking<T>(
        &self,
        effect: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Result<T, Fault>, Stop> {
        let done = self.bounded(effect, Awaited::Provider, Effect::Some).await?;
        done.inspect(|answer| self.provider_answered(answer)).ok_or_else(|| self.out_of_time())
    }

    /// Notes whether the provider works, as an answer shows.
    fn provider_answered<T>(&self, answer: &Result<T, Fault>) {
        let service = Service::Provider(self.connection.policy.provider.clone());
        self.noted(&service, answer);
    }

    /// Notes whether a service works, as an answer shows.
    pub(super) fn noted<T>(&self, service: &Service, answer: &Result<T, Fault>) {
        let (key, now) = (&self.connection.policy.key, self.now());
        let mut outages = self.engine().services.lock();
        match answer {
            Ok(_) => outages.answered(service, key, now),
            // It says nothing of the service.
            Err(fault) if fault.code == Code::ClaimLost => {}
            Err(fault) => outages.failed(service, key, fault, now),
        }
    }

    /// Lists the tokens. A request budget that has no room for that is a failure like another.
    pub(super) async fn list(&self, call: Call<'_>) -> Result<Result<Listing, Fault>, Stop> {
        let clock = &self.engine().clock;
        let timeout = TimeDelta::from_std(self.engine().request_timeout).unwrap_or(LONGEST);
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
                        "no answer within {} s, because other requests to the same tenant came first",
                        longest.num_seconds()
                    ),
                )),
            }
        };
        let done = self.bounded(list, Awaited::Provider, Effect::None).await?;
        done.inspect(|answer| self.provider_answered(answer)).ok_or_else(|| self.out_of_time())
    }

    /// Reads the SCIM configuration. No answer by the end of the call is a failure like another.
    pub(super) async fn inspecting(
        &self,
        call: Call<'_>,
        with_default: bool,
    ) -> Result<Result<Option<FoundConfig>, Fault>, Stop> {
        let read = self.connection.provider.scim_config(call, with_default);
        let done = self.bounded(read, Awaited::Provider, Effect::None).await?;
        Ok(done.inspect(|answer| self.provider_answered(answer)).unwrap_or_else(|| {
            Err(Fault::new(
                format!("read the SCIM configuration of {}", call.connection),
                Class::Transient,
                Code::Timeout,
                "no answer before the deadline of this run",
            ))
        }))
    }

    /// A request about a throw-away user; `None`: no answer by the end of the call, so that the call can
    /// still give back what it made. What was sent may take effect, and is in the record.
    pub(super) async fn until_the_end<T>(
        &self,
        request: impl Future<Output = T>,
    ) -> Result<Option<T>, Stop> {
        self.bounded(request, Awaited::Others, Effect::Trace).await
    }

    /// Sends a token to the SCIM endpoint. No answer by the end of the call proves nothing, so that
    /// the call can still put things in order.
    pub(super) async fn proving(&self, to: &Url, value: &TokenValue) -> Result<ProbeAnswer, Stop> {
        let probe = self.connection.probe.read(to, value);
        let verdict = self.bounded(probe, Awaited::Others, Effect::Trace).await?;
        Ok(verdict.unwrap_or_else(|| {
            ProbeAnswer::Inconclusive(Fault::new(
                "ask the SCIM endpoint with the token",
                Class::Transient,
                Code::Timeout,
                "no answer before the deadline of this run",
            ))
        }))
    }

    /// Runs a call to a sink; notes meanwhile where the sink does not answer at once, and how it ended.
    pub(super) async fn at_place<T>(
        &self,
        sink: Option<&dyn Sink>,
        operation: &'static str,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let Some(sink) = sink else { return call.await };
        let done = self.patiently(sink, call).await;
        let name = &sink.place().sink;
        let service = Service::Sink(name.clone());
        self.noted(&service, &done);
        let metrics = &self.engine().metrics;
        let code = done.as_ref().map_or_else(|fault| fault.code.as_str(), |_| "ok");
        metrics.sink_request(name, operation, code);
        metrics.sink_up(name, !self.engine().services.lock().is_down(&service));
        done
    }

    async fn patiently<T>(&self, sink: &dyn Sink, call: impl Future<Output = T>) -> T {
        let clock = &self.engine().clock;
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
    pub(super) async fn let_go(&mut self, id: &TokenId) -> Result<Revoked, Fault> {
        let call = self.call();
        let clock = &self.engine().clock;
        let longest = clock.now() + TimeDelta::minutes(2);
        let deadline = async {
            loop {
                let deadline =
                    self.lease.deadline.ends_at().map_or(longest, |end| longest.min(end + GRACE));
                if clock.now() >= deadline {
                    return;
                }
                self.lease.deadline.until_stop_or(deadline).await;
            }
        };
        tokio::select! {
            biased;
            done = self.connection.provider.revoke(call, id) => done,
            () = deadline => Err(Fault::new(
                format!("revoke {id}"),
                Class::Ambiguous,
                Code::Timeout,
                "no answer before the deadline of this run",
            )),
        }
    }

    /// Waits for an effect, renewing the claim; `None` when there is no time left for it.
    async fn bounded<T>(
        &self,
        effect: impl Future<Output = T>,
        awaited: Awaited,
        changes: Effect,
    ) -> Result<Option<T>, Stop> {
        let needed = match changes {
            Effect::None => Durability::Soon,
            Effect::Trace | Effect::Some => Durability::Now,
        };
        if !self.lease.is_ready(needed) {
            return Err(Stop::Defect(format!(
                "{} was about to start before it was recorded in the ledger",
                self.story.doing.as_deref().unwrap_or("a check")
            )));
        }
        let mut effect = std::pin::pin!(effect);
        let mut last = self.now();
        let (mut began, mut renew_at) = (last, last + NAP);
        let ended_before = self.lease.deadline.ends_at().is_some_and(|end| end <= began);
        let grace = match changes {
            // What is begun after the end is part of putting things in order.
            Effect::None | Effect::Trace if !ended_before => GRACE_TO_READ,
            Effect::None | Effect::Trace | Effect::Some => GRACE,
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
            let limit =
                self.lease.deadline.ends_at().map_or(longest, |end| longest.min(end + grace));
            if now >= limit {
                return Ok(None);
            }
            if now >= renew_at {
                // A ledger that is slow must not keep an answer from being read in time.
                tokio::select! {
                    biased;
                    done = &mut effect => return Ok(Some(done)),
                    renewed = self.lease.renew_meanwhile() => renewed?,
                }
                renew_at = now + NAP;
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
                () = self.lease.deadline.until_stop_or(next) => {}
            }
        }
    }

    fn out_of_time(&self) -> Stop {
        let doing = self.story.doing.as_deref().unwrap_or("checking the provider and every sink");
        Stop::OutOfTime(doing.to_owned())
    }

    async fn rest_down(&mut self, rest: &Rest, why: &str) -> Result<(), Stop> {
        self.write_rest(rest, why)?;
        self.lease.ready(Durability::Soon).await
    }

    /// How a call stands that was cut off, written down if the ledger answers.
    pub(super) async fn cut_off(&mut self, doing: &str) -> (Rest, String) {
        let (reason, words) = match self.lease.deadline.ending() {
            Some(Ending::Interrupted) => (Some(Reason::Interrupted), "interrupted"),
            Some(Ending::Timeout) => (Some(Reason::Timeout), "timed out"),
            None => (None, "gave up"),
        };
        let why = format!(
            "{words} while waiting for an answer ({doing}); the next run continues from here"
        );
        let rest = Rest {
            status: Status::Troubled,
            reason,
            until: Some(self.now()),
            next_rotation: decide::next_rotation(&self.situation()),
            warnings: self.record().warnings.clone(),
            hooks_only: false,
        };
        let clock = self.engine().clock.clone();
        // What was waited for may have used up the time that a call has.
        let soon = clock.now() + AT_THE_END;
        let deadline = self.lease.deadline.ends_at().map_or(soon, |end| soon.max(end + GRACE));
        let written = tokio::select! {
            biased;
            written = self.rest_down(&rest, &why) => Some(written),
            () = clock.sleep_until(deadline) => None,
        };
        match written {
            Some(Ok(())) => {}
            Some(Err(stop)) => {
                tracing::warn!(error = ?stop, "could not record how this run ended");
            }
            None => self.lease.let_go_of_unwritten(),
        }
        (rest, why)
    }
}
