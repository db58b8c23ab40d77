//! What a step acts on, as the record and the last look say it.

use chrono::TimeDelta;

use super::{About, Inquiry, Metadata, Promote, Revoke, Situation, Stage, Step};
use crate::{
    clock::Timestamp,
    place::Marks,
    rotation::{
        observe::Held,
        record::{Cause, Current, Replacement, Retiring, SinkState},
        view,
    },
    token::{Listed, TokenId},
};

/// A token that was used no longer ago than this is not revoked in silence.
const A_MOMENT_AGO: TimeDelta = TimeDelta::hours(1);

/// The token on its way is sent to the SCIM endpoint.
pub(super) fn probe(s: &Situation<'_>, replacement: &Replacement) -> Step {
    let about = About::OnItsWay { found: replacement.found };
    Step::Probe(inquiry(s, &replacement.token.id, about))
}

/// A token is sent to the SCIM endpoint as this place holds it.
pub(super) fn probe_held(s: &Situation<'_>, sink: &SinkState, id: &TokenId) -> Step {
    let location = sink.place.location.clone();
    let is_current = s.record.current.as_ref().is_some_and(|current| current.token.id == *id);
    let about = if is_current { About::Current { location } } else { About::Found { location } };
    Step::Probe(inquiry(s, id, about))
}

fn inquiry(s: &Situation<'_>, id: &TokenId, about: About) -> Inquiry {
    let sent = s.provider_now();
    let longest = TimeDelta::from_std(s.timeouts.probe).unwrap_or(TimeDelta::minutes(1));
    Inquiry { id: id.clone(), about, sent, arrives_by: sent + longest }
}

/// This place keeps the token on its way beside what its readers get.
pub(super) fn stage(s: &Situation<'_>, sink: &SinkState, replacement: &Replacement) -> Step {
    Step::Stage(Box::new(Stage {
        place: sink.place.key.clone(),
        location: sink.place.location.clone(),
        metadata: of_delivery(s, replacement),
    }))
}

/// This place gets what is delivered with that.
pub(super) fn promote(s: &Situation<'_>, sink: &SinkState, metadata: Metadata) -> Step {
    let seen = s.observed.sinks.get(&sink.place.key);
    Step::Promote(Box::new(Promote {
        place: sink.place.key.clone(),
        location: sink.place.location.clone(),
        expected: seen.and_then(|seen| seen.held.version()).cloned(),
        container: seen.and_then(|seen| seen.container.clone()),
        metadata,
    }))
}

/// What an announcement of a promote says of what it replaces.
pub(super) fn replacing(s: &Situation<'_>, sink: &SinkState, why: String) -> String {
    match s.observed.sinks.get(&sink.place.key).map(|seen| &seen.held) {
        Some(Held::Unknown(version) | Held::Token { marks: None, version, .. }) => {
            format!("{why}; it replaces version {} that Scimitar did not write", version.0)
        }
        Some(Held::Token { .. } | Held::Nothing(_) | Held::Unreadable(_)) | None => why,
    }
}

/// What is delivered of the token on its way. A mark that others raised must not keep it out.
pub(super) fn of_delivery(s: &Situation<'_>, replacement: &Replacement) -> Metadata {
    let generation = replacement.generation.max(s.record.generation_seen);
    let previous = s.record.current.as_ref().map(|current| &current.token.id);
    metadata(s, &replacement.token, generation, previous)
}

/// The same of the current one, where a place is filled again.
pub(super) fn of_current(s: &Situation<'_>, current: &Current) -> Metadata {
    let generation = s.record.generation.max(s.record.generation_seen);
    let superseded = s.record.retiring.iter().find(|retiring| retiring.cause == Cause::Superseded);
    metadata(s, &current.token, generation, superseded.map(|retiring| &retiring.token.id))
}

fn metadata(
    s: &Situation<'_>,
    token: &Listed,
    generation: u64,
    previous: Option<&TokenId>,
) -> Metadata {
    Metadata {
        marks: Marks {
            token_id: token.id.clone(),
            previous_token_id: previous.filter(|id| **id != token.id).cloned(),
            generation,
            ledger: s.ledger.clone(),
            connection_id: s.record.key.connection.clone(),
        },
        scopes: token.scopes.clone(),
        created_at: token.created_at,
        expires_at: token.valid_until,
    }
}

/// This token is deleted, by a look that is fresh until `seen`.
pub(super) fn revoke(s: &Situation<'_>, retiring: &Retiring, seen: Timestamp) -> Step {
    // What no sink ever had was used by nobody but our own probe.
    let handed_out = !matches!(retiring.cause, Cause::Orphan | Cause::Bad | Cause::GivenUp);
    let used = view::retiring_use(s.record, retiring).filter(|_| handed_out);
    let in_use = used.filter(|used| s.provider_now() - *used < A_MOMENT_AGO);
    Step::Revoke(Revoke { id: retiring.token.id.clone(), seen, in_use })
}
