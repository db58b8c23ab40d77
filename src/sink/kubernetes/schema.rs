//! The tables of Kubernetes as JSON Schema.

use serde_json::{Value, json};

use crate::{
    sink::entry::{OVERWRITE, labels_schema, overwrite_schema, payload_schema, sink_schema},
    table::{
        http,
        shape::{by_default, fitting, secret, switch, table, text},
    },
};

const LABEL: &str = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const KUBECONFIG: &str = "A kubeconfig with a token or a client certificate; by reference only. \
                              Default: the service account of the pod that Scimitar runs in.";
    const CONTEXT: &str = "The context to use; part of the names of the locations.";
    const NAMESPACE: &str = "The namespace for deliveries that name none.";
    const CREATE: &str = "Whether a missing Secret is created. Default: true.";
    let mut keys = table("Secrets in a Kubernetes cluster.")
        .tag("type", "kubernetes")
        .may("kubeconfig", secret(KUBECONFIG))
        .may("context", text(CONTEXT, "prod"))
        .must("namespace", fitting(NAMESPACE, LABEL, "scim"))
        .may("create", by_default(true, switch(CREATE)))
        .may("http", http::schema())
        .build();
    keys["dependentRequired"] = json!({ "kubeconfig": ["context"], "context": ["kubeconfig"] });
    keys
}

fn labels() -> Value {
    const ABOUT: &str =
        "Labels that each delivery sets on the Secret, in addition to those of others.";
    let mut labels = labels_schema(ABOUT, r"^[A-Za-z0-9]", ("expires-on", "{{ expires_on }}"));
    labels["maxProperties"] = json!(64);
    labels
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const SECRET: &str = "The Secret's name.";
    const NAMESPACE: &str = "Its namespace. Default: that of the sink.";
    table("A Secret in Kubernetes.")
        .must("sink", sink_schema())
        .must("secret", fitting(SECRET, NAME, "scim-initech"))
        .may("namespace", fitting(NAMESPACE, LABEL, "team-a"))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .may("labels", labels())
        .build()
}
