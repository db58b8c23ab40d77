//! What an answer means: the class that decides what is done about it.

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, quote},
    sink::rules::Effect,
};

/// A call that did not succeed.
pub(super) struct Refused {
    /// AWS's own name for what is wrong, such as `ParameterNotFound`.
    name: Option<String>,
    /// What it means, unless whoever asked knows better.
    pub(super) fault: Fault,
}

impl Refused {
    /// A call that was not made, or not answered.
    pub(super) fn unsent(fault: Fault) -> Self {
        Self { name: None, fault }
    }

    /// Whether AWS said just this.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "__type")]
    name: String,
    #[serde(default)]
    message: Option<String>,
    // Some answers have it in this spelling, and some in both.
    #[serde(default, rename = "Message")]
    capital: Option<String>,
}

/// Any answer but a good one; `hidden` shows up in no words.
pub(super) fn refused(operation: &str, reply: &Reply, effect: Effect, hidden: &[&str]) -> Refused {
    let said = reply.json::<Said>().ok();
    // A namespace may stand in front of the name.
    let name = said.as_ref().map(|said| {
        let name = said.name.rsplit('#').next().unwrap_or_default();
        name.split(':').next().unwrap_or_default().to_owned()
    });
    let words = said.and_then(|said| said.message.or(said.capital)).unwrap_or_default();
    let words = quote(&words, hidden);
    let (class, code, detail) = match &name {
        Some(name) => own(reply.status, name, &words, effect),
        None => foreign(reply.status, effect),
    };
    let fault = Fault::new(operation, class, code, detail).retry_after(reply.retry_after());
    Refused { name, fault }
}

/// An answer of AWS (its API reference: `PutParameter`, `GetParameter`, common errors).
fn own(status: u16, name: &str, words: &str, effect: Effect) -> (Class, Code, String) {
    let with = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { words };
        format!("answered {status} {name}: {words}{then}")
    };
    let of_kms = words.contains("KMS") || words.contains("kms");
    match name.strip_suffix("Exception").unwrap_or(name) {
        "ParameterAlreadyExists" => (
            Class::Conflict,
            Code::Changed,
            "somebody else created it after it was read".to_owned(),
        ),
        "TooManyUpdates" => {
            (Class::Transient, Code::Throttled, with("; somebody else is writing it now"))
        }
        "ParameterMaxVersionLimitExceeded" => (
            Class::Terminal,
            Code::Invalid,
            with(
                "; AWS keeps 100 versions and does not delete a labelled one: move the label of the oldest \
                 version (aws ssm label-parameter-version) or remove it (unlabel-parameter-version)",
            ),
        ),
        "AccessDenied" | "AccessDeniedError" | "InvalidKeyId"
            if of_kms || name == "InvalidKeyId" =>
        {
            (
                Class::Terminal,
                Code::Forbidden,
                with(
                    "; check that the key exists and is enabled, and grant what `scimitar permissions` prints",
                ),
            )
        }
        "AccessDenied" | "AccessDeniedError" | "UnauthorizedOperation" | "NotAuthorized" => (
            Class::Terminal,
            Code::Forbidden,
            with("; `scimitar permissions` prints the policy that is needed"),
        ),
        "Throttling" | "ThrottledException" | "TooManyRequests" | "RequestLimitExceeded" => {
            (Class::Transient, Code::Throttled, with(""))
        }
        "ExpiredToken" | "RequestExpired" => {
            (Class::Transient, Code::Unauthorized, with("; the credentials have expired"))
        }
        "InvalidSignature" | "SignatureDoesNotMatch"
            if words.contains("expired") || words.contains("not yet current") =>
        {
            let then = "; this machine's clock differs from AWS's: set it by NTP";
            (Class::Transient, Code::Unauthorized, with(then))
        }
        "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "AuthFailure" => (
            Class::Terminal,
            Code::Unauthorized,
            with(
                "; AWS does not know the credentials: check that they belong to this account and partition",
            ),
        ),
        _ if status == 429 => (Class::Transient, Code::Throttled, with("")),
        "InternalServerError" | "InternalFailure" | "ServiceUnavailable" => {
            (effect.lost(), Code::Unavailable, with(""))
        }
        _ if status >= 500 => (effect.lost(), Code::Unavailable, with("")),
        _ => (Class::Terminal, Code::Invalid, with("")),
    }
}

/// An answer that is not AWS's: a proxy's or a load balancer's.
fn foreign(status: u16, effect: Effect) -> (Class, Code, String) {
    let words = format!(
        "answered {status} without an AWS error: a proxy or load balancer answered, so nothing \
         is known about the parameter"
    );
    match status {
        429 => (Class::Transient, Code::Throttled, words),
        // What stands in front may have passed it on before it answered so.
        300..=399 | 408 => (effect.lost(), Code::Unreadable, words),
        400..=499 => (Class::Transient, Code::Unreadable, words),
        _ => (effect.lost(), Code::Unavailable, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_parameter_store_has_its_class() {
        for (status, name, words, class, code) in [
            (400, "ParameterAlreadyExists", "", Class::Conflict, Code::Changed),
            (400, "TooManyUpdates", "", Class::Transient, Code::Throttled),
            (400, "ParameterMaxVersionLimitExceeded", "", Class::Terminal, Code::Invalid),
            (400, "AccessDeniedException", "no", Class::Terminal, Code::Forbidden),
            (400, "InvalidKeyId", "no key", Class::Terminal, Code::Forbidden),
            (400, "ThrottlingException", "", Class::Transient, Code::Throttled),
            (400, "ExpiredTokenException", "", Class::Transient, Code::Unauthorized),
            (400, "UnrecognizedClientException", "", Class::Terminal, Code::Unauthorized),
            (400, "ValidationException", "too long", Class::Terminal, Code::Invalid),
            (500, "InternalServerError", "", Class::Ambiguous, Code::Unavailable),
            (503, "SomethingNew", "", Class::Ambiguous, Code::Unavailable),
        ] {
            let (is, of, said) = own(status, name, words, Effect::Writes);
            assert_eq!((is, of), (class, code), "{name}: {said}");
        }
        let (class, ..) = own(500, "InternalServerError", "", Effect::None);
        assert_eq!(class, Class::Transient, "a read changes nothing");
        assert_eq!(foreign(502, Effect::Writes).0, Class::Ambiguous);
        assert_eq!(foreign(403, Effect::Writes).0, Class::Transient);
    }
}
