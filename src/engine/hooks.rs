//! Tells hooks what happened: announced, run, and written down what came of it.

use chrono::TimeDelta;

use super::run::{Run, Stop};
use crate::{
    error::{Class, Code, Fault},
    hook::{Message, Ran},
    rotation::{decide, event::Event},
    token::HookName,
};

/// How long a hook that runs when the process is asked to stop may still take.
const STOPPING: TimeDelta = TimeDelta::seconds(10);

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
        let begun = Event::NoticeBegun { hook: hook.clone(), number, at: self.now() };
        self.store(begun, why).await?;
        let message = Message::new(&self.record, &notice);
        let hooks = self.connection.hooks.clone();
        let Ran { outcome, begun } = self
            .guarded(async {
                let _waiting = self.engine.at_hooks.enter();
                tokio::select! {
                    biased;
                    ran = hooks.run(hook, &message, self.now()) => ran,
                    () = self.impatient() => Ran { outcome: Err(cut_short(hook)), begun: true },
                    () = self.stopping() => Ran { outcome: Err(cut_short(hook)), begun: true },
                }
            })
            .await?;
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
                tracing::warn!(connection = %self.record.name, hook = %hook, class = fault.class.as_str(), error = %fault, "the hook failed; the rotation is not touched by that");
                let words = fault.to_string();
                let trouble = decide::failure(&self.situation(), &notice, fault);
                (Event::NotifyFailed { hook: hook.clone(), number, trouble }, words)
            }
        };
        self.store(event, &words).await
    }

    /// Returns when the call's time is up: `--timeout` holds for hooks as well.
    async fn impatient(&self) {
        match self.patience.until {
            Some(until) => self.engine.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Returns some time after the process was asked to stop.
    async fn stopping(&self) {
        self.patience.stop.cancelled().await;
        self.engine.clock.sleep_until(self.now() + STOPPING).await;
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
