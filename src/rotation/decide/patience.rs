//! How long what failed waits until it is tried again.

use chrono::TimeDelta;

use super::{Situation, life_left};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        backoff, due,
        record::{SinkState, Trouble, Work},
    },
};

impl Situation<'_> {
    /// Until when a trouble keeps this call from trying again. A person's call tries at once what
    /// failed before it, and no clock step makes a pause longer than it can be.
    #[must_use]
    pub fn held_back(&self, trouble: Option<&Trouble>) -> Option<Timestamp> {
        let trouble = trouble?;
        // Set back in between, the clock says nothing of which came first.
        let before = |since: Timestamp| trouble.at < since && since <= self.now;
        let for_good = trouble.fault.class == Class::Terminal;
        let tries_since = self.observed.tries_since.filter(|_| for_good);
        let asked_since =
            self.request.since().is_some_and(before) || tries_since.is_some_and(before);
        let longest = backoff::cap(time_left(self));
        let pause = trouble.retry_at - self.now;
        (pause > TimeDelta::zero() && pause <= longest && !asked_since).then_some(trouble.retry_at)
    }

    /// One more failure of a kind of work.
    #[must_use]
    pub fn failed(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        backoff::after(before, fault, self.now, time_left(self), due::salt(&self.record.key))
    }

    /// One more failure at a place. What a person has to mend there is tried again with each check: that
    /// costs no more than a place that works, and whoever mended it sees so.
    #[must_use]
    pub fn place_failed(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.by_the_next_check(self.failed(before, fault))
    }

    /// One more failure to read a place.
    #[must_use]
    pub fn read_failed(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.by_the_next_check(self.look_failed(before, fault))
    }

    /// One more failure to look at the provider.
    #[must_use]
    pub fn look_failed(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        backoff::of_a_look(self.failed(before, fault), time_left(self))
    }

    fn by_the_next_check(&self, trouble: Trouble) -> Trouble {
        let Fault { code, retry_after, .. } = &trouble.fault;
        // A service that says when to come back is not asked before, and servers lock out who logs in in vain
        // too often.
        if !trouble.needs_person() || retry_after.is_some() || *code == Code::Unauthorized {
            return trouble;
        }
        let check = TimeDelta::from_std(self.policy.survey_interval).unwrap_or(TimeDelta::MAX);
        Trouble { retry_at: backoff::at_least_every(&trouble, check), ..trouble }
    }
}

/// Whether all that failed in the call that began then stays as it is until a person changes
/// something. Without a list nothing goes on; else one place that may come back is worth waiting for.
#[must_use]
pub fn is_hopeless(s: &Situation<'_>, began: Timestamp) -> bool {
    let for_good = |trouble: &Trouble| {
        let freed = trouble.fault.code == Code::NoSlot && s.has_slot();
        trouble.needs_person() && trouble.at >= began && !freed
    };
    if let Some(look) = &s.record.troubles.look {
        return for_good(look);
    }
    // What a place refused before this call began, it was asked about again for the rotation.
    let mint = s.record.troubles.mint.as_ref();
    let asked_again = mint.is_some_and(|mint| mint.of_sink && for_good(mint));
    let places = s.record.places().filter(|sink| !(asked_again && sink.unwritable));
    let own = s.record.troubles.iter().filter(|(work, _)| *work != Work::Look);
    let own = own.map(|(_, trouble)| trouble);
    let mut all = own.chain(places.flat_map(SinkState::troubles)).peekable();
    all.peek().is_some() && all.all(for_good)
}

/// By how much time a pause is measured: what is left of the life of the token in use; once readers
/// are cut off, how long they have been, below zero.
fn time_left(s: &Situation<'_>) -> Option<TimeDelta> {
    // Of two clocks that may be right the later one: a pause too short costs a call.
    let left = life_left(s.record, s.provider_now().max(s.provider_shown()));
    let Some(since) = s.record.cut_off_since() else { return left };
    // No clock that was set makes it a time to come.
    let cut_off = (since - s.now).min(TimeDelta::zero());
    Some(left.map_or(cut_off, |left| left.min(cut_off)))
}
