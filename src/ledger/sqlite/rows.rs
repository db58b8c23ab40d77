//! What is asked of the tables. Every function runs inside one transaction of the caller's.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params, types::Type};

use super::{failure::Failure, host::milliseconds, marks, writer::Hold};
use crate::{
    clock::Timestamp,
    ledger::{
        Claim, Claimed, Entry, Losses, Stored,
        format::{self, Columns, HISTORY},
        history::{self, CHECKED},
    },
    rotation::record::Record,
    token::{ConnectionId, ConnectionKey, ConnectionName, Tenant},
};

pub(super) fn load(
    connection: &Connection,
    key: &ConnectionKey,
) -> Result<Option<Stored>, Failure> {
    Ok(load_many(connection, std::slice::from_ref(key))?.pop().flatten())
}

pub(super) fn load_many(
    connection: &Connection,
    keys: &[ConnectionKey],
) -> Result<Vec<Option<Stored>>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT version, document FROM records WHERE tenant = ?1 AND connection = ?2",
    )?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let names = [key.tenant.as_str(), key.connection.as_str()];
        found.push(statement.query_row(names, stored).optional()?.transpose()?);
    }
    Ok(found)
}

/// Looks at the columns of every row, and reads the document of one at most.
pub(super) fn elsewhere(
    connection: &Connection,
    key: &ConnectionKey,
    name: &ConnectionName,
) -> Result<Option<Record>, Failure> {
    let found = connection
        .prepare_cached(
            "SELECT version, document FROM records
             WHERE connection = ?2 AND tenant <> ?1 AND name = ?3
             ORDER BY tenant LIMIT 1",
        )?
        .query_row([key.tenant.as_str(), key.connection.as_str(), name.as_str()], stored)
        .optional()?;
    Ok(found.transpose()?.map(|stored| stored.record))
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Stored>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT version, document FROM records ORDER BY tenant, connection")?;
    let rows = statement.query_map((), stored)?;
    rows.map(|row| row?).collect()
}

/// With more records than this there is room for a whole page at once: they are large, and a list that
/// grows little by little is copied, and wiped, each time.
const FEW: usize = 8;

/// More are asked for by nobody.
const PAGE: usize = 1_000;

pub(super) fn page(
    connection: &Connection,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<Stored>, Failure> {
    let (tenant, id) = after.map_or(("", ""), |key| (key.tenant.as_str(), key.connection.as_str()));
    let mut statement = connection.prepare_cached(
        "SELECT version, document FROM records WHERE (tenant, connection) > (?1, ?2)
         ORDER BY tenant, connection LIMIT ?3",
    )?;
    let mut page = Vec::new();
    for row in statement.query_map((tenant, id, count(limit)), stored)? {
        if page.len() == FEW {
            page.reserve_exact(limit.min(PAGE));
        }
        page.push(row??);
    }
    Ok(page)
}

pub(super) fn keys(
    connection: &Connection,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<ConnectionKey>, Failure> {
    let (tenant, id) = after.map_or(("", ""), |key| (key.tenant.as_str(), key.connection.as_str()));
    let mut statement = connection.prepare_cached(
        "SELECT tenant, connection FROM records WHERE (tenant, connection) > (?1, ?2)
         ORDER BY tenant, connection LIMIT ?3",
    )?;
    let rows =
        statement.query_map((tenant, id, count(limit)), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| key(row?)).collect()
}

/// In how many writes the history is trimmed once: finding what is too old costs more than a line.
const TRIMMED_EVERY: u64 = 16;

/// Takes the claim if it is free: never taken, given back, ended, of another boot, or its holder
/// dead. The record comes with it.
pub(super) fn claim(
    connection: &Connection,
    key: &ConnectionKey,
    lease: Duration,
    hold: &Hold<'_>,
) -> Result<Claimed, Failure> {
    marks::must_be_of_use(connection)?;
    let now = hold.clock.now_ms();
    if let Some((other, until)) = held(connection, key, hold.clock.boot_id())?
        && now < until
        && (other == hold.holder || hold.holders.is_alive(&other))
    {
        let left = u64::try_from(until.saturating_sub(now)).unwrap_or_default();
        return Ok(Claimed::Held(Duration::from_millis(left)));
    }
    let fence: i64 = connection
        .prepare_cached(
            "INSERT INTO claims (tenant, connection, holder, fence, boot_id, until_boot_ms)
         VALUES (:tenant, :connection, :holder, 1, :boot_id, :until)
         ON CONFLICT (tenant, connection) DO UPDATE SET
            holder = excluded.holder, fence = fence + 1,
            boot_id = excluded.boot_id, until_boot_ms = excluded.until_boot_ms
         RETURNING fence",
        )?
        .query_row(
            named_params! {
                ":tenant": key.tenant.as_str(),
                ":connection": key.connection.as_str(),
                ":holder": hold.holder,
                ":boot_id": hold.clock.boot_id(),
                ":until": now.saturating_add(milliseconds(lease)),
            },
            |row| row.get(0),
        )?;
    hold.claimed.borrow_mut().insert(key.clone());
    let claim = Claim { key: key.clone(), fence: unsigned(fence)? };
    Ok(Claimed::Yes(claim, load(connection, key)?))
}

pub(super) fn renew(
    connection: &Connection,
    claim: &Claim,
    lease: Duration,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    must_hold(connection, claim, hold)?;
    connection
        .prepare_cached(
            "UPDATE claims SET until_boot_ms = ?3 WHERE tenant = ?1 AND connection = ?2",
        )?
        .execute((
            claim.key.tenant.as_str(),
            claim.key.connection.as_str(),
            hold.clock.now_ms().saturating_add(milliseconds(lease)),
        ))?;
    Ok(())
}

pub(super) fn release(
    connection: &Connection,
    claim: &Claim,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    hold.claimed.borrow_mut().remove(&claim.key);
    connection
        .prepare_cached(
            "UPDATE claims SET holder = NULL, boot_id = NULL, until_boot_ms = NULL
         WHERE tenant = ?1 AND connection = ?2 AND holder = ?3 AND fence = ?4",
        )?
        .execute((
            claim.key.tenant.as_str(),
            claim.key.connection.as_str(),
            hold.holder,
            signed(claim.fence),
        ))?;
    Ok(())
}

/// Writes record and history if claim and version still hold, and gives the new version.
pub(super) fn store(
    connection: &Connection,
    claim: &Claim,
    version: u64,
    record: &Record,
    entries: &[Entry],
    hold: &Hold<'_>,
) -> Result<u64, Failure> {
    if record.key != claim.key {
        return Err(Failure::ClaimLost);
    }
    must_hold(connection, claim, hold)?;
    let key = [claim.key.tenant.as_str(), claim.key.connection.as_str()];
    let found: Option<i64> = connection
        .prepare_cached("SELECT version FROM records WHERE tenant = ?1 AND connection = ?2")?
        .query_row(key, |row| row.get(0))
        .optional()?;
    if unsigned(found.unwrap_or_default())? != version {
        return Err(Failure::ClaimLost);
    }
    let columns = Columns::of(record);
    let document = format::encode(record)?;
    connection.prepare_cached("INSERT INTO records
            (tenant, connection, name, version, wake_at, next_rotation, expires_at, lost, schema,
             document)
         VALUES
            (:tenant, :connection, :name, :version, :wake_at, :next_rotation, :expires_at, :lost,
             :schema, :document)
         ON CONFLICT (tenant, connection) DO UPDATE SET
            name = excluded.name, version = excluded.version, wake_at = excluded.wake_at,
            next_rotation = excluded.next_rotation, expires_at = excluded.expires_at, lost = excluded.lost, schema = excluded.schema,
            document = excluded.document")?.execute(named_params! {
            ":tenant": claim.key.tenant.as_str(),
            ":connection": claim.key.connection.as_str(),
            ":name": record.name.as_str(),
            ":version": signed(version + 1),
            ":wake_at": columns.wake_at,
            ":next_rotation": columns.next_rotation,
            ":expires_at": columns.expires_at,
            ":lost": columns.lost,
            ":schema": record.schema,
            ":document": document,
        },
    )?;
    write_history(connection, &claim.key, entries)?;
    if version.is_multiple_of(TRIMMED_EVERY) {
        trim_history(connection, &claim.key)?;
    }
    Ok(version + 1)
}

pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<ConnectionKey>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, connection FROM records WHERE wake_at <= ?1
         ORDER BY expires_at IS NULL, expires_at, wake_at, tenant, connection LIMIT ?2",
    )?;
    let rows = statement
        .query_map((now.timestamp_millis(), count(limit)), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| key(row?)).collect()
}

/// The same, with so many of each tenant at most.
pub(super) fn due_of_each(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<ConnectionKey>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, connection FROM (
            SELECT tenant, connection, expires_at, wake_at, row_number() OVER (
                PARTITION BY tenant ORDER BY expires_at IS NULL, expires_at, wake_at, connection
            ) AS nth
            FROM records WHERE wake_at <= ?1
         ) WHERE nth <= ?2
         ORDER BY expires_at IS NULL, expires_at, wake_at, tenant, connection",
    )?;
    let rows = statement
        .query_map((now.timestamp_millis(), count(limit)), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| key(row?)).collect()
}

pub(super) fn next_wake(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(wake_at) FROM records WHERE wake_at > ?1")?
        .query_row([now.timestamp_millis()], |row| row.get(0))?;
    Ok(next.and_then(Timestamp::from_timestamp_millis))
}

pub(super) fn next_rotations(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<(Timestamp, ConnectionKey)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT next_rotation, tenant, connection FROM records WHERE next_rotation IS NOT NULL
         ORDER BY next_rotation, tenant, connection LIMIT ?1",
    )?;
    let rows = statement
        .query_map([count(limit)], |row| Ok((row.get::<_, i64>(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.map(|row| {
        let (at, names) = row?;
        Ok((Timestamp::from_timestamp_millis(at).unwrap_or_default(), key(names)?))
    })
    .collect()
}

pub(super) fn history(
    connection: &Connection,
    key: &ConnectionKey,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT at, event, words FROM events WHERE tenant = ?1 AND connection = ?2
         ORDER BY seq DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(
        (key.tenant.as_str(), key.connection.as_str(), count(limit.min(HISTORY))),
        |row| Ok(Entry { at: time(row, 0)?, event: row.get(1)?, words: row.get(2)? }),
    )?;
    rows.map(|row| Ok(row?)).collect()
}

/// `of`: so many connections are counted for each lost one, and one more, at most.
pub(super) fn losses(
    connection: &Connection,
    tenant: &Tenant,
    since: Timestamp,
    of: Option<usize>,
) -> Result<Losses, Failure> {
    let lost: i64 = connection
        .prepare_cached("SELECT count(*) FROM records WHERE tenant = ?1 AND lost >= ?2")?
        .query_row((tenant.as_str(), since.timestamp_millis().max(1)), |row| row.get(0))?;
    let size = |number| usize::try_from(number).unwrap_or_default();
    let most = of.map(|of| of.saturating_mul(size(lost)).saturating_add(1));
    let connections: i64 = connection
        .prepare(
            "SELECT count(*) FROM (
                SELECT 1 FROM records WHERE tenant = ?1 AND lost IS NOT NULL LIMIT ?2)",
        )?
        .query_row((tenant.as_str(), count(most.unwrap_or(usize::MAX))), |row| row.get(0))?;
    Ok(Losses { connections: size(connections), lost: size(lost) })
}

/// Whether nobody acts on the connection now.
pub(super) fn is_free(
    connection: &Connection,
    key: &ConnectionKey,
    hold: &Hold<'_>,
) -> Result<bool, Failure> {
    let held = held(connection, key, hold.clock.boot_id())?;
    Ok(held.is_none_or(|(holder, until)| {
        until <= hold.clock.now_ms() || !hold.holders.is_alive(&holder)
    }))
}

/// Who holds the connection by its row, and until which millisecond of this boot.
fn held(
    connection: &Connection,
    key: &ConnectionKey,
    boot_id: &str,
) -> Result<Option<(String, i64)>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT holder, until_boot_ms FROM claims
             WHERE tenant = ?1 AND connection = ?2 AND boot_id = ?3 AND holder IS NOT NULL",
        )?
        .query_row([key.tenant.as_str(), key.connection.as_str(), boot_id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?)
}

/// Whether the claim is still this handle's and has not ended.
pub(super) fn must_hold(
    connection: &Connection,
    claim: &Claim,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    let until: Option<i64> = connection
        .prepare_cached(
            "SELECT until_boot_ms FROM claims
             WHERE tenant = ?1 AND connection = ?2 AND holder = ?3 AND fence = ?4
                AND boot_id = ?5",
        )?
        .query_row(
            (
                claim.key.tenant.as_str(),
                claim.key.connection.as_str(),
                hold.holder,
                signed(claim.fence),
                hold.clock.boot_id(),
            ),
            |row| row.get(0),
        )
        .optional()?;
    match until {
        Some(until) if hold.clock.now_ms() < until => Ok(()),
        Some(_) | None => {
            hold.claimed.borrow_mut().remove(&claim.key);
            Err(Failure::ClaimLost)
        }
    }
}

pub(super) fn write_history(
    connection: &Connection,
    key: &ConnectionKey,
    entries: &[Entry],
) -> Result<(), Failure> {
    if let [entry] = entries
        && entry.event == CHECKED
        && counted(connection, key, entry)?
    {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (tenant, connection, at, event, words) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for entry in entries {
        insert.execute((
            key.tenant.as_str(),
            key.connection.as_str(),
            entry.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            &entry.event,
            &entry.words,
        ))?;
    }
    Ok(())
}

/// Counts one more look in the newest line of the history, if it counts looks.
fn counted(connection: &Connection, key: &ConnectionKey, entry: &Entry) -> Result<bool, Failure> {
    let key = (key.tenant.as_str(), key.connection.as_str());
    let newest: Option<(i64, String, String)> = connection
        .prepare_cached(
            "SELECT seq, event, words FROM events WHERE tenant = ?1 AND connection = ?2
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((seq, _, words)) = newest.filter(|(_, event, _)| *event == entry.event) else {
        return Ok(false);
    };
    let words = history::counted(history::times(&words).saturating_add(1));
    connection
        .prepare_cached("UPDATE events SET words = ?2 WHERE seq = ?1")?
        .execute((seq, words))?;
    Ok(true)
}

/// Drops what is older than the newest [`HISTORY`] of that connection.
fn trim_history(connection: &Connection, key: &ConnectionKey) -> Result<(), Failure> {
    let mut trim = connection.prepare_cached(
        "DELETE FROM events WHERE tenant = ?1 AND connection = ?2 AND seq <= (
            SELECT seq FROM events WHERE tenant = ?1 AND connection = ?2
            ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
    )?;
    trim.execute((key.tenant.as_str(), key.connection.as_str(), count(HISTORY)))?;
    Ok(())
}

/// The record is read where it lies: the database's own memory.
fn stored(row: &Row<'_>) -> rusqlite::Result<Result<Stored, Failure>> {
    let version: i64 = row.get(0)?;
    let document = row.get_ref(1)?.as_str().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error))
    })?;
    let read = || Ok(Stored { version: unsigned(version)?, record: format::decode(document)? });
    Ok(read())
}

pub(super) fn key((tenant, connection): (String, String)) -> Result<ConnectionKey, Failure> {
    let unusable = |error: crate::token::NotAName| Failure::Unusable(error.to_string());
    Ok(ConnectionKey {
        tenant: Tenant::try_new(tenant).map_err(unusable)?,
        connection: ConnectionId::try_new(connection).map_err(unusable)?,
    })
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    chrono::DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc()).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

pub(super) fn unsigned(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| {
        Failure::Unusable(format!("{number} is not a valid version or fencing number"))
    })
}

/// Numbers that count writes from 1 do not get there.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
