//! A tenant's limit that several replicas use: each takes its turns out of one account, which all of
//! them see.
//!
//! The account keeps, for our share and for the whole limit, when what was taken out will have filled
//! up again; by the clock of whoever keeps it. A replica takes a few turns at once, not more than a
//! quarter of a second holds, so that an account costs few calls and a replica that dies takes little
//! with it.

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{RateLimit, Span};
use crate::{clock::Timestamp, token::Tenant};

/// Turns are taken for so long ahead.
const AHEAD: f64 = 0.25;

/// The most turns that are taken at once.
const MOST: u32 = 64;

/// A turn that was not used for so long is given up: its place in the limit is somebody else's.
const STALE: TimeDelta = TimeDelta::seconds(1);

/// No turn is waited for longer: one that lies further away shows a clock that was set.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// Where no limit is known, so often it is asked whether another replica was told to pause.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After a failure the next call goes without the account for so long.
const WITHOUT: Duration = Duration::from_secs(5);

/// Keeps the account of each tenant.
#[async_trait]
pub trait SharedLimit: fmt::Debug + Send + Sync {
    /// Takes turns out of a tenant's account.
    ///
    /// # If the answer is lost
    /// They may have been taken; they are then used by nobody.
    ///
    /// # Errors
    /// In words, when the account cannot be had now.
    async fn take_turns(&self, tenant: &Tenant, wanted: Wanted) -> Result<Turns, String>;

    /// Makes nobody send for this long; a longer pause that holds already stays.
    ///
    /// # If the answer is lost
    /// It may hold; each replica meets the limit by itself otherwise.
    ///
    /// # Errors
    /// In words, when that cannot be written down now.
    async fn pause(&self, tenant: &Tenant, pause: Duration) -> Result<(), String>;
}

/// What is wanted of an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// How many turns; 0: only whether there is a pause.
    pub turns: u32,
    /// The limit of the whole tenant and our share of it.
    pub whole: RateLimit,
    /// Our share, as a limit.
    pub ours: RateLimit,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turns {
    /// How much is left of a pause that another replica was told.
    pub pause: Duration,
    /// From now on until our share has filled up from what was taken before.
    pub ours: Duration,
    /// The same for the whole limit.
    pub whole: Duration,
}

/// The turns that a replica has taken and not used yet.
#[derive(Debug)]
pub(super) struct Taken {
    limit: Option<(RateLimit, RateLimit)>,
    ready: VecDeque<Turn>,
    /// Somebody is asking.
    asking: bool,
    /// Until then it is not asked.
    quiet: Option<Span>,
}

/// From when on, when it was taken, and whether our share was left out of account.
#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Timestamp,
    since: Timestamp,
    emergency: bool,
}

impl Turn {
    /// Whether a clock was set since: then nobody knows when it comes.
    fn is_lost(&self, now: Timestamp) -> bool {
        self.since - now > STALE || self.at - now > LONGEST
    }
}

/// Whether there is a turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Now; it is used up with that.
    Now,
    /// From then on.
    At(Timestamp),
    /// It is not known: ask for these.
    Ask(Wanted),
    /// When the one who asks has the answer.
    Behind,
}

impl Taken {
    /// Of a limit and our share of it.
    pub(super) fn new(limit: Option<RateLimit>, share: f64) -> Self {
        let limit = limit.map(|whole| (whole, share_of(whole, share)));
        Self { limit, ready: VecDeque::new(), asking: false, quiet: None }
    }

    /// Looks for a turn; `waiting` want one. Whoever is told to ask tells the answer to
    /// [`Taken::answered`] or [`Taken::failed`], or that there is none to [`Taken::left`].
    pub(super) fn next(&mut self, emergency: bool, waiting: usize, now: Timestamp) -> Next {
        if self.asking {
            return Next::Behind;
        }
        // To ask for others at once would take them out of the account again and again.
        if self.ready.iter().any(|turn| turn.is_lost(now)) {
            self.ready.clear();
            self.failed(now);
        }
        let quiet = self.quiet.is_some_and(|quiet| quiet.holds(now));
        let Some((whole, ours)) = self.limit else {
            if quiet {
                return Next::Now;
            }
            self.asking = true;
            // A limit that nothing is taken out of.
            let any = RateLimit { per_second: 1.0, burst: 1 };
            return Next::Ask(Wanted { turns: 0, whole: any, ours: any });
        };
        self.ready.retain(|turn| now - turn.at < STALE);
        match self.ready.front() {
            Some(turn) if turn.at <= now => {
                self.ready.pop_front();
                return Next::Now;
            }
            Some(turn) if turn.emergency || !emergency => return Next::At(turn.at),
            // It may go before our share has room for it.
            Some(_) | None => {}
        }
        if quiet {
            return Next::Now;
        }
        self.asking = true;
        let ahead = (ours.per_second * AHEAD).min(f64::from(MOST)) as u32;
        let turns =
            if emergency { 1 } else { ahead.min(u32::try_from(waiting).unwrap_or(MOST)).max(1) };
        Next::Ask(Wanted { turns, whole, ours })
    }

    /// What was asked for is there: the turns, and a pause that holds.
    pub(super) fn answered(
        &mut self,
        wanted: Wanted,
        turns: Turns,
        emergency: bool,
        now: Timestamp,
    ) -> Option<Span> {
        self.asking = false;
        if self.limit.is_none() {
            self.quiet = Some(Span::new(now, ASK_EVERY));
        }
        for number in 0..wanted.turns {
            let whole = wait(wanted.whole, turns.whole, number);
            let ours = wait(wanted.ours, turns.ours, number);
            let wait = if emergency { whole } else { whole.max(ours) };
            let at = now + TimeDelta::from_std(wait).unwrap_or(LONGEST);
            let turn = Turn { at, since: now, emergency };
            if emergency {
                self.ready.push_front(turn);
            } else {
                self.ready.push_back(turn);
            }
        }
        (turns.pause > Duration::ZERO).then(|| Span::new(now, turns.pause))
    }

    /// It could not be had: for a while each replica goes by what it sees itself.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.asking = false;
        self.quiet = Some(Span::new(now, WITHOUT));
    }

    /// Who asked does not wait for the answer any more.
    pub(super) fn left(&mut self) {
        self.asking = false;
    }
}

/// `share` of a limit, as a limit.
fn share_of(whole: RateLimit, share: f64) -> RateLimit {
    let burst = (f64::from(whole.burst) * share).max(1.0) as u32;
    RateLimit { per_second: whole.per_second * share, burst }
}

/// How long the turn of this number waits, when so much has to fill up before the limit is full
/// again.
fn wait(limit: RateLimit, fills: Duration, number: u32) -> Duration {
    let every = 1.0 / limit.per_second;
    let ahead = (f64::from(number) + 1.0 - f64::from(limit.burst)) * every;
    Duration::try_from_secs_f64((fills.as_secs_f64() + ahead).max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn taken() -> (Taken, Wanted) {
        let mut taken = Taken::new(RateLimit::try_new(2.0, 2), 1.0);
        let Next::Ask(wanted) = taken.next(false, 1, noon()) else { panic!("it asks first") };
        (taken, wanted)
    }

    fn turns(fills: Duration) -> Turns {
        Turns { pause: Duration::ZERO, ours: fills, whole: fills }
    }

    /// What goes without the account for a while, and then asks it again once.
    fn assert_goes_without(taken: &mut Taken, since: Timestamp) {
        for seconds in 0..5 {
            let now = since + TimeDelta::seconds(seconds);
            assert_eq!(taken.next(false, 1, now), Next::Now, "{seconds}");
        }
        let then = since + TimeDelta::seconds(5);
        assert!(matches!(taken.next(false, 1, then), Next::Ask(_)));
    }

    /// Its clock was set back by two hours, say: what was taken fills up two hours too late.
    #[test]
    fn an_account_that_is_far_ahead_is_done_without() {
        let (mut taken, wanted) = taken();
        taken.answered(wanted, turns(Duration::from_secs(7_200)), false, noon());
        assert_goes_without(&mut taken, noon());
    }

    #[test]
    fn turns_from_before_our_clock_was_set_back_are_not_awaited() {
        let (mut taken, wanted) = taken();
        taken.answered(wanted, turns(Duration::from_secs(3)), false, noon());
        assert_goes_without(&mut taken, noon() - TimeDelta::minutes(30));
    }

    #[test]
    fn a_turn_that_is_some_way_off_is_waited_for() {
        let (mut taken, wanted) = taken();
        taken.answered(wanted, turns(Duration::from_secs(60)), false, noon());
        let at = noon() + TimeDelta::milliseconds(59_500);
        assert_eq!(taken.next(false, 1, noon() + TimeDelta::seconds(1)), Next::At(at));
        assert_eq!(taken.next(false, 1, at), Next::Now);
    }
}
