//! This ledger as one that is moved: its rows, its seal.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};
use serde_json::value::RawValue;

use super::{Hold, SqliteLedger, failure::Failure, marks, rows, schema};
use crate::{
    ledger::{
        LedgerError,
        format::{self, Columns},
        moving::{Movable, Row, Shelf, Standing},
    },
    token::{ConnectionKey, LedgerId},
};

#[async_trait]
impl Movable for SqliteLedger {
    fn url(&self) -> &str {
        &self.shared.url
    }

    async fn standing(&self) -> Result<Standing, LedgerError> {
        self.read(standing).await
    }

    async fn seal(&self, to: Option<&str>) -> Result<(), LedgerError> {
        let to = to.map(str::to_owned);
        self.write(move |connection, hold| seal(connection, to.as_deref(), hold)).await
    }

    async fn empty(&self, id: &LedgerId, from: &str) -> Result<(), LedgerError> {
        let (id, from) = (id.clone(), from.to_owned());
        self.write(move |connection, _| empty(connection, &id, &from)).await
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
        self.write(move |connection, _| fill(connection, &rows)).await
    }

    async fn shelf(&self, of: Shelf) -> Result<Vec<(String, Box<RawValue>)>, LedgerError> {
        self.read(move |connection| shelf(connection, of)).await
    }

    async fn put(
        &self,
        on: Shelf,
        documents: Vec<(String, Box<RawValue>)>,
    ) -> Result<(), LedgerError> {
        self.write(move |connection, _| put(connection, on, &documents)).await
    }

    async fn open(&self) -> Result<(), LedgerError> {
        self.write(|connection, _| marks::drop(connection)).await
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

fn seal(connection: &Connection, to: Option<&str>, hold: &Hold<'_>) -> Result<(), Failure> {
    let Some(to) = to else {
        return marks::drop(connection);
    };
    let acted_on = acted_on(connection, hold)?;
    if let Some(key) = acted_on {
        return Err(Failure::Unavailable(format!(
            "another process acts on connection {} at {}: stop it first, then run this again",
            key.connection, key.tenant
        )));
    }
    marks::put(connection, marks::MOVED_TO, to)
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
        if !rows::is_free(connection, &key, hold.holders, hold.clock)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn empty(connection: &Connection, id: &LedgerId, from: &str) -> Result<(), Failure> {
    for table in ["events", "records", "claims", "inventories", "watched"] {
        connection.execute(&format!("DELETE FROM {table}"), ())?;
    }
    marks::put(connection, marks::FILLED_FROM, from)?;
    schema::set_id(connection, id)
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
        for entry in history {
            rows::write_history(connection, key, entry)?;
        }
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
