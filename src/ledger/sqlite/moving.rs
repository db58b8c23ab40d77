//! This ledger as one that is moved: its rows, its seal.

use std::{fs, path::Path};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};
use serde_json::value::RawValue;

use super::{
    SqliteLedger, failure::Failure, holders::folder_beside, marks, rows, schema, writer::Hold,
};
use crate::{
    ledger::{
        Durability, LedgerError,
        format::{self, Columns},
        moving::{Movable, NOT_EMPTY, NOT_OURS, Row, Shelf, Standing},
    },
    token::{ConnectionKey, LedgerId},
};

/// Where `meta` has which handle fills it.
const FILLED_BY: &str = "filled_by";

#[async_trait]
impl Movable for SqliteLedger {
    fn url(&self) -> &str {
        &self.url
    }

    async fn standing(&self) -> Result<Standing, LedgerError> {
        self.read(standing).await
    }

    async fn seal(&self, to: Option<&str>) -> Result<(), LedgerError> {
        let (to, path) = (to.map(str::to_owned), self.path.clone());
        let call = move |connection: &Connection, hold: &Hold<'_>| match &to {
            Some(to) => seal(connection, to, &path, hold),
            None => marks::drop(connection),
        };
        self.write_down(Durability::Now, call).await
    }

    async fn empty(&self, id: &LedgerId, from: &str) -> Result<(), LedgerError> {
        let (id, from) = (id.clone(), from.to_owned());
        let call =
            move |connection: &Connection, hold: &Hold<'_>| empty(connection, &id, &from, hold);
        self.write_down(Durability::Now, call).await
    }

    async fn rows(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        let after = after.cloned();
        self.read(move |connection| read(connection, after.as_ref(), limit)).await
    }

    async fn fill(&self, rows: Vec<Row>) -> Result<(), LedgerError> {
        let call = move |connection: &Connection, hold: &Hold<'_>| {
            must_fill(connection, hold)?;
            fill(connection, &rows)
        };
        self.write_down(Durability::Now, call).await
    }

    async fn shelf(&self, of: Shelf) -> Result<Vec<(String, Box<RawValue>)>, LedgerError> {
        self.read(move |connection| shelf(connection, of)).await
    }

    async fn put(
        &self,
        on: Shelf,
        documents: Vec<(String, Box<RawValue>)>,
    ) -> Result<(), LedgerError> {
        let call = move |connection: &Connection, hold: &Hold<'_>| {
            must_fill(connection, hold)?;
            put(connection, on, &documents)
        };
        self.write_down(Durability::Now, call).await
    }

    async fn open(&self) -> Result<(), LedgerError> {
        let call = |connection: &Connection, hold: &Hold<'_>| {
            must_fill(connection, hold)?;
            connection.execute("DELETE FROM meta WHERE name = ?1", [FILLED_BY])?;
            marks::drop(connection)
        };
        self.write_down(Durability::Now, call).await
    }
}

fn standing(connection: &Connection) -> Result<Standing, Failure> {
    if let Some(standing) = marks::found(connection)? {
        return Ok(standing);
    }
    // A claim alone says that somebody works with it.
    let used: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM claims)
            OR EXISTS (SELECT 1 FROM inventories) OR EXISTS (SELECT 1 FROM watched)",
        (),
        |row| row.get(0),
    )?;
    Ok(if used { Standing::InUse } else { Standing::Empty })
}

fn seal(connection: &Connection, to: &str, path: &Path, hold: &Hold<'_>) -> Result<(), Failure> {
    // It was looked at before: another copy may have been faster.
    let moved = Standing::MovedTo(to.to_owned());
    let found = marks::found(connection)?.filter(|found| *found != moved);
    if let Some(words) = found.and_then(|found| found.of_no_use()) {
        return Err(Failure::Unusable(words));
    }
    if let Some(key) = acted_on(connection, hold)? {
        return Err(Failure::Unavailable(format!(
            "another process acts on connection {} at {}: stop it first, then run this again",
            key.connection, key.tenant
        )));
    }
    if is_open_elsewhere(path, hold)? {
        return Err(Failure::Unavailable(
            "another process has it open: stop it first, then run this again".to_owned(),
        ));
    }
    marks::put(connection, marks::MOVED_TO, to)
}

/// Whether another process writes it: each that does keeps its lock file beside it.
fn is_open_elsewhere(path: &Path, hold: &Hold<'_>) -> Result<bool, Failure> {
    let failed =
        |error| Failure::io("look for other processes in the folder of lock files", &error);
    for entry in fs::read_dir(folder_beside(path)).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(id) = name.to_str().filter(|name| *name != hold.holder) else { continue };
        // Whatever else lies there is nobody's.
        let is_holder = id.len() == hold.holder.len() && id.bytes().all(|b| b.is_ascii_hexdigit());
        if is_holder && hold.holders.is_alive(id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A connection that somebody acts on now.
fn acted_on(connection: &Connection, hold: &Hold<'_>) -> Result<Option<ConnectionKey>, Failure> {
    let mut statement = connection.prepare(
        "SELECT tenant, connection FROM claims WHERE holder IS NOT NULL AND boot_id = ?1",
    )?;
    let held = statement
        .query_map([hold.clock.boot_id()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, String)>, _>>()?;
    for names in held {
        let key = rows::key(names)?;
        if !rows::is_free(connection, &key, hold)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Makes it one that this handle fills, unless somebody works with it.
fn empty(
    connection: &Connection,
    id: &LedgerId,
    from: &str,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    let may = match standing(connection)? {
        Standing::Empty => true,
        Standing::InUse => false,
        Standing::FilledFrom(there) => there == from,
        Standing::MovedTo(there) => there == from && schema::ledger_id(connection)? == *id,
    };
    if !may {
        return Err(Failure::Unavailable(NOT_EMPTY.to_owned()));
    }
    for table in ["events", "records", "claims", "inventories", "watched"] {
        connection.execute(&format!("DELETE FROM {table}"), ())?;
    }
    marks::put(connection, marks::FILLED_FROM, from)?;
    connection.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
        [FILLED_BY, hold.holder],
    )?;
    schema::set_id(connection, id)
}

/// Whether this handle is the one that fills it.
fn must_fill(connection: &Connection, hold: &Hold<'_>) -> Result<(), Failure> {
    let by: Option<String> = connection
        .query_row(
            "SELECT value FROM meta WHERE name = ?1
                AND EXISTS (SELECT 1 FROM meta WHERE name = ?2)",
            [FILLED_BY, marks::FILLED_FROM],
            |row| row.get(0),
        )
        .optional()?;
    if by.as_deref() == Some(hold.holder) {
        Ok(())
    } else {
        Err(Failure::Unavailable(NOT_OURS.to_owned()))
    }
}

fn read(
    connection: &Connection,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let (tenant, id) = after.map_or(("", ""), |key| (key.tenant.as_str(), key.connection.as_str()));
    let mut statement = connection.prepare(
        "SELECT tenant, connection FROM
            (SELECT tenant, connection FROM records UNION SELECT tenant, connection FROM claims)
         WHERE (tenant, connection) > (?1, ?2) ORDER BY tenant, connection LIMIT ?3",
    )?;
    let keys = statement
        .query_map((tenant, id, rows::count(limit)), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, String)>, _>>()?;
    let mut found = Vec::with_capacity(keys.len());
    for names in keys {
        let key = rows::key(names)?;
        let fence: Option<i64> = connection
            .query_row(
                "SELECT fence FROM claims WHERE tenant = ?1 AND connection = ?2",
                [key.tenant.as_str(), key.connection.as_str()],
                |row| row.get(0),
            )
            .optional()?;
        let mut history = rows::history(connection, &key, format::HISTORY)?;
        history.reverse();
        let stored = rows::load(connection, &key)?;
        found.push(Row { fence: rows::unsigned(fence.unwrap_or_default())?, stored, history, key });
    }
    Ok(found)
}

fn fill(connection: &Connection, found: &[Row]) -> Result<(), Failure> {
    for Row { key, fence, stored, history } in found {
        connection.execute(
            "INSERT INTO claims (tenant, connection, holder, fence, boot_id, until_boot_ms)
             VALUES (?1, ?2, NULL, ?3, NULL, NULL)",
            (key.tenant.as_str(), key.connection.as_str(), rows::signed(*fence)),
        )?;
        let Some(stored) = stored else { continue };
        let record = &stored.record;
        let columns = Columns::of(record);
        connection.execute(
            "INSERT INTO records
                (tenant, connection, name, version, wake_at, next_rotation, expires_at, lost,
                 schema, document)
             VALUES
                (:tenant, :connection, :name, :version, :wake_at, :next_rotation, :expires_at,
                 :lost, :schema, :document)",
            named_params! {
                ":tenant": key.tenant.as_str(),
                ":connection": key.connection.as_str(),
                ":name": record.name.as_str(),
                ":version": rows::signed(stored.version),
                ":wake_at": columns.wake_at,
                ":next_rotation": columns.next_rotation,
                ":expires_at": columns.expires_at,
                ":lost": columns.lost,
                ":schema": record.schema,
                ":document": format::encode(record)?,
            },
        )?;
        rows::write_history(connection, key, history)?;
    }
    Ok(())
}

fn shelf(connection: &Connection, shelf: Shelf) -> Result<Vec<(String, Box<RawValue>)>, Failure> {
    let mut statement = connection.prepare(match shelf {
        Shelf::Inventories => "SELECT tenant, document FROM inventories ORDER BY 1",
        Shelf::Watched => "SELECT name, document FROM watched ORDER BY 1",
    })?;
    let found = statement.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    found
        .map(|row| {
            let (key, document) = row?;
            let document = RawValue::from_string(document)
                .map_err(|error| Failure::Unusable(format!("{key}: {error}")))?;
            Ok((key, document))
        })
        .collect()
}

fn put(
    connection: &Connection,
    shelf: Shelf,
    documents: &[(String, Box<RawValue>)],
) -> Result<(), Failure> {
    let statement = match shelf {
        Shelf::Inventories => {
            "INSERT OR REPLACE INTO inventories (tenant, document) VALUES (?1, ?2)"
        }
        Shelf::Watched => "INSERT OR REPLACE INTO watched (name, document) VALUES (?1, ?2)",
    };
    for (key, document) in documents {
        connection.execute(statement, [key.as_str(), document.get()])?;
    }
    Ok(())
}
