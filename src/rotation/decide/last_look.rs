//! The last look: what must be seen right before a DELETE is sent.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{CheckWrites, Decision, Situation, Step, step};
use crate::{
    clock::{Timestamp, spelled},
    error::Fault,
    rotation::{
        observe::{Held, SeenList, is_dead},
        record::{Cause, Current, Record, Retiring, SinkState},
        view,
        why::Reason,
    },
    token::{PlaceKey, TokenId},
};

/// Why a DELETE is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    /// The word.
    pub(super) reason: Reason,
    /// In words.
    pub(super) words: String,
    /// The failure behind it, if it is one.
    pub(super) fault: Option<Fault>,
}

fn blocked(reason: Reason, words: String) -> Blocked {
    Blocked { reason, words, fault: None }
}

/// What was seen before our last side effect is no last look: another look comes first.
pub(super) fn again(s: &Situation<'_>) -> Option<Decision> {
    let readable = |key: &PlaceKey| {
        let sink = s.record.sinks.get(key).filter(|sink| sink.readable);
        sink.is_some_and(|sink| s.held_back(sink.trouble.as_ref()).is_none())
    };
    let places: BTreeSet<PlaceKey> =
        s.observed.old_places.iter().filter(|key| readable(key)).cloned().collect();
    let list = s.observed.list_is_old && s.held_back(s.record.troubles.look.as_ref()).is_none();
    (list || !places.is_empty()).then(|| {
        let writes = CheckWrites::default();
        step(
            Step::Look { list: true, places, writes },
            "final check right before a token is deleted",
        )
    })
}

/// Passes only if (a) no sink holds the token that would die, and (b), for a token that was in use,
/// the one that replaces it is listed, unexpired, and what every sink holds. Only a condemned token
/// and one that an operator forced skip (b); what an operator forced skips (a) as well.
///
/// Says until when that look is fresh: nothing is sent after it.
pub(super) fn pass(s: &Situation<'_>, retiring: &Retiring) -> Result<Timestamp, Blocked> {
    let id = &retiring.token.id;
    let Some(list) = s.list().filter(|_| !s.observed.list_is_old) else {
        return Err(Blocked {
            reason: Reason::ProviderUnavailable,
            words: format!(
                "{id} is not revoked without an up-to-date list of the provider's tokens"
            ),
            fault: s.observed.list.as_ref().and_then(|list| list.as_ref().err().cloned()),
        });
    };
    may_go(s, retiring, list)?;
    Ok(s.observed.fresh_until(list, s.now))
}

/// Why a token is kept that an operator wants to be revoked, by a record that has that wish, where no token is
/// known that works in its place: it would go as soon as one is delivered. Any other wait ends for itself.
#[must_use]
pub fn irreplaceable(s: &Situation<'_>, record: &Record, id: &TokenId) -> Option<String> {
    let list = s.observed.list.as_ref()?.as_ref().ok()?;
    let retiring = record.retiring.iter().find(|retiring| retiring.token.id == *id)?;
    // Whatever else keeps it now: places that cannot be read have no part in this.
    replacement(&Situation { record, ..*s }, retiring, list).err().map(|blocked| blocked.words)
}

/// Whether only force revokes a token now: none is known that works in its place.
pub(super) fn needs_force(s: &Situation<'_>, retiring: &Retiring) -> bool {
    s.list().map_or_else(
        || s.record.missing.is_some() || s.record.current.is_none(),
        |list| replacement(s, retiring, list).is_err(),
    )
}

fn may_go(s: &Situation<'_>, retiring: &Retiring, list: &SeenList) -> Result<(), Blocked> {
    let id = &retiring.token.id;
    // What expired long ago works nowhere, whoever holds it: its slot may be the only one.
    let dead = retiring.cause == Cause::Dead && is_dead(&retiring.token, s.provider_now());
    if retiring.cause == Cause::Forced || dead {
        return Ok(());
    }
    for sink in s.record.sinks.values() {
        not_held(s, retiring, sink)?;
    }
    let Some(current) = replacement(s, retiring, list)? else { return Ok(()) };
    if let Some(sink) = s.record.places().find(|sink| {
        let astray = !sink.readable && !sink.was_given(&current.token.id);
        sink.holds.as_ref() != Some(&current.token.id) || astray
    }) {
        return Err(blocked(
            Reason::Drift,
            format!(
                "{id} is kept: {} does not hold its replacement {}{}",
                sink.place.location,
                current.token.id,
                way_out(s, retiring)
            ),
        ));
    }
    Ok(())
}

/// The token that works in the place of this one; `None`: it needs none.
fn replacement<'r>(
    s: &Situation<'r>,
    retiring: &Retiring,
    list: &SeenList,
) -> Result<Option<&'r Current>, Blocked> {
    let id = &retiring.token.id;
    let unused = retiring.cause.is_orphan() || retiring.cause == Cause::Dead;
    // What was never ours supersedes nothing and is superseded by nothing: an operator said so.
    let strange = retiring.cause == Cause::Asked && retiring.superseded_at.is_none();
    if unused || strange || s.record.condemned.contains(id) {
        return Ok(None);
    }
    let Some(current) = &s.record.current else {
        return Err(blocked(
            Reason::Drift,
            format!(
                "{id} is kept: there is no known current token that replaces it{}",
                way_out(s, retiring)
            ),
        ));
    };
    let listed = list.get(&current.token.id);
    if listed.is_none_or(|token| {
        is_dead(token, list.provider_time)
            || token.valid_until.is_some_and(|until| until <= list.provider_time)
    }) {
        return Err(blocked(
            Reason::Evidence,
            format!(
                "{id} is kept: its replacement {} is not listed as valid, so {id} may be the only token that works; \
                 `scimitar revoke {} --token-id {id} --force` revokes it anyway; clients that still use it lose access",
                current.token.id, s.record.name
            ),
        ));
    }
    Ok(Some(current))
}

/// What an operator who asked for it can still do.
fn way_out(s: &Situation<'_>, retiring: &Retiring) -> String {
    let (name, id) = (&s.record.name, &retiring.token.id);
    if retiring.cause != Cause::Asked {
        return String::new();
    }
    format!(
        "; `scimitar revoke {name} --token-id {id} --force` revokes it anyway; clients that still use it lose access"
    )
}

/// A place that could not be looked at; where nobody may look for it any more, the way out as well.
fn unread(s: &Situation<'_>, id: &TokenId, sink: &SinkState, fault: Option<Fault>) -> Blocked {
    let location = &sink.place.location;
    let mut words = format!("{id} is kept: {location} could not be read");
    if sink.removed {
        let way_out = format!(
            ", which is no longer in the configuration; if no client reads it any more, `scimitar revoke {} --token-id {id} --force` revokes it anyway",
            s.record.name
        );
        words.push_str(&way_out);
    }
    Blocked { reason: Reason::SinkUnavailable, words, fault }
}

/// Whether the digests show that what a place holds is not this token's value, and nothing beside it
/// can be.
fn is_another(s: &Situation<'_>, id: &TokenId, sink: &SinkState) -> bool {
    s.seen(&sink.place.key).is_some_and(|seen| {
        let value = seen.value.as_ref();
        let differs = value.is_some_and(|value| s.record.is_genuine(id, value) == Some(false));
        differs && seen.elsewhere.is_empty()
    })
}

/// Whether the provider shows that nobody has used a token for as long as it takes to go by disuse:
/// whoever could take it from somewhere does not.
fn nobody_uses(s: &Situation<'_>, retiring: &Retiring) -> bool {
    let idle = TimeDelta::from_std(view::unused_for(retiring)).unwrap_or(TimeDelta::MAX);
    let made = retiring.token.created_at;
    let since =
        view::retiring_use(s.record, retiring).into_iter().chain(retiring.superseded_at).max();
    s.policy.capabilities.last_used && s.provider_now() - since.unwrap_or(made) >= idle
}

/// Whether one place certainly does not hold the token.
fn not_held(s: &Situation<'_>, retiring: &Retiring, sink: &SinkState) -> Result<(), Blocked> {
    let id = &retiring.token.id;
    let location = &sink.place.location;
    let begun = sink.begun.as_ref().is_some_and(|begun| begun.id == *id);
    if !sink.readable {
        return if begun || sink.holds.as_ref() == Some(id) || sink.astray.contains_key(id) {
            Err(blocked(
                Reason::Drift,
                format!("{id} is kept: {location}, which cannot be read back, last received it"),
            ))
        } else {
            Ok(())
        };
    }
    // What was never sent there, and what nobody but us ever had, is not there, read or unread.
    let never_sent = !begun && sink.holds.as_ref() != Some(id) && !sink.may_return.contains(id);
    let nobodys = matches!(retiring.cause, Cause::Orphan | Cause::Bad | Cause::GivenUp);
    let old = s.observed.old_places.contains(&sink.place.key);
    match s.held(&sink.place.key).filter(|_| !old) {
        None | Some(Held::Unreadable(_)) if never_sent && (nobodys || sink.removed) => {}
        Some(Held::Token { id: other, .. }) if other != id => {}
        Some(Held::Nothing(_)) => {}
        // What was never sent there cannot be what is there.
        Some(Held::Unknown(_)) if retiring.cause.is_orphan() || retiring.cause == Cause::Dead => {}
        Some(Held::Token { .. }) if sink.removed => {
            return Err(blocked(
                Reason::Drift,
                format!(
                    "{id} is kept: {location}, which is no longer in the configuration, still holds it; remove it there"
                ),
            ));
        }
        Some(Held::Token { .. }) => {
            return Err(blocked(Reason::Drift, format!("{id} is kept: {location} holds it")));
        }
        Some(Held::Unknown(_)) if is_another(s, id, sink) => {}
        Some(Held::Unknown(_)) => {
            return Err(blocked(
                Reason::Drift,
                format!(
                    "{id} is kept: it is not known which token {location} holds; if no client reads {id} from there, `scimitar revoke {} --token-id {id} --force` revokes it anyway",
                    s.record.name
                ),
            ));
        }
        Some(Held::Unreadable(fault)) => return Err(unread(s, id, sink, Some(fault.clone()))),
        None => {
            let fault = sink.trouble.as_ref().map(|trouble| trouble.fault.clone());
            return Err(unread(s, id, sink, fault));
        }
    }
    let beside =
        s.seen(&sink.place.key).filter(|_| !old).into_iter().flat_map(|seen| &seen.elsewhere);
    let may_be_used = !nobody_uses(s, retiring);
    if let Some(other) = beside.into_iter().find(|other| other.id == *id && may_be_used) {
        return Err(blocked(
            Reason::TokenElsewhere,
            format!(
                "{id} is kept: {location} holds it {}, and clients may read it from there; change them to read the delivered token, then remove {id} there. Scimitar revokes it automatically once it has been unused for {}; `scimitar revoke {} --token-id {id} --force` revokes it immediately",
                other.place(),
                spelled(view::unused_for(retiring)),
                s.record.name
            ),
        ));
    }
    let may_land = sink.begun.as_ref().filter(|begun| begun.id == *id);
    if let Some(begun) = may_land
        && s.now - begun.at < TimeDelta::from_std(sink.lingers).unwrap_or_default()
    {
        return Err(blocked(
            Reason::SinkUnavailable,
            format!("{id} is kept: an earlier write of it to {location} may still take effect"),
        ));
    }
    Ok(())
}
