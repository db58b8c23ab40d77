//! What ends a pass: how the connection stands is written down, then its hooks are told.

use chrono::TimeDelta;

use super::{lease::Stop, run::Run};
use crate::{
    rotation::{
        decide::{self, Decision, Rest, Status},
        why::Reason,
    },
    words::moment,
};

impl Run<'_> {
    /// Writes a rest down; `true` when the call stays and goes on.
    pub(super) async fn rest(&mut self, rest: &Rest, why: &str) -> Result<bool, Stop> {
        let ending = self.situation().ending.is_some();
        self.write_rest(rest, why)?;
        self.say_beside().await?;
        let deadline = &self.lease.deadline;
        let (began, tries) = (deadline.began, deadline.is_one_shot());
        let stay = !ending
            && match rest.status {
                Status::Troubled => tries && !decide::is_hopeless(&self.situation(), began),
                Status::Waiting => self.lease.deadline.patience.wait && !is_held(rest.reason),
                Status::Idle | Status::Refused => false,
            };
        let version = self.lease.version();
        match self.tell_hooks().await {
            // How the connection stands was found out before.
            Err(Stop::ClaimLost) if !stay || self.situation().ending.is_some() => return Ok(false),
            told => told?,
        }
        if !stay {
            return Ok(false);
        }
        if self.lease.was_taken_up_since(version) {
            // Somebody acted meanwhile: what was to be waited for may be another thing now.
            return Ok(true);
        }
        let now = self.now();
        let until = rest.until.or_else(|| self.record().wake_at).unwrap_or(now);
        let until = until.max(now + TimeDelta::milliseconds(100));
        if self.story.waited_for.as_deref() != Some(why) {
            let words = format!("waiting until {}: {why}", moment(until, now));
            self.engine().progress.step(&self.record().name, &words);
            self.story.waited_for = Some(why.to_owned());
        }
        self.sleep(until).await?;
        self.memory.forget_looks();
        Ok(true)
    }

    /// Tells the hooks what there is to tell: when everything else rests, so that none holds it up.
    async fn tell_hooks(&mut self) -> Result<(), Stop> {
        let mut told = false;
        while let Some(Decision { step, why }) = decide::to_tell(&self.situation()) {
            self.carry_out(step, &why).await?;
            told = true;
        }
        if told {
            let rest = decide::as_before(&self.situation());
            self.write_rest(&rest, "the hooks ran")?;
        }
        Ok(())
    }

    pub(super) fn write_rest(&mut self, rest: &Rest, why: &str) -> Result<(), Stop> {
        let rested = decide::rested(&self.situation(), rest, why);
        self.lease.store_if_changed(&rested, why)?;
        Ok(())
    }
}

/// What holds a connection back for days is not waited for by a call.
fn is_held(reason: Option<Reason>) -> bool {
    matches!(reason, Some(Reason::Paused | Reason::Freeze | Reason::Window))
}
