//! What hooks were told of watched tokens.

use rusqlite::Connection;

use super::{documents, failure::Failure, rows::must_hold, writer::Hold};
use crate::{ledger::Claim, rotation::watch::WatchRecord, token::ConnectionName};

pub(super) fn load(
    connection: &Connection,
    name: &ConnectionName,
) -> Result<Option<WatchRecord>, Failure> {
    let query = "SELECT document FROM watched WHERE name = ?1";
    documents::load(connection, query, name.as_str(), "the watched token")
}

pub(super) fn keep(
    connection: &Connection,
    claim: &Claim,
    name: &ConnectionName,
    record: &WatchRecord,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    must_hold(connection, claim, hold)?;
    let statement = "INSERT INTO watched (name, document) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET document = excluded.document";
    documents::keep(connection, statement, name.as_str(), record)
}
