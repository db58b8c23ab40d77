//! The least that who logs in must be allowed.

use serde_json::{Value, json};

/// What a write needs.
pub(super) const WRITES: &str = "okta.apps.manage";

/// OAuth scopes, and the permissions of the same names in a custom admin role.
const NEEDED: [&str; 2] = ["okta.apps.read", WRITES];

/// What an access token is asked for.
pub(super) fn scope() -> String {
    NEEDED.join(" ")
}

/// What is to be granted, for people.
pub(super) fn policy(apps: &[&str], by_scopes: bool) -> String {
    let list: String = apps.iter().map(|id| format!("#   {id}\n")).collect();
    let needed = NEEDED.join("\n");
    if by_scopes {
        return format!(
            "{needed}\n# OAuth scopes, granted to the service app (Okta API Scopes). Its admin role needs the \
             permissions of\n# the same names (\"Manage applications\"), in a resource set of these \
             applications alone:\n{list}"
        );
    }
    format!(
        "{needed}\n# Permissions (\"Manage applications\") of a custom admin role, which the administrator who makes \
         the API token\n# has in a resource set of these applications alone:\n{list}"
    )
}

/// The same as data.
pub(super) fn rights(apps: &[&str], by_scopes: bool) -> Value {
    let scopes: &[&str] = if by_scopes { &NEEDED } else { &[] };
    json!({ "role_permissions": NEEDED, "oauth_scopes": scopes, "applications": apps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_for_a_service_app_alone() {
        for by_scopes in [true, false] {
            let text = policy(&["0oa1", "0oa2"], by_scopes);
            assert!(text.starts_with("okta.apps.read\nokta.apps.manage\n#"), "{text}");
            assert!(text.contains("#   0oa1\n#   0oa2\n"), "{text}");
            assert_eq!(text.contains("OAuth scopes"), by_scopes);
            let data = rights(&["0oa1"], by_scopes);
            assert_eq!(data["applications"], json!(["0oa1"]));
            assert_eq!(data["oauth_scopes"] == json!([]), !by_scopes);
        }
    }
}
