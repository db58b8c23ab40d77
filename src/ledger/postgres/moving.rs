//! This ledger as one that is moved: its rows, its seal.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio_postgres::{Client, types::Type};

use super::{
    BEGIN_READ, BEGIN_WRITE, PostgresLedger,
    failure::Failure,
    rows::{self, Parameter, ask, count, key, signed, unsigned, without_nul},
    schema,
};
use crate::{
    ledger::{
        Entry, LedgerError,
        format::{self, Columns},
        moving::{Movable, Row, Shelf, Standing},
    },
    token::{ConnectionKey, LedgerId},
};

/// So many rows are deleted at a time.
const AT_ONCE: i64 = 20_000;

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

    async fn empty(&self, id: &LedgerId, from: &str) -> Result<(), LedgerError> {
        self.ask(|client, _| async move { empty(&client, id, from).await }).await
    }

    async fn rows(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError> {
        self.ask(|client, _| async move { read(&client, after, limit).await }).await
    }

    async fn fill(&self, rows: Vec<Row>) -> Result<(), LedgerError> {
        let rows = &*rows;
        self.ask(|client, _| async move { fill(&client, rows).await }).await
    }

    async fn shelf(&self, of: Shelf) -> Result<Vec<(String, Box<RawValue>)>, LedgerError> {
        self.ask(|client, _| async move { shelf(&client, of).await }).await
    }

    async fn put(
        &self,
        on: Shelf,
        documents: Vec<(String, Box<RawValue>)>,
    ) -> Result<(), LedgerError> {
        let documents = &*documents;
        self.ask(|client, _| async move { put(&client, on, documents).await }).await
    }

    async fn open(&self) -> Result<(), LedgerError> {
        self.ask(|client, _| async move { schema::mark(&client, None, None).await }).await
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

async fn seal(client: &Client, to: Option<&str>) -> Result<(), Failure> {
    let Some(to) = to else { return schema::mark(client, None, None).await };
    // Whoever is about to claim is waited for; whoever comes later finds the seal.
    let begin = format!("{BEGIN_WRITE}; LOCK TABLE scimitar.claims IN EXCLUSIVE MODE");
    let statement = "WITH held AS (
            SELECT tenant, connection FROM scimitar.claims
            WHERE holder IS NOT NULL AND ends_at > scimitar.lease_clock() LIMIT 1
        ), sealed AS (
            UPDATE scimitar.meta SET moved_to = $1, filled_from = NULL
            WHERE NOT EXISTS (SELECT FROM held)
        )
        SELECT tenant, connection FROM held";
    let held = ask(client, &begin, statement, &[(&to, Type::TEXT)]).await?;
    let Some(row) = held.first() else { return Ok(()) };
    let key = key(row, 0)?;
    Err(Failure::Unavailable(format!(
        "another process acts on connection {} at {}, or did so when it ended, in the last minute: stop \
         it first, then run this again",
        key.connection, key.tenant
    )))
}

async fn empty(client: &Client, id: &LedgerId, from: &str) -> Result<(), Failure> {
    schema::mark(client, Some(id), Some(from)).await?;
    for table in ["events", "records", "claims", "inventories", "watched", "limits"] {
        let statement = format!(
            "DELETE FROM scimitar.{table} WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM scimitar.{table} LIMIT $1)) RETURNING 1"
        );
        while !ask(client, BEGIN_WRITE, &statement, &[(&AT_ONCE, Type::INT8)]).await?.is_empty() {}
    }
    Ok(())
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
                Ok::<_, Failure>(crate::ledger::Stored { version: unsigned(version)?, record })
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

/// Rows that are there already stay: they were written by an attempt whose answer was lost.
async fn fill(client: &Client, found: &[Row]) -> Result<(), Failure> {
    let claims = "INSERT INTO scimitar.claims (tenant, connection, attempt, fence, ends_at)
        SELECT tenant, connection, '', fence, scimitar.lease_clock()
        FROM unnest($1::text[], $2::text[], $3::int8[]) AS filled (tenant, connection, fence)
        ON CONFLICT DO NOTHING";
    let tenants: Vec<&str> = found.iter().map(|row| row.key.tenant.as_str()).collect();
    let ids: Vec<&str> = found.iter().map(|row| row.key.connection.as_str()).collect();
    let fences: Vec<i64> = found.iter().map(|row| signed(row.fence)).collect();
    let claimed: [Parameter<'_>; 3] =
        [(&tenants, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY), (&fences, Type::INT8_ARRAY)];
    ask(client, BEGIN_WRITE, claims, &claimed).await?;
    for row in found {
        if let Some(stored) = &row.stored {
            record(client, &row.key, stored).await?;
            history(client, &row.key, stored.version, &row.history).await?;
        }
    }
    Ok(())
}

async fn record(
    client: &Client,
    key: &ConnectionKey,
    stored: &crate::ledger::Stored,
) -> Result<(), Failure> {
    let statement =
        "INSERT INTO scimitar.records (tenant, connection, name, version, attempt, wake_at,
            next_rotation, expires_at, lost, schema, document)
        VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let columns = Columns::of(&stored.record);
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let (name, version) = (stored.record.name.as_str(), signed(stored.version));
    let schema = i32::try_from(stored.record.schema).unwrap_or(i32::MAX);
    let document = format::encode(&stored.record)?;
    let parameters: [Parameter<'_>; 10] = [
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
    ask(client, BEGIN_WRITE, statement, &parameters).await?;
    Ok(())
}

/// A line a version, the newest with the version that is stored.
async fn history(
    client: &Client,
    key: &ConnectionKey,
    version: u64,
    lines: &[Entry],
) -> Result<(), Failure> {
    let statement = "INSERT INTO scimitar.events (tenant, connection, seq, at, event, words)
        SELECT $1, $2, seq, at, event, words
        FROM unnest($3::int8[], $4::text[], $5::text[], $6::text[]) AS line (seq, at, event, words)
        ON CONFLICT DO NOTHING";
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let first = signed(version) - i64::try_from(lines.len()).unwrap_or_default();
    let seqs: Vec<i64> = (1..).take(lines.len()).map(|number| first + number).collect();
    let ats: Vec<String> = lines.iter().map(rows::at).collect();
    let events: Vec<String> = lines.iter().map(|line| without_nul(&line.event)).collect();
    let words: Vec<String> = lines.iter().map(|line| without_nul(&line.words)).collect();
    let parameters: [Parameter<'_>; 6] = [
        (&tenant, Type::TEXT),
        (&connection, Type::TEXT),
        (&seqs, Type::INT8_ARRAY),
        (&ats, Type::TEXT_ARRAY),
        (&events, Type::TEXT_ARRAY),
        (&words, Type::TEXT_ARRAY),
    ];
    ask(client, BEGIN_WRITE, statement, &parameters).await?;
    Ok(())
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
    shelf: Shelf,
    documents: &[(String, Box<RawValue>)],
) -> Result<(), Failure> {
    let statement = match shelf {
        Shelf::Inventories => {
            "INSERT INTO scimitar.inventories (tenant, document) VALUES ($1, $2)
             ON CONFLICT (tenant) DO UPDATE SET document = excluded.document"
        }
        Shelf::Watched => {
            "INSERT INTO scimitar.watched (name, document) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET document = excluded.document"
        }
    };
    for (key, document) in documents {
        let document = document.get();
        ask(client, BEGIN_WRITE, statement, &[(key, Type::TEXT), (&document, Type::TEXT)]).await?;
    }
    Ok(())
}
