//! The tables of Google Cloud's Secret Manager as JSON Schema.

use serde_json::{Value, json};

use crate::{
    sink::entry::{labels_schema, overwrite_schema, payload_schema, sink_schema},
    table::{
        http,
        shape::{by_default, fitting, guarded_url, secret, switch, table, word},
    },
};

const PROJECT: &str = r"^[a-z][a-z0-9.:-]{4,61}[a-z0-9]$";
const LOCATION: &str = r"^[a-z]+(-[a-z]+)+[0-9]{1,2}$";
const SECRET: &str = r"^[A-Za-z0-9_-]{1,255}$";
const ALIAS: &str = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const WHICH: &str = "The project's ID (not its number).";
    const REGION: &str = "The region of regional secrets. Default: secrets are global.";
    const ENDPOINT: &str = "The address of the service. Default: that of the location.";
    const CREDENTIALS: &str = "A service account's key file, or the configuration of a workload identity \
                               federation, in Google's format; by reference only. Default: from the metadata \
                               server.";
    const CREATE: &str = "Whether a missing secret is created. Default: true.";
    table("Secrets in Google Cloud's Secret Manager.")
        .tag("type", "gcp_secret_manager")
        .must("project", fitting(WHICH, PROJECT, "acme-identity"))
        .may("location", fitting(REGION, LOCATION, "europe-west3"))
        .may("endpoint_url", guarded_url(ENDPOINT, "https://secretmanager.example.com"))
        .may("credentials", secret(CREDENTIALS))
        .may("create", by_default(true, switch(CREATE)))
        .may("http", http::schema())
        .build()
}

fn labels() -> Value {
    const ABOUT: &str =
        "Labels that each delivery sets on the secret, in addition to those of others.";
    let mut labels = labels_schema(ABOUT, r"^[^A-Z]{1,63}$", ("expires-on", "{{ expires_on }}"));
    labels["maxProperties"] = json!(60);
    labels
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const WHICH: &str = "The secret's ID.";
    const LED: &str = "The version alias that readers ask for; then a write is a compare-and-set. \
                       Default: they ask for \"latest\".";
    const FORMAT: &str = "One object, or the token alone as plain text. Default: \"json\".";
    const OVERWRITE: &str = "Whether existing content of others, or content that is not such an object, may \
                             be overwritten. Default: false, the delivery is refused.";
    table("A secret in Google Cloud's Secret Manager.")
        .must("sink", sink_schema())
        .must("secret_id", fitting(WHICH, SECRET, "scim-initech"))
        .may("alias", fitting(LED, ALIAS, "scim"))
        .may("format", by_default("json", word(FORMAT, &["json", "raw"])))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("labels", labels())
        .build()
}
