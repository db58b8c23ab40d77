//! The tables of AWS Secrets Manager as JSON Schema.

use serde_json::{Value, json};

use crate::{
    aws_identity::REGION,
    sink::entry::{labels_schema, overwrite_schema, payload_schema, sink_schema},
    table::{
        http,
        shape::{Keys, by_default, fitting, guarded_url, map, switch, table, text, word},
    },
};

const ROLE_ARN: &str = r"^arn:[^:]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const RESTORE: &str =
        "Whether a secret that is scheduled for deletion is restored. Default: false.";
    account_schema(
        table("Secrets in AWS Secrets Manager; credentials as AWS's own tools find them.")
            .tag("type", "aws_secrets_manager")
            .may("restore", by_default(false, switch(RESTORE))),
    )
}

/// A table with what is said of an account and region, whatever is kept there.
pub(in crate::sink) fn account_schema(table: Keys) -> Value {
    const ROLE: &str = "arn:aws:iam::123456789012:role/scimitar";
    const ENDPOINT: &str = "The address of the service. Default: that of the region.";
    const STS: &str = "The address of STS. Default: that of the region, or endpoint_url where it \
                       is on this machine.";
    const EXPECT: &str = "The role that the credentials must end up with; any other is refused. Default: \
                          not checked.";
    const CREATE: &str = "Whether a missing secret is created. Default: true.";
    const KEY: &str = "The key that new secrets are encrypted with. Default: AWS's own.";
    const EXTERNAL: &str = "The external ID that the role's trust policy requires.";
    let mut keys = table
        .must("region", fitting("The region's code.", REGION, "eu-central-1"))
        .may("endpoint_url", guarded_url(ENDPOINT, "https://vpce.example.com"))
        .may("sts_endpoint_url", guarded_url(STS, "https://sts.example.com"))
        .may("assume_role_arn", fitting("A role to assume. Default: none.", ROLE_ARN, ROLE))
        .may("external_id", fitting(EXTERNAL, r"^[A-Za-z0-9+=,.@:/_-]{2,1224}$", "initech"))
        .may("session_tags", tags("The tags of the role's session. Default: none.", 50))
        .may("expect_role_arn", fitting(EXPECT, ROLE_ARN, ROLE))
        .may("create", by_default(true, switch(CREATE)))
        .may("kms_key_id", fitting(KEY, r"^[A-Za-z0-9:/_-]{1,2048}$", "alias/scim"))
        .may("tags", tags("Tags set on creation. Default: none.", 40))
        .may("http", http::schema())
        .build();
    keys["dependentRequired"] =
        json!({ "external_id": ["assume_role_arn"], "session_tags": ["assume_role_arn"] });
    keys
}

fn tags(about: &str, most: u64) -> Value {
    let value = json!({ "type": "string", "maxLength": 256 });
    let mut tags = map(about, r"^.{1,128}$", &value);
    tags["maxProperties"] = json!(most);
    tags["examples"] = json!([{ "team": "identity" }]);
    tags
}

/// The tags of a delivery.
pub(in crate::sink) fn delivery_tags() -> Value {
    let mut tags = labels_schema(
        "Tags set with each delivery.",
        r"^.{1,128}$",
        ("expires-at", "{{ expires_at }}"),
    );
    tags["maxProperties"] = json!(40);
    tags
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const ABOUT: &str = "Description set on creation (visible in \
                         CloudTrail).";
    const FORMAT: &str = "One object, or the token alone as plain text. Default: \"json\".";
    const OVERWRITE: &str = "Whether existing content of others, or content that is not such an object, may \
                             be overwritten. Default: false, the delivery is refused.";
    table("A secret in AWS.")
        .must("sink", sink_schema())
        .must("name", text("The secret's name.", "scim/initech"))
        .may("format", by_default("json", word(FORMAT, &["json", "raw"])))
        .may("description", text(ABOUT, "SCIM token of initech"))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("tags", delivery_tags())
        .build()
}
