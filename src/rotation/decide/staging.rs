//! What is kept in places beside what their readers get: a value that is not delivered yet, and what
//! leads to tokens that are gone.

use super::{Decision, Forget, Situation, Step, acts, step};
use crate::{
    rotation::{
        observe::{Held, Staging},
        record::{Replacement, SinkState},
    },
    token::TokenId,
};

/// Before it is proven and promoted, the value is kept in every place that can keep it beside what
/// its readers get: a worker that dies from here on has not lost it. What a place already holds is
/// safe, and a place that cannot stage now does not hold the delivery up.
pub(super) fn stage(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    let held = |sink: &SinkState| s.held(&sink.place.key).and_then(Held::id) == Some(id);
    if replacement.found || s.readable().any(held) {
        return None;
    }
    let sink = s.readable().find(|sink| {
        let key = &sink.place.key;
        let foreign = matches!(s.held(key), Some(Held::Token { marks: Some(marks), .. })
            if marks.connection_id != s.record.key.connection);
        let free = match s.observed.staging(key, s.now) {
            Staging::Impossible => false,
            Staging::Free => true,
            Staging::Holds(other) => other != id,
        };
        free && !foreign && s.held_back(sink.trouble.as_ref()).is_none()
    })?;
    Some(step(
        acts::stage(s, sink, replacement),
        format!("{id} staged in {} beside the token that readers get", sink.place.location),
    ))
}

/// Whether the value can be read back although no place holds it yet.
pub(super) fn keeps(s: &Situation<'_>, id: &TokenId) -> bool {
    s.readable().any(|sink| {
        matches!(s.observed.staging(&sink.place.key, s.now), Staging::Holds(other) if other == id)
    })
}

/// What leads to a token that is gone is taken away: nobody is to go back to it.
pub(super) fn forget(s: &Situation<'_>) -> Option<Decision> {
    let (sink, id, residue) = s.readable().find_map(|sink| {
        let readable = !matches!(s.held(&sink.place.key), None | Some(Held::Unreadable(_)));
        let (id, residue) = sink.residue.iter().filter(|_| readable).find(|(id, residue)| {
            residue.gone
                && s.record.alive().all(|alive| alive != *id)
                && sink.holds.as_ref() != Some(*id)
                && s.held_back(residue.trouble.as_ref()).is_none()
        })?;
        Some((sink, id, residue))
    })?;
    Some(step(
        Step::Forget(Forget {
            place: sink.place.key.clone(),
            location: sink.place.location.clone(),
            id: id.clone(),
            earlier: residue.earlier.clone(),
        }),
        format!("{id} is gone: removing what refers to it in {}", sink.place.location),
    ))
}
