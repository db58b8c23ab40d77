//! The tables of programs as JSON Schema.

use serde_json::{Value, json};

use crate::{
    sink::entry::{payload_schema, sink_schema},
    table::shape::{by_default, duration, list, table, text, word},
};

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const COMMAND: &str = "The program and its arguments: templates over target and the fields of the \
                           payload, except the token. No shell is involved.";
    const TIMEOUT: &str = "How long it may take, at most 1 min 30 s. Default: 30 s.";
    let argument = json!({ "type": "string" });
    let mut command = list(COMMAND, &argument);
    command["minItems"] = json!(1);
    command["examples"] = json!([["after-rotation", "{{ target }}", "{{ token_id }}"]]);
    table("A program that receives each token on its standard input.")
        .tag("type", "exec")
        .must("command", command)
        .may("timeout", by_default("30s", duration(TIMEOUT, "1m")))
        .build()
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const TARGET: &str = "A name that tells this target apart from the program's other targets; {{ \
                          target }} in its arguments.";
    const FORMAT: &str = "The token alone, or one JSON object. Default: \"raw\".";
    table("A program.")
        .must("sink", sink_schema())
        .must("target", text(TARGET, "initech"))
        .may("format", by_default("raw", word(FORMAT, &["raw", "json"])))
        .may("payload", payload_schema())
        .build()
}
