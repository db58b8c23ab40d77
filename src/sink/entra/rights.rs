//! The least that an application must be allowed, as application permissions of Microsoft Graph.

use std::fmt::Write;

use jsonwebtoken::dangerous;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{rotation::policy::Mode, secret::Secret};

/// Enough where the application owns the service principal …
const OWNED: &str = "Application.ReadWrite.OwnedBy";
/// … and for all service principals of the tenant.
const ALL: &str = "Synchronization.ReadWrite.All";
/// Enough too, and far more than is needed.
const EVERYTHING: &str = "Application.ReadWrite.All";
/// Enough to see the provisioning jobs of the tenant.
const READ: &str = "Synchronization.Read.All";

/// The permissions that a log-in has by its access token, which is Microsoft's word to us over an
/// authenticated connection, so its signature is not ours to check. `None`: the token does not say.
pub(super) fn roles_in(access: &Secret) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Granted {
        #[serde(default)]
        roles: Vec<String>,
    }
    let granted = dangerous::insecure_decode::<Granted>(access.expose()).ok()?;
    Some(granted.claims.roles)
}

/// What is missing for the mode among these permissions, in words.
pub(super) fn missing(granted: &[String], mode: Mode) -> Option<String> {
    let has = |enough: &[&str]| granted.iter().any(|role| enough.contains(&role.as_str()));
    let writes = has(&[OWNED, ALL, EVERYTHING]);
    match mode {
        Mode::Rotate => (!writes).then(|| {
            format!(
                "the application permission {OWNED} of Microsoft Graph is missing: grant it with admin \
                 consent, and make the application an owner of the service principal"
            )
        }),
        Mode::Observe => (!writes && !has(&[READ])).then(|| {
            format!(
                "the application permission {READ} of Microsoft Graph is missing: grant it with admin consent"
            )
        }),
    }
}

/// What of the right to write only a write would show, with these permissions; `None`: nothing.
pub(super) fn untried(granted: Option<&[String]>) -> Option<&'static str> {
    match granted {
        None => Some(
            "the permission to write was not checked: the access token does not show its \
             permissions, and Graph shows it only on a write",
        ),
        Some(granted) if granted.iter().any(|role| role == ALL || role == EVERYTHING) => None,
        Some(_) => Some(
            "it was not checked whether the application owns the service principal: Graph shows it only on \
             a write",
        ),
    }
}

/// What is to be granted, for people: to deliver to these, and where others are only watched.
pub(super) fn policy(principals: &[&str], watches: bool) -> String {
    let mut text = String::new();
    if !principals.is_empty() {
        text.push_str(&to_deliver(principals));
    }
    if watches {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{READ}\n# An application permission of Microsoft Graph, with admin consent: for applications whose\n\
             # connections are only watched.\n"
        );
    }
    text
}

fn to_deliver(principals: &[&str]) -> String {
    let list: String = principals.iter().map(|id| format!("#   {id}\n")).collect();
    format!(
        "{OWNED}\n# An application permission of Microsoft Graph, with admin consent. The application has to own\n# \
         the service principals of:\n{list}# Or, without owning them, for every application of the tenant: \
         {ALL}.\n"
    )
}

/// The same as data.
pub(super) fn rights(principals: &[&str], watches: bool) -> Value {
    let delivers = (!principals.is_empty()).then_some(OWNED);
    let permissions: Vec<&str> = delivers.into_iter().chain(watches.then_some(READ)).collect();
    json!({ "graph_permissions": permissions, "owner_of": principals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_permissions_is_enough() {
        let granted = |roles: &[&str]| roles.iter().map(ToString::to_string).collect::<Vec<_>>();
        for enough in [OWNED, ALL] {
            assert_eq!(missing(&granted(&[enough]), Mode::Rotate), None);
            assert_eq!(missing(&granted(&[enough]), Mode::Observe), None);
        }
        for role in ["User.Read.All", READ] {
            assert!(missing(&granted(&[role]), Mode::Rotate).unwrap().contains(OWNED));
        }
        assert_eq!(roles_in(&Secret::new("opaque".to_owned())), None);
    }

    #[test]
    fn ownership_is_not_claimed() {
        let granted = |role: &str| vec![role.to_owned()];
        for (granted, words) in [
            (None, Some("does not show its permissions")),
            (Some(granted(OWNED)), Some("owns the service principal")),
            (Some(granted(ALL)), None),
        ] {
            let said = untried(granted.as_deref());
            assert_eq!(said.is_some(), words.is_some(), "{granted:?}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{said:?}");
        }
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        assert_eq!(missing(&[READ.to_owned()], Mode::Observe), None);
        assert!(missing(&["User.Read.All".to_owned()], Mode::Observe).unwrap().contains(READ));
        let only = policy(&[], true);
        assert!(only.starts_with(READ) && !only.contains("ReadWrite"), "{only}");
        assert_eq!(rights(&[], true), json!({ "graph_permissions": [READ], "owner_of": [] }));
        let both = policy(&["an-id"], true);
        assert!(
            both.contains(OWNED) && both.contains(READ) && both.contains("#   an-id\n"),
            "{both}"
        );
        assert_eq!(rights(&["an-id"], true)["graph_permissions"], json!([OWNED, READ]));
        assert!(!policy(&["an-id"], false).contains(READ));
    }
}
