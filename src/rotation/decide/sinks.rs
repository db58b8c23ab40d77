//! What the sinks say: whose token they hold, and what is done when it is not ours.

use chrono::TimeDelta;

use super::{
    Decision, Situation, Status, acts, foreign, held,
    marks::{Marked, found},
    note,
    pressing::is_wanted,
    reach::to_settle,
    rest, step, uptake,
    vouching::{Vouched, vouched},
};
use crate::{
    place::Marks,
    rotation::{
        due::{self, Due},
        event::{Event, TakenOver},
        observe::{Held, LAG},
        policy::{Mode, OnDrift, Verify},
        record::{Current, Missing, SinkState},
        why::Reason,
    },
    token::{Listed, TokenId},
    words::date,
};

/// A live token that the sinks hold and the record does not have as current: what was there before
/// us, what an older ledger of ours delivered, or what somebody rotated by hand.
pub(super) fn take_over(s: &Situation<'_>) -> Option<Decision> {
    s.list()?;
    let live = |id: &TokenId| {
        s.live().find(|token| token.id == *id && !s.record.refused.contains(id)).cloned()
    };
    let candidates: Vec<(u64, Listed, Option<&Marks>)> = found(s)
        .into_iter()
        .filter(|found| may_be_believed(s, found))
        .filter_map(|found| {
            let generation = found.marks.map_or(0, |marks| marks.generation);
            Some((generation, live(found.id)?, found.marks))
        })
        .collect();
    let first_meeting = s.record.current.is_none();
    let newest = candidates
        .iter()
        .filter(|(generation, token, _)| first_meeting || supersedes_ours(s, *generation, token))
        .max_by_key(|(generation, token, _)| (*generation, token.created_at))?;
    let (generation, token, marks) = newest;
    let rebuilt = *generation > s.record.generation && !first_meeting;
    let previous: Vec<Listed> = candidates
        .iter()
        .map(|(_, other, _)| other)
        .filter(|other| other.id != token.id)
        .cloned()
        .collect();
    let named = marks.and_then(|marks| marks.previous_token_id.as_ref()).and_then(live);
    let in_a_place = |named: &Listed| previous.iter().any(|other| other.id == named.id);
    let marked = named.filter(|named| named.id != token.id && !in_a_place(named));
    let why = match (first_meeting, rebuilt) {
        (true, _) => format!(
            "the sinks hold {}, which is live at the provider: Scimitar takes it over without a rotation",
            token.id
        ),
        (false, true) => format!(
            "the sinks' marks are newer (generation {generation}) than the ledger's record: rebuilding the record from them"
        ),
        (false, false) if s.record.knows(&token.id) => format!(
            "the sinks hold {} again, which still works, and none holds the current token: it becomes the current token again",
            token.id
        ),
        (false, false) => format!(
            "the sinks hold {}, which is live and newer than the current token: it was rotated outside Scimitar",
            token.id
        ),
    };
    let generation = if *generation == 0 {
        s.record.generation + 1
    } else {
        (*generation).max(s.record.generation)
    };
    let event = Event::TakenOver(Box::new(TakenOver {
        token: token.clone(),
        generation,
        previous,
        marked,
        rebuilt,
        retire: s.policy.terms.retire.clone(),
        verify: s.policy.terms.verify,
        at: s.provider_shown(),
        made: s.on_our_clock(token.created_at).min(s.now),
    }));
    Some(note(event, &why))
}

/// Whether what a place holds may be taken for a token. Where nothing is verified, its own beginning
/// or the digest on record has to say which one it is: a mark alone says nothing.
fn may_be_believed(s: &Situation<'_>, found: &Marked<'_>) -> bool {
    let genuine = s.seen(&found.sink.place.key).is_some_and(|seen| seen.is_genuine);
    s.policy.terms.verify != Verify::Off || s.policy.capabilities.id_in_value || genuine
}

/// Whether a live token in a sink is to become current instead of ours.
fn supersedes_ours(s: &Situation<'_>, generation: u64, token: &Listed) -> bool {
    let Some(current) = &s.record.current else {
        return true;
    };
    if token.id == current.token.id {
        return false;
    }
    if generation > s.record.generation {
        return true;
    }
    let newer = !s.record.knows(&token.id) && token.created_at > current.token.created_at;
    newer || is_all_that_is_left(s, current, token)
}

/// Whether a live token in a sink is what there is to go on from: the current one's value is
/// nowhere any more (say the only place was restored from a backup), and every slot is taken.
fn is_all_that_is_left(s: &Situation<'_>, current: &Current, token: &Listed) -> bool {
    let id = &current.token.id;
    let lost = s.observed.in_hand.as_ref() != Some(id)
        && s.record.sinks.values().all(|sink| match s.held(&sink.place.key) {
            Some(held @ (Held::Token { .. } | Held::Nothing(_) | Held::Unknown(_))) => {
                held.id() != Some(id)
            }
            Some(Held::Unreadable(_)) => false,
            // One that cannot be asked has what it was given last.
            None => !sink.readable && sink.holds.as_ref() != Some(id) && sink.begun.is_none(),
        });
    lost && !s.has_slot() && !s.record.condemned.contains(&token.id)
}

/// Without the SCIM endpoint's word, lists this far apart make it credible that a token is gone.
const CREDIBLE: TimeDelta = TimeDelta::minutes(10);

/// Where nothing is changed the SCIM endpoint is not asked either, so that it is never proven that the
/// current token is gone: what the lists show is said, as long as a sink holds that token.
pub(super) fn probably_gone(s: &Situation<'_>) -> Option<Decision> {
    let missing = s.record.missing.as_ref().filter(|missing| !missing.proves_gone())?;
    let token = &s.record.current.as_ref()?.token;
    // What had expired by then died by itself, and who put another one there has mended it.
    let expired = token.valid_until.is_some_and(|until| until <= missing.first);
    let sink = s.record.places().find(|sink| sink.holds.as_ref() == Some(&token.id))?;
    if expired || missing.last - missing.first < CREDIBLE {
        return None;
    }
    let words = format!(
        "{} has not been in the provider's list since {}: it was probably deleted, and clients that get it from {} are \
         locked out; nothing is replaced with mode = \"observe\": put a working token there, or set mode = \"rotate\"",
        token.id,
        date(s.on_our_clock(missing.first)),
        sink.place.location
    );
    Some(rest(s, Status::Refused, Some(Reason::DeadToken), None, words))
}

/// Gathers the evidence that the current token is gone.
pub(super) fn gone(s: &Situation<'_>) -> Option<Decision> {
    let missing = s.record.missing.as_ref().filter(|missing| !missing.proves_gone())?;
    let current = s.record.current.as_ref()?;
    let id = &current.token.id;
    if !missing.listed_twice() {
        s.list()?;
        let again =
            missing.first.max(s.provider_now() - TimeDelta::seconds(5)) + TimeDelta::seconds(6);
        let again = s.on_our_clock(again).max(s.now + TimeDelta::seconds(1));
        return Some(rest(
            s,
            Status::Troubled,
            Some(Reason::ProviderUnavailable),
            Some(again),
            format!(
                "{id} is not in the provider's list; a second list will show whether it is gone"
            ),
        ));
    }
    let holders: Vec<&SinkState> = s
        .readable()
        .filter(|sink| s.held(&sink.place.key).and_then(Held::id) == Some(id))
        .collect();
    let verified = current.probe.is_some() || s.policy.terms.verify != Verify::Off;
    if let Some(sink) = holders.first().filter(|_| verified) {
        if let Some(until) = s.held_back(s.record.troubles.probe.as_ref()) {
            return Some(rest(
                s,
                Status::Troubled,
                Some(Reason::ProviderUnavailable),
                Some(until),
                format!(
                    "{id} is not listed; the SCIM endpoint could not be asked whether it still works"
                ),
            ));
        }
        return Some(step(
            acts::probe_held(s, sink, id),
            format!("two lists do not show {id}: asking the SCIM endpoint whether it is gone"),
        ));
    }
    // With verification off only time makes two lists credible.
    let credible = !holders.is_empty() && missing.last - missing.first >= CREDIBLE;
    let nobody_has_it = holders.is_empty()
        && s.readable()
            .all(|sink| !matches!(s.held(&sink.place.key), None | Some(Held::Unreadable(_))));
    (credible || nobody_has_it).then(|| {
        note(
            Event::CurrentProbed { refused: true },
            &format!("{id} is not listed, and nothing shows that it still works"),
        )
    })
}

/// Whether no place can hold the current token any more, so that none can be filled from another.
/// What somebody else put there is left to the next rotation, unless the policy says otherwise; a
/// token that works no more is nobody's choice.
pub(super) fn lost_value(s: &Situation<'_>) -> bool {
    let Some(current) = &s.record.current else { return false };
    let lost = |sink: &SinkState| match s.held(&sink.place.key) {
        Some(Held::Nothing(_)) => true,
        Some(Held::Token { id, .. }) => {
            *id != current.token.id
                && (s.policy.terms.on_drift == OnDrift::Restore || s.record.holds_dead(sink))
        }
        Some(Held::Unknown(_)) => s.policy.terms.on_drift == OnDrift::Restore || s.is_false(sink),
        Some(Held::Unreadable(_)) => false,
        None => !sink.readable && sink.holds.is_none() && sink.begun.is_none(),
    };
    // A place that left the policy is still read, and the others are filled from it.
    let keeps = |sink: &SinkState| {
        sink.removed && s.held(&sink.place.key).and_then(Held::id) == Some(&current.token.id)
    };
    s.record.places().all(lost) && !s.record.sinks.values().any(keeps)
}

/// Whether the readers of a place are cut off, and no place that can be asked has the current token's
/// value to give them: one that cannot be asked may have it, which is of no use to them.
pub(super) fn cannot_fill(s: &Situation<'_>) -> bool {
    let Some(current) = s.record.current.as_ref() else { return false };
    let id = &current.token.id;
    let lacks = |sink: &SinkState| match s.held(&sink.place.key) {
        Some(Held::Unreadable(_)) => false,
        Some(held @ (Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_))) => {
            held.id() != Some(id)
        }
        None => !sink.readable,
    };
    s.readable().any(|sink| s.record.holds_dead(sink))
        && s.observed.in_hand.as_ref() != Some(id)
        && s.record.sinks.values().all(lacks)
}

/// When a rotation is due, the sinks as they were just seen included.
pub(super) fn due(s: &Situation<'_>) -> Due {
    let due = due::next(s.policy, s.record);
    if due.urgent || s.list().is_none() || !value_is_lost(s) {
        return due;
    }
    Due {
        at: Some(s.provider_now()),
        because: lost_because(s),
        urgent: true,
        cut_off: cuts_off(s),
        policy_changed: false,
        warning: None,
    }
}

/// Whether a place gives its readers nothing that can work. What somebody else put there may be what
/// they are meant to use meanwhile.
fn cuts_off(s: &Situation<'_>) -> bool {
    s.record.places().any(|sink| match s.held(&sink.place.key) {
        Some(Held::Nothing(_)) => true,
        Some(Held::Token { .. }) => s.record.holds_dead(sink),
        Some(Held::Unknown(_)) => s.is_false(sink),
        Some(Held::Unreadable(_)) | None => false,
    })
}

/// Whether readers get nothing that works, or not what the policy wants, and only a new token helps.
pub(super) fn value_is_lost(s: &Situation<'_>) -> bool {
    lost_value(s) || cannot_fill(s)
}

/// Why no place holds the current token any more.
pub(super) fn lost_because(s: &Situation<'_>) -> String {
    match s.record.outage() {
        Some(sink) => {
            let id = sink.holds.as_ref().map_or("a token", TokenId::as_str);
            format!("{} holds {id}, which no longer works", sink.place.location)
        }
        None => "no sink holds the current token any more".to_owned(),
    }
}

/// Fills a place that holds nothing, or what it should not, from one that holds the current token.
pub(super) fn heal(s: &Situation<'_>) -> Option<Decision> {
    let current = s.record.current.as_ref()?;
    let id = &current.token.id;
    // Refused by the endpoint, it goes nowhere, whatever the lists will say.
    let works = s
        .record
        .missing
        .as_ref()
        .is_none_or(|missing: &Missing| !missing.listed_twice() && !missing.refused);
    if s.policy.terms.mode == Mode::Observe || !works || s.observed.in_hand.as_ref() != Some(id) {
        return None;
    }
    // A rotation would repair it, but what the place holds has the slot that a rotation needs.
    let restore = (s.policy.terms.on_drift == OnDrift::Restore || (!s.has_slot() && is_wanted(s)))
        && held::change(s, &due(s)).is_none();
    let sink = s
        .record
        .places()
        .filter(|sink| !sink.was_given(id) || uptake::is_to_be_started(s, sink))
        .filter(|sink| to_settle(s, sink, id).is_none())
        .filter(|sink| s.held_back(sink.trouble.as_ref()).is_none())
        .filter(|sink| foreign::would_be_lost(s, sink).is_none())
        .find(|sink| match s.held(&sink.place.key) {
            Some(Held::Nothing(_)) => true,
            Some(Held::Token { id: other, .. }) => {
                // A leaked token is taken out of a place whatever the policy says of drift.
                let works_not = s.record.condemned.contains(other) || s.record.holds_dead(sink);
                other != id && (restore || works_not)
            }
            Some(Held::Unknown(_)) => restore || s.is_false(sink),
            Some(Held::Unreadable(_)) => false,
            None => {
                let starts = uptake::is_to_be_started(s, sink);
                let astray = sink.holds.as_ref() == Some(id) && !sink.was_given(id);
                !sink.readable && (sink.holds.is_none() || astray || starts)
            }
        })?;
    match vouched(s, current) {
        Vouched::Yes => {}
        Vouched::Probe(from) => {
            let why = format!(
                "before {id} is written to {}: asking the SCIM endpoint whether the value in another sink works",
                sink.place.location
            );
            return Some(step(acts::probe_held(s, from, id), why));
        }
        Vouched::No => return None,
    }
    let why = match sink.stopped() {
        Some((words, _)) => {
            format!("{}: {words}; delivering {id} again starts it", sink.place.location)
        }
        None => format!(
            "{} does not hold {id}, but another sink does: copying it from there",
            sink.place.location
        ),
    };
    let why = acts::replacing(s, sink, why);
    Some(step(acts::promote(s, sink, acts::of_current(s, current)), why))
}

/// A place holds a token that no list shows: a second list tells whether its readers are cut off.
pub(super) fn doubtful(s: &Situation<'_>) -> Option<Decision> {
    s.list()?;
    let unlisted = |sink: &&SinkState| {
        let listed = sink.holds.as_ref().is_some_and(|id| s.is_live(id));
        let wanted = sink.holds.is_none() || sink.holds.as_ref() == s.record.target();
        !wanted && !listed && !s.record.holds_dead(sink)
    };
    let sink = s.record.places().filter(|sink| sink.readable).find(unlisted)?;
    let id = sink.holds.as_ref()?;
    // One that was put there just now may be newer than what a list shows.
    let settled = sink.since.map_or(s.now, |since| since + LAG).max(s.now);
    let again = match &sink.unlisted {
        Some(_) => s.now + TimeDelta::seconds(6),
        None => settled + TimeDelta::seconds(1),
    };
    Some(rest(
        s,
        Status::Troubled,
        Some(Reason::DeadToken),
        Some(again),
        format!(
            "{} holds {id}, which is not in the provider's list; another list will show whether it still works",
            sink.place.location
        ),
    ))
}
