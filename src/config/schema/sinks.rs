//! `[sinks.NAME]` by type, and the entries of `deliver_to` by the keys that each type takes.

use serde_json::{Value, json};

use crate::table::{
    http,
    shape::{
        Keys, any_of_these, by_default, fitting, guarded_url, map, secret, switch, table, text,
        word,
    },
};

const WORD: &str = r"^\S+$";

const REGION: &str = r"^[a-z0-9-]*-[a-z0-9-]*[0-9]$";

const ROLE_ARN: &str = r"^arn:[^:]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$";

const OVERWRITE: &str = "Whether content that others put there may be lost, once. Default: false.";

/// One sink.
pub(super) fn sink() -> Value {
    any_of_these("A place that tokens go to.", &[file(), vault(), aws()])
}

/// One entry of `deliver_to`.
pub(super) fn delivery() -> Value {
    any_of_these(
        "A place in a sink, by the keys of the sink's type: file (file), path (vault), name \
         (aws_secrets_manager).",
        &[to_file(), to_vault(), to_aws()],
    )
}

fn file() -> Value {
    const ABOUT: &str = "The folder; made when the first token is delivered.";
    table("Files in one folder, each written in one piece.")
        .tag("type", "file")
        .must("directory", text(ABOUT, "example-data/tokens"))
        .build()
}

fn vault() -> Value {
    const CA: &str = "Certificates to trust beside the system's, in PEM; here or in `http`.";
    let tls = json!({ "dependentRequired": {
        "client_cert": ["client_key"], "client_key": ["client_cert"],
    }});
    let mut keys = table("Certificates of the connection to the server.")
        .may("ca_file", text(CA, "ca.pem"))
        .may("client_cert", text("Our own certificate and its chain, in PEM.", "ca.pem"))
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
    const SERVICE: &str = "The service account's token. Default: where Kubernetes puts it.";
    const WRAPPED: &str = "Whether the secret id is in a response-wrapping token. Default: false.";
    const SINGLE_USE: &str = "Whether the secret id works once: then `check --online` does not log in \
                              with it. Default: false.";
    const HEADER: &str = "What the server asks its requests to be signed for \
                          (iam_server_id_header_value).";
    const STS_REGION: &str = "The region whose STS the server asks (sts_region). Default: the global \
                              STS.";
    const STS_ENDPOINT: &str = "Where the server reaches that STS (sts_endpoint); needs sts_region. \
                                Default: where the region says.";
    let role = |about| fitting(about, WORD, "scimitar");
    let method = |name: &'static str, about| table(about).tag("method", name);
    let mounted = |keys: Keys| {
        const NAMESPACE: &str = "The namespace of the log-in, at or above that of the secrets; \"/\" is \
                                 the root. Default: that of the secrets.";
        let about = "Where the method is mounted. Default: at its own name.";
        keys.may("mount", text(about, "team/login")).may("namespace", text(NAMESPACE, "/")).build()
    };
    let mut iam = mounted(
        method("aws_iam", "Who AWS says that we are, by what its own tools find.")
            .may("role", role("The role. Default: the one of our name at AWS."))
            .may("header_value", fitting(HEADER, r"^[!-~]+$", "vault.example.com"))
            .may("sts_region", fitting(STS_REGION, REGION, "eu-central-1"))
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
                    .may("role", role("The role. Default: the mount's own."))
                    .must("jwt", secret(JWT)),
            ),
            iam,
            mounted(
                method("cert", "The certificate of `tls`.")
                    .may("role", role("The role. Default: any that fits.")),
            ),
            mounted(
                method("token", "A token that something else renews.")
                    .must("token", secret("The token; by reference only.")),
            ),
        ],
    )
}

fn aws() -> Value {
    const ROLE: &str = "arn:aws:iam::123456789012:role/scimitar";
    const ENDPOINT: &str = "Where Secrets Manager is reached. Default: where the region says.";
    const STS: &str = "Where STS is reached. Default: where the region says, or at endpoint_url where \
                       that is on this machine.";
    const EXPECT: &str = "The role that it must be in the end; anything else is refused. Default: \
                          not looked at.";
    const CREATE: &str = "Whether a secret that is not there is made. Default: true.";
    const RESTORE: &str = "Whether one that is scheduled for deletion is restored. Default: false.";
    const KEY: &str = "The key that a secret is made with. Default: AWS's own.";
    const EXTERNAL: &str = "What the role's trust policy asks for.";
    let mut keys =
        table("Secrets in AWS Secrets Manager; credentials as AWS's own tools find them.")
            .tag("type", "aws_secrets_manager")
            .must("region", fitting("The region's code.", REGION, "eu-central-1"))
            .may("endpoint_url", guarded_url(ENDPOINT, "https://vpce.example.com"))
            .may("sts_endpoint_url", guarded_url(STS, "https://sts.example.com"))
            .may("assume_role_arn", fitting("A role to take on. Default: none.", ROLE_ARN, ROLE))
            .may("external_id", fitting(EXTERNAL, r"^[A-Za-z0-9+=,.@:/_-]{2,1224}$", "initech"))
            .may("session_tags", tags("The tags of the role's session. Default: none.", 50))
            .may("expect_role_arn", fitting(EXPECT, ROLE_ARN, ROLE))
            .may("create", by_default(true, switch(CREATE)))
            .may("kms_key_id", fitting(KEY, r"^[A-Za-z0-9:/_-]{1,2048}$", "alias/scim"))
            .may("tags", tags("The tags that a secret is made with. Default: none.", 40))
            .may("restore", by_default(false, switch(RESTORE)))
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

fn to_file() -> Value {
    const FILE: &str = "Its path below the sink's folder.";
    const FORMAT: &str = "The value alone, one object, or KEY=\"value\" lines. Default: \"raw\".";
    const MODE: &str = "Its permissions in octal. Default: those of the file that it replaces, \
                        without those of all other users unless `shared`; of a new one \"0600\".";
    const SHARED: &str = "Whether every user may read it. Default: false.";
    let owner = |about| fitting(about, r"^[^:/ ]{1,256}$", "33");
    table("A file.")
        .must("sink", to())
        .must("file", fitting(FILE, r"^\s*[^/\s]", "initech.token"))
        .may("format", by_default("raw", word(FORMAT, &["raw", "json", "env"])))
        .may("mode", fitting(MODE, r"^[0-7]{1,4}$", "0600"))
        .may("owner", owner("Its owner, by name or number. Default: that of the file it replaces."))
        .may("group", owner("Its group, by name or number. Default: that of the file it replaces."))
        .may("shared", by_default(false, switch(SHARED)))
        .may("payload", payload())
        .may("overwrite", by_default(false, switch(OVERWRITE)))
        .build()
}

fn to_vault() -> Value {
    const PATH: &str = "The secret, its mount in front, without \"data/\".";
    const MOUNT: &str = "The mount, where you want it said. Default: the server is asked.";
    table("A secret in Vault.")
        .must("sink", to())
        .must("path", fitting(PATH, "/", "secret/scim/initech"))
        .may("mount", text(MOUNT, "secret"))
        .may("payload", payload())
        .may("overwrite", by_default(false, switch(OVERWRITE)))
        .build()
}

fn to_aws() -> Value {
    const ABOUT: &str = "What is said of it when it is made. CloudTrail shows it to all who may read \
                         there.";
    const FORMAT: &str = "One object, or the token alone as plain text. Default: \"json\".";
    const OVERWRITE: &str = "Whether what others put there, and what cannot be read as such an object, \
                             may be lost. Default: false, it is refused.";
    table("A secret in AWS.")
        .must("sink", to())
        .must("name", text("The secret's name.", "scim/initech"))
        .may("format", by_default("json", word(FORMAT, &["json", "raw"])))
        .may("description", text(ABOUT, "SCIM token of initech"))
        .may("payload", payload())
        .may("overwrite", by_default(false, switch(OVERWRITE)))
        .build()
}

fn to() -> Value {
    text("One of the [sinks].", "disk")
}

fn payload() -> Value {
    const ABOUT: &str = "What is delivered instead of all fields: templates over token, token_id, \
                         previous_token_id, generation, ledger, connection, connection_id, provider, \
                         scim_endpoint, scopes, created_at, expires_at. One key holds the token.";
    let mut payload = map(ABOUT, r"\S", &json!({ "type": "string", "pattern": r"\S" }));
    payload["minProperties"] = json!(1);
    payload["examples"] = json!([{ "SCIM_TOKEN": "{{ token }}" }]);
    payload
}
