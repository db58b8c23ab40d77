//! The connections that tenants were last seen to have.

use rusqlite::Connection;

use super::{documents, failure::Failure};
use crate::{ledger::inventory::Inventory, token::Tenant};

pub(super) fn load(connection: &Connection, tenant: &Tenant) -> Result<Option<Inventory>, Failure> {
    let query = "SELECT document FROM inventories WHERE tenant = ?1";
    documents::load(connection, query, tenant.as_str(), "the connections of")
}

pub(super) fn keep(
    connection: &Connection,
    tenant: &Tenant,
    inventory: &Inventory,
) -> Result<(), Failure> {
    let statement = "INSERT INTO inventories (tenant, document) VALUES (?1, ?2)
         ON CONFLICT (tenant) DO UPDATE SET document = excluded.document";
    documents::keep(connection, statement, tenant.as_str(), inventory)
}
