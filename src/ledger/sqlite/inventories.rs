//! The connections that tenants were last seen to have.

use rusqlite::{Connection, OptionalExtension};

use super::failure::Failure;
use crate::{ledger::inventory::Inventory, token::Tenant};

pub(super) fn load(connection: &Connection, tenant: &Tenant) -> Result<Option<Inventory>, Failure> {
    let document: Option<String> = connection
        .query_row("SELECT document FROM inventories WHERE tenant = ?1", [tenant.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    document
        .map(|document| {
            serde_json::from_str(&document).map_err(|error| {
                Failure::Unusable(format!(
                    "what it remembers of the connections of {tenant} cannot be read ({error}): run \
                     the version that wrote it, or a newer one"
                ))
            })
        })
        .transpose()
}

pub(super) fn keep(
    connection: &Connection,
    tenant: &Tenant,
    inventory: &Inventory,
) -> Result<(), Failure> {
    let document = serde_json::to_string(inventory)
        .map_err(|error| Failure::Unusable(format!("an inventory cannot be written: {error}")))?;
    connection.execute(
        "INSERT INTO inventories (tenant, document) VALUES (?1, ?2)
         ON CONFLICT (tenant) DO UPDATE SET document = excluded.document",
        [tenant.as_str(), &document],
    )?;
    Ok(())
}
