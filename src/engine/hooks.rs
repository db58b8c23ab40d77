//! Tells hooks what happened: announced, run, and written down what came of it.

use chrono::TimeDelta;

use super::{
    run::{Run, Stop},
    worker::{ASK_AGAIN, LEASE},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    hook::{Message, Ran},
    ledger::{Claimed, LedgerError},
    rotation::{decide, event::Event, notice::Try, observe::Observed},
    token::HookName,
};

/// A hook that takes longer than this no longer keeps the connection from others.
const HELD: TimeDelta = TimeDelta::seconds(5);

/// How long the connection is asked for, at most, to write down what came of a hook.
const TAKEN_UP: TimeDelta = TimeDelta::minutes(1);

/// The same when the process was asked to stop, or its call's time is up.
const TAKEN_UP_STOPPING: TimeDelta = TimeDelta::seconds(1);

/// How long a hook that runs when the process is asked to stop may still take.
const STOPPING: TimeDelta = TimeDelta::milliseconds(1_500);

impl Run<'_> {
    /// Runs a hook once. Whatever comes of it, the rotation stays as it is.
    ///
    /// # If the answer is lost
    /// That it was begun is on record: the next run counts it as a failed try and tells the hook
    /// again, with the same id.
    pub(super) async fn notify(
        &mut self,
        hook: &HookName,
        number: u64,
        why: &str,
    ) -> Result<(), Stop> {
        let Some(notice) = self.record.notices.get(hook, number).cloned() else {
            return Ok(());
        };
        let begun = Try { at: self.now(), until: None };
        self.store(Event::NoticeBegun { hook: hook.clone(), number, begun }, why).await?;
        let message = Message::new(&self.record, &notice);
        let Some(Ran { outcome, begun }) = self.told(hook, number, &message).await? else {
            return Ok(());
        };
        if begun {
            let outcome = if outcome.is_ok() { "succeeded" } else { "failed" };
            self.engine.metrics.hook_run(hook, outcome);
        }
        let (event, words) = match outcome {
            Ok(()) => {
                let words = format!("the hook {hook} was told ({})", message.event());
                (Event::Notified { hook: hook.clone(), number, at: self.now() }, words)
            }
            Err(fault) => {
                tracing::warn!(connection = %self.record.name, hook = %hook, class = fault.class.as_str(), error = %fault, "{}: the hook {hook} failed, which the rotation is not touched by: {fault}", self.record.name);
                let words = fault.to_string();
                let trouble = decide::failure(&self.situation(), &notice, fault);
                (Event::NotifyFailed { hook: hook.clone(), number, trouble }, words)
            }
        };
        self.store(event, &words).await
    }

    /// Runs it, and gives the connection free for others when that takes long. `None` when they know
    /// of the try no more by the time that it has ended.
    async fn told(
        &mut self,
        hook: &HookName,
        number: u64,
        message: &Message,
    ) -> Result<Option<Ran>, Stop> {
        let (engine, patience) = (self.engine, self.patience);
        let hooks = self.connection.hooks.clone();
        let at = self.now();
        let cut_short = || Ran { outcome: Err(cut_short(hook)), begun: true };
        let stopping = async {
            patience.stop.cancelled().await;
            engine.clock.sleep_until(engine.clock.now() + STOPPING).await;
        };
        // `--timeout` holds for hooks as well.
        let impatient = async {
            match patience.until {
                Some(until) => engine.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let _waiting = self.seat.waits();
        let run = async {
            tokio::select! {
                biased;
                ran = hooks.run(hook, message, at) => ran,
                () = impatient => cut_short(),
                () = stopping => cut_short(),
            }
        };
        let mut run = std::pin::pin!(run);
        let short = async {
            tokio::select! {
                biased;
                ran = &mut run => Some(ran),
                () = engine.clock.sleep_until(engine.clock.now() + HELD) => None,
            }
        };
        if let Some(ran) = self.guarded(short).await? {
            return Ok(Some(ran));
        }
        let longest = TimeDelta::from_std(hooks.longest(hook)).unwrap_or_default();
        let until = self.now() + longest + TAKEN_UP;
        let begun = Try { at, until: Some(until) };
        let slow = format!("the hook {hook} takes longer: the connection is free meanwhile");
        let stored = {
            let mut stored = std::pin::pin!(
                self.store(Event::NoticeBegun { hook: hook.clone(), number, begun }, &slow,)
            );
            tokio::select! {
                biased;
                stored = &mut stored => { stored?; None }
                ran = &mut run => { stored.await?; Some(ran) }
            }
        };
        if stored.is_some() {
            return Ok(stored);
        }
        self.observed = Observed::default();
        self.readings.clear();
        self.values.clear();
        engine.release(&self.claim).await;
        let ran = run.await;
        self.take_up(until).await?;
        let known = self.record.notices.get(hook, number);
        Ok(known.filter(|known| known.attempt() == Some(begun)).map(|_| ran))
    }

    /// Claims the connection again. What was seen of it before is forgotten: others may have acted.
    async fn take_up(&mut self, until: Timestamp) -> Result<(), Stop> {
        let (engine, stop) = (self.engine, &self.patience.stop);
        let key = self.claim.key.clone();
        let began = self.now();
        loop {
            match engine.ledger.claim(&key, LEASE).await {
                Ok(Claimed::Yes(claim)) => {
                    self.claim = claim;
                    return self.read_again().await;
                }
                // Giving it free failed: it is ours still, and nobody acted.
                Ok(Claimed::Held(_)) if engine.ledger.renew(&self.claim, LEASE).await.is_ok() => {
                    return Ok(());
                }
                Ok(Claimed::Held(_)) | Err(LedgerError::Unavailable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let soon = began + TAKEN_UP_STOPPING;
            let limit = match self.patience.until {
                _ if stop.is_cancelled() => soon,
                Some(end) => until.min(end.max(soon)),
                None => until,
            };
            if self.now() >= limit {
                return Err(Stop::ClaimLost);
            }
            engine.clock.sleep_until(self.now() + ASK_AGAIN).await;
        }
    }

    async fn read_again(&mut self) -> Result<(), Stop> {
        let stored = self.engine.ledger.load(&self.claim.key).await?;
        if let Some(stored) = stored.filter(|stored| stored.version != self.version) {
            let rotated = self.record.last_rotation != self.before;
            (self.version, self.record) = (stored.version, stored.record);
            self.taken_up = self.version;
            if !rotated {
                self.before.clone_from(&self.record.last_rotation);
            }
            self.begin().await?;
        }
        Ok(())
    }
}

fn cut_short(hook: &HookName) -> Fault {
    Fault::new(
        format!("run the hook {hook}"),
        Class::Transient,
        Code::ClaimLost,
        "the time for it was over: Scimitar was asked to stop, or its own call ended",
    )
}
