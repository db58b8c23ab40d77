//! What an answer of Graph means: the class that decides what is done about it.

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, quote},
    sink::rules::Effect,
};

#[derive(Deserialize)]
struct Said {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    code: String,
    #[serde(default)]
    message: String,
}

/// Any answer but a good one; `hidden` shows up in no words.
pub(super) fn refused(operation: &str, reply: &Reply, effect: Effect, hidden: &[&str]) -> Fault {
    let status = reply.status;
    let Some(said) = reply.json::<Said>().ok().map(|said| said.error) else {
        let (class, code) = match status {
            429 => (Class::Transient, Code::Throttled),
            300..=399 | 408 => (effect.lost(), Code::Unreadable),
            400..=499 => (Class::Transient, Code::Unreadable),
            _ => (effect.lost(), Code::Unavailable),
        };
        let words = format!(
            "answered {status} without a Graph error: a proxy or load balancer answered, so nothing \
             is known about the application"
        );
        return Fault::new(operation, class, code, words).retry_after(reply.retry_after());
    };
    let (name, message) = (quote(&said.code, hidden), quote(&said.message, hidden));
    let message = if message.is_empty() { "no reason given".to_owned() } else { message };
    let with =
        |then: &str| format!("answered {status} {name}: {}{then}", message.trim_end_matches('.'));
    let (class, code, words) = match status {
        // An application and its permissions take minutes until all of Graph knows them.
        401 => (
            Class::Terminal,
            Code::Unauthorized,
            with(
                "; the access token is not accepted, although it is new. For a new application \
                 this can take some minutes",
            ),
        ),
        403 => (
            Class::Terminal,
            Code::Forbidden,
            with(
                "; `scimitar permissions` prints what is needed. A new grant takes some minutes \
                 to take effect",
            ),
        ),
        404 => (
            Class::Terminal,
            Code::Invalid,
            with(
                "; service_principal is the object id of the service principal (Enterprise applications, \
                 Properties, Object ID), not the application's client id",
            ),
        ),
        409 | 423 => (Class::Transient, Code::Unavailable, with("; Scimitar tries again")),
        429 => (Class::Transient, Code::Throttled, with("")),
        500..=599 => (effect.lost(), Code::Unavailable, with("")),
        _ => (Class::Terminal, Code::Invalid, with("")),
    };
    Fault::new(operation, class, code, words).retry_after(reply.retry_after())
}

/// What a validation that did not succeed means: nothing was changed. Whether the service could not be
/// asked or does not take the token is told by the name alone.
pub(super) fn not_valid(operation: &str, reply: &Reply, hidden: &[&str]) -> Fault {
    let said = reply.json::<Said>().ok().map(|said| said.error);
    let refused = refused(operation, reply, Effect::None, hidden);
    let unavailable = said
        .as_ref()
        .is_some_and(|said| said.code.contains("Unavailable") || said.code.contains("Timeout"));
    match (reply.status, said) {
        (400 | 422, Some(_)) if unavailable => Fault {
            class: Class::Transient,
            code: Code::Unavailable,
            detail: format!("Entra could not validate the credentials: it {}", refused.detail),
            ..refused
        },
        (400 | 422, Some(_)) => Fault {
            class: Class::Terminal,
            code: Code::Unauthorized,
            detail: format!(
                "Entra could not log in to the SCIM endpoint with the new token, so nothing was \
                 changed: it {}; check `append`, and whether the SCIM endpoint can be reached from \
                 Entra",
                refused.detail
            ),
            ..refused
        },
        _ => refused,
    }
}
