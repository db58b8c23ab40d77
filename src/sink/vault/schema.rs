//! The tables of Vault as JSON Schema.

use serde_json::{Value, json};

use crate::{
    aws_identity,
    sink::entry::{OVERWRITE, labels_schema, overwrite_schema, payload_schema, sink_schema},
    table::{
        http,
        shape::{
            Keys, any_of_these, by_default, fitting, guarded_url, secret, switch, table, text,
        },
    },
};

const WORD: &str = r"^\S+$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const CA: &str =
        "Certificates to trust in addition to the system's, in PEM; here or in `http`.";
    let tls = json!({ "dependentRequired": {
        "client_cert": ["client_key"], "client_key": ["client_cert"],
    }});
    let mut keys = table("Certificates of the connection to the server.")
        .may("ca_file", text(CA, "ca.pem"))
        .may("client_cert", text("The client certificate and its chain, in PEM.", "ca.pem"))
        .may("client_key", secret("Its private key, in PEM; by reference only."))
        .build();
    keys["dependentRequired"] = tls["dependentRequired"].clone();
    table("A key-value engine of HashiCorp Vault or OpenBao.")
        .tag("type", "vault")
        .must(
            "address",
            guarded_url("The server; http only to this machine.", "https://vault.example.com:8200"),
        )
        .may("namespace", text("The namespace of every call. Default: none.", "team-a"))
        .must("auth", auth())
        .may("tls", keys)
        .may("http", http::schema())
        .build()
}

fn auth() -> Value {
    const JWT: &str = "The token; by reference only.";
    const SERVICE: &str = "The service account's token. Default: Kubernetes' standard path.";
    const WRAPPED: &str = "Whether the secret id is in a response-wrapping token. Default: false.";
    const SINGLE_USE: &str = "Whether the secret id works once: then `check --online` does not log in \
                              with it. Default: false.";
    const HEADER: &str = "The server's \
                          iam_server_id_header_value.";
    const STS_REGION: &str = "The region whose STS the server asks (sts_region). Default: the global \
                              STS.";
    const STS_ENDPOINT: &str = "The address at which the server reaches that STS (sts_endpoint); \
                                needs sts_region. Default: that of the region.";
    let role = |about| fitting(about, WORD, "scimitar");
    let method = |name: &'static str, about| table(about).tag("method", name);
    let mounted = |keys: Keys| {
        const NAMESPACE: &str = "The namespace of the log-in, at or above that of the secrets; \"/\" is \
                                 the root. Default: that of the secrets.";
        let about = "Where the method is mounted. Default: the method's name.";
        keys.may("mount", text(about, "team/login")).may("namespace", text(NAMESPACE, "/")).build()
    };
    let mut iam = mounted(
        method("aws_iam", "The AWS identity that AWS's own tools find.")
            .may("role", role("The role. Default: the name of the AWS identity."))
            .may("header_value", fitting(HEADER, r"^[!-~]+$", "vault.example.com"))
            .may("sts_region", fitting(STS_REGION, aws_identity::REGION, "eu-central-1"))
            .may("sts_endpoint", guarded_url(STS_ENDPOINT, "https://sts.example.com")),
    );
    iam["dependentRequired"] = json!({ "sts_endpoint": ["sts_region"] });
    any_of_these(
        "How to log in.",
        &[
            mounted(
                method("approle", "AppRole.")
                    .must("role_id", fitting("The role's id.", WORD, "client"))
                    .must("secret_id", secret("Its secret id; by reference only."))
                    .may("wrapped", by_default(false, switch(WRAPPED)))
                    .may("single_use", by_default(false, switch(SINGLE_USE))),
            ),
            mounted(
                method("kubernetes", "A service account of Kubernetes.")
                    .must("role", role("The role."))
                    .may("jwt", secret(SERVICE)),
            ),
            mounted(
                method("jwt", "A JSON Web Token.")
                    .may("role", role("The role. Default: the mount's default role."))
                    .must("jwt", secret(JWT)),
            ),
            iam,
            mounted(
                method("cert", "The certificate of `tls`.")
                    .may("role", role("The role. Default: any that matches.")),
            ),
            mounted(
                method("token", "A token that something else renews.")
                    .must("token", secret("The token; by reference only.")),
            ),
        ],
    )
}

fn custom_metadata() -> Value {
    const ABOUT: &str = "Custom metadata that each delivery sets, in addition to that of others; version \
                         2 only.";
    let mut custom = labels_schema(ABOUT, r"^.{1,128}$", ("expires-at", "{{ expires_at }}"));
    custom["maxProperties"] = json!(24);
    custom
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const PATH: &str = "The secret, its mount in front, without \"data/\".";
    const MOUNT: &str = "The mount path. Default: auto-detected.";
    table("A secret in Vault.")
        .must("sink", sink_schema())
        .must("path", fitting(PATH, "/", "secret/scim/initech"))
        .may("mount", text(MOUNT, "secret"))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("custom_metadata", custom_metadata())
        .build()
}
