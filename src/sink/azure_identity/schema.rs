//! `auth` as JSON Schema.

use serde_json::Value;

use crate::table::shape::{any_of_these, fitting, secret, table, text};

const WORD: &str = r"^[A-Za-z0-9._-]+$";

pub(in crate::sink) fn auth() -> Value {
    const CERTIFICATE: &str = "The certificate and its private key, in PEM; by reference only.";
    const ASSIGNED: &str = "The client ID of a user-assigned identity. Default: the only one.";
    let tenant = || fitting("The tenant's ID or domain.", WORD, "acme.onmicrosoft.com");
    let client = || fitting("The application's client ID.", WORD, "client");
    let method = |name: &'static str, about| table(about).tag("method", name);
    any_of_these(
        "How to log in.",
        &[
            method("client_secret", "An application by its secret.")
                .must("tenant", tenant())
                .must("client_id", client())
                .must("client_secret", secret("The client secret; by reference only."))
                .build(),
            method("certificate", "An application by its certificate.")
                .must("tenant", tenant())
                .must("client_id", client())
                .must("certificate", secret(CERTIFICATE))
                .build(),
            method("workload_identity", "An application by a token of another issuer.")
                .may("tenant", fitting("Default: AZURE_TENANT_ID.", WORD, "acme.onmicrosoft.com"))
                .may("client_id", fitting("Default: AZURE_CLIENT_ID.", WORD, "client"))
                .may("token_file", text("Default: AZURE_FEDERATED_TOKEN_FILE.", "ca.pem"))
                .build(),
            method("managed_identity", "The identity of the machine that Scimitar runs on.")
                .may("client_id", fitting(ASSIGNED, WORD, "client"))
                .build(),
        ],
    )
}
