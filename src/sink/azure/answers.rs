//! What an answer means: the class that decides what is done about it.

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, quote},
    sink::rules::Effect,
};

/// A call that did not succeed.
pub(super) struct Refused {
    /// The service's own name for what is wrong, and the nearer one where it has that.
    names: Option<(String, String)>,
    /// What it means, unless whoever asked knows better.
    pub(super) fault: Fault,
}

impl Refused {
    /// A call that was not made, or not answered.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self { names: None, fault }
    }

    /// Whether the service said just this.
    pub(super) fn is(&self, name: &str) -> bool {
        self.names.as_ref().is_some_and(|(outer, inner)| outer == name || inner == name)
    }
}

#[derive(Deserialize)]
struct Said {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    innererror: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

/// Any answer but a good one; `hidden` shows up in no words.
pub(super) fn refused(operation: &str, reply: &Reply, effect: Effect, hidden: &[&str]) -> Refused {
    let said = reply.json::<Said>().ok().map(|said| said.error);
    let names = said.as_ref().map(|said| {
        let inner = said.innererror.as_ref().map(|inner| inner.code.clone());
        (said.code.clone(), inner.unwrap_or_default())
    });
    let (class, code, detail) = match (&said, &names) {
        (Some(said), Some((outer, inner))) => {
            own(reply.status, [outer, inner, &said.message], effect, hidden)
        }
        _ => foreign(reply, effect),
    };
    let fault = Fault::new(operation, class, code, detail).retry_after(reply.retry_after());
    Refused { names, fault }
}

/// That the name is taken by a secret which was deleted.
pub(super) const DELETED: &str = "a secret of this name was deleted and can still be recovered, so the name is taken. Recover it: az \
     keyvault secret recover --vault-name VAULT --name NAME; or wait until its retention ends; or, if nobody needs \
     it, purge it: az keyvault secret purge. Scimitar does none of these";

/// An answer of the service (its documentation "REST API error codes").
fn own(
    status: u16,
    [outer, inner, message]: [&str; 3],
    effect: Effect,
    hidden: &[&str],
) -> (Class, Code, String) {
    let name = quote(if inner.is_empty() { outer } else { inner }, hidden);
    let words = quote(message, hidden);
    let with = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { &words };
        format!("answered {status} {name}: {}{then}", words.trim_end_matches('.'))
    };
    match (status, inner) {
        (409, "ObjectIsDeletedButRecoverable") => {
            (Class::Terminal, Code::Invalid, DELETED.to_owned())
        }
        // It is being deleted, recovered or written by somebody else, which ends soon.
        (409, _) => (Class::Transient, Code::Unavailable, with("; Scimitar tries again")),
        (401, _) => (
            Class::Terminal,
            Code::Unauthorized,
            with(
                "; the access token is not accepted, although it is new: check that the vault is in the tenant that \
                 Scimitar logs in to",
            ),
        ),
        (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
            (Class::Terminal, Code::Forbidden, with("; the vault's firewall blocks this machine"))
        }
        (403, _) => (
            Class::Terminal,
            Code::Forbidden,
            with("; `scimitar permissions` prints the role that is needed"),
        ),
        (429, _) => (Class::Transient, Code::Throttled, with("")),
        (500..=599, _) => (effect.lost(), Code::Unavailable, with("")),
        _ => (Class::Terminal, Code::Invalid, with("")),
    }
}

/// An answer that is not the service's: a proxy's or a load balancer's, or a redirect.
fn foreign(reply: &Reply, effect: Effect) -> (Class, Code, String) {
    let status = reply.status;
    let words = format!(
        "answered {status} without a Key Vault error: a proxy or load balancer answered, so nothing \
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
