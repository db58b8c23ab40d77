//! The tables of files as JSON Schema.

use serde_json::Value;

use crate::{
    sink::entry::{OVERWRITE, overwrite_schema, payload_schema, sink_schema},
    table::shape::{by_default, fitting, switch, table, text, word},
};

/// `[sinks.NAME]`.
pub(super) fn sink() -> Value {
    const ABOUT: &str = "The folder; created with the first delivery.";
    table("Files in one folder, each written atomically.")
        .tag("type", "file")
        .must("directory", text(ABOUT, "example-data/tokens"))
        .build()
}

/// An entry of `deliver_to`.
pub(super) fn target() -> Value {
    const FILE: &str = "Its path below the sink's folder.";
    const FORMAT: &str = "The value alone, one object, or KEY=\"value\" lines. Default: \"raw\".";
    const MODE: &str = "Its permissions in octal. Default: those of the file it replaces, without \
                        access for all other users unless `shared`; \"0600\" for a new file.";
    const SHARED: &str = "Whether every user may read it. Default: false.";
    let owner = |about| fitting(about, r"^[^:/ ]{1,256}$", "33");
    table("A file.")
        .must("sink", sink_schema())
        .must("file", fitting(FILE, r"^\s*[^/\s]", "initech.token"))
        .may("format", by_default("raw", word(FORMAT, &["raw", "json", "env"])))
        .may("mode", fitting(MODE, r"^[0-7]{1,4}$", "0600"))
        .may("owner", owner("Its owner, by name or number. Default: that of the file it replaces."))
        .may("group", owner("Its group, by name or number. Default: that of the file it replaces."))
        .may("shared", by_default(false, switch(SHARED)))
        .may("payload", payload_schema())
        .may("overwrite", overwrite_schema(OVERWRITE))
        .build()
}
