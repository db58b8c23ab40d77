//! The tables of Entra as JSON Schema.

use serde_json::Value;

use crate::{
    sink::{azure_identity::auth_schema, entry::sink_schema},
    table::{
        http,
        shape::{by_default, fitting, guarded_url, table, word},
    },
};

const WORD: &str = r"^[A-Za-z0-9._-]+$";
const QUERY: &str = r"^\?[!-~]+$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const CLOUD: &str = "Which cloud the tenant is in. Default: \"global\".";
    const GRAPH: &str = "The address of Microsoft Graph. Default: that of the cloud.";
    const AUTHORITY: &str = "The log-in address. Default: that of the cloud.";
    let clouds = ["global", "us_government", "us_government_dod", "china"];
    table("Provisioning jobs of Microsoft Entra ID.")
        .tag("type", "entra")
        .must("auth", auth_schema())
        .may("cloud", by_default("global", word(CLOUD, &clouds)))
        .may("graph_url", guarded_url(GRAPH, "https://graph.microsoft.com"))
        .may("authority", guarded_url(AUTHORITY, "https://login.microsoftonline.com"))
        .may("http", http::schema())
        .build()
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const PRINCIPAL: &str = "The object ID of the application's service principal.";
    const JOB: &str =
        "The ID of its provisioning job. Default: the only one, or the only one of `template`.";
    const TEMPLATE: &str = "The template ID of that job.";
    const APPEND: &str = "What is appended to the SCIM endpoint in the job's address.";
    table("The credentials of a provisioning job.")
        .must("sink", sink_schema())
        .must("service_principal", fitting(PRINCIPAL, WORD, "00000000-0000-0000-0000-000000000000"))
        .may("job", fitting(JOB, WORD, "scim.0000.1111"))
        .may("template", fitting(TEMPLATE, WORD, "scim"))
        .may("append", fitting(APPEND, QUERY, "?aadOptscim062020"))
        .build()
}
