//! Tells hooks of watched tokens: of those that no provider is asked about.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    hooks::{TAKEN_UP, count, run_once},
    live::{Live, Watched},
    worker::{Engine, LEASE, Patience},
};
use crate::{
    clock::Timestamp,
    error::chain,
    hook::{Hooks, Message},
    ledger::{Claim, Claimed, LedgerError},
    rotation::{
        notice::Notice,
        telling::{Telling, failure},
        watch::{Watch, WatchRecord},
    },
    token::HookName,
};

/// How many tokens' hooks run at once: one that hangs holds up few others.
const AT_ONCE: usize = 4;

/// How soon a token is looked at again of which the ledger could not be asked, or that another process
/// tells of.
const AGAIN: TimeDelta = TimeDelta::minutes(1);

/// No pause is longer: whatever a clock does, nothing is missed for long.
const AT_LEAST_EVERY: TimeDelta = TimeDelta::hours(1);

/// Tells of the watched tokens of `live`, each when its time comes, until `stop`.
pub async fn run(engine: &Engine, live: &Live, stop: &CancellationToken) {
    let mut changes = live.watched_changes();
    let patience = Patience { wait: false, until: None, stop: stop.clone() };
    while !stop.is_cancelled() {
        let watched = changes.borrow_and_update().clone();
        let next = engine.tell_of(&watched, &patience).await;
        let now = engine.clock.now();
        let soonest = now + TimeDelta::seconds(1);
        let until =
            next.map_or(now + AT_LEAST_EVERY, |next| next.clamp(soonest, now + AT_LEAST_EVERY));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Without a sender nothing changes any more.
            Ok(()) = changes.changed() => {}
            () = engine.clock.sleep_until(until) => {}
        }
    }
}

impl Engine {
    /// Tells hooks what is due of each of these tokens, and says when something is next. What fails is
    /// logged, and tried again.
    pub async fn tell_of(&self, watched: &Watched, patience: &Patience) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut left = 0..watched.tokens.len();
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < AT_ONCE
                && patience.ending(self.clock.now()).is_none()
                && let Some(place) = left.next()
            {
                let (engine, watched, patience) = (self.clone(), watched.clone(), patience.clone());
                tasks.spawn(async move {
                    let watch = watched.tokens.get(place)?;
                    engine.tell_of_one(watch, &watched.hooks, &patience).await
                });
            }
            match tasks.join_next().await {
                None => return next,
                Some(Ok(at)) => next = [next, at].into_iter().flatten().min(),
                Some(Err(error)) => {
                    tracing::error!(error = %error, "bug in Scimitar, please report it: {error}");
                    next = [next, Some(self.clock.now() + AGAIN)].into_iter().flatten().min();
                }
            }
        }
    }

    async fn tell_of_one(
        &self,
        watch: &Watch,
        hooks: &Hooks,
        patience: &Patience,
    ) -> Option<Timestamp> {
        match self.tell_what_is_due(watch, hooks, patience).await {
            Ok(next) => next,
            Err(error) => {
                let (name, error) = (&watch.name, chain(&error));
                tracing::warn!(watch = %name, error, "{name}: could not run the hooks for this watched token, retrying: {error}");
                Some(self.clock.now() + AGAIN)
            }
        }
    }

    async fn tell_what_is_due(
        &self,
        watch: &Watch,
        hooks: &Hooks,
        patience: &Patience,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.clock.now();
        let ours = hooks.subscriptions();
        let stored = self.ledger.watched(&watch.name).await?.unwrap_or_default();
        let mut record = stored.clone();
        record.follow(watch, &ours, now);
        if record == stored && record.telling(watch, &ours, now).is_none() {
            return Ok(record.wake_at(watch, &ours, now));
        }
        let claim = match self.ledger.claim(&watch.key(), LEASE).await? {
            Claimed::Yes(claim, _) => claim,
            Claimed::Held(_) => return Ok(Some(now + AGAIN)),
        };
        let told = self.tell_claimed(&claim, watch, hooks, patience).await;
        // One that cannot be given back ends by itself.
        let released = self.ledger.release(&claim).await;
        if let Err(error) = released {
            tracing::debug!(watch = %watch.name, error = chain(&error), "could not release the claim");
        }
        told
    }

    /// Everything that is due; the claim is ours.
    async fn tell_claimed(
        &self,
        claim: &Claim,
        watch: &Watch,
        hooks: &Hooks,
        patience: &Patience,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.clock.now();
        let ours = hooks.subscriptions();
        let mut record = self.ledger.watched(&watch.name).await?.unwrap_or_default();
        record.follow(watch, &ours, now);
        self.ledger.keep_watched(claim, &watch.name, &record).await?;
        loop {
            let now = self.clock.now();
            if patience.ending(now).is_some() {
                return Ok(record.wake_at(watch, &ours, now));
            }
            match record.telling(watch, &ours, now) {
                None => return Ok(record.wake_at(watch, &ours, now)),
                Some(Telling::CutOff { hook, number, trouble }) => {
                    record.failed(&hook, number, &trouble);
                }
                Some(Telling::GivenUp { hook, number, why }) => {
                    tracing::warn!(watch = %watch.name, hook = %hook, "{}: {why}", watch.name);
                    record.dropped(&hook, number);
                }
                Some(Telling::Due { hook, notice }) => {
                    self.ledger.renew(claim, lease(hooks.longest(&hook))).await?;
                    record.begun(&hook, &notice, now);
                    self.ledger.keep_watched(claim, &watch.name, &record).await?;
                    self.tell(&mut record, watch, (hooks, &hook), &notice, patience).await;
                }
            }
            self.ledger.keep_watched(claim, &watch.name, &record).await?;
        }
    }

    /// Runs a hook once.
    ///
    /// # If the answer is lost
    /// That it was begun is on record: whoever is next counts it as a failed try and tells the hook
    /// again, with the same id.
    async fn tell(
        &self,
        record: &mut WatchRecord,
        watch: &Watch,
        (hooks, hook): (&Hooks, &HookName),
        notice: &Notice,
        patience: &Patience,
    ) {
        let message = Message::of_watched(&watch.name, notice);
        let ran = run_once(self, hooks, hook, &message, patience).await;
        count(self, hook, &ran);
        let (name, now) = (&watch.name, self.clock.now());
        match ran.outcome {
            Ok(()) => {
                tracing::info!(watch = %name, hook = %hook, "{name}: hook {hook} ran ({})", message.event());
                record.told(hook, notice, now);
            }
            Err(fault) => {
                tracing::warn!(watch = %name, hook = %hook, class = fault.class.as_str(), error = %fault, "{name}: hook {hook} failed: {fault}");
                let trouble = failure(notice, fault, now, watch.salt());
                record.failed(hook, notice.number, &trouble);
            }
        }
    }
}

/// How long the claim is needed for a run that may take so long.
fn lease(longest: Duration) -> Duration {
    longest + TAKEN_UP.to_std().unwrap_or(LEASE)
}
