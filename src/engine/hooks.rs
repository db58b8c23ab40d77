//! Tells hooks what happened: announced, run, and written down what came of it.

use chrono::TimeDelta;

use super::{
    lease::Stop,
    outages::Service,
    run::Run,
    worker::{Engine, Patience},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    hook::{Hooks, Message, Ran},
    ledger::Durability,
    rotation::{
        decide,
        event::Event,
        notice::{Notice, Try},
    },
    token::HookName,
};

/// A hook that takes longer than this no longer keeps the connection from others.
const HELD: TimeDelta = TimeDelta::seconds(5);

/// How long the connection is asked for, at most, to write down what came of a hook.
pub(super) const TAKEN_UP: TimeDelta = TimeDelta::minutes(1);

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
        notice: &Notice,
        why: &str,
    ) -> Result<(), Stop> {
        let number = notice.number;
        let begun = Try { at: self.now(), until: None };
        self.lease.store(&Event::NoticeBegun { hook: hook.clone(), number, begun }, why)?;
        let message = Message::new(self.record(), notice);
        let Some(ran) = self.told(hook, number, &message).await? else {
            return Ok(());
        };
        count(self.engine(), hook, &ran);
        self.noted(&Service::Hook(hook.clone()), &ran.outcome);
        let (event, words) = match ran.outcome {
            Ok(()) => {
                let words = format!("the hook {hook} ran ({})", message.event());
                (Event::Notified { hook: hook.clone(), number, at: self.now() }, words)
            }
            Err(fault) => {
                let name = &self.record().name;
                // The daemon tells of a hook that fails once, and not for each connection and attempt.
                if self.lease.deadline.is_one_shot() {
                    tracing::warn!(connection = %name, hook = %hook, "error.type" = fault.code.as_str(), error = %fault, "{name}: hook {hook} failed (the rotation is not affected): {fault}");
                } else {
                    tracing::debug!(connection = %name, hook = %hook, "error.type" = fault.code.as_str(), error = %fault, "{name}: hook {hook} failed: {fault}");
                }
                let words = fault.to_string();
                let trouble = decide::failure(&self.situation(), notice, fault);
                (Event::NotifyFailed { hook: hook.clone(), number, trouble }, words)
            }
        };
        self.lease.store(&event, &words)
    }

    /// Runs it, and gives the connection free for others when that takes long. `None` when they know
    /// of the try no more by the time that it has ended.
    async fn told(
        &mut self,
        hook: &HookName,
        number: u64,
        message: &Message,
    ) -> Result<Option<Ran>, Stop> {
        let (engine, patience) = (self.engine(), self.lease.deadline.patience);
        let hooks = self.connection.hooks.clone();
        self.lease.ready(Durability::Now).await?;
        let at = self.now();
        let _waiting = self.seat.waits();
        let run = run_once(engine, &hooks, hook, message, patience);
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
        let slow =
            format!("the hook {hook} is still running: the connection is released meanwhile");
        let stored = {
            self.lease.store(&Event::NoticeBegun { hook: hook.clone(), number, begun }, &slow)?;
            let mut stored = std::pin::pin!(self.lease.ready(Durability::Now));
            tokio::select! {
                biased;
                stored = &mut stored => { stored?; None }
                ran = &mut run => { stored.await?; Some(ran) }
            }
        };
        if stored.is_some() {
            return Ok(stored);
        }
        self.memory.forget();
        self.lease.release().await;
        let ran = run.await;
        self.take_up(until).await?;
        let known = self.record().notices.get(hook, number);
        Ok(known.filter(|known| known.attempt() == Some(begun)).map(|_| ran))
    }

    /// Claims the connection again, and goes on from what others wrote down meanwhile.
    async fn take_up(&mut self, until: Timestamp) -> Result<(), Stop> {
        let rotated = self.record().last_rotation != self.story.before;
        if self.lease.take_up(until).await? {
            if !rotated {
                self.story.before.clone_from(&self.lease.record().last_rotation);
            }
            self.begin()?;
        }
        Ok(())
    }
}

/// Runs a hook, for no longer than the call, or the process, may still take.
pub(super) async fn run_once(
    engine: &Engine,
    hooks: &Hooks,
    hook: &HookName,
    message: &Message,
    patience: &Patience,
) -> Ran {
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
    tokio::select! {
        biased;
        ran = hooks.run(hook, message, engine.clock.now()) => ran,
        () = impatient => cut_short(),
        () = stopping => cut_short(),
    }
}

/// Counts how a run of a hook ended, if it was begun.
pub(super) fn count(engine: &Engine, hook: &HookName, ran: &Ran) {
    if ran.begun {
        let outcome = if ran.outcome.is_ok() { "succeeded" } else { "failed" };
        engine.metrics.hook_run(hook, outcome);
    }
}

fn cut_short(hook: &HookName) -> Fault {
    Fault::new(
        format!("run the hook {hook}"),
        Class::Transient,
        Code::ClaimLost,
        "it was not finished: Scimitar was asked to stop, or the time for its own call was over",
    )
}
