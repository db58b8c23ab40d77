//! Records that are kept under another name of the same tenant from now on.

use tokio_postgres::{Client, types::Type};

use super::{
    BEGIN_READ, BEGIN_WRITE,
    failure::Failure,
    rows::{ask, signed},
};
use crate::{
    ledger::{Claim, format},
    rotation::record::Record,
    token::{ConnectionId, ConnectionKey, Tenant},
};

/// The records of `from` that `to` does not have.
pub(super) async fn of_tenant(
    client: &Client,
    from: &Tenant,
    to: &Tenant,
) -> Result<Vec<ConnectionKey>, Failure> {
    let query = "SELECT connection FROM scimitar.records AS old WHERE tenant = $1 AND NOT EXISTS (
            SELECT FROM scimitar.records AS new
            WHERE new.tenant = $2 AND new.connection = old.connection)
        ORDER BY connection";
    let (old, new) = (from.as_str(), to.as_str());
    let rows = ask(client, BEGIN_READ, query, &[(&old, Type::TEXT), (&new, Type::TEXT)]).await?;
    let unusable = |error: crate::token::NotAName| Failure::Unusable(error.to_string());
    rows.iter()
        .map(|row| {
            let connection =
                ConnectionId::try_new(row.try_get::<_, String>(0)?).map_err(unusable)?;
            Ok(ConnectionKey { tenant: from.clone(), connection })
        })
        .collect()
}

/// Keeps one, which is claimed, under another tenant, with its history and its fence number. Whether
/// that was done: `to` may have it by now.
pub(super) async fn one(
    client: &Client,
    claim: &Claim,
    holder: &str,
    version: u64,
    record: &Record,
) -> Result<bool, Failure> {
    let statement = "WITH held AS (
            SELECT fence, attempt FROM scimitar.claims
            WHERE tenant = $1 AND connection = $2 AND holder = $3 AND fence = $4
                AND ends_at > scimitar.lease_clock()
            FOR UPDATE
        ), moved AS (
            UPDATE scimitar.records SET tenant = $5, schema = $7, document = $8 FROM held
            WHERE tenant = $1 AND connection = $2 AND version = $6 AND NOT EXISTS (
                SELECT FROM scimitar.records AS new WHERE new.tenant = $5 AND new.connection = $2)
            RETURNING held.fence, held.attempt
        ), lines AS (
            UPDATE scimitar.events SET tenant = $5
            WHERE tenant = $1 AND connection = $2 AND EXISTS (SELECT FROM moved)
        ), fenced AS (
            INSERT INTO scimitar.claims (tenant, connection, attempt, fence, ends_at)
            SELECT $5, $2, attempt, fence, scimitar.lease_clock() FROM moved
            ON CONFLICT (tenant, connection) DO UPDATE
                SET fence = greatest(claims.fence, excluded.fence)
        ), gone AS (
            DELETE FROM scimitar.claims
            WHERE tenant = $1 AND connection = $2 AND EXISTS (SELECT FROM moved)
        )
        SELECT FROM moved";
    let (tenant, connection) = (claim.key.tenant.as_str(), claim.key.connection.as_str());
    let (fence, version) = (signed(claim.fence), signed(version));
    let to = record.key.tenant.as_str();
    let schema = i32::try_from(record.schema).unwrap_or(i32::MAX);
    let document = format::encode(record)?;
    Ok(!ask(
        client,
        BEGIN_WRITE,
        statement,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (&holder, Type::TEXT),
            (&fence, Type::INT8),
            (&to, Type::TEXT),
            (&version, Type::INT8),
            (&schema, Type::INT4),
            (&document, Type::TEXT),
        ],
    )
    .await?
    .is_empty())
}
