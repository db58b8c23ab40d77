//! What an answer of the API means: the class that decides what is done about it.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{BodyLost, Reply, quote},
    sink::rules::Effect,
};

/// The API's own words (`meta/v1 Status`).
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    kind: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    retry_after_seconds: u64,
}

/// The API's own words; `None` where something in front of it answered.
fn status(reply: &Reply) -> Option<Status> {
    reply.json::<Status>().ok().filter(|status| status.kind == "Status")
}

/// Which kind of object is not there, where the API itself says so.
pub(super) fn missing(reply: &Reply) -> Option<String> {
    let status = status(reply).filter(|_| reply.status == 404)?;
    let named = status.details.filter(|_| status.reason == "NotFound")?;
    Some(named.kind)
}

/// A good answer that cannot be read.
pub(super) fn unreadable(operation: &str, reply: &Reply, words: &str, effect: Effect) -> Fault {
    if reply.body().err() == Some(BodyLost::TooLong) {
        let words = "the Secret is too large to be read: the answer is longer than 1 MiB; deliver to a separate \
                     Secret";
        let class = if effect == Effect::None { Class::Terminal } else { Class::Ambiguous };
        return Fault::new(operation, class, Code::Invalid, words);
    }
    Fault::new(operation, effect.lost(), Code::Unreadable, words)
}

/// Any answer but a good one; `hidden` shows up in no words.
pub(super) fn refused(operation: &str, reply: &Reply, effect: Effect, hidden: &[&str]) -> Fault {
    let said = status(reply);
    let pause = said.as_ref().and_then(|status| status.details.as_ref());
    let pause = pause.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
    let (class, code, detail) = match &said {
        Some(status) => own(reply.status, status, effect, hidden),
        None => foreign(reply, effect),
    };
    let pause = reply.retry_after().or_else(|| pause.map(Duration::from_secs));
    Fault::new(operation, class, code, detail).retry_after(pause)
}

/// An answer of the API (API reference, `Status.reason` and HTTP status codes).
fn own(number: u16, status: &Status, effect: Effect, hidden: &[&str]) -> (Class, Code, String) {
    let words = quote(&status.message, hidden);
    let said = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { &words };
        format!("answered {number} {}: {words}{then}", status.reason)
    };
    match (number, status.reason.as_str()) {
        // The Secret, or the state of it that was named, is another by now.
        (409, _) => (
            Class::Conflict,
            Code::Changed,
            "somebody else changed it after it was read".to_owned(),
        ),
        (401, _) => (
            Class::Terminal,
            Code::Unauthorized,
            said(
                "; the credentials are not accepted, although they were read again: check whether the \
                 service account was deleted or the token expired",
            ),
        ),
        (403, _) => (
            Class::Terminal,
            Code::Forbidden,
            said("; `scimitar permissions` prints the Role that is needed"),
        ),
        (410, _) => (Class::Transient, Code::Unavailable, said("; Scimitar reads it again")),
        (413, _) => (Class::Terminal, Code::Invalid, said("; a Secret holds at most 1 MiB")),
        (429, _) => (Class::Transient, Code::Throttled, said("")),
        (500..=599, _) => (effect.lost(), Code::Unavailable, said("")),
        _ => (Class::Terminal, Code::Invalid, said("")),
    }
}

/// An answer that is not the API's: a proxy's or a load balancer's, or a redirect.
fn foreign(reply: &Reply, effect: Effect) -> (Class, Code, String) {
    let status = reply.status;
    match status {
        300..=399 => {
            let target = reply.redirect().unwrap_or("somewhere else");
            let words = format!(
                "answered {status}, a redirect to {target}, which Scimitar never follows: it would \
                 send the credentials there"
            );
            (effect.lost(), Code::Unavailable, words)
        }
        429 => (
            Class::Transient,
            Code::Throttled,
            "answered 429 from a proxy or load balancer".to_owned(),
        ),
        400..=499 if status != 408 => (
            Class::Transient,
            Code::Unreadable,
            format!(
                "answered {status} without an API error: a proxy or load balancer answered, so \
                 nothing is known about the Secret"
            ),
        ),
        _ => (
            effect.lost(),
            Code::Unavailable,
            format!("answered {status} without an API error: probably from a load balancer"),
        ),
    }
}
