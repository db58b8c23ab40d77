//! What is to be done while no token is on its way to the sinks.

use chrono::TimeDelta;

use super::{
    Decision, Ending, Situation, Status, Step, Verdict, acts, foreign, held,
    last_look::{self, Blocked},
    marks, note, pressing, readiness, rest, rotate, sinks, staging, step, uptake, verdict,
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        due,
        event::{Event, RetiringEvent},
        hold,
        observe::Held,
        policy::{Mode, Unmanaged},
        record::{Cause, Phase, Retiring, RetiringState, SinkState},
        request::RotationRequest,
        why::Reason,
    },
    token::TokenId,
    words::date,
};

/// A stranger is retired only if it was seen for this long …
const SEEN_FOR: TimeDelta = TimeDelta::hours(24);
/// … and unused for this long.
pub(super) const UNUSED_FOR: TimeDelta = TimeDelta::days(7);

pub(super) fn next(s: &Situation<'_>) -> Decision {
    if s.ending.is_none()
        && let Some(decision) = marks::foreign(s).or_else(|| take_over(s))
    {
        return decision;
    }
    if s.policy.terms.mode == Mode::Observe {
        return observed(s);
    }
    let work = if s.ending.is_none() {
        let heal = sinks::heal(s).or_else(|| uptake::ask(s));
        heal.or_else(|| retire_unmanaged(s))
    } else {
        None
    };
    if let Some(decision) = work {
        return decision;
    }
    let waits = match revoke(s) {
        Ok(decision) => return decision,
        Err(waits) => waits,
    };
    if s.ending.is_some() {
        return finish(s, &waits, None);
    }
    let next = sinks::gone(s).or_else(|| rotate::next(s));
    let urgent = next.as_ref().is_some_and(|next| !matches!(next.step, Step::Rest(_)));
    if !urgent && let Some(decision) = staging::forget(s) {
        return decision;
    }
    match next {
        Some(decision) if held::is_held(&decision) => finish(s, &waits, Some(decision)),
        Some(decision) => with_waits(s, decision, &waits),
        None => finish(s, &waits, None),
    }
}

/// What an operator asked to revoke is revoked whatever else goes on: a delivery that a place holds
/// up, a place that another Scimitar is ahead in, `mode = "observe"`. So is what nobody can be using,
/// while a delivery is held up.
pub(super) fn on_an_operators_word(s: &Situation<'_>) -> Option<Decision> {
    let delivering =
        matches!(s.record.phase, Phase::Delivering(_)) && s.policy.terms.mode == Mode::Rotate;
    let asked = |retiring: &&Retiring| match retiring.cause {
        Cause::Asked | Cause::Forced => true,
        Cause::Orphan | Cause::Bad | Cause::GivenUp => delivering,
        Cause::Superseded | Cause::Unmanaged | Cause::Dead | Cause::Lingering => false,
    };
    s.record.retiring.iter().filter(asked).find_map(|retiring| match verdict(s, retiring) {
        Verdict::Ready(why) => delete(s, retiring, why).ok(),
        Verdict::Wait { .. } => None,
    })
}

/// While only watching, what is met first is known as current; nothing supersedes it.
fn take_over(s: &Situation<'_>) -> Option<Decision> {
    let watching = s.policy.terms.mode == Mode::Observe && s.record.current.is_some();
    if watching { None } else { sinks::take_over(s) }
}

/// The soonest of a rest's own end and of what older tokens wait for.
fn with_waits(s: &Situation<'_>, mut decision: Decision, waits: &[Wait]) -> Decision {
    if let Step::Rest(rest) = &mut decision.step
        && rest.reason != Some(Reason::PreviousInUse)
    {
        let soonest = waits.iter().filter_map(|wait| wait.until).chain(rest.until).min();
        rest.until = soonest.map(|at| at.max(s.now));
    }
    decision
}

fn observed(s: &Situation<'_>) -> Decision {
    let asked = |retiring: &&Retiring| matches!(retiring.cause, Cause::Asked | Cause::Forced);
    if let Some(retiring) = s.record.retiring.iter().find(asked) {
        match verdict(s, retiring) {
            Verdict::Wait { reason, words, until } => {
                let until = until.map(|at| s.on_our_clock(at));
                return rest(s, Status::Waiting, Some(reason), until, words);
            }
            Verdict::Ready(why) => {
                if let Err(wait) = delete(s, retiring, why) {
                    return rest(s, Status::Troubled, Some(wait.reason), wait.until, wait.words);
                }
            }
        }
    }
    match &s.observed.list {
        Some(Ok(_)) => sinks::probably_gone(s).unwrap_or_else(|| {
            let words = "mode = \"observe\": nothing is changed";
            rest(s, Status::Idle, Some(Reason::Observe), None, words)
        }),
        Some(Err(_)) | None => rotate::unseen(s),
    }
}

/// What an older token waits for.
struct Wait {
    reason: Reason,
    words: String,
    until: Option<Timestamp>,
    troubled: bool,
}

/// The next DELETE, or what every older token waits for.
fn revoke(s: &Situation<'_>) -> Result<Decision, Vec<Wait>> {
    let mut waits = Vec::new();
    // Orphans first: they hold the slot and nobody needs them.
    let mut order: Vec<&Retiring> = s.record.retiring.iter().collect();
    // One whose DELETE fails does not keep the others from theirs: it was announced last.
    order.sort_by_key(|retiring| (retiring.state.announced_at(), !retiring.cause.is_orphan()));
    for retiring in order {
        if s.ending.is_some() && !retiring.cause.is_orphan() {
            continue;
        }
        match verdict(s, retiring) {
            Verdict::Wait { reason, words, until } => {
                let until = until
                    .map(|at| s.on_our_clock(at))
                    .or_else(|| evidence_look(s, retiring, reason));
                waits.push(Wait { reason, words, until, troubled: false });
            }
            Verdict::Ready(why) if held::revocation(s, retiring, &sinks::due(s)).is_some() => {
                waits.extend(held::revocation(s, retiring, &sinks::due(s)).map(|hold| Wait {
                    reason: hold.reason,
                    words: format!("{why}, but no token is revoked now: {}", hold.words),
                    until: Some(s.on_our_clock(hold.until)),
                    troubled: false,
                }));
            }
            Verdict::Ready(why) => match delete(s, retiring, why) {
                Ok(decision) => return Ok(decision),
                Err(wait) => waits.push(wait),
            },
        }
    }
    Err(waits)
}

/// Evidence has no end of its own: it is looked for again, each time after a tenth of the time that
/// has passed, until surveys are often enough.
fn evidence_look(s: &Situation<'_>, retiring: &Retiring, reason: Reason) -> Option<Timestamp> {
    let soon = s.now + TimeDelta::minutes(1);
    let waited = retiring.superseded_at.map_or(TimeDelta::zero(), |since| s.provider_now() - since);
    let again = (s.now + waited / 10).max(soon);
    (reason == Reason::Evidence).then(|| again.min(s.next_survey().max(soon)))
}

fn delete(s: &Situation<'_>, retiring: &Retiring, why: String) -> Result<Decision, Wait> {
    let trouble = s.record.troubles.revoke.as_ref();
    if let Some(until) = s.held_back(trouble) {
        let words = trouble.map(|trouble| trouble.fault.to_string()).unwrap_or_default();
        return Err(Wait {
            reason: Reason::ProviderUnavailable,
            words: format!("{why}; {words}; next try at {}", date(until)),
            until: Some(until),
            troubled: true,
        });
    }
    // Answered 404, but still listed: nothing is known, and it is tried again with a later list, ever
    // less often, since it can also mean that a right is missing.
    let unknown = match retiring.state {
        RetiringState::NotFound { announced_at } if s.is_live(&retiring.token.id) => {
            Some(announced_at)
        }
        RetiringState::NotFound { .. }
        | RetiringState::Announced { .. }
        | RetiringState::Waiting => None,
    };
    if unknown.is_some_and(|at| trouble.is_none_or(|trouble| trouble.at < at)) {
        let words = "its DELETE was answered with 404, but it is still listed: the list is out of date, \
                     or the credentials lack a permission (`scimitar permissions` prints what is needed)";
        let doing = format!("revoke {}", retiring.token.id);
        let fault = Fault::new(doing, Class::Transient, Code::Unavailable, words);
        let what = RetiringEvent::RevokeFailed { trouble: s.failed(trouble, fault) };
        return Ok(note(Event::Retiring { id: retiring.token.id.clone(), what }, words));
    }
    if unknown.is_some_and(|at| s.now - at < TimeDelta::minutes(1)) {
        return Err(Wait {
            reason: Reason::ProviderUnavailable,
            words: format!("{why}; its DELETE was answered with 404, but it is still listed"),
            until: Some(s.now + TimeDelta::minutes(1)),
            troubled: true,
        });
    }
    if let Some(look) = last_look::again(s) {
        return Ok(look);
    }
    match last_look::pass(s, retiring) {
        Ok(seen) => Ok(step(acts::revoke(s, retiring, seen), why)),
        Err(Blocked { reason, words, fault }) => Err(Wait {
            reason,
            until: Some(match (&fault, retry(s)) {
                (Some(_), Some(at)) => at,
                // What a sink holds changes by a person's hand: the next survey will tell.
                _ if reason == Reason::Drift => s.next_survey().max(s.now + TimeDelta::minutes(1)),
                _ => s.now + TimeDelta::minutes(1),
            }),
            troubled: fault.is_some() || retiring.cause.is_orphan(),
            words,
        }),
    }
}

/// When what could not be looked at is looked at again.
fn retry(s: &Situation<'_>) -> Option<Timestamp> {
    let sinks = s.record.sinks.values().filter_map(|sink| sink.trouble.as_ref());
    let troubles = sinks.chain(&s.record.troubles.look);
    troubles.map(|trouble| trouble.retry_at).filter(|at| *at > s.now).min()
}

/// `unmanaged = "retire"`: a token nobody owns, long seen and long unused, is retired like ours.
fn retire_unmanaged(s: &Situation<'_>) -> Option<Decision> {
    let retires =
        s.policy.terms.unmanaged == Unmanaged::Retire && held::change(s, &sinks::due(s)).is_none();
    if !retires || !s.policy.capabilities.last_used {
        return None;
    }
    let current = s.record.current.as_ref()?;
    let now = s.provider_now();
    let token = s.live().find(|token| {
        let seen = s.record.unmanaged.get(&token.id);
        // A probable orphan of ours came after the current token, and nobody waits for it.
        let orphan = seen.is_some_and(|unmanaged| unmanaged.probably_ours);
        seen.is_some_and(|unmanaged| now - unmanaged.first_seen >= SEEN_FOR)
            && (orphan || token.created_at < current.token.created_at)
            && now - token.last_used_at.unwrap_or(token.created_at) >= UNUSED_FOR
    })?;
    let why = format!(
        "{} is an unmanaged token and has been unused for {} days: Scimitar retires it (unmanaged = \"retire\")",
        token.id,
        UNUSED_FOR.num_days()
    );
    Some(note(
        Event::Retired {
            token: token.clone(),
            cause: Cause::Unmanaged,
            retire: s.policy.terms.retire.clone(),
            at: s.provider_shown(),
        },
        &why,
    ))
}

/// What becomes of what a call that is cut off was for: a rotation that a person asked for and that has not
/// begun is on record nowhere.
#[must_use]
pub fn what_becomes(s: &Situation<'_>) -> &'static str {
    let asked = matches!(s.request, RotationRequest::Rotate { .. }) && !pressing::answered(s);
    if asked && s.record.phase == Phase::Steady {
        "the rotation did not start: run the command again once that is mended"
    } else {
        "the next run continues from here"
    }
}

/// How a call ended that was cut off, what it had been waiting for, and what becomes of that.
#[must_use]
pub fn cut_off(reason: Reason, waited: Option<&str>, then: &str) -> String {
    let ended = if reason == Reason::Timeout { "timed out" } else { "interrupted" };
    let waited = waited.map(|waited| format!(" while waiting: {waited}")).unwrap_or_default();
    format!("{ended}{waited}; {then}")
}

/// Nothing can be done now: says what is waited for, the most telling first. `held` is a rotation that is
/// due and held back: what cuts readers off, or will, comes before that.
fn finish(s: &Situation<'_>, waits: &[Wait], held: Option<Decision>) -> Decision {
    let soonest = waits.iter().filter_map(|wait| wait.until).min();
    if let Some(ending) = s.ending {
        let reason = match ending {
            Ending::Timeout => Reason::Timeout,
            Ending::Interrupted => Reason::Interrupted,
        };
        // What failed before may have nothing to do with what is waited for now.
        let Decision { step, why } = super::rotation(&Situation { ending: None, ..*s });
        let waited = Some(why).filter(|_| matches!(step, Step::Rest(_)));
        let failed = s.record.troubles.mint.as_ref();
        let of_this = |since: Timestamp| failed.filter(|trouble| trouble.at >= since);
        let failed = s.request.since().and_then(of_this).map(|trouble| trouble.fault.to_string());
        let words = cut_off(reason, waited.or(failed).as_deref(), what_becomes(s));
        return rest(s, Status::Troubled, Some(reason), Some(soonest.unwrap_or(s.now)), words);
    }
    if let Some(sink) = s.record.places().find(|sink| s.has_moved(sink)) {
        let words = sink.trouble.as_ref().map(|trouble| trouble.fault.to_string());
        let words = words.unwrap_or_else(|| sink.place.location.clone());
        // Readers who are cut off come first: they wait for the same person.
        return match outage(s).or_else(|| sinks::doubtful(s)) {
            Some(Decision { step: Step::Rest(outage), why }) => rest(
                s,
                outage.status,
                outage.reason,
                outage.until,
                format!("{why}; blocked: {words}"),
            ),
            Some(_) | None => {
                let until = sink.trouble.as_ref().map(|trouble| trouble.retry_at);
                rest(s, Status::Refused, Some(Reason::PlaceChanged), until, words)
            }
        };
    }
    if let Some(wait) = waits.iter().find(|wait| wait.troubled) {
        return rest(s, Status::Troubled, Some(wait.reason), soonest, wait.words.clone());
    }
    if s.list().is_none() {
        return rotate::unseen(s);
    }
    if let Some(decision) = outage(s) {
        return decision;
    }
    if s.record.current.is_some() && next_lacks_slot(s) {
        return rotate::no_slot(s);
    }
    if let Some(decision) = sinks::doubtful(s) {
        return decision;
    }
    let troubled = |sink: &&SinkState| {
        let unread = matches!(s.held(&sink.place.key), None | Some(Held::Unreadable(_)));
        sink.trouble.as_ref().is_some_and(|trouble| unread || trouble.retry_at > s.now)
    };
    let mut troubled = s.record.places().filter(troubled);
    if let Some(sink) = troubled.next() {
        let trouble = sink.trouble.as_ref();
        let words = trouble.map(|trouble| trouble.fault.to_string()).unwrap_or_default();
        let words = words + &readiness::means(s, sink).unwrap_or_default();
        let others = troubled.filter_map(|sink| sink.trouble.as_ref());
        let words = others.fold(words, |words, other| format!("{words}; also: {}", other.fault));
        return rest(
            s,
            Status::Troubled,
            Some(Reason::SinkUnavailable),
            trouble.map(|trouble| trouble.retry_at).into_iter().chain(soonest).min(),
            words,
        );
    }
    if let Some(decision) = unfilled(s) {
        return decision;
    }
    if let Some(held) = held {
        return with_waits(s, held, waits);
    }
    if let Some(wait) = waits.first() {
        return rest(s, Status::Waiting, Some(wait.reason), soonest, wait.words.clone());
    }
    if let Some((_, _, words)) = s.record.handoff() {
        return rest(s, Status::Waiting, Some(Reason::Handoff), soonest, words);
    }
    let due = due::next(s.policy, s.record);
    let never = due.at.is_none() && s.record.current.is_some();
    let hold = hold::in_force(s.policy, s.record, s.provider_now()).next();
    if let Some(hold) = hold.filter(|_| !never) {
        let words = format!("{}; {}", hold.words, idle_words(s));
        let until = Some(s.on_our_clock(hold.until));
        return rest(s, Status::Idle, Some(hold.reason), until, words);
    }
    if due.policy_changed {
        let words = due.at.map_or_else(
            || due.because.clone(),
            |at| format!("{}; the replacement is due at {}", due.because, date(s.on_our_clock(at))),
        );
        return rest(s, Status::Idle, Some(Reason::PolicyChanged), None, words);
    }
    if never {
        return rest(
            s,
            Status::Refused,
            Some(Reason::NeverDue),
            None,
            "under this policy the current token never becomes due: set token_lifetime, max_age, or a schedule with a future tick",
        );
    }
    if let Some(sink) = s.record.places().find(|sink| sink.drift.is_some()) {
        // What a rotation would not overwrite, it does not repair either.
        if let Some(refused) =
            foreign::in_the_way(s).filter(|_| s.policy.terms.mode != Mode::Observe)
        {
            return refused;
        }
        let what = sink.drift.as_ref().map(|drift| drift.what.clone()).unwrap_or_default();
        return rest(
            s,
            Status::Idle,
            Some(Reason::Drift),
            None,
            format!(
                "{}: {what}; the next rotation overwrites it, on_drift = \"restore\" would do so immediately",
                sink.place.location
            ),
        );
    }
    rest(s, Status::Idle, None, None, idle_words(s))
}

/// A place is empty, and what another one holds may not be copied there: it is not known to work.
fn unfilled(s: &Situation<'_>) -> Option<Decision> {
    let id = &s.record.current.as_ref()?.token.id;
    let trouble = s.record.troubles.probe.as_ref()?;
    let until = s.held_back(Some(trouble))?;
    let empty = |sink: &&SinkState| matches!(s.held(&sink.place.key), Some(Held::Nothing(_)));
    let sink = s.readable().find(empty)?;
    let refused = trouble.fault.code == Code::Unauthorized;
    let reason = if refused { Reason::TokenRefused } else { Reason::ProviderUnavailable };
    Some(rest(
        s,
        Status::Troubled,
        Some(reason),
        Some(until),
        format!("{} does not hold {id} and is not written: {}", sink.place.location, trouble.fault),
    ))
}

/// A place holds a token that works no more, and nothing above could mend it yet.
fn outage(s: &Situation<'_>) -> Option<Decision> {
    let sink = s.record.outage()?;
    let id = sink.holds.as_ref()?;
    let trouble = sink.trouble.as_ref().or(s.record.troubles.probe.as_ref());
    // It is looked at again ever less often, as evidence is.
    let waited = sink.since.map_or(TimeDelta::zero(), |since| (s.now - since).abs());
    let again = (waited / 10).clamp(TimeDelta::minutes(1), TimeDelta::hours(1));
    let until = trouble.map_or(s.now + again, |trouble| trouble.retry_at);
    let failed = || trouble.map(|trouble| trouble.fault.to_string());
    let why = foreign::would_be_lost(s, sink).or_else(failed);
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    Some(rest(
        s,
        Status::Troubled,
        Some(Reason::DeadToken),
        Some(until.max(s.now + TimeDelta::seconds(1))),
        format!(
            "{} holds {id}, which no longer works, and could not receive the current token yet{why}",
            sink.place.location
        ),
    ))
}

fn idle_words(s: &Situation<'_>) -> String {
    let due = due::next(s.policy, s.record);
    match due.at {
        Some(at) => {
            let at = s.on_our_clock(at);
            let next = match rotate::floor(s, &due).filter(|floor| floor.until > at) {
                Some(floor) => {
                    format!("nothing is due before {}: {}", date(floor.until), floor.because())
                }
                None => format!("nothing is due before {}: {}", date(at), due.because),
            };
            match held::start(s, &due) {
                Some(hold::Start { at, hold: Some(hold), .. }) => {
                    let at = date(s.on_our_clock(at));
                    format!("{next}; then it waits until {at}: {}", hold.words)
                }
                Some(hold::Start { hold: None, .. }) | None => next,
            }
        }
        None => "nothing is due: this policy never makes a rotation due automatically".to_owned(),
    }
}

/// Whether the current token and those that nobody owns take every slot already.
fn next_lacks_slot(s: &Situation<'_>) -> bool {
    let Some(cap) = s.policy.capabilities.cap else {
        return false;
    };
    let ours = |id: &TokenId| s.record.retiring.iter().any(|retiring| retiring.token.id == *id);
    s.live().filter(|token| !ours(&token.id)).count() >= cap as usize
        && !s.record.unmanaged.is_empty()
}
