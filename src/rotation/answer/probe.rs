//! What the answer of the SCIM endpoint proves of a token.

use super::Answered;
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        decide::{About, Inquiry, Situation},
        event::Event,
        record::{Phase, Proof},
    },
    token::TokenId,
};

/// What the SCIM endpoint says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// It works (200).
    Accepted,
    /// It is known, but may not read users (403).
    NotScoped,
    /// It is not known, or not yet (401).
    Unauthorized,
    /// Nothing was learnt: 404, 429, 5xx, no answer.
    Inconclusive(Fault),
}

/// Whether the answer shows that the token works. What answers 403 to everything knows nothing of
/// a token that may read users.
#[must_use]
pub fn works(s: &Situation<'_>, id: &TokenId, answer: &ProbeAnswer) -> bool {
    match answer {
        ProbeAnswer::Accepted => true,
        ProbeAnswer::NotScoped => !may_read(s, id),
        ProbeAnswer::Unauthorized | ProbeAnswer::Inconclusive(_) => false,
    }
}

/// Whether a token was given the scope to read users, as far as is known.
fn may_read(s: &Situation<'_>, id: &TokenId) -> bool {
    let Some(needed) = &s.policy.capabilities.read_scope else { return true };
    let on_its_way = match &s.record.phase {
        Phase::Delivering(replacement) => Some(&replacement.token),
        Phase::Steady | Phase::Minting(_) => None,
    };
    let current = s.record.current.as_ref().map(|current| &current.token);
    let listed = match &s.observed.list {
        Some(Ok(list)) => list.get(id),
        Some(Err(_)) | None => None,
    };
    let known = on_its_way.into_iter().chain(current).find(|token| token.id == *id);
    known.or(listed).is_some_and(|token| token.scopes.contains(needed))
}

/// What was learnt of a token by sending it to the SCIM endpoint.
#[must_use]
pub fn probed(s: &Situation<'_>, inquiry: &Inquiry, answer: ProbeAnswer) -> Answered {
    let works = works(s, &inquiry.id, &answer);
    match &inquiry.about {
        About::OnItsWay { .. } => on_its_way(s, inquiry, answer, works),
        About::Current { location } => current(s, &inquiry.id, location, answer, works),
        About::Found { .. } => found(s, &inquiry.id, answer, works),
    }
}

fn on_its_way(
    s: &Situation<'_>,
    Inquiry { id, sent, .. }: &Inquiry,
    answer: ProbeAnswer,
    works: bool,
) -> Answered {
    let (refused, silent) = match &s.record.phase {
        Phase::Delivering(replacement) => match replacement.proof {
            Proof::Pending { refused_since, silent_since } => (refused_since, silent_since),
            Proof::Good | Proof::Bad | Proof::Waived => (None, None),
        },
        Phase::Steady | Phase::Minting(_) => (None, None),
    };
    let still_silent =
        Proof::Pending { refused_since: None, silent_since: Some(silent.unwrap_or(*sent)) };
    let (proof, words) = match answer {
        ProbeAnswer::Accepted => (Proof::Good, format!("the SCIM endpoint accepts {id}")),
        ProbeAnswer::NotScoped if works => (
            Proof::Good,
            format!("the SCIM endpoint knows {id}, which lacks the permission to read users"),
        ),
        ProbeAnswer::Unauthorized => (
            Proof::Pending { refused_since: Some(refused.unwrap_or(*sent)), silent_since: None },
            format!("the SCIM endpoint does not accept {id} yet"),
        ),
        ProbeAnswer::NotScoped => (still_silent, forbidden(id)),
        ProbeAnswer::Inconclusive(fault) => {
            (still_silent, format!("the probe of {id} was inconclusive: {fault}"))
        }
    };
    Answered::done(Event::Proven(proof), words)
}

fn current(
    s: &Situation<'_>,
    id: &TokenId,
    location: &str,
    answer: ProbeAnswer,
    works: bool,
) -> Answered {
    let missing = s.record.missing.is_some();
    let asked = |refused, words: &str| Answered::done(Event::CurrentProbed { refused }, words);
    match answer {
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped if works && missing => asked(
            false,
            "the SCIM endpoint accepts the current token: the provider's list is out of date",
        ),
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped if works => {
            asked(false, "the SCIM endpoint accepts the current token")
        }
        ProbeAnswer::Unauthorized if missing => {
            asked(true, "the SCIM endpoint rejects the current token: it no longer exists")
        }
        ProbeAnswer::Unauthorized => {
            let fault = Fault::new(
                format!("prove {id} as {location} holds it"),
                Class::Terminal,
                Code::Unauthorized,
                "the SCIM endpoint answers 401 to it, although the provider lists it",
            );
            ask_failed(s, fault, "a value that does not work is not delivered to any other sink")
        }
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped if missing => asked(false, &forbidden(id)),
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped => {
            let what = format!("prove {id}");
            let fault = Fault::new(what, Class::Transient, Code::Forbidden, forbidden(id));
            ask_failed(s, fault, "Scimitar asks again")
        }
        ProbeAnswer::Inconclusive(fault) => ask_failed(
            s,
            fault,
            "the SCIM endpoint could not be asked whether the current token works",
        ),
    }
}

/// A token that somebody else put into a place: nothing is superseded by it before it is proven.
fn found(s: &Situation<'_>, id: &TokenId, answer: ProbeAnswer, works: bool) -> Answered {
    match answer {
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped if works => {
            Answered { event: None, words: format!("the SCIM endpoint accepts {id}"), fault: None }
        }
        ProbeAnswer::Unauthorized => {
            let words = format!("the SCIM endpoint rejects {id}: it replaces no other token");
            Answered::done(Event::FoundRefused(id.clone()), words)
        }
        ProbeAnswer::Accepted | ProbeAnswer::NotScoped => {
            let words = "the SCIM endpoint answers 403 to it, although it may read users";
            let what = format!("prove {id}");
            let fault = Fault::new(what, Class::Transient, Code::Forbidden, words);
            ask_failed(s, fault, "Scimitar asks again")
        }
        ProbeAnswer::Inconclusive(fault) => ask_failed(
            s,
            fault,
            "the SCIM endpoint could not be asked whether the token that was found works",
        ),
    }
}

fn forbidden(id: &TokenId) -> String {
    format!(
        "the SCIM endpoint answers 403 to {id}, although it may read users: this neither proves nor disproves the token"
    )
}

fn ask_failed(s: &Situation<'_>, fault: Fault, words: &str) -> Answered {
    let trouble = s.failed(s.record.troubles.probe.as_ref(), fault.clone());
    Answered {
        event: Some(Event::CurrentProbeFailed(trouble)),
        words: words.to_owned(),
        fault: Some(fault),
    }
}
