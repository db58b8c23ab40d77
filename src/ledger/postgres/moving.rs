//! This ledger as one that is moved: its rows, its seal.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio_postgres::{Client, types::Type};

use super::{
    BEGIN_READ, BEGIN_WRITE, LONGEST_LEASE, PostgresLedger,
    failure::Failure,
    of, open,
    rows::{self, Parameter, ask, count, key, milliseconds, signed, unsigned, without_nul},
    schema,
};
use crate::{
    ledger::{
        Entry, LedgerError, Stored,
        format::{self, Columns},
        moving::{Movable, NOT_EMPTY, NOT_OURS, Row, Shelf, Standing},
    },
    token::{ConnectionKey, LedgerId},
};

/// So many rows are deleted at a time.
const AT_ONCE: i64 = 20_000;

/// What is emptied. The limits of tenants stay: they are the tenants', whichever ledger they are in.
const EMPTIED: [&str; 5] = ["events", "records", "claims", "inventories", "watched"];

#[async_trait]
impl Movable for PostgresLedger {
    fn url(&self) -> &str {
        &self.url
    }

    async fn standing(&self) -> Result<Standing, LedgerError> {
        self.ask(|client, _| async move { standing(&client).await }).await
    }

    async fn seal(&self, to: Option<&str>) -> Result<(), LedgerError> {
        self.ask(|client, _| async move { seal(&client, to).await }).await
    }

    async fn can_be_filled(&self) -> Result<(), LedgerError> {
        let missing = self.ask(|client, _| async move { missing(&client).await }).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(of(&self.pool, open::lacks(&self.pool.settings.address, &missing)))
    }

    async fn empty(&self, id: &LedgerId, from: &str) -> Result<(), LedgerError> {
        let holder = &*self.holder;
        self.ask(|client, _| async move { take_over(&client, id, from, holder).await }).await?;
        for table in EMPTIED {
            loop {
                // A call for so many: all of them may take longer than one is waited for.
                let some =
                    self.ask(|client, _| async move { delete(&client, table, holder).await });
                if !some.await? {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn rows(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        self.ask(|client, _| async move { read(&client, after, limit).await }).await
    }

    async fn fill(&self, rows: Vec<Row>) -> Result<(), LedgerError> {
        let (rows, holder) = (&*rows, &*self.holder);
        self.ask(|client, _| async move { fences(&client, holder, rows).await }).await?;
        for row in rows {
            let Some(stored) = &row.stored else { continue };
            self.ask(|client, _| async move {
                record(&client, holder, &row.key, stored).await?;
                history(&client, holder, &row.key, &row.history).await
            })
            .await?;
        }
        Ok(())
    }

    async fn shelf(&self, of: Shelf) -> Result<Vec<(String, Box<RawValue>)>, LedgerError> {
        self.ask(|client, _| async move { shelf(&client, of).await }).await
    }

    async fn put(
        &self,
        on: Shelf,
        documents: Vec<(String, Box<RawValue>)>,
    ) -> Result<(), LedgerError> {
        let holder = &*self.holder;
        for (key, document) in &documents {
            let document = document.get();
            self.ask(|client, _| async move { put(&client, holder, on, key, document).await })
                .await?;
        }
        Ok(())
    }

    async fn open(&self) -> Result<(), LedgerError> {
        let holder = &*self.holder;
        self.ask(|client, tried| async move { opened(&client, holder, tried).await }).await
    }
}

async fn standing(client: &Client) -> Result<Standing, Failure> {
    if let Some(standing) = schema::marks(client).await? {
        return Ok(standing);
    }
    // A claim alone says that somebody works with it.
    let query =
        "SELECT EXISTS (SELECT FROM scimitar.records) OR EXISTS (SELECT FROM scimitar.claims)
        OR EXISTS (SELECT FROM scimitar.inventories) OR EXISTS (SELECT FROM scimitar.watched)";
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    let used = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(true);
    Ok(if used { Standing::InUse } else { Standing::Empty })
}

/// How a transaction begins that nobody claims anything beside: whoever is about to is waited for, and
/// whoever comes later finds what it wrote.
fn begin_alone() -> String {
    format!("{BEGIN_WRITE}; LOCK TABLE scimitar.claims IN EXCLUSIVE MODE")
}

async fn seal(client: &Client, to: Option<&str>) -> Result<(), Failure> {
    let Some(to) = to else {
        let statement = "UPDATE scimitar.meta SET moved_to = NULL";
        return ask(client, BEGIN_WRITE, statement, &[]).await.map(drop);
    };
    let statement = "WITH held AS (
            SELECT tenant, connection FROM scimitar.claims
            WHERE holder IS NOT NULL AND ends_at > scimitar.lease_clock() LIMIT 1
        ), shortened AS (
            UPDATE scimitar.claims
            SET ends_at = scimitar.lease_clock() + $2 * interval '1 millisecond'
            WHERE holder IS NOT NULL
                AND ends_at > scimitar.lease_clock() + $2 * interval '1 millisecond'
        ), sealed AS (
            UPDATE scimitar.meta SET moved_to = $1
            WHERE NOT EXISTS (SELECT FROM held) AND filled_from IS NULL
                AND coalesce(moved_to, $1) = $1
            RETURNING version
        )
        SELECT (SELECT tenant FROM held), (SELECT connection FROM held),
            EXISTS (SELECT FROM sealed)";
    let longest = milliseconds(LONGEST_LEASE);
    let parameters: [Parameter<'_>; 2] = [(&to, Type::TEXT), (&longest, Type::INT8)];
    let answer = ask(client, &begin_alone(), statement, &parameters).await?;
    let Some(row) = answer.first() else { return Ok(()) };
    if row.try_get::<_, Option<String>>(0)?.is_some() {
        let key = key(row, 0)?;
        return Err(Failure::Unavailable(format!(
            "another process acts on connection {} at {}, or was killed less than two minutes ago: stop \
             it first, then run this again",
            key.connection, key.tenant
        )));
    }
    if row.try_get(2)? {
        return Ok(());
    }
    // Another copy was faster.
    schema::must_be_of_use(client).await?;
    Err(Failure::Unavailable(
        "another `scimitar state copy` is running: run this again later".to_owned(),
    ))
}

/// What the role may not do and would have to. A right to delete is one only where there is something
/// to delete.
async fn missing(client: &Client) -> Result<Vec<String>, Failure> {
    let missing = schema::missing(client).await?;
    if !missing.is_empty() {
        return Ok(missing);
    }
    let tables: Vec<String> = EMPTIED
        .iter()
        .map(|table| format!("('{table}', EXISTS (SELECT FROM scimitar.{table}))"))
        .collect();
    let query = format!(
        "SELECT 'DELETE ON scimitar.' || place FROM (VALUES {}) AS emptied (place, holds)
         WHERE holds AND NOT has_table_privilege('scimitar.' || place, 'DELETE')",
        tables.join(", ")
    );
    let rows = ask(client, BEGIN_READ, &query, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Makes it one that this handle fills, unless somebody works with it.
async fn take_over(
    client: &Client,
    id: &LedgerId,
    from: &str,
    holder: &str,
) -> Result<(), Failure> {
    let statement = "UPDATE scimitar.meta
        SET ledger_id = $1, moved_to = NULL, filled_from = $2 || ' ' || $3
        WHERE left(filled_from, -1 - length($3)) = $2
            OR (moved_to = $2 AND ledger_id = $1)
            OR (filled_from IS NULL AND moved_to IS NULL
                AND NOT EXISTS (SELECT FROM scimitar.records)
                AND NOT EXISTS (SELECT FROM scimitar.claims)
                AND NOT EXISTS (SELECT FROM scimitar.inventories)
                AND NOT EXISTS (SELECT FROM scimitar.watched))
        RETURNING version";
    let id = id.as_str();
    let parameters: [Parameter<'_>; 3] =
        [(&id, Type::TEXT), (&from, Type::TEXT), (&holder, Type::TEXT)];
    let taken = ask(client, &begin_alone(), statement, &parameters).await?;
    if taken.is_empty() { Err(Failure::Unavailable(NOT_EMPTY.to_owned())) } else { Ok(()) }
}

/// Deletes rows of a table; `false`: there are none.
async fn delete(client: &Client, table: &str, holder: &str) -> Result<bool, Failure> {
    let query = format!("SELECT EXISTS (SELECT FROM scimitar.{table})");
    let found = ask(client, BEGIN_READ, &query, &[]).await?;
    if !found.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false) {
        return Ok(false);
    }
    let change = format!(
        "DELETE FROM scimitar.{table} WHERE EXISTS (SELECT FROM mine) AND ctid = ANY (ARRAY(
            SELECT ctid FROM scimitar.{table} LIMIT $2))"
    );
    as_filler(client, &change, &[(&holder, Type::TEXT), (&AT_ONCE, Type::INT8)]).await?;
    Ok(true)
}

/// Changes something as long as this handle is the one that fills it: `$1` is its name, and `mine` has a
/// row then. Whoever takes over waits until that is done, and finds it.
async fn as_filler(
    client: &Client,
    change: &str,
    parameters: &[Parameter<'_>],
) -> Result<(), Failure> {
    let statement = format!(
        "WITH mine AS (
            SELECT FROM scimitar.meta WHERE right(filled_from, length($1)) = $1 FOR SHARE
        ), done AS ({change})
        SELECT FROM mine"
    );
    let mine = ask(client, BEGIN_WRITE, &statement, parameters).await?;
    if mine.is_empty() { Err(Failure::Unavailable(NOT_OURS.to_owned())) } else { Ok(()) }
}

/// Makes it of use, once.
async fn opened(client: &Client, holder: &str, tried: u32) -> Result<(), Failure> {
    let statement = "UPDATE scimitar.meta SET filled_from = NULL
        WHERE right(filled_from, length($1)) = $1 RETURNING version";
    let opened = ask(client, BEGIN_WRITE, statement, &[(&holder, Type::TEXT)]).await?;
    if !opened.is_empty() {
        return Ok(());
    }
    // An attempt whose answer was lost may have done it.
    if tried > 0 && schema::marks(client).await?.is_none() {
        return Ok(());
    }
    Err(Failure::Unavailable(NOT_OURS.to_owned()))
}

/// Each record has a row of claims: it was written under one.
async fn read(
    client: &Client,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let (tenant, connection) =
        after.map_or(("", ""), |key| (key.tenant.as_str(), key.connection.as_str()));
    let query = "SELECT claims.tenant, claims.connection, fence, version, document
        FROM scimitar.claims AS claims LEFT JOIN scimitar.records AS records
            ON records.tenant = claims.tenant AND records.connection = claims.connection
        WHERE (claims.tenant, claims.connection) > ($1, $2)
        ORDER BY claims.tenant, claims.connection LIMIT $3";
    let limit = count(limit);
    let parameters: [Parameter<'_>; 3] =
        [(&tenant, Type::TEXT), (&connection, Type::TEXT), (&limit, Type::INT8)];
    let mut found = Vec::new();
    for row in &ask(client, BEGIN_READ, query, &parameters).await? {
        let version: Option<i64> = row.try_get(3)?;
        let stored = version
            .map(|version| {
                let record = format::decode(row.try_get(4)?)?;
                Ok::<_, Failure>(Stored { version: unsigned(version)?, record })
            })
            .transpose()?;
        let fence = unsigned(row.try_get(2)?)?;
        found.push(Row { key: key(row, 0)?, fence, stored, history: Vec::new() });
    }
    let Some(last) = found.last().map(|row| row.key.clone()) else { return Ok(found) };
    let mut lines = histories(client, (tenant, connection), &last).await?;
    for row in &mut found {
        row.history = lines.remove(&row.key).unwrap_or_default();
    }
    Ok(found)
}

/// The histories of what lies behind one key, up to and with another.
async fn histories(
    client: &Client,
    (tenant, connection): (&str, &str),
    last: &ConnectionKey,
) -> Result<BTreeMap<ConnectionKey, Vec<Entry>>, Failure> {
    let query = "SELECT tenant, connection, at, event, words FROM scimitar.events
        WHERE (tenant, connection) > ($1, $2) AND (tenant, connection) <= ($3, $4)
        ORDER BY tenant, connection, seq";
    let (until, id) = (last.tenant.as_str(), last.connection.as_str());
    let parameters: [Parameter<'_>; 4] =
        [(&tenant, Type::TEXT), (&connection, Type::TEXT), (&until, Type::TEXT), (&id, Type::TEXT)];
    let mut lines: BTreeMap<ConnectionKey, Vec<Entry>> = BTreeMap::new();
    for row in &ask(client, BEGIN_READ, query, &parameters).await? {
        lines.entry(key(row, 0)?).or_default().push(rows::entry(row, 2)?);
    }
    Ok(lines)
}

/// The fencing numbers. Rows that are there already stay, here and below: they were written by an attempt
/// whose answer was lost.
async fn fences(client: &Client, holder: &str, found: &[Row]) -> Result<(), Failure> {
    let claims = "INSERT INTO scimitar.claims (tenant, connection, attempt, fence, ends_at)
        SELECT tenant, connection, '', fence, scimitar.lease_clock()
        FROM mine, unnest($2::text[], $3::text[], $4::int8[]) AS filled (tenant, connection, fence)
        ON CONFLICT DO NOTHING";
    let tenants: Vec<&str> = found.iter().map(|row| row.key.tenant.as_str()).collect();
    let ids: Vec<&str> = found.iter().map(|row| row.key.connection.as_str()).collect();
    let fences: Vec<i64> = found.iter().map(|row| signed(row.fence)).collect();
    let claimed: [Parameter<'_>; 4] = [
        (&holder, Type::TEXT),
        (&tenants, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&fences, Type::INT8_ARRAY),
    ];
    as_filler(client, claims, &claimed).await
}

async fn record(
    client: &Client,
    holder: &str,
    key: &ConnectionKey,
    stored: &Stored,
) -> Result<(), Failure> {
    let statement =
        "INSERT INTO scimitar.records (tenant, connection, name, version, attempt, wake_at,
            next_rotation, expires_at, lost, schema, document)
        SELECT $2, $3, $4, $5, '', $6, $7, $8, $9, $10, $11 FROM mine ON CONFLICT DO NOTHING";
    let columns = Columns::of(&stored.record);
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let (name, version) = (stored.record.name.as_str(), signed(stored.version));
    let schema = i32::try_from(stored.record.schema).unwrap_or(i32::MAX);
    let document = format::encode(&stored.record)?;
    let parameters: [Parameter<'_>; 11] = [
        (&holder, Type::TEXT),
        (&tenant, Type::TEXT),
        (&connection, Type::TEXT),
        (&name, Type::TEXT),
        (&version, Type::INT8),
        (&columns.wake_at, Type::INT8),
        (&columns.next_rotation, Type::INT8),
        (&columns.expires_at, Type::INT8),
        (&columns.lost, Type::INT8),
        (&schema, Type::INT4),
        (&document, Type::TEXT),
    ];
    as_filler(client, statement, &parameters).await
}

async fn history(
    client: &Client,
    holder: &str,
    key: &ConnectionKey,
    lines: &[Entry],
) -> Result<(), Failure> {
    let statement = "INSERT INTO scimitar.events (tenant, connection, seq, at, event, words)
        SELECT $2, $3, seq, at, event, words
        FROM mine, unnest($4::int8[], $5::text[], $6::text[], $7::text[])
            AS line (seq, at, event, words)
        ON CONFLICT DO NOTHING";
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let seqs: Vec<i64> = (1..).take(lines.len()).collect();
    let ats: Vec<String> = lines.iter().map(rows::at).collect();
    let events: Vec<String> = lines.iter().map(|line| without_nul(&line.event)).collect();
    let words: Vec<String> = lines.iter().map(|line| without_nul(&line.words)).collect();
    let parameters: [Parameter<'_>; 7] = [
        (&holder, Type::TEXT),
        (&tenant, Type::TEXT),
        (&connection, Type::TEXT),
        (&seqs, Type::INT8_ARRAY),
        (&ats, Type::TEXT_ARRAY),
        (&events, Type::TEXT_ARRAY),
        (&words, Type::TEXT_ARRAY),
    ];
    as_filler(client, statement, &parameters).await
}

async fn shelf(client: &Client, shelf: Shelf) -> Result<Vec<(String, Box<RawValue>)>, Failure> {
    let query = match shelf {
        Shelf::Inventories => "SELECT tenant, document FROM scimitar.inventories ORDER BY 1",
        Shelf::Watched => "SELECT name, document FROM scimitar.watched ORDER BY 1",
    };
    let rows = ask(client, BEGIN_READ, query, &[]).await?;
    rows.iter()
        .map(|row| {
            let key: String = row.try_get(0)?;
            let document = RawValue::from_string(row.try_get(1)?)
                .map_err(|error| Failure::Unusable(format!("{key}: {error}")))?;
            Ok((key, document))
        })
        .collect()
}

async fn put(
    client: &Client,
    holder: &str,
    shelf: Shelf,
    key: &str,
    document: &str,
) -> Result<(), Failure> {
    let statement = match shelf {
        Shelf::Inventories => {
            "INSERT INTO scimitar.inventories (tenant, document) SELECT $2, $3 FROM mine
             ON CONFLICT (tenant) DO UPDATE SET document = excluded.document"
        }
        Shelf::Watched => {
            "INSERT INTO scimitar.watched (name, document) SELECT $2, $3 FROM mine
             ON CONFLICT (name) DO UPDATE SET document = excluded.document"
        }
    };
    let parameters: [Parameter<'_>; 3] =
        [(&holder, Type::TEXT), (&key, Type::TEXT), (&document, Type::TEXT)];
    as_filler(client, statement, &parameters).await
}
