//! Whose a place is by the mark in it.

use super::{
    Decision, Situation, Status, acts, pressing::presses, rest, step, vouching::is_vouched,
};
use crate::{
    place::Marks,
    rotation::{
        observe::{Held, LAG},
        policy::{Mode, Verify},
        record::SinkState,
        why::Reason,
    },
    token::TokenId,
    words::date,
};

/// A token seen in a place.
pub(super) struct Marked<'a> {
    pub(super) sink: &'a SinkState,
    pub(super) id: &'a TokenId,
    pub(super) marks: Option<&'a Marks>,
}

pub(super) fn found<'a>(s: &Situation<'a>) -> Vec<Marked<'a>> {
    let record: &'a _ = s.record;
    let observed: &'a _ = s.observed;
    record
        .places()
        .filter_map(|sink| match observed.fresh_sink(&sink.place.key, s.now)? {
            Held::Token { id, marks, .. } => Some(Marked { sink, id, marks: marks.as_ref() }),
            Held::Nothing(_) | Held::Unknown(_) | Held::Unreadable(_) => None,
        })
        .collect()
}

/// A place that others have by its mark.
struct Claimed<'a> {
    found: Marked<'a>,
    /// By another ledger, and not by another connection.
    by_ledger: bool,
    words: String,
}

/// A place that carries the mark of another connection, or of a ledger that is ahead of ours.
fn claimed<'a>(s: &Situation<'a>) -> Option<Claimed<'a>> {
    found(s).into_iter().find_map(|found| claim_on(s, found))
}

fn claim_on<'a>(s: &Situation<'a>, found: Marked<'a>) -> Option<Claimed<'a>> {
    let Marked { sink, id, marks: Some(marks) } = found else { return None };
    let location = &sink.place.location;
    // Beside the very value that was delivered, whatever a mark says is what others made of it.
    if s.record.knows(id) && s.seen(&sink.place.key).is_some_and(|seen| seen.is_genuine) {
        return None;
    }
    if marks.connection_id != s.record.key.connection {
        let words = format!(
            "{location} is marked as belonging to another connection, {}; Scimitar does not overwrite it: deliver to another place, or remove the content there",
            marks.connection_id
        );
        return Some(Claimed { found, by_ledger: false, words });
    }
    let ahead = marks.generation > s.record.generation && s.record.current.is_some();
    if marks.ledger == *s.ledger || !ahead || is_stale(s, sink) || s.record.refused.contains(id) {
        return None;
    }
    let words = format!(
        "another Scimitar (ledger {}) delivered {id} as generation {} to {location}, seen since {}; this one (ledger {}, generation {}) makes no changes: stop one of the two, then `scimitar adopt {} --token-id {id}` lets this one take over",
        marks.ledger,
        marks.generation,
        sink.since.map_or_else(|| "now".to_owned(), date),
        s.ledger,
        s.record.generation,
        s.record.name
    );
    Some(Claimed { found, by_ledger: true, words })
}

/// Why a place that another connection has by its mark is not written to.
pub(super) fn anothers(s: &Situation<'_>, sink: &SinkState) -> Option<String> {
    let here = found(s).into_iter().find(|found| found.sink.place.key == sink.place.key)?;
    claim_on(s, here).filter(|claimed| !claimed.by_ledger).map(|claimed| claimed.words)
}

/// Who has a place by its mark, in words with the way out.
pub(super) fn claim(s: &Situation<'_>) -> Option<String> {
    claimed(s).map(|claimed| claimed.words)
}

/// We stand down before who has a place by its mark. At the end of a life one place that another
/// connection has does not keep the others from the next token.
pub(super) fn foreign(s: &Situation<'_>) -> Option<Decision> {
    let Claimed { found, by_ledger, words } = claimed(s)?;
    let others = s.readable().any(|sink| sink.place.key != found.sink.place.key);
    if !by_ledger && others && presses(s) {
        return None;
    }
    by_ledger
        .then(|| ask_first(s, &found))
        .flatten()
        .or_else(|| Some(rest(s, Status::Refused, Some(Reason::ForeignOwner), None, words)))
}

/// Anybody who can write one place can write a mark of another ledger: only a value that works makes
/// this one stand down for good. It is asked about once, since whoever it belongs to sees that as a
/// use, and not before it has come to be accepted everywhere.
fn ask_first(s: &Situation<'_>, Marked { sink, id, .. }: &Marked<'_>) -> Option<Decision> {
    let known = is_vouched(s, id) || s.seen(&sink.place.key).is_some_and(|seen| seen.is_genuine);
    let settled = sink.since.is_some_and(|since| (s.now - since).abs() >= LAG);
    let asks = s.policy.terms.verify != Verify::Off && s.policy.terms.mode == Mode::Rotate;
    if !asks || known || !settled || s.held_back(s.record.troubles.probe.as_ref()).is_some() {
        return None;
    }
    let location = &sink.place.location;
    Some(step(
        acts::probe_held(s, sink, id),
        format!(
            "{location} has {id} with the mark of another ledger: Scimitar first asks the SCIM endpoint whether it works"
        ),
    ))
}

/// Whether the token that a place holds works no more: such a mark is what somebody restored, not
/// the work of another. One seen just now may be newer than the list.
fn is_stale(s: &Situation<'_>, sink: &SinkState) -> bool {
    // Who changes what is there again and again does not put it off.
    let since = sink.drift.as_ref().map(|drift| drift.since).into_iter().chain(sink.since).min();
    let settled = since.is_some_and(|since| (s.now - since).abs() >= LAG);
    (settled || presses(s))
        && s.list().is_some()
        && !sink.holds.as_ref().is_some_and(|id| s.is_live(id))
}
