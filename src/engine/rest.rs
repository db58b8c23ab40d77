//! What ends a pass: how the connection stands is written down, then its hooks are told.

use chrono::TimeDelta;

use super::run::{Run, Stop};
use crate::{
    clock::rfc3339,
    error::{Class, Code},
    rotation::{
        decide::{self, Decision, Rest, Standing},
        event::Event,
        observe::Observed,
        record::{Refusal, SinkState, Trouble},
        why::Reason,
    },
};

impl Run<'_> {
    /// Writes a rest down; `true` when the call stays and goes on.
    pub(super) async fn rest(&mut self, rest: &Rest, why: &str) -> Result<bool, Stop> {
        let ending = self.situation().ending.is_some();
        self.write_rest(rest, why).await?;
        let tries = self.patience.wait || self.patience.until.is_some();
        let stay = !ending
            && match rest.standing {
                Standing::Troubled => tries && !self.needs_a_person(),
                Standing::Waiting => self.patience.wait,
                Standing::Idle | Standing::Refused | Standing::AsBefore => false,
            };
        let version = self.version;
        match self.tell_hooks().await {
            // How the connection stands was found out before.
            Err(Stop::ClaimLost) if !stay || self.situation().ending.is_some() => return Ok(false),
            told => told?,
        }
        if !stay {
            return Ok(false);
        }
        if self.taken_up > version {
            // Somebody acted meanwhile: what was to be waited for may be another thing now.
            return Ok(true);
        }
        let now = self.now();
        let until = rest.until.or(self.record.wake_at).unwrap_or(now);
        let until = until.max(now + TimeDelta::milliseconds(100));
        if self.waited_for.as_deref() != Some(why) {
            let words = format!("waiting until {}: {why}", rfc3339(until));
            self.engine.progress.step(&self.record.name, &words);
            self.waited_for = Some(why.to_owned());
        }
        self.sleep(until).await?;
        self.observed = Observed::default();
        self.readings.clear();
        Ok(true)
    }

    /// Whether all that failed in this call stays as it is until a person changes something. Without
    /// a list nothing goes on; else one place that may come back is worth waiting for.
    fn needs_a_person(&mut self) -> bool {
        let has_slot = self.situation().has_slot();
        let (began, troubles) = (self.began, &self.record.troubles);
        let for_good = |trouble: &Trouble| {
            let freed = trouble.fault.code == Code::NoSlot && has_slot;
            trouble.fault.class == Class::Terminal && trouble.at >= began && !freed
        };
        let others = [&troubles.mint, &troubles.revoke, &troubles.ask].into_iter().flatten();
        let mut others =
            others.chain(self.record.places().flat_map(SinkState::troubles)).peekable();
        troubles.look.as_ref().is_some_and(for_good)
            || troubles.look.is_none() && others.peek().is_some() && others.all(for_good)
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
            self.write_rest(&rest, "the hooks were told").await?;
        }
        Ok(())
    }

    pub(super) async fn write_rest(&mut self, rest: &Rest, why: &str) -> Result<(), Stop> {
        let situation = self.situation();
        let wake_at = Some(decide::wake_at(&situation, rest));
        let work_at = Some(decide::work_at(&situation, rest));
        // What refuses a person's call alone is told to that person; the schedule knows nothing of it.
        let by_hand = self.ask.since().is_some()
            && rest.standing == Standing::Refused
            && rest.reason == Some(Reason::PreviousInUse);
        let blocked = !by_hand
            && (rest.standing == Standing::Refused || rest.reason == Some(Reason::PreviousInUse));
        let now = self.now();
        // A call that was cut off did not find out.
        let as_before = rest.standing == Standing::AsBefore
            || matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted));
        let before = self.record.refusal.clone().filter(|_| as_before);
        let refusal = rest.reason.filter(|_| blocked).map(|reason| Refusal {
            reason,
            words: why.to_owned(),
            since: self
                .record
                .refusal
                .as_ref()
                .filter(|before| before.reason == reason)
                .map_or(now, |before| before.since),
            until: rest.until,
        });
        let rested = Event::Rested {
            at: now,
            wake_at,
            work_at,
            next_rotation: rest.next_rotation,
            refusal: refusal.or(before),
            warnings: rest.warnings.clone(),
        };
        if self.applied(rested.clone())? != self.record {
            self.store(rested, why).await?;
        }
        Ok(())
    }
}
