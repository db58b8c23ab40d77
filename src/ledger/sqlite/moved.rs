//! Records that are kept under another name of the same tenant from now on.

use rusqlite::{Connection, named_params};

use super::{failure::Failure, rows, writer::Hold};
use crate::{
    ledger::format,
    token::{ConnectionId, ConnectionKey, Tenant},
};

/// Keeps the records of `from` under `to`, with their history and their fence numbers, and says how
/// many. One that is acted on now, or that `to` has already, stays where it is.
pub(super) fn tenant(
    connection: &Connection,
    from: &Tenant,
    to: &Tenant,
    hold: &Hold<'_>,
) -> Result<usize, Failure> {
    // History refers to records; both change within this transaction.
    connection.pragma_update(None, "defer_foreign_keys", true)?;
    let ids = {
        let mut statement = connection.prepare(
            "SELECT connection FROM records AS old WHERE tenant = ?1 AND NOT EXISTS
                (SELECT 1 FROM records AS new
                 WHERE new.tenant = ?2 AND new.connection = old.connection)",
        )?;
        let rows =
            statement.query_map([from.as_str(), to.as_str()], |row| row.get::<_, String>(0))?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    let mut moved = 0;
    for id in ids {
        let unusable = |error: crate::token::NotAName| Failure::Unusable(error.to_string());
        let id = ConnectionId::try_new(id).map_err(unusable)?;
        let old = ConnectionKey { tenant: from.clone(), connection: id.clone() };
        if !rows::is_free(connection, &old, hold)? {
            continue;
        }
        let Some(stored) = rows::load(connection, &old)? else { continue };
        let mut record = stored.record;
        record.key = ConnectionKey { tenant: to.clone(), connection: id };
        let document = format::encode(&record)?;
        connection.execute(
            "UPDATE records SET tenant = :to, schema = :schema, document = :document
             WHERE tenant = :from AND connection = :connection",
            named_params! {
                ":to": to.as_str(),
                ":from": from.as_str(),
                ":connection": old.connection.as_str(),
                ":schema": record.schema,
                ":document": document,
            },
        )?;
        let key = [to.as_str(), from.as_str(), old.connection.as_str()];
        connection
            .execute("UPDATE events SET tenant = ?1 WHERE tenant = ?2 AND connection = ?3", key)?;
        connection.execute(
            "INSERT INTO claims (tenant, connection, holder, fence, boot_id, until_boot_ms)
             SELECT ?1, connection, NULL, fence, NULL, NULL FROM claims
             WHERE tenant = ?2 AND connection = ?3
             ON CONFLICT (tenant, connection) DO UPDATE SET fence = max(fence, excluded.fence)",
            key,
        )?;
        connection.execute(
            "DELETE FROM claims WHERE tenant = ?1 AND connection = ?2",
            [from.as_str(), old.connection.as_str()],
        )?;
        moved += 1;
    }
    Ok(moved)
}
