//! What an answer means: the class that decides what is done about it.

use std::error::Error;

use aws_config::meta::{ProviderAttempt, ProviderChainError};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use crate::{
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
                format!("answered {status} with something else than AWS's documents say"),
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
                "; grant what docs/aws-secrets-manager.md lists to the role, and look for a \
                 resource policy or a permissions boundary that denies it",
            ),
        ),
        "EncryptionFailure" | "DecryptionFailure" => (Class::Terminal, Code::Forbidden, with(KMS)),
        "LimitExceeded" => (
            Class::Terminal,
            Code::Invalid,
            with("; this is a quota of the account or of the secret's versions, and does not pass"),
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
            with("; the credentials are not known there: are they of this account and partition?"),
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
const KMS: &str = "; see that the key is enabled, and grant kms:GenerateDataKey and kms:Decrypt on \
                   it, in its key policy too (a key of another account than the secret's cannot be \
                   aws/secretsmanager)";

/// An answer that is not AWS's: a proxy's or a load balancer's.
fn foreign(status: u16, effect: Effect) -> (Class, Code, String) {
    let words = format!(
        "answered {status} without AWS's own words: something in front of it answered, which says \
         nothing of the secret"
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

/// No call was made, for want of credentials.
pub(super) fn credentials(error: &CredentialsError, hidden: &[&str]) -> (Class, Code, String) {
    if let Some(lost) = cause::<Unanswered>(error) {
        let (class, code, words) = of_unanswered(lost, Effect::None);
        return (class, code, format!("there are no credentials: {words}"));
    }
    let words = quote(&chain(error), hidden);
    match error {
        CredentialsError::CredentialsNotLoaded(_) if attempts(error).is_some() => (
            Class::Terminal,
            Code::Unauthorized,
            // Each reason in its own words: in one quotation, the last ones would be cut off.
            format!(
                "there are no AWS credentials: {}",
                attempts(error).map(|tried| reasons(tried, hidden)).unwrap_or_default()
            ),
        ),
        CredentialsError::CredentialsNotLoaded(_) => (
            Class::Terminal,
            Code::Unauthorized,
            format!(
                "there are no AWS credentials: neither in the environment (AWS_ACCESS_KEY_ID), nor \
                 in a profile, nor of a web identity, a container or an instance ({words})"
            ),
        ),
        CredentialsError::InvalidConfiguration(_) => (
            Class::Terminal,
            Code::Unauthorized,
            format!("the AWS credentials' configuration is of no use: {}", of_profile(&words)),
        ),
        CredentialsError::ProviderTimedOut(_) => (
            Class::Transient,
            Code::Timeout,
            format!("the AWS credentials could not be had in time: {words}"),
        ),
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) => of_provider(&words),
        _ => of_provider(&words),
    }
}

type Tried = ProviderChainError<CredentialsError>;

fn attempts(error: &CredentialsError) -> Option<&Tried> {
    cause::<Tried>(error)
}

/// What each source said, in the order in which they were asked.
fn reasons(tried: &Tried, hidden: &[&str]) -> String {
    let reason = |attempt: &ProviderAttempt<CredentialsError>| {
        let source = match attempt.name() {
            "Environment" => "environment (AWS_ACCESS_KEY_ID)",
            "Profile" => "profile (AWS_PROFILE, ~/.aws)",
            "WebIdentityToken" => "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
            "EcsContainer" => "container (AWS_CONTAINER_CREDENTIALS_FULL_URI)",
            "Ec2InstanceMetadata" => "instance",
            other => other,
        };
        let error = attempt.error();
        // That nothing was found is said by the whole.
        let words = error.source().map_or_else(|| error.to_string(), chain);
        format!("{source}: {}", quote(&words, hidden))
    };
    tried.attempts().iter().map(reason).collect::<Vec<_>>().join("; ")
}

/// The SDK's own words about a profile, but for what only who builds this program could do.
fn of_profile(words: &str) -> String {
    const SSO: &str = "the profile signs in through IAM Identity Center (sso_session, sso_start_url), which \
                       needs a person at a browser from time to time and is not built in; use a role \
                       (instance, container, web identity, role_arn), or a profile with \
                       credential_process = \"aws configure export-credentials --profile NAME --format \
                       process\"";
    const LOGIN: &str = "the profile is of a person's session at the console (login_session), which is \
                         not built in; use a role (instance, container, web identity, role_arn) or \
                         credential_process";
    let Some((_, feature)) = words.split_once("cargo feature(s) enabled: ") else {
        return words.to_owned();
    };
    if feature.starts_with("sso") { SSO } else { LOGIN }.to_owned()
}

/// Where STS says no, it says so for good.
fn of_provider(words: &str) -> (Class, Code, String) {
    let detail = format!("the AWS credentials could not be had: {words}");
    let denied = ["AccessDenied", "InvalidIdentityToken", "MalformedPolicyDocument", "IDPRejected"];
    if denied.iter().any(|name| words.contains(name)) {
        let then = "; see the role's trust policy: whom it trusts, for which external id, and \
                    whether sts:TagSession is allowed where there are session tags";
        return (Class::Terminal, Code::Unauthorized, format!("{detail}{then}"));
    }
    (Class::Transient, Code::Unavailable, detail)
}

/// The first cause of a kind.
fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
