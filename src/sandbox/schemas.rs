//! What the SCIM endpoint publishes of itself (RFC 7643 sections 5 to 8).

use serde_json::{Value, json};

/// The core user schema.
pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The core group schema.
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The enterprise extension of users.
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// All that a path may begin with.
pub(super) const URNS: [&str; 3] = [USER, GROUP, ENTERPRISE];
/// Attributes that cannot be removed. A group's `displayName` is required too, a user's is not.
pub(super) const REQUIRED: [&str; 1] = ["userName"];

const MULTIVALUED: [&str; 6] =
    ["emails", "phoneNumbers", "photos", "addresses", "roles", "members"];
const SINGLE: [&str; 22] = [
    "userName",
    "externalId",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "active",
    "password",
    "employeeNumber",
    "costCenter",
    "organization",
    "division",
    "department",
    "manager",
    "id",
    "meta",
    "schemas",
];

/// The spelling of an attribute's name, whose case does not count.
pub(super) fn canonical(name: &str) -> String {
    MULTIVALUED
        .iter()
        .chain(&SINGLE)
        .find(|known| known.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_owned(), |known| (*known).to_owned())
}

/// Whether the attribute holds a list.
pub(super) fn multivalued(name: &str) -> bool {
    MULTIVALUED.contains(&name)
}

/// `/ServiceProviderConfig`.
pub(super) fn service_provider_config(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": 100 },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": false },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A SCIM token of the connection",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// `/ResourceTypes`, one by one.
pub(super) fn resource_types(base: &str) -> Vec<Value> {
    let kind = |name: &str, schema: &str, extensions: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": format!("/{name}s"),
            "schema": schema,
            "schemaExtensions": extensions,
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{base}/ResourceTypes/{name}"),
            },
        })
    };
    vec![
        kind("User", USER, json!([{ "schema": ENTERPRISE, "required": false }])),
        kind("Group", GROUP, json!([])),
    ]
}

/// `/Schemas`, one by one.
pub(super) fn all(base: &str) -> Vec<Value> {
    let schema = |id: &str, name: &str, attributes: Vec<Value>| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id,
            "name": name,
            "description": name,
            "attributes": attributes,
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") },
        })
    };
    vec![
        schema(USER, "User", user()),
        schema(GROUP, "Group", group()),
        schema(ENTERPRISE, "EnterpriseUser", enterprise()),
    ]
}

fn user() -> Vec<Value> {
    let mut attributes = vec![
        with(text("userName"), &[("required", json!(true)), ("uniqueness", json!("server"))]),
        complex(
            "name",
            false,
            &[
                "formatted",
                "familyName",
                "givenName",
                "middleName",
                "honorificPrefix",
                "honorificSuffix",
            ]
            .map(text),
        ),
    ];
    attributes.extend(
        ["displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone"]
            .map(text),
    );
    attributes.push(with(
        text("profileUrl"),
        &[("type", json!("reference")), ("referenceTypes", json!(["external"]))],
    ));
    attributes.push(truth("active"));
    for name in ["emails", "phoneNumbers", "roles"] {
        attributes.push(complex(
            name,
            true,
            &[text("value"), text("display"), text("type"), truth("primary")],
        ));
    }
    let link = with(
        text("value"),
        &[("type", json!("reference")), ("referenceTypes", json!(["external"]))],
    );
    attributes.push(complex(
        "photos",
        true,
        &[link, text("display"), text("type"), truth("primary")],
    ));
    let mut address =
        ["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"]
            .map(text)
            .to_vec();
    address.push(truth("primary"));
    attributes.push(complex("addresses", true, &address));
    attributes
}

fn group() -> Vec<Value> {
    let fixed = ("mutability", json!("immutable"));
    vec![
        with(text("displayName"), &[("required", json!(true))]),
        complex(
            "members",
            true,
            &[
                with(text("value"), std::slice::from_ref(&fixed)),
                with(
                    text("$ref"),
                    &[
                        fixed.clone(),
                        ("type", json!("reference")),
                        ("referenceTypes", json!(["User", "Group"])),
                    ],
                ),
                with(text("type"), &[fixed, ("canonicalValues", json!(["User", "Group"]))]),
            ],
        ),
    ]
}

fn enterprise() -> Vec<Value> {
    let mut attributes = ["employeeNumber", "costCenter", "organization", "division", "department"]
        .map(text)
        .to_vec();
    attributes.push(complex("manager", false, &[text("value"), text("displayName")]));
    attributes
}

fn text(name: &str) -> Value {
    json!({
        "name": name, "type": "string", "multiValued": false, "description": name,
        "required": false, "caseExact": false, "mutability": "readWrite", "returned": "default",
        "uniqueness": "none",
    })
}

fn truth(name: &str) -> Value {
    json!({
        "name": name, "type": "boolean", "multiValued": false, "description": name,
        "required": false, "mutability": "readWrite", "returned": "default",
    })
}

fn complex(name: &str, multivalued: bool, parts: &[Value]) -> Value {
    json!({
        "name": name, "type": "complex", "multiValued": multivalued, "description": name,
        "required": false, "mutability": "readWrite", "returned": "default",
        "subAttributes": parts,
    })
}

fn with(mut attribute: Value, changes: &[(&str, Value)]) -> Value {
    if let Some(members) = attribute.as_object_mut() {
        members.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_attributes_are_spelt_and_counted_as_in_patches() {
        for schema in all("") {
            for attribute in schema["attributes"].as_array().unwrap() {
                let name = attribute["name"].as_str().unwrap();
                assert_eq!(canonical(&name.to_uppercase()), name);
                assert_eq!(Value::Bool(multivalued(name)), attribute["multiValued"], "{name}");
            }
        }
    }
}
