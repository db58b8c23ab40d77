//! What the application needs at the Management API.

use serde_json::json;

use super::Auth0Config;
use crate::{
    kind::Grant,
    provider::{Right, kind::Needs, operation::Kind, session::Access},
    rotation::policy::Mode,
};

/// All calls that a rotation makes.
const CALLS: [Kind; 3] = [Kind::List, Kind::Create, Kind::Revoke];

/// All calls that are made where nothing is changed.
const WATCHING: [Kind; 1] = [Kind::List];

/// The right that a call needs.
pub(super) fn scope(kind: Kind) -> &'static str {
    match kind {
        Kind::List => "read:scim_token",
        Kind::Create => "create:scim_token",
        Kind::Revoke => "delete:scim_token",
        Kind::Discover | Kind::ReadConfig => "read:scim_config",
        Kind::CreateConfig => "create:scim_config",
        Kind::ReplaceConfig => "update:scim_config",
        Kind::Connections => "read:connections",
    }
}

/// How a missing right is granted.
pub(super) fn how_to_grant(right: &str) -> String {
    format!(
        "grant {right} to the application: in Auth0's dashboard under Applications, APIs, \
         Auth0 Management API, Machine to Machine Applications"
    )
}

/// Which scopes are granted. Where the log-in does not say, a list that was answered proves the
/// right to read; the others could only be proven by using them.
pub(super) fn granted(access: &Access, listed: bool, needs: Needs) -> Vec<Right> {
    let all = scopes(needs).into_iter();
    all.map(|scope| match &access.scope {
        Some(scopes) => Right {
            name: scope.to_owned(),
            missing: (!scopes.contains(scope)).then(|| how_to_grant(scope)),
        },
        None if scope == self::scope(Kind::List) && listed => {
            Right { name: scope.to_owned(), missing: None }
        }
        None => Right {
            name: format!("{scope} (unknown: the log-in's answer does not say what is granted)"),
            missing: None,
        },
    })
    .collect()
}

/// The scopes that a rotation needs and the log-in does not grant; none where it does not say.
pub(super) fn missing(access: &Access) -> Vec<&'static str> {
    let Some(granted) = &access.scope else { return Vec::new() };
    CALLS.map(scope).into_iter().filter(|scope| !granted.contains(*scope)).collect()
}

/// The scopes that are needed.
fn scopes(needs: Needs) -> Vec<&'static str> {
    let calls: &[Kind] = match needs.mode {
        Mode::Rotate => &CALLS,
        Mode::Observe => &WATCHING,
    };
    let beside = [
        (needs.discovers || needs.compares, Kind::ReadConfig),
        (needs.creates, Kind::CreateConfig),
        (needs.restores, Kind::ReplaceConfig),
    ];
    let beside = beside.into_iter().filter(|(needed, _)| *needed).map(|(_, kind)| kind);
    calls.iter().copied().chain(beside).map(scope).collect()
}

/// What the tenant has to grant.
pub(super) fn grant(table: String, auth0: &Auth0Config, needs: Needs) -> Grant {
    let scopes = scopes(needs);
    Grant {
        table,
        kind: super::KIND.word,
        at: auth0.domain.clone(),
        namespace: None,
        to: "scopes of the Auth0 Management API, for the application that `client_id` names",
        policy: scopes.join(" ") + "\n",
        rights: json!({ "scopes": scopes }),
    }
}
