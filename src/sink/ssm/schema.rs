//! The tables of the Parameter Store as JSON Schema.

use serde_json::Value;

use crate::{
    sink::{
        aws::{account_schema, delivery_tags},
        entry::{overwrite_schema, payload_schema, sink_schema},
    },
    table::shape::{by_default, table, text, word},
};

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const TIER: &str = "The tier of every version. Default: the account's own.";
    const ABOUT: &str =
        "Parameters in AWS Systems Manager; credentials as AWS's own tools find them.";
    let tiers = ["standard", "advanced", "intelligent-tiering"];
    account_schema(table(ABOUT).tag("type", "aws_ssm").may("tier", word(TIER, &tiers)))
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const ABOUT: &str =
        "Description set on creation (visible to everyone who may list parameters).";
    const FORMAT: &str = "One object, or the token alone as plain text. Default: \"json\".";
    const OVERWRITE: &str = "Whether existing content of others, or content that is not such an object, may \
                             be overwritten. Default: false, the delivery is refused.";
    table("A parameter in AWS Systems Manager.")
        .must("sink", sink_schema())
        .must("parameter", text("The parameter's name.", "/scim/initech"))
        .may("format", by_default("json", word(FORMAT, &["json", "raw"])))
        .may("description", text(ABOUT, "SCIM token of initech"))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("tags", delivery_tags())
        .build()
}
