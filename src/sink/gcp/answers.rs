//! What an answer means: the class that decides what is done about it.

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, quote},
    sink::rules::Effect,
};

/// A call that did not succeed.
pub(super) struct Refused {
    /// Google's own name for what is wrong, such as `NOT_FOUND`.
    name: Option<String>,
    /// What it means, unless whoever asked knows better.
    pub(super) fault: Fault,
}

impl Refused {
    /// A call that was not made, or not answered.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self { name: None, fault }
    }

    /// Whether Google said just this.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

#[derive(Deserialize)]
struct Said {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    status: String,
    #[serde(default)]
    message: String,
}

/// Any answer but a good one; `hidden` shows up in no words.
pub(super) fn refused(operation: &str, reply: &Reply, effect: Effect, hidden: &[&str]) -> Refused {
    let said = reply.json::<Said>().ok().map(|said| said.error);
    let (class, code, detail) = match &said {
        Some(said) => own(reply.status, [&said.status, &said.message], effect, hidden),
        None => foreign(reply, effect),
    };
    let fault = Fault::new(operation, class, code, detail).retry_after(reply.retry_after());
    Refused { name: said.map(|said| said.status), fault }
}

/// An answer of Google (its error model, `google.rpc.Code`).
fn own(
    status: u16,
    [name, message]: [&str; 2],
    effect: Effect,
    hidden: &[&str],
) -> (Class, Code, String) {
    let words = quote(message, hidden);
    let with = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { &words };
        format!("answered {status} {}: {words}{then}", quote(name, hidden))
    };
    match (name, status) {
        ("UNAUTHENTICATED", _) => (
            Class::Terminal,
            Code::Unauthorized,
            with("; the access token is not accepted, although it is new"),
        ),
        // Whether an API is switched off is said in this way as well.
        ("PERMISSION_DENIED", _) => (
            Class::Terminal,
            Code::Forbidden,
            with("; `scimitar permissions` prints the role that is needed"),
        ),
        ("ABORTED", _) => (
            Class::Conflict,
            Code::Changed,
            "somebody else changed it after it was read".to_owned(),
        ),
        ("RESOURCE_EXHAUSTED", _) | (_, 429) => (Class::Transient, Code::Throttled, with("")),
        ("UNAVAILABLE" | "INTERNAL" | "UNKNOWN" | "DEADLINE_EXCEEDED" | "CANCELLED", _)
        | (_, 500..=599) => (effect.lost(), Code::Unavailable, with("")),
        _ => (Class::Terminal, Code::Invalid, with("")),
    }
}

/// An answer that is not Google's: a proxy's or a load balancer's, or a redirect.
fn foreign(reply: &Reply, effect: Effect) -> (Class, Code, String) {
    let status = reply.status;
    let words = format!(
        "answered {status} without a Google error: a proxy or load balancer answered, so nothing \
         is known about the secret"
    );
    match status {
        429 => (Class::Transient, Code::Throttled, words),
        // What stands in front may have passed it on before it answered so.
        300..=399 | 408 => (effect.lost(), Code::Unreadable, words),
        400..=499 => (Class::Transient, Code::Unreadable, words),
        _ => (effect.lost(), Code::Unavailable, words),
    }
}
