//! What is kept as one document a key, beside the records.

use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::{Client, types::Type};

use super::{
    BEGIN_READ, BEGIN_WRITE,
    failure::Failure,
    rows::{ask, signed},
};
use crate::{
    ledger::{Claim, inventory::Inventory},
    rotation::watch::WatchRecord,
    token::{ConnectionName, Tenant},
};

pub(super) async fn inventory(
    client: &Client,
    tenant: &Tenant,
) -> Result<Option<Inventory>, Failure> {
    let query = "SELECT document FROM scimitar.inventories WHERE tenant = $1";
    load(client, query, tenant.as_str(), "the connections of").await
}

pub(super) async fn keep_inventory(
    client: &Client,
    tenant: &Tenant,
    inventory: &Inventory,
) -> Result<(), Failure> {
    let statement = "INSERT INTO scimitar.inventories (tenant, document) VALUES ($1, $2)
        ON CONFLICT (tenant) DO UPDATE SET document = excluded.document";
    let (tenant, document) = (tenant.as_str(), written(inventory)?);
    ask(client, BEGIN_WRITE, statement, &[(&tenant, Type::TEXT), (&document, Type::TEXT)]).await?;
    Ok(())
}

pub(super) async fn watched(
    client: &Client,
    name: &ConnectionName,
) -> Result<Option<WatchRecord>, Failure> {
    let query = "SELECT document FROM scimitar.watched WHERE name = $1";
    load(client, query, name.as_str(), "the watched token").await
}

/// Fenced as the records are.
pub(super) async fn keep_watched(
    client: &Client,
    claim: &Claim,
    holder: &str,
    name: &ConnectionName,
    record: &WatchRecord,
) -> Result<(), Failure> {
    let statement = "WITH held AS (
            SELECT FROM scimitar.claims
            WHERE tenant = $1 AND connection = $2 AND holder = $3 AND fence = $4
                AND ends_at > scimitar.lease_clock()
            FOR UPDATE
        )
        INSERT INTO scimitar.watched (name, document) SELECT $5, $6 FROM held
        ON CONFLICT (name) DO UPDATE SET document = excluded.document
        RETURNING name";
    let (tenant, connection) = (claim.key.tenant.as_str(), claim.key.connection.as_str());
    let (fence, name, document) = (signed(claim.fence), name.as_str(), written(record)?);
    let rows = ask(
        client,
        BEGIN_WRITE,
        statement,
        &[
            (&tenant, Type::TEXT),
            (&connection, Type::TEXT),
            (&holder, Type::TEXT),
            (&fence, Type::INT8),
            (&name, Type::TEXT),
            (&document, Type::TEXT),
        ],
    )
    .await?;
    if rows.is_empty() { Err(Failure::ClaimLost) } else { Ok(()) }
}

/// The document that a query finds for a key; `what` it is, for whoever cannot read it.
async fn load<T: DeserializeOwned>(
    client: &Client,
    query: &str,
    key: &str,
    what: &str,
) -> Result<Option<T>, Failure> {
    let rows = ask(client, BEGIN_READ, query, &[(&key, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    serde_json::from_str(row.try_get(0)?).map(Some).map_err(|error| {
        Failure::Unusable(format!(
            "its record of {what} {key} cannot be read ({error}): run the version that wrote it, \
             or a newer one"
        ))
    })
}

fn written<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::Unusable(format!("a document cannot be written: {error}")))
}
