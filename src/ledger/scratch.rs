//! A ledger that remembers nothing: for looking without leaving a trace.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored, inventory::Inventory};
use crate::{
    clock::Timestamp,
    rotation::{record::Record, watch::WatchRecord},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
};

/// Reads from another ledger; every claim is granted and every write forgotten, so that `plan`,
/// `explain` and `--dry-run` go the same way as a real run and change nothing.
#[derive(Debug)]
pub struct Scratch {
    id: LedgerId,
    below: Option<Arc<dyn Ledger>>,
}

impl Scratch {
    /// Reads from `below`.
    #[must_use]
    pub fn over(below: Arc<dyn Ledger>) -> Self {
        Self { id: below.id().clone(), below: Some(below) }
    }

    /// There is no ledger yet; nothing is on record.
    #[must_use]
    pub fn empty(id: LedgerId) -> Self {
        Self { id, below: None }
    }
}

#[async_trait]
impl Ledger for Scratch {
    fn id(&self) -> &LedgerId {
        &self.id
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        match &self.below {
            Some(below) => below.load(key).await,
            None => Ok(None),
        }
    }

    async fn watched(&self, name: &ConnectionName) -> Result<Option<WatchRecord>, LedgerError> {
        match &self.below {
            Some(below) => below.watched(name).await,
            None => Ok(None),
        }
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        match &self.below {
            Some(below) => below.all().await,
            None => Ok(Vec::new()),
        }
    }

    async fn claim(&self, key: &ConnectionKey, _lease: Duration) -> Result<Claimed, LedgerError> {
        Ok(Claimed::Yes(Claim { key: key.clone(), fence: 0 }, self.load(key).await?))
    }

    async fn renew(&self, _claim: &Claim, _lease: Duration) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn release(&self, _claim: &Claim) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn store(
        &self,
        _claim: &Claim,
        version: u64,
        _record: &Record,
        _entry: &Entry,
    ) -> Result<u64, LedgerError> {
        Ok(version + 1)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        match &self.below {
            Some(below) => below.due(now, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        match &self.below {
            Some(below) => below.history(key, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn inventory(&self, tenant: &Tenant) -> Result<Option<Inventory>, LedgerError> {
        match &self.below {
            Some(below) => below.inventory(tenant).await,
            None => Ok(None),
        }
    }

    async fn keep_inventory(
        &self,
        _tenant: &Tenant,
        _inventory: &Inventory,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        match &self.below {
            Some(below) => below.losses(tenant, since).await,
            None => Ok(Losses::default()),
        }
    }
}
