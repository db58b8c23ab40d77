//! What the application needs at the Management API.

use serde_json::json;

use super::Auth0Config;
use crate::{
    kind::Grant,
    provider::{Right, operation::Kind, session::Access},
};

/// All calls that a rotation makes.
const CALLS: [Kind; 3] = [Kind::List, Kind::Create, Kind::Revoke];

/// The right that a call needs.
pub(super) fn scope(kind: Kind) -> &'static str {
    match kind {
        Kind::List => "read:scim_token",
        Kind::Create => "create:scim_token",
        Kind::Revoke => "delete:scim_token",
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
pub(super) fn granted(access: &Access, listed: bool) -> [Right; 3] {
    CALLS.map(|kind| {
        let scope = scope(kind);
        match &access.scope {
            Some(scopes) => Right {
                name: scope.to_owned(),
                missing: (!scopes.contains(scope)).then(|| how_to_grant(scope)),
            },
            None if kind == Kind::List && listed => Right { name: scope.to_owned(), missing: None },
            None => Right {
                name: format!(
                    "{scope} (unknown: the log-in's answer does not say what is granted)"
                ),
                missing: None,
            },
        }
    })
}

/// The scopes that a rotation needs and the log-in does not grant; none where it does not say.
pub(super) fn missing(access: &Access) -> Vec<&'static str> {
    let Some(granted) = &access.scope else { return Vec::new() };
    CALLS.map(scope).into_iter().filter(|scope| !granted.contains(*scope)).collect()
}

/// What the tenant has to grant.
pub(super) fn grant(table: String, auth0: &Auth0Config) -> Grant {
    let scopes = CALLS.map(scope);
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
