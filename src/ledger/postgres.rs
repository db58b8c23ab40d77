//! The ledger in a PostgreSQL database, for any number of replicas on any number of machines.
//!
//! Every call is one transaction of its own, sent in one go with all the settings that it needs: no
//! session state, no advisory locks and no named statements, so that a pooler may stand in between.
//! Leases are measured by the database's clock, and every write is fenced in the transaction that makes
//! it: holder, fence, end of the lease and version. Whatever is asked is harmless when it was done
//! already, so that a call whose answer was lost is made again over another connection.
//!
//! There is no lock that tells a dead holder from a slow one: its claims end with their leases.

mod address;
mod claims;
mod documents;
mod failure;
mod limits;
mod moved;
mod moving;
mod open;
mod pool;
mod rows;
mod schema;
mod tls;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;

pub use self::{
    address::{Address, EXAMPLE, Host, NotAnAddress},
    pool::Settings,
};
use self::{failure::Failure, limits::Limits, pool::Pool, schema::MIGRATIONS};
use super::{
    Claim, Claimed, Durability, Entry, Ledger, LedgerError, Losses, Stored, Then, Writing,
    format::{self, Columns},
    inventory::Inventory,
};
use crate::{
    clock::{AgreedClock, Entropy, Timestamp},
    provider::budget::SharedLimit,
    rotation::{record::Record, watch::WatchRecord},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
};

/// How long one statement may take on the server, in milliseconds.
const STATEMENT_TIMEOUT: u32 = 5_000;

/// How a transaction begins that writes: durable when it is committed, whatever the database's default
/// is, and over soon, whatever becomes of us.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 5000; SET LOCAL lock_timeout = 2000;
    SET LOCAL idle_in_transaction_session_timeout = 10000; SET LOCAL synchronous_commit = on";

/// The same for what the next commit may take to the disk with it. A server that falls may take it back.
const BEGIN_SOON: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 5000; SET LOCAL lock_timeout = 2000;
    SET LOCAL idle_in_transaction_session_timeout = 10000; SET LOCAL synchronous_commit = off";

/// How one begins that does not.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    SET LOCAL statement_timeout = 5000; SET LOCAL idle_in_transaction_session_timeout = 10000";

/// How one begins that shows what the server allows by default.
const BEGIN_PLAIN: &str = "BEGIN; SET LOCAL statement_timeout = 5000";

/// How many records are read at once.
const PAGE: usize = 1_000;

/// The longest lease that anybody asks for. A claim that ends further away was made before the database's
/// clock was set back: it lasts no longer than this from when somebody sees it.
pub const LONGEST_LEASE: Duration = Duration::from_secs(120);

/// The statements that make a ledger in an empty database, for an administrator who does not let
/// programs do that.
#[must_use]
pub fn tables() -> String {
    MIGRATIONS.concat()
}

/// A handle on a ledger: one holder of claims.
pub struct PostgresLedger {
    pool: Arc<Pool>,
    url: String,
    id: LedgerId,
    holder: String,
    looks: bool,
    entropy: Arc<dyn Entropy>,
    /// The clock that is set by the database's.
    clock: OnceLock<Arc<AgreedClock>>,
}

impl PostgresLedger {
    fn new(pool: Pool, id: LedgerId, looks: bool, entropy: Arc<dyn Entropy>) -> Self {
        let holder = random(&*entropy);
        let url = pool.settings.address.to_string();
        Self { pool: Arc::new(pool), url, id, holder, looks, entropy, clock: OnceLock::new() }
    }

    async fn ask<T, Work>(
        &self,
        work: impl Fn(Arc<tokio_postgres::Client>, u32) -> Work + Send,
    ) -> Result<T, LedgerError>
    where
        Work: Future<Output = Result<T, Failure>> + Send,
    {
        self.pool.call(work).await.map_err(|failure| of(&self.pool, failure))
    }

    async fn written(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entries: &[Entry],
        durability: Durability,
        then: Option<Then>,
    ) -> Result<u64, LedgerError> {
        self.writes()?;
        if record.key != claim.key {
            return Err(LedgerError::ClaimLost);
        }
        let document =
            format::encode(record).map_err(|error| of(&self.pool, Failure::from(error)))?;
        let (holder, attempt) = (&*self.holder, &*random(&*self.entropy));
        let columns = Columns::of(record);
        let write = rows::Write {
            claim,
            holder,
            attempt,
            version,
            record,
            columns,
            document,
            entries,
            durability,
            then,
        };
        let write = &write;
        self.ask(|client, tried| async move {
            if let Some(version) = rows::store(&client, write).await? {
                return Ok(version);
            }
            let written = if tried > 0 { rows::stored_by(&client, write).await? } else { None };
            written.ok_or(Failure::ClaimLost)
        })
        .await
    }

    fn host_time(&self) -> Option<Timestamp> {
        self.clock.get().map(|clock| clock.host_time())
    }

    /// The database's clock showed this.
    fn learn(&self, asked: Option<Timestamp>, shown: Option<Timestamp>) {
        if let Some(((clock, asked), shown)) = self.clock.get().zip(asked).zip(shown) {
            clock.learn(asked, shown);
        }
    }

    fn writes(&self) -> Result<(), LedgerError> {
        if self.looks {
            let detail = "it was opened read-only".to_owned();
            return Err(of(&self.pool, Failure::Unavailable(detail)));
        }
        Ok(())
    }
}

fn of(pool: &Pool, failure: Failure) -> LedgerError {
    failure.of(&pool.settings.address, pool.settings.ca_file.as_deref())
}

/// 128 random bits in hex.
fn random(entropy: &dyn Entropy) -> String {
    format!("{:016x}{:016x}", entropy.bits(), entropy.bits())
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("url", &self.url)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    fn id(&self) -> &LedgerId {
        &self.id
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        self.ask(|client, _| async move { rows::load(&client, key).await }).await
    }

    async fn elsewhere(
        &self,
        key: &ConnectionKey,
        name: &ConnectionName,
    ) -> Result<Option<Record>, LedgerError> {
        self.ask(|client, _| async move { rows::elsewhere(&client, key, name).await }).await
    }

    /// Not of one moment: what is changed meanwhile may be seen or not.
    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        let mut all: Vec<Stored> = Vec::new();
        loop {
            let after = all.last().map(|stored| stored.record.key.clone());
            let page = self.page(after.as_ref(), PAGE).await?;
            let ends = page.len() < PAGE;
            all.extend(page);
            if ends {
                return Ok(all);
            }
        }
    }

    async fn page(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Stored>, LedgerError> {
        self.ask(|client, _| async move { rows::page(&client, after, limit).await }).await
    }

    async fn load_many(&self, keys: &[&ConnectionKey]) -> Result<Vec<Option<Stored>>, LedgerError> {
        self.ask(|client, _| async move { rows::load_many(&client, keys).await }).await
    }

    async fn keys(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        self.ask(|client, _| async move { rows::keys(&client, after, limit).await }).await
    }

    /// # If the answer is lost
    /// It is found by the attempt's own mark. Where the database cannot be reached any more, the claim
    /// may be ours: asking again is answered `Held` until the lease ends.
    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        self.writes()?;
        let attempt = random(&*self.entropy);
        let (attempt, holder) = (&*attempt, &*self.holder);
        self.ask(|client, tried| async move {
            if tried > 0
                && let Some(claim) = claims::claimed_by(&client, key, holder, attempt).await?
            {
                let record = rows::load(&client, key).await;
                return claims::with_record(&client, claim, holder, record).await;
            }
            let asked = self.host_time();
            let taken = claims::claim(&client, &self.id, key, lease, holder, attempt);
            let (claimed, shown) = taken.await?;
            self.learn(asked, shown);
            Ok(claimed)
        })
        .await
    }

    /// # If the answer is lost
    /// The lease ends then or later than it did; renewing again is harmless.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        self.writes()?;
        let holder = &*self.holder;
        self.ask(|client, _| async move { claims::renew(&client, claim, lease, holder).await })
            .await
    }

    /// # If the answer is lost
    /// The claim is given back, or ends with its lease; giving it back again is harmless.
    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        self.writes()?;
        let holder = &*self.holder;
        self.ask(|client, _| async move { claims::release(&client, claim, holder).await }).await
    }

    /// # If the answer is lost
    /// It is found by the attempt's own mark. Where the database cannot be reached any more, the record
    /// may have been written; the caller loads it again before it does anything else.
    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError> {
        let entries = std::slice::from_ref(entry);
        self.written(claim, version, record, entries, Durability::Now, None).await
    }

    /// # If the answer is lost
    /// As of [`Ledger::store`].
    async fn write(&self, claim: &Claim, writing: Writing) -> Result<u64, LedgerError> {
        let Writing { version, record, entries, durability, then } = writing;
        self.written(claim, version, &record, &entries, durability, Some(then)).await
    }

    /// # If the answer is lost
    /// It is on the disk, or settling it again is harmless.
    async fn settle(&self) -> Result<(), LedgerError> {
        self.writable().await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        let holder = &*self.holder;
        self.ask(|client, _| async move { rows::due(&client, now, limit, holder).await }).await
    }

    async fn due_of_each(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        let holder = &*self.holder;
        self.ask(|client, _| async move { rows::due_of_each(&client, now, limit, holder).await })
            .await
    }

    /// # If the answer is lost
    /// What it holds is the same.
    async fn writable(&self) -> Result<(), LedgerError> {
        self.writes()?;
        self.ask(|client, _| async move { schema::touch(&client).await }).await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        self.ask(|client, _| async move { rows::next_wake(&client, now).await }).await
    }

    async fn next_rotations(
        &self,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ConnectionKey)>, LedgerError> {
        self.ask(|client, _| async move { rows::next_rotations(&client, limit).await }).await
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        self.ask(|client, _| async move { rows::history(&client, key, limit).await }).await
    }

    async fn inventory(&self, tenant: &Tenant) -> Result<Option<Inventory>, LedgerError> {
        self.ask(|client, _| async move { documents::inventory(&client, tenant).await }).await
    }

    async fn keep_inventory(
        &self,
        tenant: &Tenant,
        inventory: &Inventory,
    ) -> Result<(), LedgerError> {
        self.writes()?;
        self.ask(
            |client, _| async move { documents::keep_inventory(&client, tenant, inventory).await },
        )
        .await
    }

    async fn watched(&self, name: &ConnectionName) -> Result<Option<WatchRecord>, LedgerError> {
        self.ask(|client, _| async move { documents::watched(&client, name).await }).await
    }

    /// # If the answer is lost
    /// It may have been written; whoever claims it next reads it again.
    async fn keep_watched(
        &self,
        claim: &Claim,
        name: &ConnectionName,
        record: &WatchRecord,
    ) -> Result<(), LedgerError> {
        self.writes()?;
        let holder = &*self.holder;
        self.ask(|client, _| async move {
            documents::keep_watched(&client, claim, holder, name, record).await
        })
        .await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn agree_on(&self, clock: &Arc<AgreedClock>) {
        let _ = self.clock.set(Arc::clone(clock));
        let asked = self.ask(|client, _| async move {
            let asked = self.host_time();
            self.learn(asked, schema::time(&client).await?);
            Ok(())
        });
        if let Err(error) = asked.await {
            tracing::debug!(%error, "the database did not return its time");
        }
    }

    /// A look asks a tenant for next to nothing.
    fn limits(&self) -> Option<Arc<dyn SharedLimit>> {
        if self.looks {
            return None;
        }
        Some(Arc::new(Limits(Arc::clone(&self.pool))))
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        self.ask(|client, _| async move { rows::losses(&client, tenant, since, None).await }).await
    }

    async fn losses_in_brief(
        &self,
        tenant: &Tenant,
        since: Timestamp,
        of: usize,
    ) -> Result<Losses, LedgerError> {
        self.ask(|client, _| async move { rows::losses(&client, tenant, since, Some(of)).await })
            .await
    }

    /// Each under a claim of its own: one that another replica acts on stays where it is.
    async fn move_tenant(&self, from: &Tenant, to: &Tenant) -> Result<usize, LedgerError> {
        const LEASE: Duration = Duration::from_secs(30);
        self.writes()?;
        let holder = &*self.holder;
        let old = self.ask(|client, _| async move { moved::of_tenant(&client, from, to).await });
        let mut count = 0;
        for key in old.await? {
            let Claimed::Yes(claim, stored) = self.claim(&key, LEASE).await? else { continue };
            let done = match stored {
                Some(Stored { version, mut record }) => {
                    record.key.tenant = to.clone();
                    let (claim, record) = (&claim, &record);
                    let moved = self.ask(|client, _| async move {
                        moved::one(&client, claim, holder, version, record).await
                    });
                    moved.await?
                }
                None => false,
            };
            if done {
                count += 1;
            } else {
                self.release(&claim).await?;
            }
        }
        Ok(count)
    }
}
