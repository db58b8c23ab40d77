//! The tables of Azure Key Vault as JSON Schema.

use serde_json::{Value, json};

use crate::{
    sink::{
        azure_identity::auth_schema,
        entry::{labels_schema, overwrite_schema, payload_schema, sink_schema},
    },
    table::{
        http,
        shape::{by_default, fitting, guarded_url, table, word},
    },
};

const SECRET: &str = r"^[0-9A-Za-z-]{1,127}$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const WHICH: &str = "The vault's URI.";
    const AUTHORITY: &str = "The log-in address. Default: that of the cloud that the vault belongs \
                             to.";
    table("Secrets in Azure Key Vault.")
        .tag("type", "azure_key_vault")
        .must("vault", guarded_url(WHICH, "https://acme-scim.vault.azure.net"))
        .must("auth", auth_schema())
        .may("authority", guarded_url(AUTHORITY, "https://login.microsoftonline.com"))
        .may("http", http::schema())
        .build()
}

fn tags() -> Value {
    const ABOUT: &str = "Tags that each version is written with, in addition to those of others.";
    let mut tags = labels_schema(ABOUT, r"^.{1,256}$", ("expires-at", "{{ expires_at }}"));
    tags["maxProperties"] = json!(14);
    tags
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const FORMAT: &str = "One object, or the token alone as plain text. Default: \"json\".";
    const OVERWRITE: &str = "Whether existing content of others, or content that is not such an object, may \
                             be overwritten. Default: false, the delivery is refused.";
    table("A secret in Azure Key Vault.")
        .must("sink", sink_schema())
        .must("secret_name", fitting("The secret's name.", SECRET, "scim-initech"))
        .may("format", by_default("json", word(FORMAT, &["json", "raw"])))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("tags", tags())
        .build()
}
