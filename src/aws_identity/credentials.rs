//! Why there are no credentials: the class that decides what is done about it, and the words.

use std::error::Error;

use aws_config::meta::{ProviderAttempt, ProviderChainError};
use aws_credential_types::provider::error::CredentialsError;

use crate::{
    error::{Class, Code, chain},
    http::{Unanswered, quote},
};

/// No call was made, for want of credentials.
pub(crate) fn credentials(error: &CredentialsError, hidden: &[&str]) -> (Class, Code, String) {
    if let Some(lost) = cause::<Unanswered>(error) {
        // Nothing was changed, whether or not the request was sent.
        let class = if lost.code == Code::Invalid { Class::Terminal } else { Class::Transient };
        return (class, lost.code, format!("there are no credentials: {}", lost.detail));
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
                "there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID), a profile, \
                 a web identity, a container or an instance ({words})"
            ),
        ),
        CredentialsError::InvalidConfiguration(_) => (
            Class::Terminal,
            Code::Unauthorized,
            format!(
                "the configuration of the AWS credentials is not usable: {}",
                of_profile(&words)
            ),
        ),
        CredentialsError::ProviderTimedOut(_) => (
            Class::Transient,
            Code::Timeout,
            format!("timed out while getting the AWS credentials: {words}"),
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
                       needs a person at a browser and is not supported; use a role \
                       (instance, container, web identity, role_arn), or a profile with \
                       credential_process = \"aws configure export-credentials --profile NAME --format \
                       process\"";
    const LOGIN: &str = "the profile is a person's console session (login_session), which is not supported; \
                         use a role (instance, container, web identity, role_arn) or \
                         credential_process";
    let Some((_, feature)) = words.split_once("cargo feature(s) enabled: ") else {
        return words.to_owned();
    };
    if feature.starts_with("sso") { SSO } else { LOGIN }.to_owned()
}

/// Where STS says no, it says so for good.
fn of_provider(words: &str) -> (Class, Code, String) {
    let detail = format!("could not get the AWS credentials: {words}");
    let denied = ["AccessDenied", "InvalidIdentityToken", "MalformedPolicyDocument", "IDPRejected"];
    if denied.iter().any(|name| words.contains(name)) {
        let then = "; check the role's trust policy: whom it trusts, the external id, and whether \
                    it allows sts:TagSession if there are session tags";
        return (Class::Terminal, Code::Unauthorized, format!("{detail}{then}"));
    }
    (Class::Transient, Code::Unavailable, detail)
}

/// The first cause of a kind.
pub(crate) fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
