//! What a server's answer means: the class that decides what is done about it.

use serde::Deserialize;

use super::answer::Answer;
use crate::{
    error::{Class, Code, Fault},
    http::{Reply, Sent, Unanswered, quote},
};

/// Whether a call changes anything: then the loss of its answer leaves that open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing is changed, or nothing that matters.
    None,
    /// The secret is.
    Writes,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

/// The server's own words: `None` where the answer is not one of Vault's (a load balancer's).
pub(super) fn errors(reply: &Reply) -> Option<Vec<String>> {
    reply.json::<Errors>().ok().map(|answer| answer.errors)
}

/// Whether nothing is there: the one 404 that says so.
pub(super) fn nothing_there(reply: &Reply) -> bool {
    reply.status == 404 && errors(reply).is_some_and(|errors| errors.is_empty())
}

/// Whether a write was refused because the version was another: only the text tells.
pub(super) fn lost_the_race(reply: &Reply) -> bool {
    reply.status == 400
        && errors(reply).is_some_and(|errors| {
            errors.iter().any(|text| text.contains("did not match the current version"))
        })
}

/// Whether the token itself is unknown there: a right that is missing is told in other words.
pub(super) fn unknown_token(reply: &Reply) -> bool {
    reply.status == 403
        && errors(reply).is_some_and(|errors| {
            errors.iter().any(|text| text == "permission denied" || text.contains("invalid token"))
        })
}

/// A call that got no answer.
pub(super) fn unanswered(operation: &str, lost: Unanswered, effect: Effect) -> Fault {
    let class = match (lost.code, lost.sent, effect) {
        (Code::Invalid, _, _) => Class::Terminal,
        (_, Sent::Perhaps, Effect::Writes) => Class::Ambiguous,
        (_, _, _) => Class::Transient,
    };
    Fault::new(operation, class, lost.code, lost.detail)
}

/// An answer of 200 that cannot be read.
pub(super) fn unreadable(operation: &str, words: &str, effect: Effect) -> Fault {
    let class = lost(effect);
    Fault::new(
        operation,
        class,
        Code::Unreadable,
        format!("{words}; this is not an answer from Vault"),
    )
}

/// Any answer but a good one; nothing that was sent shows up in its words.
pub(super) fn refused(operation: &str, reply: &Answer, effect: Effect) -> Fault {
    let said = errors(reply);
    let (class, code, detail) = match &said {
        None => foreign(reply, effect),
        Some(errors) => own(reply.status, errors, &reply.hidden(), effect),
    };
    Fault::new(operation, class, code, detail).retry_after(reply.retry_after())
}

fn lost(effect: Effect) -> Class {
    match effect {
        Effect::None => Class::Transient,
        Effect::Writes => Class::Ambiguous,
    }
}

/// An answer in Vault's own form; `hidden` shows up in no words.
fn own(status: u16, errors: &[String], hidden: &[&str], effect: Effect) -> (Class, Code, String) {
    let words = quote(&errors.join("; "), hidden);
    let said = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { &words };
        format!("answered {status}: {words}{then}")
    };
    match status {
        400 if words.contains("did not match the current version") => (
            Class::Conflict,
            Code::Changed,
            "somebody else changed it after it was read".to_owned(),
        ),
        400 if words.contains("from non-versioned to versioned data") => {
            (Class::Transient, Code::Unavailable, said(""))
        }
        403 => (
            Class::Terminal,
            Code::Forbidden,
            said(
                "; the token's policies do not grant this, even after a fresh log-in; \
                 `scimitar permissions` prints what is needed",
            ),
        ),
        404 => (
            Class::Terminal,
            Code::Invalid,
            said("; check the mount, and that the token may see it"),
        ),
        412 => (Class::Transient, Code::Unavailable, said("; this node has not caught up yet")),
        // A standby that cannot answer yet; a limit on requests is told in words.
        429 if words.is_empty() => {
            (Class::Transient, Code::Unavailable, said("; this is a standby"))
        }
        429 => (Class::Transient, Code::Throttled, said("")),
        472 | 473 => (Class::Transient, Code::Unavailable, said("; this is a standby")),
        503 if words.to_ascii_lowercase().contains("sealed") => {
            (Class::Transient, Code::Unavailable, said("; unseal it"))
        }
        503 => (Class::Transient, Code::Unavailable, said("; it is sealed or under maintenance")),
        500..=599 => (lost(effect), Code::Unavailable, said("")),
        _ => (Class::Terminal, Code::Invalid, said("")),
    }
}

/// An answer that is not Vault's: a redirect, a load balancer's page, nothing at all.
fn foreign(reply: &Reply, effect: Effect) -> (Class, Code, String) {
    let status = reply.status;
    match status {
        300..=399 => {
            let target = reply.redirect().unwrap_or("somewhere else");
            let words = format!(
                "answered {status}, a redirect to {target}, which Scimitar never follows: it would \
                 send the token there. A standby does this while it knows no leader; if it continues, put \
                 the address of the active node or of the load balancer into `address`"
            );
            // It is also what a standby answers when the leader that it had passed the call on to
            // is gone before it said what came of it.
            (lost(effect), Code::Unavailable, words)
        }
        429 => (
            Class::Transient,
            Code::Throttled,
            "answered 429 from a proxy or load balancer".to_owned(),
        ),
        472 | 473 => (Class::Transient, Code::Unavailable, format!("answered {status}: a standby")),
        400..=499 if status != 408 => (
            Class::Transient,
            Code::Unreadable,
            format!(
                "answered {status} without a Vault error: a proxy or load balancer answered, \
                 so nothing is known about the secret"
            ),
        ),
        _ => (
            lost(effect),
            Code::Unavailable,
            format!("answered {status} without a Vault error: probably from a load balancer"),
        ),
    }
}
