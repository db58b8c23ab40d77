//! What is kept as one document a key, beside the records.

use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

use super::failure::Failure;

/// The document that a query finds for a key; `what` it is, for whoever cannot read it.
pub(super) fn load<T: DeserializeOwned>(
    connection: &Connection,
    query: &str,
    key: &str,
    what: &str,
) -> Result<Option<T>, Failure> {
    let document: Option<String> =
        connection.prepare_cached(query)?.query_row([key], |row| row.get(0)).optional()?;
    document
        .map(|document| {
            serde_json::from_str(&document).map_err(|error| {
                Failure::Unusable(format!(
                    "its record of {what} {key} cannot be read ({error}): run the version that \
                     wrote it, or a newer one"
                ))
            })
        })
        .transpose()
}

/// Writes it down.
pub(super) fn keep<T: Serialize>(
    connection: &Connection,
    statement: &str,
    key: &str,
    value: &T,
) -> Result<(), Failure> {
    let document = serde_json::to_string(value)
        .map_err(|error| Failure::Unusable(format!("a document cannot be written: {error}")))?;
    connection.prepare_cached(statement)?.execute([key, &document])?;
    Ok(())
}
