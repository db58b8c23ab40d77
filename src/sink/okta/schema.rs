//! The tables of Okta as JSON Schema.

use serde_json::Value;

use crate::{
    sink::entry::sink_schema,
    table::{
        http,
        shape::{any_of_these, fitting, guarded_url, secret, table},
    },
};

const WORD: &str = r"^[A-Za-z0-9_-]+$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const ORG: &str = "The org's address, without -admin.";
    table("Provisioning connections of applications in Okta.")
        .tag("type", "okta")
        .must("org_url", guarded_url(ORG, "https://acme.okta.com"))
        .must("auth", auth())
        .may("http", http::schema())
        .build()
}

fn auth() -> Value {
    const TOKEN: &str = "The API token (SSWS); by reference only.";
    const KEY: &str = "Its RSA private key in PEM; by reference only.";
    const KEY_ID: &str =
        "The ID of the service app's public key. Default: none, for an app with one key.";
    let method = |name: &'static str, about| table(about).tag("method", name);
    any_of_these(
        "How to log in.",
        &[
            method("api_token", "An API token of an administrator.")
                .must("api_token", secret(TOKEN))
                .build(),
            method("private_key", "A service app by its private key (OAuth 2.0, private_key_jwt).")
                .must("client_id", fitting("The service app's client ID.", WORD, "0oa1b2c3"))
                .must("private_key", secret(KEY))
                .may("key_id", fitting(KEY_ID, WORD, "key-1"))
                .build(),
        ],
    )
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const APP: &str = "The application's ID.";
    const BASE: &str =
        "zscalerbyz: the SCIM endpoint that the connection calls. Not for other applications.";
    table("The provisioning connection of an application.")
        .must("sink", sink_schema())
        .must("app_id", fitting(APP, WORD, "0oa1b2c3d4e5f6g7h8i9"))
        .may("base_url", guarded_url(BASE, "https://scim.zscaler.example/1/2/scim"))
        .build()
}
