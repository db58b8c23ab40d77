//! The one opinion on what happens next, and why: the daemon, one-shots, `plan`, `explain` and the
//! simulation all ask [`decide`].

mod delivering;
mod foreign;
mod judge;
mod last_look;
mod patience;
mod proving;
mod reach;
mod resting;
mod retire;
mod rotate;
mod sinks;
mod staging;
mod steady;
mod tell;
#[cfg(test)]
mod tests;
mod warn;

use std::collections::BTreeSet;

use chrono::TimeDelta;

pub use patience::is_hopeless;
pub use resting::rested;
pub(super) use retire::first_use;
pub use retire::{Verdict, verdict};
pub use tell::{as_before, failure, to_tell};

pub use super::decided::Standing;
use super::{
    ask::Ask,
    event::Event,
    observe::{Held, Observed, SeenList, SeenSink, is_dead},
    policy::Policy,
    print,
    record::{Cause, Phase, Record, SinkState, Skew, Work},
    why::Reason,
};
use crate::{
    clock::Timestamp,
    token::{HookName, LedgerId, Listed, PlaceKey, Scopes, TokenId},
};

/// Everything that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the operator asked for.
    pub policy: &'a Policy,
    /// What was written down.
    pub record: &'a Record,
    /// What was just seen.
    pub observed: &'a Observed,
    /// The host's clock.
    pub now: Timestamp,
    /// What the call wants.
    pub ask: &'a Ask,
    /// Whose rotations are ours.
    pub ledger: &'a LedgerId,
    /// Set when the call must come to an end.
    pub ending: Option<Ending>,
}

/// Why a call must come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time is up.
    Timeout,
    /// The process was asked to stop.
    Interrupted,
}

/// What is to be done next, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What.
    pub step: Step,
    /// Why, in words.
    pub why: String,
}

/// One step. The worker carries it out and asks again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// List the tokens, read places.
    Look {
        /// Whether to list.
        list: bool,
        /// Which places to read.
        places: BTreeSet<PlaceKey>,
    },
    /// Write this down.
    Note(Box<Event>),
    /// Show every sink writable and the SCIM endpoint there.
    Preflight {
        /// Else one sink that can be asked is enough.
        all: bool,
        /// What the SCIM endpoint may say against it.
        endpoint: Veto,
    },
    /// Write an intent down and create a token.
    Mint {
        /// With these scopes.
        scopes: Scopes,
        /// Because of this.
        because: String,
        /// The value of the current token was lost by other means than our own writes.
        value_was_lost: bool,
    },
    /// Send the new token to the SCIM endpoint.
    Probe,
    /// Send the token that this place holds to the SCIM endpoint.
    AskHeld(PlaceKey),
    /// Keep the token in hand in this place, beside what its readers get.
    Stage(PlaceKey),
    /// Make this place hold the token in hand.
    Promote(PlaceKey),
    /// Take away what leads to a token that is gone.
    Forget {
        /// From this place.
        place: PlaceKey,
        /// The token.
        id: TokenId,
    },
    /// Delete a token: the last look was just had.
    Revoke(TokenId),
    /// Tell a hook what happened.
    Notify {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
    },
    /// Keep the value in memory and ask again at this moment.
    Pause(Timestamp),
    /// Nothing is to be done now.
    Rest(Rest),
}

/// What an anonymous answer of the SCIM endpoint may hold up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// Nothing: it is not asked.
    None,
    /// A mint, when it answers that it is none (anything but 401, 403, 5xx and silence).
    Refusal,
    /// The same, and when nothing can be learnt.
    Silence,
}

/// Why nothing is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How things stand.
    pub standing: Standing,
    /// The word for it.
    pub reason: Option<Reason>,
    /// When that changes by itself, or when to look again (host's clock).
    pub until: Option<Timestamp>,
    /// When the next rotation starts (host's clock).
    pub next_rotation: Option<Timestamp>,
    /// What draws attention.
    pub warnings: BTreeSet<String>,
    /// Only hooks were waited for, and nobody else was asked anything: the connection stands as it did.
    pub hooks_only: bool,
}

/// Says what is to be done next. Hooks are told when that is a rest, and it was written down: by
/// [`to_tell`].
#[must_use]
pub fn decide(s: &Situation<'_>) -> Decision {
    if tell::alone(s) {
        return step(Step::Rest(as_before(s)), "only hooks were waited for");
    }
    rotation(s)
}

/// The same, with the hooks in it: for plans, which write nothing down.
pub(super) fn decide_and_tell(s: &Situation<'_>) -> Decision {
    let decision = decide(s);
    if matches!(decision.step, Step::Rest(_)) { to_tell(s).unwrap_or(decision) } else { decision }
}

fn rotation(s: &Situation<'_>) -> Decision {
    if let Some(decision) = condemn(s) {
        return decision;
    }
    if matches!(s.record.phase, Phase::Minting(_)) {
        return note(
            Event::IntentOpened,
            "a create was announced and its outcome was not written down; the lists will tell",
        );
    }
    if let Some(decision) = look(s).or_else(|| ask_again(s)).or_else(|| tidy(s)) {
        return decision;
    }
    if let Some(decision) = steady::on_an_operators_word(s) {
        return decision;
    }
    match &s.record.phase {
        Phase::Delivering(delivery) => delivering::next(s, delivery),
        Phase::Steady | Phase::Minting(_) => steady::next(s),
    }
}

impl Situation<'_> {
    /// The provider's clock less ours, as the newest list showed it.
    #[must_use]
    pub fn skew(&self) -> TimeDelta {
        match &self.observed.list {
            Some(Ok(list)) => list.skew(),
            Some(Err(_)) | None => self
                .record
                .survey
                .as_ref()
                .map_or(TimeDelta::zero(), |survey| TimeDelta::milliseconds(survey.skew_ms)),
        }
    }

    /// The provider's time: as the newest list showed it, but no later than a skew that has lasted
    /// makes it.
    #[must_use]
    pub fn provider_now(&self) -> Timestamp {
        let shown = self.skew();
        self.now + self.record.settled_skew().map_or(shown, |settled| settled.min(shown))
    }

    /// The provider's time as the newest list showed it: for what is written down of a moment from
    /// which time counts, [`Record`] makes it later where a skew that has lasted says so.
    #[must_use]
    pub fn provider_shown(&self) -> Timestamp {
        self.now + self.skew()
    }

    /// A moment of the provider's clock on ours.
    #[must_use]
    pub fn on_our_clock(&self, at: Timestamp) -> Timestamp {
        self.now + (at - self.provider_now())
    }

    /// The list, fresh enough to act on.
    #[must_use]
    pub fn list(&self) -> Option<&SeenList> {
        self.observed.fresh_list(self.now)
    }

    /// The live tokens listed, dead ones left out.
    pub fn live(&self) -> impl Iterator<Item = &Listed> {
        let now = self.provider_now();
        self.list()
            .into_iter()
            .flat_map(|list| &list.tokens)
            .filter(move |token| !is_dead(token, now))
    }

    /// Whether the provider allows one more token, by the fresh list.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        let live = self.live().count();
        self.policy.capabilities.cap.is_none_or(|cap| live < cap as usize)
    }

    /// The moment of the next survey.
    #[must_use]
    pub fn next_survey(&self) -> Timestamp {
        let interval =
            TimeDelta::from_std(self.policy.survey_interval).unwrap_or(TimeDelta::hours(1));
        // A clock that was set, ours or theirs, is looked at again soon: until then nothing rests on it.
        let settled = self.record.skew.as_ref().is_none_or(Skew::is_settled);
        let interval = if settled { interval } else { interval.min(TimeDelta::minutes(1)) };
        self.record.survey.as_ref().map_or(self.now, |survey| survey.at).min(self.now) + interval
    }

    /// The places of the policy that can be asked.
    pub fn readable(&self) -> impl Iterator<Item = &SinkState> {
        self.record.places().filter(|sink| sink.readable)
    }

    /// Whether a place was just seen with a value that works nowhere, whoever put it there.
    pub(super) fn is_false(&self, sink: &SinkState) -> bool {
        self.seen(&sink.place.key).is_some_and(|seen| seen.is_false)
    }

    /// All that was just seen of a place.
    #[must_use]
    pub fn seen(&self, place: &PlaceKey) -> Option<&SeenSink> {
        self.observed.seen(place, self.now)
    }

    /// What a place was just seen to hold.
    #[must_use]
    pub fn held(&self, place: &PlaceKey) -> Option<&Held> {
        self.observed.fresh_sink(place, self.now)
    }

    /// Whether the fresh list shows this token alive.
    #[must_use]
    pub fn is_live(&self, id: &TokenId) -> bool {
        self.live().any(|token| token.id == *id)
    }
}

/// When the connection is to be attended to next, if only for a hook's sake.
#[must_use]
pub fn wake_at(s: &Situation<'_>, rest: &Rest) -> Timestamp {
    let work = work_at(s, rest);
    tell::wake_at(s).map_or(work, |hook| hook.min(work))
}

/// When the connection itself is to be attended to next: the soonest of what the rest says, the
/// next survey, the next rotation, and every retry.
#[must_use]
pub fn work_at(s: &Situation<'_>, rest: &Rest) -> Timestamp {
    let soon = s.now + TimeDelta::seconds(1);
    if rest.hooks_only {
        // Where it is not known, another process began something and did not rest.
        return s.record.work_at.unwrap_or(soon);
    }
    if matches!(rest.reason, Some(Reason::Timeout | Reason::Interrupted)) {
        // A call that was cut off leaves off in the middle: whoever comes next goes on.
        return rest.until.unwrap_or(soon).max(soon);
    }
    let troubles = &s.record.troubles;
    // A survey that failed is overdue: it is tried again when its failure says, never forgotten.
    let survey = troubles.look.as_ref().map_or_else(|| s.next_survey(), |look| look.retry_at);
    let survey = survey.max(s.now + TimeDelta::seconds(1));
    let retries = troubles
        .iter()
        .filter(|(work, _)| *work != Work::Look)
        .map(|(_, trouble)| trouble)
        .chain(s.record.places().flat_map(SinkState::troubles))
        .map(|trouble| trouble.retry_at);
    let interval = TimeDelta::from_std(s.policy.survey_interval).unwrap_or(TimeDelta::hours(1));
    // At the end of a life fewer things hold a rotation up: whatever it waits for, it is looked at then.
    let presses = rotate::presses_at(s).map(|at| s.on_our_clock(at));
    // A rotation that waits for something is not woken for by its own due time, which is past.
    [Some(survey), rest.until, rest.next_rotation, presses]
        .into_iter()
        .flatten()
        .chain(retries)
        .filter(|at| *at > s.now)
        .min()
        .unwrap_or_else(|| s.now + interval.min(TimeDelta::minutes(1)))
}

/// How long the token in use still lives; `None` where it does not expire or there is none.
#[must_use]
pub fn life_left(record: &Record, provider_now: Timestamp) -> Option<TimeDelta> {
    Some(record.expires_at()? - provider_now)
}

/// What leaked is written down before anything else is done, and what a look then shows to be in
/// use as well. A rotation that began after the call is its answer and is not condemned.
fn condemn(s: &Situation<'_>) -> Option<Decision> {
    let Ask::Compromised { since } = s.ask else { return None };
    let leaked = s.record.leaked(*since);
    (!rotate::answered(s) && !leaked.is_subset(&s.record.condemned))
        .then(|| note(Event::Condemned(leaked), "an operator declared the tokens in use leaked"))
}

/// Every pass begins with a look at the provider and at every place.
fn look(s: &Situation<'_>) -> Option<Decision> {
    let stale = matches!(&s.observed.list, Some(Ok(list)) if (s.now - list.at).abs() > super::observe::FRESH);
    // One that failed is asked for again once its pause is over, also in the middle of a delivery.
    let failed = matches!(&s.observed.list, Some(Err(_)));
    let list = (s.observed.list.is_none() || stale || failed)
        && s.held_back(s.record.troubles.look.as_ref()).is_none();
    let places: BTreeSet<PlaceKey> = s
        .record
        .sinks
        .values()
        .filter(|sink| sink.readable)
        .filter(|sink| match s.held(&sink.place.key) {
            None => true,
            // One that could not be read is read again when its pause is over.
            Some(Held::Unreadable(_)) => {
                sink.trouble.as_ref().is_some_and(|trouble| trouble.retry_at <= s.now)
            }
            Some(Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_)) => false,
        })
        .filter(|sink| sink.unwritable || s.held_back(sink.trouble.as_ref()).is_none())
        .map(|sink| sink.place.key.clone())
        .collect();
    (list || !places.is_empty()).then(|| Decision {
        step: Step::Look { list, places },
        why: "decisions rest on what is there now".to_owned(),
    })
}

/// A clock that was set, ours or theirs, is looked at once more before anything rests on it.
fn ask_again(s: &Situation<'_>) -> Option<Decision> {
    let again = s.record.skew.as_ref()?.ask_again()?;
    s.list()?;
    if s.ending.is_some() || (again - s.now).abs() > super::observe::FRESH {
        return None;
    }
    let why = "the provider's clock is not where it was, against ours: a second list will tell";
    if again > s.now {
        return Some(step(Step::Pause(again), why));
    }
    Some(step(Step::Look { list: true, places: BTreeSet::new() }, why))
}

/// Forgets what time has settled, and recognises what the list shows.
fn tidy(s: &Situation<'_>) -> Option<Decision> {
    let list = s.list()?;
    let now = s.provider_now();
    if s.record.intents.iter().any(|intent| print::kept_until(intent) <= now) {
        return Some(note(
            Event::IntentsExpired(now),
            "a lost create this old cannot take effect any more",
        ));
    }
    if let Some(decision) = judge::judge(s) {
        return Some(decision);
    }
    let dead = s
        .record
        .older
        .iter()
        .find(|older| older.cause != Cause::Dead && is_dead(&older.token, now));
    if let Some(older) = dead {
        let why = format!("{} has expired by itself", older.token.id);
        return Some(note(Event::Expired(older.token.id.clone()), &why));
    }
    let (token, intent) = s.record.recognised(list).into_iter().next()?;
    let by = match &token.name {
        Some(name) => format!("the name {name}"),
        None => "the print".to_owned(),
    };
    let why =
        format!("{} bears {by} of a create whose answer was lost: it is our own orphan", token.id);
    Some(note(Event::OrphanFound { token, intent, retire: s.policy.retire.clone() }, &why))
}

/// When the next rotation starts by itself (host's clock); `None`: never.
#[must_use]
pub fn next_rotation(s: &Situation<'_>) -> Option<Timestamp> {
    if s.policy.mode == super::policy::Mode::Observe {
        return None;
    }
    let due = super::due::next(s.policy, s.record).at?;
    Some(s.on_our_clock(due.max(s.provider_now())))
}

fn note(event: Event, why: &str) -> Decision {
    Decision { step: Step::Note(Box::new(event)), why: why.to_owned() }
}

fn step(step: Step, why: impl Into<String>) -> Decision {
    Decision { step, why: why.into() }
}

/// Rests with this standing; survey, next rotation and warnings are the same for every rest.
fn rest(
    s: &Situation<'_>,
    standing: Standing,
    reason: Option<Reason>,
    until: Option<Timestamp>,
    why: impl Into<String>,
) -> Decision {
    let due = super::due::next(s.policy, s.record);
    let next_rotation = next_rotation(s);
    let soonest = [Some(s.next_survey()), until, s.held_back(s.record.troubles.look.as_ref())]
        .into_iter()
        .flatten()
        .filter(|at| *at > s.now)
        .min();
    let mut warnings: BTreeSet<String> = due.warning.into_iter().collect();
    warnings.extend(warn::warnings(s));
    let until = match (until, standing) {
        // What a person waits for is told; the survey in between is our own business.
        (Some(until), _) => Some(until),
        (None, Standing::Idle) => soonest,
        (None, Standing::Waiting | Standing::Troubled | Standing::Refused) => None,
    };
    Decision {
        step: Step::Rest(Rest {
            standing,
            reason,
            until,
            next_rotation,
            warnings,
            hooks_only: false,
        }),
        why: why.into(),
    }
}
