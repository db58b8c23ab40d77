//! What is to be done while a token is on its way to the sinks.

use chrono::TimeDelta;

use super::{
    Decision, Situation, Status, Step, acts, foreign, note,
    pressing::{current_works, presses},
    proving::{self, LAST_PATIENCE, PATIENCE, another_failure, untaken},
    reach::{may_be_in_use, may_be_somewhere, settled, to_settle},
    rest, staging, step,
    vouching::{RECENT, is_vouched},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        due,
        event::Event,
        observe::{Held, LAG, is_dead},
        policy::{Mode, Verify},
        record::{Cause, Proof, Replacement, SinkState},
        why::Reason,
    },
    words::date,
};

pub(super) fn next(s: &Situation<'_>, replacement: &Replacement) -> Decision {
    for_watching(s, replacement)
        .or_else(|| for_lost(s, replacement))
        .or_else(|| for_overtaken(s, replacement))
        .or_else(|| for_value(s, replacement))
        .or_else(|| for_ending(s, replacement))
        .or_else(|| staging::stage(s, replacement))
        .or_else(|| proving::next(s, replacement))
        .or_else(|| for_vanished(s, replacement))
        .unwrap_or_else(|| promote(s, replacement))
}

/// While only watching, what was found is not brought anywhere.
fn for_watching(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    if s.policy.terms.mode != Mode::Observe || !replacement.found {
        return None;
    }
    let id = &replacement.token.id;
    if s.record.current.is_none() {
        return Some(note(
            Event::SettledInPart { at: s.provider_shown() },
            &format!("{id} is taken as the current token; no sink is changed (mode = \"observe\")"),
        ));
    }
    Some(rest(
        s,
        Status::Idle,
        Some(Reason::Observe),
        None,
        format!(
            "{id} was found in a sink and is not delivered to the other sinks: mode = \"observe\""
        ),
    ))
}

/// The token itself died, or must make way for its own replacement.
fn for_lost(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let now = s.provider_now();
    s.list()?;
    let id = &replacement.token.id;
    let somewhere = may_be_somewhere(s, replacement);
    let expired = replacement.token.valid_until.is_some_and(|until| until <= now);
    if expired && !somewhere {
        let words = format!("{id} expired before any sink had it");
        let fault = Fault::new(format!("deliver {id}"), Class::Transient, Code::Timeout, &words);
        let trouble = Some(another_failure(s, fault));
        let cause = if is_dead(&replacement.token, now) { Cause::Dead } else { Cause::GivenUp };
        return Some(note(Event::GivenUp { cause, trouble }, &words));
    }
    if replacement.found && matches!(replacement.proof, Proof::Pending { .. }) {
        // Nothing is superseded by what nobody has proven.
        return None;
    }
    // What some sinks hold is due for replacement itself; the others must not hold that up.
    let mut as_current = s.record.clone();
    as_current.current = Some(crate::rotation::record::Current {
        token: replacement.token.clone(),
        delivered_at: None,
        first_use: None,
        probe: None,
        began: replacement.began,
        retire: replacement.retire.clone(),
        asked: replacement.asked.clone(),
    });
    as_current.missing = None;
    as_current.unsatisfied_since = None;
    let by_policy = s.policy.terms.rotate_before.is_some()
        && due::next(s.policy, &as_current).at.is_some_and(|at| at <= now)
        && replacement.token.valid_until.is_some();
    let ripe = by_policy
        || due::latest(&replacement.token).is_some_and(|at| at <= now)
        || s.record.condemned.contains(id);
    let held = s.record.places().any(|sink| sink.holds.as_ref() == Some(id));
    (held && (expired || ripe && s.has_slot())).then(|| {
        note(
            Event::SettledInPart { at: now },
            &format!("{id} became due for replacement before every sink accepted it"),
        )
    })
}

/// A sink was given something newer in the meantime: by hand, or by another replica.
fn for_overtaken(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    s.list()?;
    // What is being replaced is not newer than what replaces it, whatever a mark beside it says.
    let current = s.record.current.as_ref().map(|current| &current.token.id);
    let newer = s.record.places().find_map(|sink| match s.held(&sink.place.key)? {
        Held::Token { id, marks, .. } if *id != replacement.token.id && Some(id) != current => {
            let live = s.live().find(|token| token.id == *id)?;
            let generation = marks.as_ref().map_or(0, |marks| marks.generation);
            let foreign =
                marks.as_ref().is_some_and(|marks| marks.connection_id != s.record.key.connection);
            let later = generation > replacement.generation
                || (generation == replacement.generation
                    && marks.as_ref().is_some_and(|marks| marks.ledger != *s.ledger))
                || (!s.record.knows(id) && live.created_at > replacement.token.created_at);
            (later && !foreign && !s.record.refused.contains(id)).then(|| (sink, id.clone()))
        }
        Held::Token { .. } | Held::Nothing(_) | Held::Unknown(_) | Held::Unreadable(_) => None,
    });
    let (sink, other) = newer?;
    let location = &sink.place.location;
    if s.policy.terms.verify != Verify::Off && !is_vouched(s, &other) {
        // Anybody who can write one sink can write that it is newer.
        return s.held_back(s.record.troubles.probe.as_ref()).is_none().then(|| {
            step(
                acts::probe_held(s, sink, &other),
                format!(
                    "{location} has received {other} in the meantime: Scimitar first asks the SCIM endpoint whether {other} works"
                ),
            )
        });
    }
    let cause = if may_be_in_use(s, replacement) { Cause::Superseded } else { Cause::GivenUp };
    Some(note(
        Event::GivenUp { cause, trouble: None },
        &format!(
            "{location} has received {other} in the meantime, which is newer than {}",
            replacement.token.id
        ),
    ))
}

/// The value is needed; if it is nowhere, the token is an orphan.
fn for_value(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    // What every place holds needs no value any more, unless it is still to be proven.
    let done = s.record.all_hold(id) && !matches!(replacement.proof, Proof::Pending { .. });
    if s.observed.in_hand.as_ref() == Some(id) || done {
        return None;
    }
    let unread = s
        .record
        .sinks
        .values()
        .filter(|sink| sink.readable)
        .filter(|sink| !sink.removed || sink.holds.as_ref() == Some(id))
        .find(|sink| matches!(s.held(&sink.place.key), None | Some(Held::Unreadable(_))));
    if let Some(sink) = unread {
        let trouble = sink.trouble.as_ref();
        return Some(rest(
            s,
            Status::Troubled,
            Some(Reason::SinkUnavailable),
            Some(trouble.map_or(s.now + TimeDelta::seconds(5), |trouble| trouble.retry_at)),
            format!("the value of {id} may be in {}, which could not be read", sink.place.location),
        ));
    }
    if let Some(sink) = s.record.sinks.values().find(|sink| {
        sink.begun.as_ref().is_some_and(|begun| begun.id == *id)
            && sink.readable
            && !settled(s, sink)
    }) {
        let lands_by = sink.begun.as_ref().map_or(s.now, |begun| begun.at)
            + TimeDelta::from_std(sink.lingers).unwrap_or_default();
        return Some(rest(
            s,
            Status::Troubled,
            Some(Reason::SinkUnavailable),
            Some(lands_by.min(s.now + TimeDelta::from_std(sink.lingers).unwrap_or_default())),
            format!("an earlier write of {id} to {} may still take effect", sink.place.location),
        ));
    }
    // Every readable place definitely holds something else. One that cannot be asked may hold it.
    let cause = if may_be_in_use(s, replacement) { Cause::Superseded } else { Cause::Orphan };
    Some(note(
        Event::GivenUp { cause, trouble: None },
        &format!("the value of {id} is lost: no readable sink holds it"),
    ))
}

/// The call must end: what no sink holds is revoked, what some hold is left to the next run.
fn for_ending(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    s.ending?;
    if may_be_in_use(s, replacement) || replacement.found {
        let id = &replacement.token.id;
        let words = if s.record.places().any(|sink| sink.holds.as_ref() == Some(id)) {
            format!("{id} is in some sinks; the next run delivers it to the remaining sinks")
        } else {
            format!("{id} may already be in a sink; the next run checks this and continues")
        };
        let reason = match s.ending {
            Some(super::Ending::Interrupted) => Reason::Interrupted,
            Some(super::Ending::Timeout) | None => Reason::Timeout,
        };
        return Some(rest(s, Status::Troubled, Some(reason), Some(s.now), words));
    }
    let id = &replacement.token.id;
    let (refused, silent) = match replacement.proof {
        Proof::Pending { refused_since, silent_since } => {
            (refused_since.is_some(), silent_since.is_some())
        }
        Proof::Good | Proof::Bad | Proof::Waived => (false, false),
    };
    // What takes longer than a call has must not hold up the next call as well: that one proves by reading.
    let slow =
        silent && replacement.verify == Verify::Write && s.ending == Some(super::Ending::Timeout);
    let trouble = if refused {
        let words = "the SCIM endpoint answered with 401 until this run ended";
        let doing = format!("prove {id}");
        let fault = Fault::new(doing, Class::Transient, Code::Unauthorized, words);
        Some(another_failure(s, fault))
    } else if slow {
        let words = "the SCIM endpoint did not confirm it before this run ended";
        let doing = format!("prove {id}");
        let fault = Fault::new(doing, Class::Transient, Code::Timeout, words);
        Some(another_failure(s, fault))
    } else {
        None
    };
    Some(note(
        Event::GivenUp { cause: Cause::GivenUp, trouble },
        &format!("the run ends and no sink has {id}: revoking it"),
    ))
}

/// A token that the lists do not show any more, or that no list can be had of, is proven again
/// before any further place gets it: somebody may have deleted it meanwhile, and what the places
/// hold still works.
fn for_vanished(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    let Some(list) = s.list() else { return for_unlisted(s, replacement) };
    if list.get(id).is_some() {
        return None;
    }
    let probe = replacement.probe.as_ref()?;
    let lags = list.provider_time < replacement.token.created_at + LAG;
    let asked_since = probe.sent >= list.provider_time;
    (!lags && !asked_since && !s.record.all_hold(id)).then(|| {
        step(
            acts::probe(s, replacement),
            format!("{id} is not in the provider's list: it is proven again before it is delivered to any other sink"),
        )
    })
}

/// Without a list, a proof of a moment ago has to do.
fn for_unlisted(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    if s.record.all_hold(id) {
        return None;
    }
    let Some(probe) = &replacement.probe else {
        let trouble = s.record.troubles.look.as_ref();
        let soon = s.now + TimeDelta::seconds(5);
        let at = trouble.map(|trouble| trouble.retry_at).filter(|at| *at > s.now).unwrap_or(soon);
        let words = trouble.map(|trouble| trouble.fault.to_string()).unwrap_or_default();
        return Some(waiting_for_sinks(s, replacement, at, words));
    };
    (s.provider_now() - probe.sent > RECENT).then(|| {
        step(
            acts::probe(s, replacement),
            format!(
                "no list shows {id}: it is proven again before it is delivered to any other sink"
            ),
        )
    })
}

fn promote(s: &Situation<'_>, replacement: &Replacement) -> Decision {
    let id = &replacement.token.id;
    if s.record.all_hold(id) {
        return note(
            Event::Settled { at: s.provider_shown(), host: s.now },
            &s.record.held_everywhere(id),
        );
    }
    let lacks = |sink: &&SinkState| !sink.was_given(id);
    let mut blocked: Option<(Timestamp, String)> = None;
    let mut hold_up = |at, words| sooner(&mut blocked, at, words);
    for sink in s.readable().filter(lacks) {
        let location = &sink.place.location;
        let trouble = sink.trouble.as_ref();
        if let Some(until) = s.held_back(trouble) {
            hold_up(until, trouble.map(|trouble| trouble.fault.to_string()).unwrap_or_default());
            continue;
        }
        if let Some(words) = foreign::would_be_lost(s, sink) {
            hold_up(s.now + TimeDelta::minutes(5), words);
            continue;
        }
        match s.held(&sink.place.key) {
            Some(Held::Token { .. } | Held::Nothing(_) | Held::Unknown(_)) => {
                let why = acts::replacing(s, sink, format!("delivering {id} to {location}"));
                return step(acts::promote(s, sink, acts::of_delivery(s, replacement)), why);
            }
            Some(Held::Unreadable(fault)) => {
                hold_up(s.now + TimeDelta::seconds(5), fault.to_string())
            }
            None => hold_up(s.now + TimeDelta::seconds(5), format!("{location} could not be read")),
        }
    }
    // One that cannot be asked comes last, but is not left to be locked out for another's sake.
    let held = || s.readable().any(|sink| s.held(&sink.place.key).and_then(Held::id) == Some(id));
    let goes_on = blocked.is_none() || (presses(s) && held());
    let unasked = s.record.places().filter(|sink| !sink.readable && goes_on);
    for sink in unasked.filter(lacks).filter(|sink| s.held_back(sink.trouble.as_ref()).is_none()) {
        let location = &sink.place.location;
        if let Some(until) = to_settle(s, sink, id) {
            let words = format!(
                "an earlier write of another token to {location} may still take effect until {}; {id} is delivered after that",
                date(until)
            );
            sooner(&mut blocked, until, words);
            continue;
        }
        let why = acts::replacing(s, sink, format!("delivering {id} to {location}"));
        return step(acts::promote(s, sink, acts::of_delivery(s, replacement)), why);
    }
    let (at, words) = blocked.unwrap_or_else(|| {
        (s.now + TimeDelta::seconds(30), "a sink did not accept the token".to_owned())
    });
    waiting_for_sinks(s, replacement, at, words)
}

/// The soonest of what holds a delivery up, in words.
fn sooner(blocked: &mut Option<(Timestamp, String)>, at: Timestamp, words: String) {
    if blocked.as_ref().is_none_or(|(soonest, _)| at < *soonest) {
        *blocked = Some((at, words));
    }
}

/// Some sink does not take the token now. While a readable one holds it, or keeps it staged, any later
/// run can go on; until then the value is only in memory, and not for ever.
fn waiting_for_sinks(
    s: &Situation<'_>,
    replacement: &Replacement,
    at: Timestamp,
    words: String,
) -> Decision {
    let id = &replacement.token.id;
    let held = s.readable().any(|sink| sink.holds.as_ref() == Some(id) && sink.begun.is_none());
    if held || staging::keeps(s, id) {
        return rest(s, Status::Troubled, Some(Reason::SinkUnavailable), Some(at), words);
    }
    // A token that nobody got is no use to anyone. With the current one at its end it is kept
    // longer, but not for ever: other connections wait for this worker.
    let patience = if current_works(s) { PATIENCE } else { LAST_PATIENCE };
    if s.now - replacement.began >= patience {
        if !may_be_in_use(s, replacement) {
            return untaken(s, replacement, &words);
        }
        // Some place has it, or may have it, and cannot be asked: it is read there, or not at all.
        return rest(s, Status::Troubled, Some(Reason::SinkUnavailable), Some(at), words);
    }
    step(Step::Pause(at.min(s.now + TimeDelta::minutes(1))), words)
}
