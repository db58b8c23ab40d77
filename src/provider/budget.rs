//! One request budget for each provider tenant: a share of its limit, since others live there too.
//!
//! Three things hold a request back, and the longest of them counts: a token bucket of the
//! configured limit, what the tenant's answers say is left of it ([`pace`]) or its 429s show of it
//! where they say nothing ([`mute`]), and the pause that a 429 asked for. Where replicas share a ledger,
//! they share the bucket and the pauses as well ([`shared`]). Urgent work goes first, and first come,
//! first served among equals.
//!
//! `share` of a configured limit is a share of its burst and of its rate. Where the limit is learnt,
//! the others' part of the burst stays there for them, and what they leave of the rate is used.

mod bucket;
mod mute;
mod pace;
mod room;
mod shared;
mod told;

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::Notify;

pub use self::shared::{SharedLimit, Turns, Wanted};
pub(super) use self::told::say;
use self::{
    bucket::Bucket,
    pace::Pace,
    room::{Mark, Room},
    shared::{Next, Taken},
    told::Told,
};
use super::Urgency;
use crate::{
    clock::{Clock, Timestamp},
    token::Tenant,
};

/// The longest that a tenant's word on when its limit resets is believed; then it is asked again.
const LONGEST_RESET: Duration = Duration::from_secs(120);

/// The longest pause after a 429, whatever was asked for; then one request tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// So much later than another a request may come to the tenant that was sent at its time: the tenant
/// sees those of this time at once, and has room for its burst and no more.
const LATE: Duration = Duration::from_millis(250);

/// The pause after a 429 that names none, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How often it is doubled at most: 8 s, which a call still waits for.
const DOUBLINGS: u32 = 3;

/// So long an account that replicas share is waited for.
const ACCOUNT: Duration = Duration::from_secs(2);

/// A tenant's limit, as its plan states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests a second, in the long run; above 0.
    pub per_second: f64,
    /// Requests at once; at least 1.
    pub burst: u32,
}

impl RateLimit {
    /// Accepts a sustained rate above 0 requests a second and a burst of at least 1 request.
    #[must_use]
    pub fn try_new(per_second: f64, burst: u32) -> Option<Self> {
        (per_second.is_finite() && per_second > 0.0 && burst > 0)
            .then_some(Self { per_second, burst })
    }
}

/// What an answer says of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `x-ratelimit-limit`: how many requests it holds.
    pub limit: Option<i64>,
    /// `x-ratelimit-remaining`: how many are left.
    pub remaining: Option<i64>,
    /// How long until `x-ratelimit-reset`, by the provider's clock.
    pub resets_in: Option<Duration>,
}

/// The budget. Requests wait in [`Budget::take`].
#[derive(Debug)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    shared: Option<(Tenant, Arc<dyn SharedLimit>)>,
    state: Mutex<State>,
    changed: Notify,
}

/// The right to send one request; held until its answer is there, and given back with that. One that
/// is dropped came to no answer.
#[derive(Debug)]
pub struct Permit<'a> {
    budget: &'a Budget,
    mark: Mark,
    answered: bool,
}

/// The tenant asked for a pause that is longer than the caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// What is left of it.
    pub pause: Duration,
}

/// What follows from a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Throttled {
    /// How long nobody sends from now on.
    pub pause: Duration,
    /// It is worth a warning: the first one, or the first one after a longer silence.
    pub is_due: bool,
}

impl Budget {
    /// A budget of `share` (more than 0, at most 1) of `limit`; without a limit, of what the
    /// tenant's answers say.
    #[must_use]
    pub fn new(limit: Option<RateLimit>, share: f64, clock: Arc<dyn Clock>) -> Self {
        let share = if share.is_finite() { share.clamp(0.01, 1.0) } else { 1.0 };
        let now = clock.now();
        let ours = limit.map(|limit| {
            // The others' part of the burst is spare enough, where there is one.
            let spare = (limit.per_second * LATE.as_secs_f64()).min(f64::from(limit.burst) / 2.0);
            Bucket::new(limit, share, now).at_most(f64::from(limit.burst) - spare)
        });
        let state = State {
            share,
            whole: limit.map(|limit| Bucket::new(limit, 1.0, now)),
            ours,
            pace: Pace::new(limit, now),
            pause: None,
            strikes: 0,
            told: Told::default(),
            cautious: false,
            in_flight: 0,
            queue: BTreeSet::new(),
            next: 0,
            taken: None,
            alone: Told::default(),
        };
        Self { clock, shared: None, state: Mutex::new(state), changed: Notify::new() }
    }

    /// The same for a tenant whose limit others use out of the same account.
    #[must_use]
    pub fn shared(
        limit: Option<RateLimit>,
        share: f64,
        clock: Arc<dyn Clock>,
        tenant: Tenant,
        account: Arc<dyn SharedLimit>,
    ) -> Self {
        let budget = Self::new(limit, share, clock);
        let share = budget.lock().share;
        budget.lock().taken = Some(Taken::new(limit, share));
        Self { shared: Some((tenant, account)), ..budget }
    }

    /// Waits for its turn, for as long as that takes. Dropping the future leaves the queue.
    pub async fn take(&self, urgency: Urgency) -> Permit<'_> {
        loop {
            if let Ok(permit) = self.take_unless_closed(urgency, Duration::MAX).await {
                return permit;
            }
        }
    }

    /// Waits for its turn, but for no pause after a 429 of which more than `patience` is left, also
    /// one that begins meanwhile. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// When there is such a pause.
    pub async fn take_unless_closed(
        &self,
        urgency: Urgency,
        patience: Duration,
    ) -> Result<Permit<'_>, Closed> {
        let ticket = Ticket::enter(self, urgency);
        loop {
            // Listening begins before looking, so that no change is missed in between.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = self.clock.now();
            let turn = self.lock().turn(ticket.place, patience, now);
            match turn {
                Turn::Now(mark) => return Ok(Permit { budget: self, mark, answered: false }),
                Turn::Closed(pause) => return Err(Closed { pause }),
                Turn::Behind => changed.await,
                // What changed is looked at first: a pause is told as long as it is.
                Turn::At(at) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = self.clock.sleep_until(at) => {}
                },
                Turn::Ask(wanted) => self.ask(wanted, urgency).await,
            }
        }
    }

    /// Makes every replica pause.
    pub(super) async fn pause_all(&self, pause: Duration) {
        let Some((tenant, account)) = &self.shared else { return };
        let asked = tokio::select! {
            biased;
            asked = account.pause(tenant, pause) => asked,
            () = self.in_time() => Err("it did not answer in time".to_owned()),
        };
        if let Err(detail) = asked {
            tracing::debug!(%tenant, "the other replicas did not learn of the pause: {detail}");
        }
    }

    /// Takes turns out of the account. Without it, each replica goes by what it sees for itself: a
    /// request too many costs a pause, one that is not sent may cost a token.
    async fn ask(&self, wanted: Wanted, urgency: Urgency) {
        let Some((tenant, account)) = &self.shared else { return };
        let asking = Asking(self);
        let answer = tokio::select! {
            biased;
            answer = account.take_turns(tenant, wanted) => answer,
            () = self.in_time() => Err("it did not answer in time".to_owned()),
        };
        let told = self.lock().told_of(answer, wanted, urgency, self.clock.now());
        drop(asking);
        if let Some(detail) = told {
            tracing::warn!(%tenant, "the requests to {tenant} are currently not counted together with those of other replicas, so its limit may be reached: {detail}");
        }
    }

    async fn in_time(&self) {
        let patience = TimeDelta::from_std(ACCOUNT).unwrap_or_default();
        self.clock.sleep_until(self.clock.now() + patience).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Gives it back with an answer other than 429, and corrects the budget by what that says.
    pub fn answered(mut self, seen: Seen) {
        let now = self.budget.clock.now();
        let mut state = self.budget.lock();
        state.strikes = 0;
        state.cautious = false;
        let others = state.in_flight.saturating_sub(1);
        state.pace.answered(self.mark, seen, others, now);
        drop(state);
        self.answered = true;
    }

    /// Gives it back with a 429 and the pause that this asked for. Nobody sends before that is over,
    /// and then one request tries before the others follow.
    pub fn throttled(mut self, asked: Option<Duration>) -> Throttled {
        let now = self.budget.clock.now();
        let mut state = self.budget.lock();
        let paused = state.pause.is_some_and(|pause| pause.holds(now));
        if !paused {
            // Several 429 to one burst are one strike.
            state.strikes = state.strikes.saturating_add(1);
        }
        let own = FIRST_PAUSE * 2_u32.pow(state.strikes.saturating_sub(1).min(DOUBLINGS));
        let pause = asked.unwrap_or(own).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let span = Span::new(now, pause);
        state.pace.throttled(!paused, now, span.until);
        let longest = match state.pause {
            Some(before) if before.holds(now) && before.until > span.until => before,
            Some(_) | None => span,
        };
        state.pause = Some(longest);
        state.cautious = true;
        let is_due = state.told.is_due(now);
        drop(state);
        self.answered = true;
        Throttled { pause: longest.left(now), is_due }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if !self.answered {
            state.pace.unanswered();
        }
        drop(state);
        self.budget.changed.notify_waiters();
    }
}

/// A place in the queue: the most urgent first, then who came first.
type PlaceInQueue = (Reverse<Urgency>, u64);

struct Ticket<'a> {
    budget: &'a Budget,
    place: PlaceInQueue,
}

impl<'a> Ticket<'a> {
    fn enter(budget: &'a Budget, urgency: Urgency) -> Self {
        let mut state = budget.lock();
        let place = (Reverse(urgency), state.next);
        state.next += 1;
        state.queue.insert(place);
        Self { budget, place }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.budget.lock().queue.remove(&self.place);
        self.budget.changed.notify_waiters();
    }
}

/// Somebody asks for turns; however that ends, the next one may.
struct Asking<'a>(&'a Budget);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(taken) = &mut self.0.lock().taken {
            taken.left();
        }
        self.0.changed.notify_waiters();
    }
}

#[derive(Debug)]
enum Turn {
    Now(Mark),
    At(Timestamp),
    /// After these were taken out of the account that replicas share.
    Ask(Wanted),
    /// Not before a pause is over of which so much is left.
    Closed(Duration),
    /// When something changes: another is first.
    Behind,
}

#[derive(Debug)]
struct State {
    share: f64,
    /// The tenant's limit, as far as we use it.
    whole: Option<Bucket>,
    /// Our share of it. Emergencies are charged to it without waiting for it.
    ours: Option<Bucket>,
    /// What is left of it by the tenant's answers.
    pace: Pace,
    pause: Option<Span>,
    /// 429s in a row.
    strikes: u32,
    /// What was said of them.
    told: Told,
    /// After a 429: one request at a time until one is answered otherwise, each of them waited for
    /// no longer than [`Pace::awaited`] says.
    cautious: bool,
    in_flight: u32,
    queue: BTreeSet<PlaceInQueue>,
    next: u64,
    /// What was taken out of the account that replicas share.
    taken: Option<Taken>,
    /// What was said of an account that could not be had.
    alone: Told,
}

impl State {
    /// Takes in what the account answered; what is to be said of it, if that is due.
    fn told_of(
        &mut self,
        answer: Result<Turns, String>,
        wanted: Wanted,
        urgency: Urgency,
        now: Timestamp,
    ) -> Option<String> {
        let taken = self.taken.as_mut()?;
        match answer {
            Ok(turns) => {
                let emergency = urgency == Urgency::Emergency;
                let pause = taken.answered(wanted, turns, emergency, now)?;
                let longer =
                    self.pause.is_none_or(|own| !own.holds(now) || own.until < pause.until);
                if longer {
                    self.pause = Some(pause);
                    self.cautious = true;
                }
                None
            }
            Err(detail) => {
                taken.failed(now);
                self.alone.is_due(now).then_some(detail)
            }
        }
    }

    fn turn(&mut self, place: PlaceInQueue, patience: Duration, now: Timestamp) -> Turn {
        let pause = self.pause.filter(|pause| pause.holds(now));
        if let Some(left) = pause.map(|pause| pause.left(now)).filter(|left| *left > patience) {
            return Turn::Closed(left);
        }
        if self.queue.first() != Some(&place) {
            return Turn::Behind;
        }
        // One request tries; so long its answer is waited for, then the next one tries.
        let awaited = match self.pace.awaited(self.in_flight, now) {
            Some(until) if self.cautious => Some(until),
            Some(_) | None => None,
        };
        let (Reverse(urgency), _) = place;
        let emergency = urgency == Urgency::Emergency;
        let whole = self.whole.as_mut().and_then(|bucket| bucket.ready(now));
        let ours = self.ours.as_mut().and_then(|bucket| bucket.ready(now));
        let share = if emergency { 1.0 } else { self.share };
        let waits = [pause.map(|pause| pause.until), awaited, whole, ours.filter(|_| !emergency)];
        let at = waits.into_iter().flatten().max();
        match (self.pace.room(share, self.in_flight, now), at) {
            (Room::At(room), Some(at)) => return Turn::At(room.max(at)),
            (Room::At(at), None) | (Room::Yes, Some(at)) => return Turn::At(at),
            (Room::Yes, None) => {}
        }
        let waiting = self.queue.len();
        match self.taken.as_mut().map(|taken| taken.next(emergency, waiting, now)) {
            Some(Next::At(at)) => return Turn::At(at),
            Some(Next::Ask(wanted)) => return Turn::Ask(wanted),
            Some(Next::Behind) => return Turn::Behind,
            Some(Next::Now) | None => {}
        }
        for bucket in [&mut self.whole, &mut self.ours].into_iter().flatten() {
            bucket.level -= 1.0;
        }
        self.in_flight += 1;
        self.queue.remove(&place);
        Turn::Now(self.pace.sent(now))
    }
}

/// A stretch of wall-clock time; over as well when the clock was set to before it.
#[derive(Clone, Copy, Debug)]
struct Span {
    since: Timestamp,
    until: Timestamp,
}

impl Span {
    fn new(since: Timestamp, length: Duration) -> Self {
        let length = TimeDelta::from_std(length).unwrap_or_default();
        Self { since, until: since + length }
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until
    }

    fn left(&self, now: Timestamp) -> Duration {
        (self.until - now).to_std().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
