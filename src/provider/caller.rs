//! The one way that requests go to a provider: when it is their turn, with what proves who asks, again
//! where that is harmless, counted in any case.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    Call, Urgency,
    budget::{Budget, Closed, Permit, RateLimit, Seen, say},
    operation::{Kind, Operation, code_word},
};
use crate::{
    clock::{Clock, Timestamp},
    error::{Class, Code, Fault},
    http::{Http, Reply, Request, Sent},
    telemetry::metrics::Metrics,
    token::ProviderName,
};

/// How often a call is sent again after a 429.
const PAUSES: u32 = 5;

/// The longest pause that is waited for here; a longer one is for the caller to wait for, who may
/// have other things to do.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a kind of provider adds to a call: its log-in, and what its answers mean.
#[async_trait]
pub(super) trait Dialect: Send + Sync {
    /// What proves who asks.
    type Proof: Send + Sync;

    /// Prepares the log-in before the call queues, where callers at the same time share one.
    async fn prepare(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// What to ask with. `refused` is what was just answered 401: another one is wanted.
    async fn proof(
        &self,
        operation: &Operation,
        refused: Option<&Self::Proof>,
    ) -> Result<Self::Proof, Fault>;

    /// Whether there is another proof than the one that was just answered 401.
    async fn has_another(
        &self,
        operation: &Operation,
        refused: &Self::Proof,
    ) -> Result<bool, Fault>;

    /// The request with the proof in it.
    fn authorize<'a>(&self, request: Request<'a>, proof: &'a Self::Proof) -> Request<'a>;

    /// What an answer other than a 429 says of the limit; `None` when nothing follows from it.
    fn seen(&self, reply: &Reply) -> Option<Seen>;

    /// How many requests the limit has left, by any answer.
    fn remaining(&self, _reply: &Reply) -> Option<i64> {
        None
    }

    /// How long a 429 asks to be left alone.
    fn pause(&self, reply: &Reply) -> Option<Duration>;

    /// Learns from any answer.
    fn learn(&self, _reply: &Reply) {}

    /// The fault of an answer other than a success, without the proof.
    fn refused(&self, operation: &Operation, reply: &Reply, proof: &Self::Proof) -> Fault;
}

/// What one provider's calls go through.
pub(super) struct Caller {
    /// The `[providers.NAME]`; a label.
    pub(super) name: ProviderName,
    /// Whose request budget it is, in messages.
    pub(super) account: String,
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) budget: Arc<Budget>,
    /// The limit as configured.
    pub(super) rate_limit: Option<RateLimit>,
    /// How long one request may take. A call also waits at most this long for its turn and its
    /// log-in, so that no change arrives long after it was decided on.
    pub(super) timeout: Duration,
}

impl Caller {
    /// Sends a call when it is its turn; again with another proof after a 401, where there is
    /// one; after a short pause when it was answered 429; and, where it changes nothing, once when
    /// its connection was lost. Returns any other answer, and what it was asked with.
    ///
    /// A 429 says that nothing was done: a create is sent again under the same intent. All waits
    /// together take no longer than one request may, and end at the call's `not_after`; each of them
    /// ends when the call is dropped.
    pub(super) async fn call<'a, D: Dialect>(
        &self,
        dialect: &D,
        operation: &Operation,
        Call { urgency, not_after, .. }: Call<'_>,
        request: impl Fn() -> Request<'a>,
    ) -> Result<(Reply, D::Proof), Fault> {
        self.ask(dialect, operation, urgency, not_after, request).await
    }

    /// The same for what is of no one connection.
    pub(super) async fn ask<'a, D: Dialect>(
        &self,
        dialect: &D,
        operation: &Operation,
        urgency: Urgency,
        not_after: Option<Timestamp>,
        request: impl Fn() -> Request<'a>,
    ) -> Result<(Reply, D::Proof), Fault> {
        let kind = operation.kind;
        let patience = self.clock.now() + TimeDelta::from_std(self.timeout).unwrap_or_default();
        let deadline = not_after.map_or(patience, |end| end.min(patience));
        let (mut refused, mut pauses, mut lost): (Option<D::Proof>, u32, bool) = (None, 0, false);
        // Before it queues, so that all who come at the same time share one log-in and its outcome,
        // also where only one of them may ask first how things stand.
        dialect.prepare().await?;
        loop {
            let permit = self.permit(operation, urgency, deadline).await?;
            let proof = dialect.proof(operation, refused.as_ref()).await?;
            if self.clock.now() > deadline {
                return Err(self.too_late(operation));
            }
            let authorized = dialect.authorize(request(), &proof).within(self.timeout);
            let answer = self.http.send(authorized).await;
            let reply = match answer {
                Ok(reply) => reply,
                Err(unanswered) => {
                    self.count(kind, code_word(unanswered.code));
                    let was_cut =
                        unanswered.sent == Sent::Perhaps && unanswered.code == Code::Unavailable;
                    if was_cut && !kind.changes_something() && !lost {
                        lost = true;
                        continue;
                    }
                    return Err(operation.unanswered(unanswered));
                }
            };
            dialect.learn(&reply);
            self.count(kind, &reply.status.to_string());
            if let Some(remaining) = dialect.remaining(&reply) {
                self.metrics.rate_limit_remaining(&self.name, remaining);
            }
            if reply.status == 429 {
                let pause = self.throttled(permit, dialect.pause(&reply)).await;
                pauses += 1;
                let over = self.clock.now() + TimeDelta::from_std(pause).unwrap_or_default();
                if pauses > PAUSES || pause > LONGEST_WAIT || over > deadline {
                    let fault = dialect.refused(operation, &reply, &proof);
                    return Err(fault.retry_after(Some(pause)));
                }
                continue;
            }
            if let Some(seen) = dialect.seen(&reply) {
                permit.answered(seen);
            }
            if reply.status == 401
                && refused.is_none()
                && dialect.has_another(operation, &proof).await?
            {
                refused = Some(proof);
                continue;
            }
            return Ok((reply, proof));
        }
    }

    async fn permit(
        &self,
        operation: &Operation,
        urgency: Urgency,
        deadline: Timestamp,
    ) -> Result<Permit<'_>, Fault> {
        tokio::select! {
            biased;
            permit = self.budget.take_unless_closed(urgency, LONGEST_WAIT) => {
                permit.map_err(|Closed { pause }| {
                    let detail = format!(
                        "{} asked for a pause; {} s of it are left; nothing was sent",
                        self.account,
                        pause.as_secs_f64().ceil()
                    );
                    operation
                        .fault(Class::Transient, Code::Throttled, detail)
                        .retry_after(Some(pause))
                })
            }
            () = self.clock.sleep_until(deadline) => Err(self.too_late(operation)),
        }
    }

    /// A change that is sent long after it was decided on would act on old knowledge, and nobody waits
    /// for a list without knowing how long.
    fn too_late(&self, operation: &Operation) -> Fault {
        let detail =
            format!("the request budget of {} was used up; nothing was sent", self.account);
        operation.fault(Class::Transient, Code::Throttled, detail)
    }

    fn count(&self, kind: Kind, code: &str) {
        let name = &self.name;
        self.metrics.provider_request(name, kind.label(), code);
        tracing::debug!(provider = %name, operation = kind.label(), code, "asked the provider");
    }

    /// Notes a 429 and returns how long everybody pauses.
    async fn throttled(&self, permit: Permit<'_>, asked: Option<Duration>) -> Duration {
        self.metrics.provider_throttled(&self.name);
        let throttled = permit.throttled(asked);
        say(&self.name, throttled, self.rate_limit);
        self.budget.pause_all(throttled.pause).await;
        throttled.pause
    }
}
