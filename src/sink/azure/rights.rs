//! The least that an identity must be allowed, as data actions of Azure's roles.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Value, json};

/// To disable a version.
pub(super) const UPDATE: &str = "Microsoft.KeyVault/vaults/secrets/update/action";

const GET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";

/// All that is needed on a secret that is delivered to (Microsoft's documentation "Azure permissions for
/// Security").
const ACTIONS: [&str; 4] = [
    GET,
    "Microsoft.KeyVault/vaults/secrets/setSecret/action",
    // To see that a name is taken by a secret that was deleted.
    "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    UPDATE,
];

/// All that is needed on a secret that is only watched.
const WATCHING: [&str; 1] = [GET];

/// What roles are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The names of the secrets that are delivered to.
    pub(super) names: BTreeSet<String>,
    /// The names of those that are only watched.
    pub(super) watched: BTreeSet<String>,
}

/// A role, as it is assigned on secrets.
struct Role<'a> {
    name: &'static str,
    about: &'static str,
    actions: &'static [&'static str],
    secrets: &'a BTreeSet<String>,
}

impl Needs {
    /// The roles that are assigned on any secret.
    fn roles(&self) -> impl Iterator<Item = Role<'_>> {
        let deliver = Role {
            name: "Scimitar",
            about: "Delivers SCIM tokens to secrets of Key Vault.",
            actions: &ACTIONS,
            secrets: &self.names,
        };
        let watch = Role {
            name: "Scimitar-Watch",
            about: "Reads SCIM tokens in secrets of Key Vault.",
            actions: &WATCHING,
            secrets: &self.watched,
        };
        [deliver, watch].into_iter().filter(|role| !role.secrets.is_empty())
    }
}

/// The data actions, and the secrets that they are for.
pub(super) fn actions(needs: &Needs) -> Value {
    let mut all = json!({});
    if !needs.names.is_empty() {
        all = json!({ "data_actions": ACTIONS, "secrets": needs.names });
    }
    if !needs.watched.is_empty() {
        all["watched"] = json!({ "data_actions": WATCHING, "secrets": needs.watched });
    }
    all
}

/// The roles as `az role definition create` takes them, with the assignments beside.
pub(super) fn roles(vault: &str, needs: &Needs) -> String {
    let mut text = String::new();
    for Role { name, about, actions, secrets } in needs.roles() {
        let role = json!({
            "Name": name,
            "IsCustom": true,
            "Description": about,
            "Actions": [],
            "DataActions": actions,
            "AssignableScopes": ["/subscriptions/SUBSCRIPTION"],
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{role:#}");
        for secret in secrets {
            let _ = writeln!(
                text,
                "# az role assignment create --role {name} --assignee-object-id ID --scope \
                 VAULT_RESOURCE_ID/secrets/{secret}"
            );
        }
    }
    let policies = if needs.names.is_empty() { "get" } else { "get, set and list" };
    let _ = writeln!(
        text,
        "# VAULT_RESOURCE_ID: az keyvault show --query id --output tsv --name {vault}. Under access policies\n\
         # instead of roles: {policies}, for all secrets of the vault."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_role_is_assigned_on_each_secret() {
        let needs = Needs { names: named(&["a", "b"]), watched: BTreeSet::new() };
        let text = roles("acme-scim", &needs);
        assert!(text.contains("/secrets/a\n") && text.contains("/secrets/b\n"), "{text}");
        assert!(!text.contains("purge") && !text.contains("delete"), "{text}");
        assert!(!text.contains("Watch"), "{text}");
        assert_eq!(actions(&needs)["data_actions"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        let only = Needs { names: BTreeSet::new(), watched: named(&["seen"]) };
        let text = roles("acme-scim", &only);
        assert!(
            text.contains("--role Scimitar-Watch ") && text.contains("/secrets/seen\n"),
            "{text}"
        );
        assert!(!text.contains("setSecret") && !text.contains(UPDATE), "{text}");
        assert!(text.contains("roles: get, for"), "{text}");
        let watched = json!({ "data_actions": [GET], "secrets": ["seen"] });
        assert_eq!(actions(&only), json!({ "watched": watched }));
        let both = Needs { names: named(&["a"]), ..only };
        let text = roles("acme-scim", &both);
        assert!(text.contains("--role Scimitar --") && text.contains("--role Scimitar-Watch --"));
        assert_eq!(actions(&both)["secrets"], json!(["a"]));
        assert_eq!(actions(&both)["watched"], watched);
    }
}
