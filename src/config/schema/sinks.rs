//! `[sinks.NAME]` by type, and the entries of `deliver_to` by the keys that each type takes.

use serde_json::Value;

use crate::{sink::KINDS, table::shape::any_of_these};

/// One sink.
pub(super) fn sink() -> Value {
    any_of_these("A sink that tokens are delivered to.", &KINDS.map(|kind| (kind.schema)()))
}

/// One entry of `deliver_to`.
pub(super) fn delivery() -> Value {
    let keys = KINDS.map(|kind| format!("{} ({})", kind.location, kind.name));
    any_of_these(
        &format!("A location in a sink, by the keys of the sink's type: {}.", keys.join(", ")),
        &KINDS.map(|kind| (kind.delivery_schema)()),
    )
}
