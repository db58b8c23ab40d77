//! What is asked of the tables. Every function is one transaction, sent in one go.

use std::time::Duration;

use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{BEGIN_READ, BEGIN_SOON, BEGIN_WRITE, LONGEST_LEASE, failure::Failure};
use crate::{
    clock::Timestamp,
    ledger::{
        Claim, Durability, Entry, Losses, Stored, Then,
        format::{self, Columns, HISTORY},
    },
    rotation::record::Record,
    token::{ConnectionId, ConnectionKey, ConnectionName, Tenant},
};

/// A value of a statement, and its type there.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Runs `work` inside a transaction. All of it is sent before the first answer is waited for, so that
/// it is over, one way or the other, whatever becomes of whoever asked.
pub(super) async fn within<T>(
    client: &Client,
    begin: &str,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    let (begun, answer, ended) = tokio::join!(
        biased;
        client.batch_execute(begin),
        work,
        client.batch_execute("COMMIT"),
    );
    begun?;
    // After an error, COMMIT rolls back.
    let answer = answer?;
    ended?;
    Ok(answer)
}

/// The same for one statement.
pub(super) async fn ask(
    client: &Client,
    begin: &str,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Failure> {
    within(client, begin, client.query_typed(statement, parameters)).await
}

pub(super) async fn load(client: &Client, key: &ConnectionKey) -> Result<Option<Stored>, Failure> {
    let rows = within(client, BEGIN_READ, read_record(client, key)).await?;
    rows.first().map(|row| stored(row, 0)).transpose()
}

pub(super) async fn read_record(
    client: &Client,
    key: &ConnectionKey,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let query =
        "SELECT version, document FROM scimitar.records WHERE tenant = $1 AND connection = $2";
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    client.query_typed(query, &[(&tenant, Type::TEXT), (&connection, Type::TEXT)]).await
}

/// What there is of these, in their order.
pub(super) async fn load_many(
    client: &Client,
    keys: &[&ConnectionKey],
) -> Result<Vec<Option<Stored>>, Failure> {
    let query = "SELECT nth, version, document
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (tenant, connection, nth)
        JOIN scimitar.records AS records
            ON records.tenant = wanted.tenant AND records.connection = wanted.connection";
    let tenants: Vec<&str> = keys.iter().map(|key| key.tenant.as_str()).collect();
    let connections: Vec<&str> = keys.iter().map(|key| key.connection.as_str()).collect();
    let parameters: [Parameter<'_>; 2] =
        [(&tenants, Type::TEXT_ARRAY), (&connections, Type::TEXT_ARRAY)];
    let mut found = vec![None; keys.len()];
    for row in ask(client, BEGIN_READ, query, &parameters).await? {
        let nth = unsigned(row.try_get(0)?)?;
        let place = usize::try_from(nth).ok().and_then(|nth| found.get_mut(nth.checked_sub(1)?));
        if let Some(place) = place {
            *place = Some(stored(&row, 1)?);
        }
    }
    Ok(found)
}

pub(super) async fn elsewhere(
    client: &Client,
    key: &ConnectionKey,
    name: &ConnectionName,
) -> Result<Option<Record>, Failure> {
    let query = "SELECT version, document FROM scimitar.records
        WHERE connection = $2 AND tenant <> $1 AND name = $3 ORDER BY tenant LIMIT 1";
    let (tenant, connection, name) = (key.tenant.as_str(), key.connection.as_str(), name.as_str());
    let rows = ask(
        client,
        BEGIN_READ,
        query,
        &[(&tenant, Type::TEXT), (&connection, Type::TEXT), (&name, Type::TEXT)],
    )
    .await?;
    Ok(rows.first().map(|row| stored(row, 0)).transpose()?.map(|stored| stored.record))
}

pub(super) async fn page(
    client: &Client,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<Stored>, Failure> {
    let query = "SELECT version, document FROM scimitar.records
        WHERE (tenant, connection) > ($1, $2) ORDER BY tenant, connection LIMIT $3";
    let rows = behind(client, query, after, limit).await?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        page.push(stored(row, 0)?);
    }
    Ok(page)
}

pub(super) async fn keys(
    client: &Client,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<ConnectionKey>, Failure> {
    let query = "SELECT tenant, connection FROM scimitar.records
        WHERE (tenant, connection) > ($1, $2) ORDER BY tenant, connection LIMIT $3";
    behind(client, query, after, limit).await?.iter().map(|row| key(row, 0)).collect()
}

/// The rows behind a key, in their order.
async fn behind(
    client: &Client,
    query: &str,
    after: Option<&ConnectionKey>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let (tenant, connection) =
        after.map_or(("", ""), |key| (key.tenant.as_str(), key.connection.as_str()));
    let limit = count(limit);
    ask(
        client,
        BEGIN_READ,
        query,
        &[(&tenant, Type::TEXT), (&connection, Type::TEXT), (&limit, Type::INT8)],
    )
    .await
}

/// A record and lines of history, ready to be written under a claim.
pub(super) struct Write<'a> {
    pub(super) claim: &'a Claim,
    pub(super) holder: &'a str,
    pub(super) attempt: &'a str,
    pub(super) version: u64,
    pub(super) record: &'a Record,
    pub(super) columns: Columns,
    pub(super) document: String,
    pub(super) entries: &'a [Entry],
    pub(super) durability: Durability,
    /// `None`: the claim lasts as long as it did.
    pub(super) then: Option<Then>,
}

/// Writes record and history if claim and version still hold. The claim's row is kept locked until
/// that is durable: nobody takes the connection over in between, even where the lease ends.
pub(super) async fn store(client: &Client, write: &Write<'_>) -> Result<Option<u64>, Failure> {
    let query = "WITH held AS (
            SELECT FROM scimitar.claims
            WHERE tenant = $1 AND connection = $2 AND holder = $3 AND fence = $4
                AND ends_at > scimitar.lease_clock()
            FOR UPDATE
        ), made AS (
            INSERT INTO scimitar.records (tenant, connection, name, version, attempt, wake_at,
                next_rotation, expires_at, lost, schema, document)
            SELECT $1, $2, $7, 1, $5, $8, $9, $10, $11, $12, $13 FROM held WHERE $6 = 0
            ON CONFLICT DO NOTHING
            RETURNING version
        ), changed AS (
            UPDATE scimitar.records SET name = $7, version = $6 + 1, attempt = $5, wake_at = $8,
                next_rotation = $9, expires_at = $10, lost = $11, schema = $12, document = $13
            FROM held
            WHERE tenant = $1 AND connection = $2 AND version = $6 AND $6 > 0
            RETURNING version
        ), written AS (
            SELECT version FROM made UNION ALL SELECT version FROM changed
        ), last AS (
            SELECT coalesce(max(seq), 0) AS seq FROM scimitar.events
            WHERE tenant = $1 AND connection = $2
        ), counted AS (
            UPDATE scimitar.events SET
                words = 'checked '
                    || (coalesce(substring(events.words from '[0-9]{1,9}')::int8, 1) + 1) || ' times'
            FROM written, last
            WHERE tenant = $1 AND connection = $2 AND events.seq = last.seq
                AND events.event = 'checked' AND $15::text[] = ARRAY['checked']
            RETURNING 1
        ), lines AS (
            INSERT INTO scimitar.events (tenant, connection, seq, at, event, words)
            SELECT $1, $2, last.seq + nth, at, event, words
            FROM written, last, unnest($14::text[], $15::text[], $16::text[])
                WITH ORDINALITY AS line (at, event, words, nth)
            WHERE NOT EXISTS (SELECT FROM counted)
        ), trimmed AS (
            DELETE FROM scimitar.events USING written, last
            WHERE tenant = $1 AND connection = $2
                AND events.seq <= last.seq + cardinality($14::text[]) - $17
        ), kept AS (
            UPDATE scimitar.claims AS claims SET
                holder = CASE WHEN $18 THEN NULL ELSE claims.holder END,
                ends_at = coalesce(
                    scimitar.lease_clock() + $19 * interval '1 millisecond', claims.ends_at)
            FROM written
            WHERE claims.tenant = $1 AND claims.connection = $2 AND ($18 OR $19 IS NOT NULL)
        )
        SELECT version FROM written";
    let Write { claim, holder, attempt, version, record, columns, document, entries, .. } = write;
    let (tenant, connection) = (claim.key.tenant.as_str(), claim.key.connection.as_str());
    let (fence, version) = (signed(claim.fence), signed(*version));
    let schema = i32::try_from(record.schema).unwrap_or(i32::MAX);
    let ats: Vec<String> = entries.iter().map(at).collect();
    let events: Vec<String> = entries.iter().map(|entry| without_nul(&entry.event)).collect();
    let words: Vec<String> = entries.iter().map(|entry| without_nul(&entry.words)).collect();
    let name = record.name.as_str();
    let kept = count(HISTORY);
    let (released, lease) = match write.then {
        Some(Then::Renew(lease)) => (false, Some(milliseconds(lease))),
        Some(Then::Release) => (true, None),
        None => (false, None),
    };
    // A renewal must not be taken back: something may be done under it.
    let may_wait = write.durability == Durability::Soon && released;
    let rows = ask(
        client,
        if may_wait { BEGIN_SOON } else { BEGIN_WRITE },
        query,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (holder, Type::TEXT),
            (&fence, Type::INT8),
            (attempt, Type::TEXT),
            (&version, Type::INT8),
            (&name, Type::TEXT),
            (&columns.wake_at, Type::INT8),
            (&columns.next_rotation, Type::INT8),
            (&columns.expires_at, Type::INT8),
            (&columns.lost, Type::INT8),
            (&schema, Type::INT4),
            (document, Type::TEXT),
            (&ats, Type::TEXT_ARRAY),
            (&events, Type::TEXT_ARRAY),
            (&words, Type::TEXT_ARRAY),
            (&kept, Type::INT8),
            (&released, Type::BOOL),
            (&lease, Type::INT8),
        ],
    )
    .await?;
    rows.first().map(|row| unsigned(row.try_get(0)?)).transpose()
}

/// The version that an earlier attempt wrote, whose answer was lost.
pub(super) async fn stored_by(client: &Client, write: &Write<'_>) -> Result<Option<u64>, Failure> {
    let query = "SELECT version FROM scimitar.records
        WHERE tenant = $1 AND connection = $2 AND attempt = $3";
    let key = &write.claim.key;
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let rows = ask(
        client,
        BEGIN_READ,
        query,
        &[(&tenant, Type::TEXT), (&connection, Type::TEXT), (&write.attempt, Type::TEXT)],
    )
    .await?;
    rows.first().map(|row| unsigned(row.try_get(0)?)).transpose()
}

/// What is due, but for what another holder acts on: the most urgent first. A claim that ends later than
/// any lease does hides nothing: it is to be asked for, which shortens it.
pub(super) async fn due(
    client: &Client,
    now: Timestamp,
    limit: usize,
    holder: &str,
) -> Result<Vec<ConnectionKey>, Failure> {
    let query = "SELECT tenant, connection FROM scimitar.records AS records
        WHERE wake_at <= $1 AND NOT EXISTS (
            SELECT FROM scimitar.claims AS claims
            WHERE claims.tenant = records.tenant AND claims.connection = records.connection
                AND claims.holder <> $3 AND claims.ends_at > (SELECT scimitar.lease_clock())
                AND claims.ends_at <= (SELECT scimitar.lease_clock()) + $4 * interval '1 ms')
        ORDER BY expires_at NULLS LAST, wake_at, tenant, connection LIMIT $2";
    due_by(client, query, now, limit, holder).await
}

/// The same, with so many of each tenant at most.
pub(super) async fn due_of_each(
    client: &Client,
    now: Timestamp,
    limit: usize,
    holder: &str,
) -> Result<Vec<ConnectionKey>, Failure> {
    let query = "SELECT tenant, connection FROM (
            SELECT tenant, connection, expires_at, wake_at, row_number() OVER (
                PARTITION BY tenant ORDER BY expires_at NULLS LAST, wake_at, connection) AS nth
            FROM scimitar.records AS records
            WHERE wake_at <= $1 AND NOT EXISTS (
                SELECT FROM scimitar.claims AS claims
                WHERE claims.tenant = records.tenant AND claims.connection = records.connection
                    AND claims.holder <> $3 AND claims.ends_at > (SELECT scimitar.lease_clock())
                    AND claims.ends_at <= (SELECT scimitar.lease_clock()) + $4 * interval '1 ms')
        ) AS ranked
        WHERE nth <= $2
        ORDER BY expires_at NULLS LAST, wake_at, tenant, connection";
    due_by(client, query, now, limit, holder).await
}

async fn due_by(
    client: &Client,
    query: &str,
    now: Timestamp,
    limit: usize,
    holder: &str,
) -> Result<Vec<ConnectionKey>, Failure> {
    let (now, limit) = (now.timestamp_millis(), count(limit));
    let longest = milliseconds(LONGEST_LEASE);
    let parameters: [Parameter<'_>; 4] =
        [(&now, Type::INT8), (&limit, Type::INT8), (&holder, Type::TEXT), (&longest, Type::INT8)];
    let rows = ask(client, BEGIN_READ, query, &parameters).await?;
    rows.iter().map(|row| key(row, 0)).collect()
}

pub(super) async fn next_wake(
    client: &Client,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let query = "SELECT min(wake_at) FROM scimitar.records WHERE wake_at > $1";
    let now = now.timestamp_millis();
    let rows = ask(client, BEGIN_READ, query, &[(&now, Type::INT8)]).await?;
    let next: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(next.and_then(Timestamp::from_timestamp_millis))
}

pub(super) async fn next_rotations(
    client: &Client,
    limit: usize,
) -> Result<Vec<(Timestamp, ConnectionKey)>, Failure> {
    let query = "SELECT next_rotation, tenant, connection FROM scimitar.records
        WHERE next_rotation IS NOT NULL ORDER BY next_rotation, tenant, connection LIMIT $1";
    let limit = count(limit);
    let rows = ask(client, BEGIN_READ, query, &[(&limit, Type::INT8)]).await?;
    rows.iter()
        .map(|row| {
            let at = Timestamp::from_timestamp_millis(row.try_get(0)?).unwrap_or_default();
            Ok((at, key(row, 1)?))
        })
        .collect()
}

pub(super) async fn history(
    client: &Client,
    key: &ConnectionKey,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let query = "SELECT at, event, words FROM scimitar.events WHERE tenant = $1 AND connection = $2
        ORDER BY seq DESC LIMIT $3";
    let (tenant, connection) = (key.tenant.as_str(), key.connection.as_str());
    let limit = count(limit);
    let rows = ask(
        client,
        BEGIN_READ,
        query,
        &[(&tenant, Type::TEXT), (&connection, Type::TEXT), (&limit, Type::INT8)],
    )
    .await?;
    rows.iter().map(|row| entry(row, 0)).collect()
}

/// A line of history, from this column on.
pub(super) fn entry(row: &Row, column: usize) -> Result<Entry, Failure> {
    let at: String = row.try_get(column)?;
    let at = chrono::DateTime::parse_from_rfc3339(&at)
        .map_err(|error| Failure::Unusable(format!("a line of history has no time ({error})")))?;
    let (event, words) = (row.try_get(column + 1)?, row.try_get(column + 2)?);
    Ok(Entry { at: at.to_utc(), event, words })
}

/// When a line was written, as it is kept.
pub(super) fn at(entry: &Entry) -> String {
    entry.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// `of`: so many connections are counted for each lost one, and one more, at most.
pub(super) async fn losses(
    client: &Client,
    tenant: &Tenant,
    since: Timestamp,
    of: Option<usize>,
) -> Result<Losses, Failure> {
    // Without an `of`, the limit is none.
    let query = "WITH gone AS (
            SELECT count(*) AS number FROM scimitar.records WHERE tenant = $1 AND lost >= $2
        )
        SELECT number, (SELECT count(*) FROM (
                SELECT FROM scimitar.records WHERE tenant = $1 AND lost IS NOT NULL
                LIMIT (SELECT number * $3 + 1 FROM gone)) AS counted)
        FROM gone";
    let (tenant, since) = (tenant.as_str(), since.timestamp_millis().max(1));
    let of = of.map(count);
    let rows = ask(
        client,
        BEGIN_READ,
        query,
        &[(&tenant, Type::TEXT), (&since, Type::INT8), (&of, Type::INT8)],
    )
    .await?;
    let Some(row) = rows.first() else { return Ok(Losses::default()) };
    let size = |number: i64| usize::try_from(number).unwrap_or_default();
    Ok(Losses { lost: size(row.try_get(0)?), connections: size(row.try_get(1)?) })
}

/// A version and a record, from this column on.
pub(super) fn stored(row: &Row, at: usize) -> Result<Stored, Failure> {
    let document: &str = row.try_get(at + 1)?;
    Ok(Stored { version: unsigned(row.try_get(at)?)?, record: format::decode(document)? })
}

pub(super) fn key(row: &Row, at: usize) -> Result<ConnectionKey, Failure> {
    let unusable = |error: crate::token::NotAName| Failure::Unusable(error.to_string());
    Ok(ConnectionKey {
        tenant: Tenant::try_new(row.try_get::<_, String>(at)?).map_err(unusable)?,
        connection: ConnectionId::try_new(row.try_get::<_, String>(at + 1)?).map_err(unusable)?,
    })
}

/// PostgreSQL keeps no text with that character. (JSON writes it as an escape.)
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
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

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
