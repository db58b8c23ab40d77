//! What Auth0 adds to the options that a connection is created with, as recorded in 2024.

use serde_json::{Map, Value, json};

/// The options as they are echoed: given ones stay, null and missing ones are derived.
pub(super) fn filled(strategy: &str, options: Value) -> Value {
    let Value::Object(mut members) = options else {
        return options;
    };
    match strategy {
        "okta" => okta(&mut members),
        "auth0" => database(&mut members),
        _ => {}
    }
    Value::Object(members)
}

fn okta(members: &mut Map<String, Value>) {
    let domain = members.get("domain").and_then(Value::as_str).unwrap_or("example.okta.com");
    let at = |path: &str| format!("https://{domain}/oauth2/v1/{path}");
    let metadata = json!({
        "issuer": format!("https://{domain}"),
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"),
        "jwks_uri": at("keys"),
        "response_types_supported": ["code", "id_token", "code id_token"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "offline_access", "groups"],
    });
    let derived = [
        ("userinfo_endpoint", json!(at("userinfo"))),
        ("token_endpoint", json!(at("token"))),
        ("authorization_endpoint", json!(at("authorize"))),
        ("jwks_uri", json!(at("keys"))),
        ("issuer", json!(format!("https://{domain}"))),
        ("oidc_metadata", metadata),
        ("schema_version", json!("oidc-V4")),
        ("type", json!("back_channel")),
        ("attribute_map", json!({ "mapping_mode": "basic_profile" })),
        ("connection_settings", json!({ "pkce": "auto" })),
    ];
    fill(members, derived);
}

fn database(members: &mut Map<String, Value>) {
    let derived = [
        ("mfa", json!({ "active": true, "return_enroll_settings": true })),
        ("passwordPolicy", json!("good")),
        ("strategy_version", json!(2)),
        (
            "authentication_methods",
            json!({ "password": { "enabled": true }, "passkey": { "enabled": false } }),
        ),
        (
            "passkey_options",
            json!({
                "challenge_ui": "both",
                "progressive_enrollment_enabled": true,
                "local_enrollment_enabled": true,
            }),
        ),
        ("brute_force_protection", json!(true)),
    ];
    fill(members, derived);
}

fn fill(
    members: &mut Map<String, Value>,
    derived: impl IntoIterator<Item = (&'static str, Value)>,
) {
    for (name, value) in derived {
        let slot = members.entry(name).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    }
}
