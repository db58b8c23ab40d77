//! The tables of hand-offs as JSON Schema.

use serde_json::Value;

use crate::{
    sink::entry::sink_schema,
    table::shape::{by_default, switch, table, text},
};

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    table("A person pastes each token into a client that has no API.")
        .tag("type", "handoff")
        .build()
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const CLIENT: &str = "The client, as people know it. This is the name of the location.";
    const LINK: &str =
        "The page where the token is pasted: https, without a user name or password.";
    const FIELD: &str = "The name of the field there.";
    const BEARER: &str =
        "Whether the word Bearer goes in front of the token there. Default: false.";
    const NOTE: &str = "Further notes for the person.";
    table("A client that a person hands the token to.")
        .must("sink", sink_schema())
        .must("client", text(CLIENT, "Okta: initech"))
        .may("link", text(LINK, "https://acme-admin.okta.com/admin/app/1#tab-provisioning"))
        .may("field", text(FIELD, "API Token"))
        .may("bearer", by_default(false, switch(BEARER)))
        .may("note", text(NOTE, "announce it in #identity"))
        .build()
}
