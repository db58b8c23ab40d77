//! What an operator may decide about one token, and what follows for the record.

use std::collections::BTreeSet;

use super::{
    decide::Situation,
    event::Event,
    observe::Held,
    record::{Cause, Phase, Record},
};
use crate::{
    clock::Timestamp,
    token::{Listed, TokenId},
};

impl Record {
    /// The tokens in use that a `--compromised` of that moment condemns: the current one, those it
    /// replaced, and one on its way that a sink may already hold. What began after it is its answer.
    #[must_use]
    pub fn leaked(&self, since: Timestamp) -> BTreeSet<TokenId> {
        let superseded = self.older.iter().filter(|older| older.cause == Cause::Superseded);
        let mut ids: BTreeSet<TokenId> = superseded.map(|older| older.token.id.clone()).collect();
        let current = self.current.as_ref().filter(|current| current.began < since);
        ids.extend(current.map(|current| current.token.id.clone()));
        if let Phase::Delivering(delivery) = &self.phase
            && delivery.began < since
        {
            let id = &delivery.token.id;
            let placed = self.sinks.values().any(|sink| {
                sink.holds.as_ref() == Some(id)
                    || sink.begun.as_ref().is_some_and(|begun| begun.id == *id)
            });
            ids.extend(placed.then(|| id.clone()));
        }
        ids
    }
}

/// A token counts as ours from now on: as current when a sink holds it, else as previous, which the
/// policy retires.
///
/// # Errors
/// In words that say why not and what to do.
pub fn adopt(s: &Situation<'_>, id: &TokenId) -> Result<(Vec<Event>, String), String> {
    let token = listed(s, id)?;
    idle(s)?;
    let holder = s.record.places().find_map(|sink| match s.held(&sink.place.key)? {
        Held::Token { id: held, marks, .. } if held == id => {
            Some((sink.place.location.clone(), marks.as_ref().map_or(0, |marks| marks.generation)))
        }
        Held::Token { .. } | Held::Nothing(_) | Held::Unknown(_) | Held::Unreadable(_) => None,
    });
    let retire = s.policy.retire.clone();
    let at = s.provider_shown();
    if let Some((location, generation)) = holder {
        if s.record.current.as_ref().is_some_and(|current| current.token.id == *id) {
            return Err(format!("{id} is the current token already"));
        }
        let made = s.on_our_clock(token.created_at).min(s.now);
        let event = Event::TakenOver {
            token,
            generation: generation.max(s.record.generation),
            previous: Vec::new(),
            rebuilt: false,
            retire,
            verify: s.policy.verify,
            at,
            made,
        };
        return Ok((
            vec![event],
            format!("{location} holds {id}: it counts as the current token from now on"),
        ));
    }
    if s.record.knows(id) {
        return Err(format!(
            "{id} is ours already: `scimitar explain {}` says what becomes of it",
            s.record.name
        ));
    }
    let adopted = Event::Retired { token, cause: Cause::Superseded, retire, at };
    let words = format!(
        "no sink holds {id}: it counts as a previous token from now on and is retired by the policy"
    );
    Ok((vec![adopted], words))
}

/// A token is to be revoked.
///
/// # Errors
/// In words that say why not and what to do.
pub fn revoke(
    s: &Situation<'_>,
    id: &TokenId,
    force: bool,
) -> Result<(Vec<Event>, String), String> {
    let token = listed(s, id)?;
    let target = s.record.target() == Some(id)
        || s.record.current.as_ref().is_some_and(|current| current.token.id == *id);
    let holder = s.record.sinks.values().find(|sink| {
        sink.holds.as_ref() == Some(id) || s.held(&sink.place.key).and_then(Held::id) == Some(id)
    });
    if (target || holder.is_some()) && !force {
        let place = holder.map_or("the sinks", |sink| sink.place.location.as_str());
        return Err(format!(
            "{id} is what {place} holds: revoking it is an outage until the next rotation. `scimitar --rotate-now {name}` replaces it without one; --force revokes it all the same",
            name = s.record.name
        ));
    }
    if matches!(&s.record.phase, Phase::Delivering(delivery) if delivery.token.id == *id) {
        return Err(format!(
            "{id} is being delivered now: wait until that is over, `scimitar explain {}` says when",
            s.record.name
        ));
    }
    let cause = if force { Cause::Forced } else { Cause::Asked };
    let retired =
        Event::Retired { token, cause, retire: s.policy.retire.clone(), at: s.provider_shown() };
    Ok((vec![retired], format!("an operator asked to revoke {id}")))
}

fn listed(s: &Situation<'_>, id: &TokenId) -> Result<Listed, String> {
    match &s.observed.list {
        Some(Ok(list)) => list.get(id).cloned().ok_or_else(|| {
            let known: Vec<&str> = list.tokens.iter().map(|token| token.id.as_str()).collect();
            format!(
                "the provider does not list {id} for this connection; it lists {}",
                if known.is_empty() { "no token".to_owned() } else { known.join(", ") }
            )
        }),
        Some(Err(fault)) => Err(fault.to_string()),
        None => Err("the provider was not asked".to_owned()),
    }
}

fn idle(s: &Situation<'_>) -> Result<(), String> {
    match s.record.phase {
        Phase::Steady => Ok(()),
        Phase::Minting(_) | Phase::Delivering(_) => Err(format!(
            "a rotation is under way: let `scimitar --once` finish it first, `scimitar explain {}` says where it stands",
            s.record.name
        )),
    }
}
