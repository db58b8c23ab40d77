//! Records, keys and entries to store.

use chrono::TimeDelta;
use scimitar::{
    clock::{Timestamp, parse_timestamp},
    ledger::{Claim, Claimed, Entry, Ledger, format},
    rotation::record::Record,
    token::{ConnectionId, ConnectionKey, Tenant},
};
use std::time::Duration;

pub const LEASE: Duration = Duration::from_secs(60);

/// A record that uses what a steady one can hold.
pub const STEADY: &str = include_str!("../../in_process/golden/record-v1-steady.json");
/// One without a current token.
pub const MINTING: &str = include_str!("../../in_process/golden/record-v1-minting.json");
/// One in mid-delivery.
pub const DELIVERING: &str = include_str!("../../in_process/golden/record-v1-delivering.json");

/// One with hooks that are still to be told.
pub const NOTICES: &str = include_str!("../../in_process/golden/record-v1-notices.json");

pub fn noon() -> Timestamp {
    parse_timestamp("2026-11-22T12:00:00Z").unwrap()
}

pub fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

pub fn tenant(name: &str) -> Tenant {
    Tenant::try_new(name).unwrap()
}

pub fn key(connection: &str) -> ConnectionKey {
    key_at("acme.example", connection)
}

pub fn key_at(tenant_name: &str, connection: &str) -> ConnectionKey {
    ConnectionKey {
        tenant: tenant(tenant_name),
        connection: ConnectionId::try_new(connection).unwrap(),
    }
}

/// A full record of that connection.
pub fn record(key: &ConnectionKey) -> Record {
    let mut record = format::decode(STEADY).unwrap();
    record.key = key.clone();
    record
}

pub fn entry(words: &str) -> Entry {
    Entry { at: noon(), event: "delivered".to_owned(), words: words.to_owned() }
}

pub fn granted(claimed: &Claimed) -> Claim {
    match claimed {
        Claimed::Yes(claim, _) => claim.clone(),
        Claimed::Held(left) => panic!("held for another {left:?}"),
    }
}

/// Claims, stores as the first version, and gives the claim back.
pub async fn put(ledger: &dyn Ledger, record: &Record) {
    let claim = granted(&ledger.claim(&record.key, LEASE).await.unwrap());
    let version = ledger.store(&claim, 0, record, &entry("put")).await;
    assert_eq!(version.unwrap(), 1);
    ledger.release(&claim).await.unwrap();
}
