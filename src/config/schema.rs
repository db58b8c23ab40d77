//! The configuration's JSON Schema (draft 2020-12), for editors and for checks before a file is
//! brought to a machine.
//!
//! It is data beside the readers of this module, not a description that they are made from: their
//! messages are better than what follows from a schema. That both know the same keys, and refuse
//! the same values as far as a schema can say it, is tested key by key (`tests/in_process/config/schema.rs`);
//! for that every key has an example.
//!
//! What only a reader knows (whether a file exists, whether a policy contradicts itself) is left to
//! `scimitar check`.

mod connections;
mod settings;
mod sinks;

use serde_json::{Value, json};

use crate::{
    provider, sink,
    table::{
        http,
        shape::{list, map, table},
    },
};

/// What the names of connections, providers and sinks have in common: no white space.
const NAME: &str = r"^\S{1,128}$";

/// The name of a connection: a plain word in every shell.
const CONNECTION_NAME: &str = r"^(?!-)[^\s!-*;-?\[-\^`{-~]{1,128}$";

/// The whole schema. Included files fit it too: they have nothing but `[[connections]]`,
/// `[[discover]]` and `[[watch]]`.
#[must_use]
pub fn schema() -> Value {
    let stores: Vec<_> = sink::KINDS.iter().filter_map(|kind| kind.store).collect();
    let issuers = provider::config::schema(&stores);
    let root = table("Scimitar's configuration.")
        .may("include", settings::include())
        .may("state", settings::state())
        .may("server", settings::server())
        .may("control", settings::control())
        .may("log", settings::log())
        .may("engine", settings::engine())
        .may("http", http::schema())
        .may("metrics", settings::metrics())
        .may("hooks", list("Hooks that run after events.", &settings::hook(&stores)))
        .may("defaults", connections::defaults())
        .may("providers", map("Providers, by name.", NAME, &issuers))
        .may("sinks", map("Sinks, by name.", NAME, &sinks::sink()))
        .may("connections", list("The connections to rotate.", &connections::connection()))
        .may("watch", list("Tokens without a provider.", &connections::watch()))
        .may("discover", list("One policy for many connections.", &connections::discover()))
        .build();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scimitar.toml",
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, root) {
        schema.extend(root);
    }
    schema
}
