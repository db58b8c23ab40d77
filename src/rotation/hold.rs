//! What keeps a rotation that is due from starting, and an older token from being revoked: an operator's
//! pause, a freeze of the policy, a window of its schedule that is over. None of them makes an outage: a
//! token that would expire too soon after it is replaced all the same.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    due::{self, Due},
    policy::Policy,
    record::Record,
    why::Reason,
};
use crate::{
    clock::{ProviderTime, Told},
    token::Listed,
    words::date,
};

/// How often one hold may follow another before a moment is taken as it is.
const MOST: usize = 1000;

/// Less than this is never kept of a life for the rotation after a hold …
const LEAST_RESERVE: TimeDelta = TimeDelta::minutes(10);
/// … and no more than this.
const MOST_RESERVE: TimeDelta = TimeDelta::days(1);

/// What holds back, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The word.
    pub reason: Reason,
    /// When it ends.
    pub until: ProviderTime,
    /// In words.
    pub words: String,
}

/// When a rotation that is due starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The moment.
    pub at: ProviderTime,
    /// What holds it back until then.
    pub hold: Option<Hold>,
    /// What would hold it back and does not, because readers would be locked out: in words.
    pub overruled: Option<String>,
}

/// When a rotation that is due by this starts, from `now` on; `None`: never.
#[must_use]
pub fn start(policy: &Policy, record: &Record, due: &Due, now: ProviderTime) -> Option<Start> {
    let at = due.at?.max(now);
    let free = Start { at, hold: None, overruled: None };
    let current = record.current.as_ref();
    // What an operator declared leaked is replaced whatever else was asked for.
    if current.is_some_and(|current| record.condemned.contains(&current.token.id)) {
        return Some(free);
    }
    // Windows are for what can wait.
    let Some((opens, hold)) = next_free(policy, record, at, !due.urgent) else {
        return Some(free);
    };
    let Some(current) = current else {
        return Some(Start { at: opens, hold: Some(hold), overruled: None });
    };
    let words = &hold.words;
    let overruled = if due.cut_off {
        Some(format!("readers have no working token, so the rotation does not wait: {words}"))
    } else {
        let mut used = used(record, &current.token);
        used.find_map(|token| {
            let until = token.valid_until.filter(|until| opens + reserve(token) > *until)?;
            let which = if token.id == current.token.id { "the token" } else { token.id.as_str() };
            Some(format!(
                "{which} expires at {}, too soon after {} for the rotation to wait: {words}",
                date(until),
                date(opens)
            ))
        })
    };
    Some(match overruled {
        Some(words) => Start { overruled: Some(words), ..free },
        None => Start { at: opens, hold: Some(hold), overruled: None },
    })
}

/// The pause and the freeze that last at a moment.
pub fn in_force(policy: &Policy, record: &Record, at: ProviderTime) -> impl Iterator<Item = Hold> {
    pause(record, at).into_iter().chain(freeze(policy, at))
}

/// The pause or the freeze that holds back what could be done at a moment, and when nothing does any more.
#[must_use]
pub fn held_at(policy: &Policy, record: &Record, at: ProviderTime) -> Option<(ProviderTime, Hold)> {
    next_free(policy, record, at, false)
}

/// The tokens that readers use, as far as is known: the current one, and what somebody else put into a
/// place.
fn used<'a>(record: &'a Record, current: &'a Listed) -> impl Iterator<Item = &'a Listed> {
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    let held = |token: &&Listed| record.places().any(|sink| sink.holds.as_ref() == Some(&token.id));
    std::iter::once(current).chain(listed.filter(held))
}

/// How much of a token's life has to be left when a hold ends.
fn reserve(token: &Listed) -> TimeDelta {
    let life = token.valid_until.map_or(TimeDelta::zero(), |until| until - token.created_at);
    (life / 10).clamp(LEAST_RESERVE, MOST_RESERVE)
}

/// The same of a token that lives so long: a hold that leaves less does not hold.
#[must_use]
pub fn reserve_of(life: Duration) -> Duration {
    let (least, most) = (LEAST_RESERVE.to_std(), MOST_RESERVE.to_std());
    (life / 10).clamp(least.unwrap_or_default(), most.unwrap_or(Duration::MAX))
}

/// The first moment from `from` on that nothing holds, and what holds `from`; `None`: nothing does.
fn next_free(
    policy: &Policy,
    record: &Record,
    from: ProviderTime,
    windows: bool,
) -> Option<(ProviderTime, Hold)> {
    let holds = |at| {
        let hold = in_force(policy, record, at).next();
        hold.or_else(|| windows.then(|| window(policy, record, at)).flatten())
    };
    let first = holds(from)?;
    let mut at = first.until;
    for _ in 0..MOST {
        let Some(hold) = holds(at) else { break };
        at = hold.until;
    }
    Some((at, first))
}

fn pause(record: &Record, at: ProviderTime) -> Option<Hold> {
    let pause = record.pause.as_ref()?;
    let until = record.believed_clock().to_provider(pause.until);
    (at < until).then(|| Hold { reason: Reason::Paused, until, words: pause.words() })
}

/// A freeze knows the calendar and no clock, as a schedule does: it is read on the provider's.
fn freeze(policy: &Policy, at: ProviderTime) -> Option<Hold> {
    let span = policy.terms.freeze.at(at.as_told())?;
    let words = format!(
        "frozen by the policy (freeze) from {} until {}",
        date(span.from),
        date(span.until)
    );
    Some(Hold { reason: Reason::Freeze, until: ProviderTime::told(span.until), words })
}

/// Outside of the windows that the ticks of the schedule open.
fn window(policy: &Policy, record: &Record, at: ProviderTime) -> Option<Hold> {
    let schedule = policy.terms.schedule.as_ref()?;
    let tick = ProviderTime::told(schedule.opens(at.as_told())?);
    let until = due::start(schedule, tick, &record.key);
    let words =
        format!("outside the schedule's windows (window); the next one opens at {}", date(tick));
    Some(Hold { reason: Reason::Window, until, words })
}
