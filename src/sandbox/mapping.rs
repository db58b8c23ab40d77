//! The default mapping between SCIM attributes and Auth0's user profile, as recorded in 2024.

use serde_json::{Value, json};

/// SCIM attribute, Auth0 attribute.
const DEFAULT: [(&str, &str); 32] = [
    ("userName", "preferred_username"),
    ("emails[primary eq true].value", "email"),
    ("externalId", "app_metadata.external_id"),
    ("active", "blocked"),
    ("displayName", "name"),
    ("name.givenName", "given_name"),
    ("name.familyName", "family_name"),
    ("name.middleName", "app_metadata.middle_name"),
    ("name.honorificPrefix", "app_metadata.honorific_prefix"),
    ("name.honorificSuffix", "app_metadata.honorific_suffix"),
    ("nickName", "nickname"),
    (r#"photos[type eq "photo"].value"#, "picture"),
    ("phoneNumbers[primary eq true].value", "app_metadata.primary_phone_number"),
    (r#"phoneNumbers[type eq "mobile"].value"#, "app_metadata.mobile_phone_number"),
    (r#"addresses[type eq "work"].streetAddress"#, "app_metadata.street_address"),
    (r#"addresses[type eq "work"].locality"#, "app_metadata.city"),
    (r#"addresses[type eq "work"].region"#, "app_metadata.state"),
    (r#"addresses[type eq "work"].postalCode"#, "app_metadata.postal_code"),
    (r#"addresses[type eq "work"].formatted"#, "app_metadata.postal_address"),
    (r#"addresses[type eq "work"].country"#, "app_metadata.country"),
    ("profileUrl", "app_metadata.profile_url"),
    ("userType", "app_metadata.user_type"),
    ("title", "app_metadata.title"),
    ("preferredLanguage", "app_metadata.language"),
    ("locale", "app_metadata.locale"),
    ("timezone", "app_metadata.timezone"),
    (
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.employeeNumber",
        "app_metadata.employee_id",
    ),
    (
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.costCenter",
        "app_metadata.cost_center",
    ),
    (
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.organization",
        "app_metadata.organization",
    ),
    (
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.division",
        "app_metadata.division",
    ),
    (
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department",
        "app_metadata.department",
    ),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager", "app_metadata.manager"),
];

/// The mapping that a configuration has when none was given.
pub(super) fn default() -> Value {
    DEFAULT.iter().map(|(scim, auth0)| json!({ "scim": scim, "auth0": auth0 })).collect()
}

/// Whether a mapping has an attribute of SCIM.
pub(super) fn has(mapping: &Value, scim: &str) -> bool {
    let same =
        |item: &Value| item["scim"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(scim));
    mapping.as_array().is_some_and(|items| items.iter().any(same))
}

/// Whether `value` is a list of pairs of texts.
pub(super) fn fits(value: &Value) -> bool {
    value.as_array().is_some_and(|items| {
        items.iter().all(|item| {
            item.as_object().is_some_and(|members| {
                members.len() == 2
                    && members.get("scim").is_some_and(Value::is_string)
                    && members.get("auth0").is_some_and(Value::is_string)
            })
        })
    })
}
