//! What is written on a ledger that was moved, or is being filled: it is of no use then.

use rusqlite::{Connection, OptionalExtension};

use super::failure::Failure;
use crate::ledger::moving::Standing;

/// It was moved there.
pub(super) const MOVED_TO: &str = "moved_to";

/// It is being filled from there.
pub(super) const FILLED_FROM: &str = "filled_from";

/// What is written on it, if anything is.
pub(super) fn found(connection: &Connection) -> Result<Option<Standing>, Failure> {
    let found = connection
        .query_row(
            "SELECT name, value FROM meta WHERE name IN (?1, ?2)",
            [FILLED_FROM, MOVED_TO],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    Ok(found.map(|(name, there)| {
        if name == FILLED_FROM { Standing::FilledFrom(there) } else { Standing::MovedTo(there) }
    }))
}

/// Whether it may be worked with.
pub(super) fn must_be_of_use(connection: &Connection) -> Result<(), Failure> {
    match found(connection)?.and_then(|standing| standing.of_no_use()) {
        None => Ok(()),
        Some(words) => Err(Failure::Unusable(words)),
    }
}

/// Writes one, in the place of the other.
pub(super) fn put(connection: &Connection, name: &str, there: &str) -> Result<(), Failure> {
    drop(connection)?;
    connection.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", [name, there])?;
    Ok(())
}

/// Takes it away.
pub(super) fn drop(connection: &Connection) -> Result<(), Failure> {
    connection.execute("DELETE FROM meta WHERE name IN (?1, ?2)", [FILLED_FROM, MOVED_TO])?;
    Ok(())
}
