//! The ledger: what was written down before each side effect, who may act, and when to wake.

pub mod format;
pub mod history;
pub mod inventory;
pub mod moving;
pub mod postgres;
pub mod scratch;
pub mod sqlite;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::inventory::Inventory;
use crate::{
    clock::{AgreedClock, Timestamp},
    provider::budget::SharedLimit,
    rotation::{record::Record, watch::WatchRecord},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
};

/// Why the ledger did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The claim is gone, or the record was written by another: touch nothing else.
    #[error("another worker has taken over the connection")]
    ClaimLost,
    /// It cannot be reached or written now (locked, read-only, full): nothing is known to have changed.
    #[error("the ledger {url} cannot be used now: {detail}")]
    Unavailable {
        /// Which ledger.
        url: String,
        /// What the engine said.
        detail: String,
    },
    /// It is not ours to use: a newer schema, not a ledger, damaged. The way out is in the words.
    #[error("the ledger {url} cannot be used: {detail}")]
    Unusable {
        /// Which ledger.
        url: String,
        /// What is wrong and what to do.
        detail: String,
    },
}

/// A record and the version that it was read at.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Every write is a compare-and-set on this.
    pub version: u64,
    /// The record.
    pub record: Record,
}

/// Whether something has to be on the disk when it counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It has: a side effect may follow.
    Now,
    /// It outlives this process. A machine that loses its power may take it back, unless something
    /// durable was written since, or [`Ledger::settle`] was called.
    Soon,
}

/// What becomes of the claim with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It lasts for so long from now.
    Renew(Duration),
    /// It is given back.
    Release,
}

/// What is written in one piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Writing {
    /// The version that it replaces; 0: there is none yet.
    pub version: u64,
    /// The record as it is now.
    pub record: Arc<Record>,
    /// What happened since the version before, at least one line.
    pub entries: Vec<Entry>,
    /// Whether it has to be on the disk.
    pub durability: Durability,
    /// What becomes of the claim.
    pub then: Then,
}

/// The right to act on a connection, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which connection.
    pub key: ConnectionKey,
    /// The fencing number: a newer claim has a greater one.
    pub fence: u64,
}

/// The answer to "may I act".
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it arrives")]
pub enum Claimed {
    /// Yes, until the lease ends; and the record as it is under that claim, if there is one.
    Yes(Claim, Option<Stored>),
    /// Another does, for at most this long unless it renews.
    Held(Duration),
}

/// One line of a connection's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The event's name, such as `delivered`.
    pub event: String,
    /// What happened and why, in words; no secret.
    pub words: String,
}

impl Entry {
    /// Something was looked at, and stayed as it was. Of several such lines, the first one counts them.
    #[must_use]
    pub fn checked(at: Timestamp) -> Self {
        Self { at, event: history::CHECKED.to_owned(), words: history::counted(1) }
    }
}

/// How many of a tenant's connections lost their current token lately, by the latest look at each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Connections with a current token on record.
    pub connections: usize,
    /// Those whose current token is not listed any more, since the moment that was asked for.
    pub lost: usize,
}

/// Records, claims, wake-up times and history.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// The random id made with it.
    fn id(&self) -> &LedgerId;

    /// The record of one connection.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError>;

    /// The record of a connection with this id and name at another tenant, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn elsewhere(
        &self,
        key: &ConnectionKey,
        name: &ConnectionName,
    ) -> Result<Option<Record>, LedgerError> {
        let mut records = self.all().await?.into_iter().map(|stored| stored.record);
        Ok(records.find(|record| {
            record.name == *name
                && record.key.connection == key.connection
                && record.key.tenant != key.tenant
        }))
    }

    /// All records.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn all(&self) -> Result<Vec<Stored>, LedgerError>;

    /// At most `limit` records in the order of their keys, from the first one behind `after`: to look
    /// at very many without holding them all.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn page(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Stored>, LedgerError> {
        let mut all = self.all().await?;
        all.sort_by(|one, other| one.record.key.cmp(&other.record.key));
        let behind = |stored: &Stored| after.is_none_or(|after| stored.record.key > *after);
        Ok(all.into_iter().filter(behind).take(limit).collect())
    }

    /// The records of these connections, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn load_many(&self, keys: &[&ConnectionKey]) -> Result<Vec<Option<Stored>>, LedgerError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.load(key).await?);
        }
        Ok(found)
    }

    /// At most `limit` keys of records in their order, from the first one behind `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn keys(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        let page = self.page(after, limit).await?.into_iter();
        Ok(page.map(|stored| stored.record.key).collect())
    }

    /// Asks for the right to act on a connection for `lease`. A claim whose holder is known to be
    /// dead is free at once; asking again for a claim that this very ledger handle holds is `Held`.
    ///
    /// # Errors
    /// When the ledger cannot be written, or the record not be read: then nothing is claimed.
    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError>;

    /// Makes the claim last for `lease` from now.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`] when it is not ours any more (taken by another, or ended).
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError>;

    /// Gives the claim back.
    ///
    /// # Errors
    /// When the ledger cannot be written; the claim then ends by itself.
    async fn release(&self, claim: &Claim) -> Result<(), LedgerError>;

    /// Writes the record down, durably, together with a line of history, if the claim still holds and
    /// the stored version is `version` (0: there is none yet). Returns the new version.
    ///
    /// # If the answer is lost
    /// The record may have been written; the caller loads it again before it does anything else.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`] when the claim or the version is not ours.
    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError>;

    /// The same with several lines of history, and with what becomes of the claim.
    ///
    /// # If the answer is lost
    /// A part of it, or all, may have been written; the caller loads the record again.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`] when the claim or the version is not ours.
    async fn write(&self, claim: &Claim, writing: Writing) -> Result<u64, LedgerError> {
        let Writing { mut version, record, entries, then, .. } = writing;
        for entry in &entries {
            version = self.store(claim, version, &record, entry).await?;
        }
        match then {
            Then::Renew(lease) => self.renew(claim, lease).await?,
            Then::Release => self.release(claim).await?,
        }
        Ok(version)
    }

    /// Everything that this handle wrote is on the disk when this returns.
    ///
    /// # Errors
    /// When it is not known to be.
    async fn settle(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// The connections whose `wake_at` has come, most urgent (least life left) first.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError>;

    /// The same, and of each tenant at most `limit`: so many that are due at one hide no other.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn due_of_each(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        let mut counts: BTreeMap<Tenant, usize> = BTreeMap::new();
        let mut due = self.due(now, usize::MAX).await?;
        due.retain(|key| {
            let count = counts.entry(key.tenant.clone()).or_default();
            *count += 1;
            *count <= limit
        });
        Ok(due)
    }

    /// Shows that it can be written now; nothing is changed.
    ///
    /// # Errors
    /// When it cannot.
    async fn writable(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// The earliest `wake_at` that is still to come after `now`.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn next_wake(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let wakes = self.all().await?.into_iter().filter_map(|stored| stored.record.wake_at);
        Ok(wakes.filter(|at| *at > now).min())
    }

    /// The connections whose next rotation comes first, and when.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn next_rotations(
        &self,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ConnectionKey)>, LedgerError> {
        let all = self.all().await?.into_iter().map(|stored| stored.record);
        let mut next: Vec<_> =
            all.filter_map(|record| Some((record.next_rotation?, record.key))).collect();
        next.sort();
        next.truncate(limit);
        Ok(next)
    }

    /// The newest lines of a connection's history, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError>;

    /// The connections that a tenant was last seen to have; `None` where it was never listed.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn inventory(&self, _tenant: &Tenant) -> Result<Option<Inventory>, LedgerError> {
        Ok(None)
    }

    /// Keeps what a list of a tenant's connections showed, in the place of what was kept before.
    ///
    /// # If the answer is lost
    /// The old one or the new one is kept; the next list decides again.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn keep_inventory(
        &self,
        _tenant: &Tenant,
        _inventory: &Inventory,
    ) -> Result<(), LedgerError> {
        let detail = "it does not store lists of connections".to_owned();
        Err(LedgerError::Unavailable { url: self.id().to_string(), detail })
    }

    /// What is known of a watched token's hooks; `None` where nothing was ever written down.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn watched(&self, _name: &ConnectionName) -> Result<Option<WatchRecord>, LedgerError> {
        Ok(None)
    }

    /// Keeps it, if the claim on [`ConnectionKey::of_watched`] still holds.
    ///
    /// # If the answer is lost
    /// It may have been written; whoever claims it next reads it again.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`] when the claim is not ours.
    async fn keep_watched(
        &self,
        _claim: &Claim,
        _name: &ConnectionName,
        _record: &WatchRecord,
    ) -> Result<(), LedgerError> {
        let detail = "it does not store watched tokens".to_owned();
        Err(LedgerError::Unavailable { url: self.id().to_string(), detail })
    }

    /// Whether replicas on other machines may work with it, which reach what this one does not.
    fn is_shared(&self) -> bool {
        false
    }

    /// Sets the clock by the one that all replicas on this ledger share, now and with every claim that is
    /// asked for, if it can be asked. Nothing where no other machine can use it.
    async fn agree_on(&self, _clock: &Arc<AgreedClock>) {}

    /// Where replicas on this ledger keep together what they take of each tenant's request limit;
    /// `None` where no other machine can use it.
    fn limits(&self) -> Option<Arc<dyn SharedLimit>> {
        None
    }

    /// Keeps the records of a tenant under another name that the same tenant has, and says how many.
    /// One that is acted on now, or that the other name has already, stays where it is.
    ///
    /// # If the answer is lost
    /// Some or all of them are moved; moving them again is harmless.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    async fn move_tenant(&self, _from: &Tenant, _to: &Tenant) -> Result<usize, LedgerError> {
        Ok(0)
    }

    /// How many of a tenant's connections lost their current token since that moment.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError>;

    /// The same as far as it takes to tell whether more than one in `of` is lost: beyond `of` for each
    /// lost one, connections need not be counted. It is asked once in each look, so it must not cost as
    /// much as there are connections.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn losses_in_brief(
        &self,
        tenant: &Tenant,
        since: Timestamp,
        _of: usize,
    ) -> Result<Losses, LedgerError> {
        self.losses(tenant, since).await
    }
}
