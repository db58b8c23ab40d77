//! What a step acts on, as the record and the last look say it.

use chrono::TimeDelta;

use super::{
    About, Inquiry, Metadata, Promote, Revoke, Situation, Stage, Step,
    pressing::{current_works, is_overdue},
};
use crate::{
    clock::Timestamp,
    place::Marks,
    rotation::{
        observe::Held,
        policy::Verify,
        probe_user::{ProbeUserName, WritePlan},
        record::{Cause, Current, Proof, Replacement, Retiring, SinkState},
        view,
    },
    token::{Listed, TokenId},
};

/// A token that was used no longer ago than this is not revoked in silence.
const A_MOMENT_AGO: TimeDelta = TimeDelta::hours(1);

/// For so long requests of a proof by writing are announced at once.
pub(in crate::rotation) const WRITING: TimeDelta = TimeDelta::minutes(2);

/// The same where a throw-away user is deleted with the token that clients use.
const REMOVAL: TimeDelta = TimeDelta::minutes(10);

/// The token on its way is sent to the SCIM endpoint.
pub(super) fn probe(s: &Situation<'_>, replacement: &Replacement) -> Step {
    let write = write_plan(s, replacement).map(Box::new);
    let about = About::OnItsWay { found: replacement.found, write };
    Step::Probe(inquiry(s, &replacement.token.id, about))
}

/// How a token that was made here is proven by writing, the first time that it is proven.
fn write_plan(s: &Situation<'_>, replacement: &Replacement) -> Option<WritePlan> {
    let is_first = matches!(replacement.proof, Proof::Pending { .. });
    if replacement.verify != Verify::Write || replacement.found || !is_first {
        return None;
    }
    // Reading is enough, and nothing else may hold it up, where the current token has leaked, has not long to
    // live or is kept too long, or a rotation has just failed.
    let leaked =
        (s.record.current.as_ref()).is_some_and(|it| s.record.condemned.contains(&it.token.id));
    if leaked || !current_works(s) || is_overdue(s) || s.record.troubles.mint.is_some() {
        return None;
    }
    let scopes = s.policy.capabilities.user_scopes.as_ref()?;
    // No other create is under way, so that nothing else is made of this chance.
    WritePlan::of(ProbeUserName::drawn(s.draw.name), scopes, &replacement.token.scopes)
}

/// The throw-away user on record is deleted with the token that is in hand.
pub(super) fn remove_user(s: &Situation<'_>, id: &TokenId) -> Step {
    let sent = s.provider_now();
    Step::RemoveUser { id: id.clone(), sent, arrives_by: sent + longest(s) + REMOVAL }
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
    let several = match &about {
        About::OnItsWay { write: Some(_), .. } => WRITING,
        About::OnItsWay { write: None, .. } | About::Current { .. } | About::Found { .. } => {
            TimeDelta::zero()
        }
    };
    Inquiry { id: id.clone(), about, sent, arrives_by: sent + longest(s) + several }
}

/// After it was sent, a request to the SCIM endpoint may arrive for so long.
pub(in crate::rotation) fn longest(s: &Situation<'_>) -> TimeDelta {
    TimeDelta::from_std(s.timeouts.probe).unwrap_or(TimeDelta::minutes(1))
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
            format!("{why}; this replaces version {}, which Scimitar did not write", version.0)
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
