//! What an answer means: the class that decides what is done about it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use crate::{
    aws_identity::{cause, credentials},
    error::{Class, Code, Fault, chain},
    http::{Sent, Unanswered, quote},
};

/// Whether a call changes anything that matters: then the loss of its answer leaves that open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing is changed, or the call can be made again whatever came of it.
    None,
    /// What readers get is.
    Writes,
}

/// A call that did not succeed.
#[derive(Debug)]
pub(super) struct Refused {
    /// AWS's own name for what is wrong, such as `ResourceNotFoundException`; none where AWS did
    /// not answer.
    pub(super) name: Option<String>,
    /// What it means, unless whoever asked knows better.
    pub(super) fault: Fault,
}

impl Refused {
    /// Whether AWS said just this.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Whether AWS refused it for what it asks, so that nothing changed.
    pub(super) fn is_refusal(&self) -> bool {
        ["InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"]
            .iter()
            .any(|name| self.is(name))
    }
}

/// What AWS said.
#[derive(Debug)]
struct Said {
    status: u16,
    name: String,
    words: String,
}

/// Reads an error of the SDK; `hidden` shows up in no words.
pub(super) fn refused<E>(
    operation: &str,
    error: &SdkError<E, HttpResponse>,
    effect: Effect,
    hidden: &[&str],
) -> Refused
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let Some(response) = error.raw_response() {
        let said = said(error, response, hidden);
        let status = response.status().as_u16();
        let (class, code, detail) = match &said {
            Some(said) => own(said, effect),
            None if response.status().is_success() => (
                lost(effect),
                Code::Unreadable,
                format!("answered {status} with content that AWS does not document"),
            ),
            None => foreign(status, effect),
        };
        let pause = response.headers().get("retry-after").and_then(|text| text.parse().ok());
        let fault = Fault::new(operation, class, code, detail)
            .retry_after(pause.map(std::time::Duration::from_secs));
        return Refused { name: said.map(|said| said.name), fault };
    }
    let (class, code, detail) = unanswered(error, effect, hidden);
    Refused { name: None, fault: Fault::new(operation, class, code, detail) }
}

/// AWS's own words, in JSON, or in XML as STS and lenient servers have it.
fn said<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    response: &HttpResponse,
    hidden: &[&str],
) -> Option<Said> {
    if response.status().is_success() {
        return None;
    }
    let status = response.status().as_u16();
    let body = response.body().bytes().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let name = error.code().map(str::to_owned).or_else(|| element(&body, "Code"));
    let words = error.message().map(str::to_owned).or_else(|| {
        let text = json.get("Message").or_else(|| json.get("message")).and_then(Value::as_str);
        text.map(str::to_owned).or_else(|| element(&body, "Message"))
    });
    Some(Said { status, name: name?, words: quote(&words.unwrap_or_default(), hidden) })
}

fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

fn lost(effect: Effect) -> Class {
    match effect {
        Effect::None => Class::Transient,
        Effect::Writes => Class::Ambiguous,
    }
}

fn own(said: &Said, effect: Effect) -> (Class, Code, String) {
    let Said { status, name, words } = said;
    let with = |then: &str| {
        let words = if words.is_empty() { "no reason given" } else { words };
        format!("answered {status} {name}: {words}{then}")
    };
    let name = name.strip_suffix("Exception").unwrap_or(name);
    let of_kms = words.contains("KMS") || words.contains("kms");
    match name {
        "AccessDenied" if of_kms => (Class::Terminal, Code::Forbidden, with(KMS)),
        "AccessDenied" | "AccessDeniedError" | "UnauthorizedOperation" | "NotAuthorized" => (
            Class::Terminal,
            Code::Forbidden,
            with(
                "; `scimitar permissions` prints the policy that is needed; a resource policy or a \
                 permissions boundary may also deny it",
            ),
        ),
        "EncryptionFailure" | "DecryptionFailure" => (Class::Terminal, Code::Forbidden, with(KMS)),
        "LimitExceeded" => (
            Class::Terminal,
            Code::Invalid,
            with(
                "; a quota of the account or of the secret's versions is used up, and retrying does not help: raise the quota, or delete what is no longer needed",
            ),
        ),
        "Throttling"
        | "ThrottledException"
        | "Throttled"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled" => (Class::Transient, Code::Throttled, with("")),
        "ExpiredToken" | "RequestExpired" | "TokenRefreshRequired" => {
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
        | "AuthFailure"
        | "InvalidAccessKeyId" => (
            Class::Terminal,
            Code::Unauthorized,
            with(
                "; AWS does not know the credentials: check that they belong to this account and partition",
            ),
        ),
        "InternalServiceError" | "InternalFailure" | "InternalError" | "ServiceUnavailable" => {
            (lost(effect), Code::Unavailable, with(""))
        }
        _ if *status == 429 => (Class::Transient, Code::Throttled, with("")),
        _ if *status >= 500 => (lost(effect), Code::Unavailable, with("")),
        _ => (Class::Terminal, Code::Invalid, with("")),
    }
}

/// The way out of everything that the key stands in the way of.
const KMS: &str = "; check that the key is enabled, and grant kms:GenerateDataKey and kms:Decrypt on \
                   it, in its key policy too (a key of another account than the secret's cannot be \
                   aws/secretsmanager)";

/// An answer that is not AWS's: a proxy's or a load balancer's.
fn foreign(status: u16, effect: Effect) -> (Class, Code, String) {
    let words = format!(
        "answered {status} without an AWS error: a proxy or load balancer answered, so nothing \
         is known about the secret"
    );
    match status {
        429 => (Class::Transient, Code::Throttled, words),
        // What stands in front may have passed it on before it answered so.
        300..=399 | 408 => (lost(effect), Code::Unreadable, words),
        400..=499 => (Class::Transient, Code::Unreadable, words),
        _ => (lost(effect), Code::Unavailable, words),
    }
}

fn unanswered<E>(
    error: &SdkError<E, HttpResponse>,
    effect: Effect,
    hidden: &[&str],
) -> (Class, Code, String)
where
    E: Error + 'static,
{
    if let Some(error) = cause::<CredentialsError>(error) {
        return credentials(error, hidden);
    }
    if let Some(lost) = cause::<Unanswered>(error) {
        return of_unanswered(lost, effect);
    }
    let words = quote(&chain(error), hidden);
    match error {
        SdkError::TimeoutError(_) => {
            (lost(effect), Code::Timeout, "no answer within the time for a request".to_owned())
        }
        SdkError::ConstructionFailure(_) => {
            (Class::Terminal, Code::Invalid, format!("the request could not be built ({words})"))
        }
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | SdkError::ServiceError(_) => {
            (lost(effect), Code::Unavailable, words)
        }
        _ => (lost(effect), Code::Unavailable, words),
    }
}

fn of_unanswered(error: &Unanswered, effect: Effect) -> (Class, Code, String) {
    let class = match (error.code, error.sent) {
        (Code::Invalid, _) => Class::Terminal,
        (_, Sent::Perhaps) => lost(effect),
        (_, Sent::No) => Class::Transient,
    };
    (class, error.code, error.detail.clone())
}
