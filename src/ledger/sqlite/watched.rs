//! What hooks were told of watched tokens.

use rusqlite::{Connection, OptionalExtension};

use super::{failure::Failure, host::LeaseClock, rows::must_hold};
use crate::{ledger::Claim, rotation::watch::WatchRecord, token::ConnectionName};

pub(super) fn load(
    connection: &Connection,
    name: &ConnectionName,
) -> Result<Option<WatchRecord>, Failure> {
    let document: Option<String> = connection
        .query_row("SELECT document FROM watched WHERE name = ?1", [name.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    document
        .map(|document| {
            serde_json::from_str(&document).map_err(|error| {
                Failure::Unusable(format!(
                    "what it remembers of the watched token {name} cannot be read ({error}): run the \
                     version that wrote it, or a newer one"
                ))
            })
        })
        .transpose()
}

pub(super) fn keep(
    connection: &Connection,
    claim: &Claim,
    name: &ConnectionName,
    record: &WatchRecord,
    holder: &str,
    clock: &LeaseClock,
) -> Result<(), Failure> {
    must_hold(connection, claim, holder, clock)?;
    let document = serde_json::to_string(record)
        .map_err(|error| Failure::Unusable(format!("a record cannot be written: {error}")))?;
    connection.execute(
        "INSERT INTO watched (name, document) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET document = excluded.document",
        [name.as_str(), &document],
    )?;
    Ok(())
}
