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
mod pool;
mod rows;
mod schema;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    address::{Address, EXAMPLE, Host, NotAnAddress},
    pool::Settings,
};
use self::{
    failure::Failure,
    limits::Limits,
    pool::Pool,
    schema::{Found, MIGRATIONS},
};
use super::{
    Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored,
    format::{self, Columns},
    inventory::Inventory,
};
use crate::{
    clock::{Entropy, Timestamp},
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

/// How one begins that does not.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    SET LOCAL statement_timeout = 5000; SET LOCAL idle_in_transaction_session_timeout = 10000";

/// How one begins that shows what the server allows by default.
const BEGIN_PLAIN: &str = "BEGIN; SET LOCAL statement_timeout = 5000";

/// How many records are read at once.
const PAGE: usize = 1_000;

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
}

impl PostgresLedger {
    /// Opens a ledger, making schema and tables where there are none and the role may, and brings an
    /// older one up to date.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it cannot be reached or written now; [`LedgerError::Unusable`]
    /// when it is no ledger, or of a newer version.
    pub async fn open(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<Self, LedgerError> {
        let opened = Self::open_to_move(settings, entropy).await?;
        opened.ask(|client, _| async move { schema::must_be_of_use(&client).await }).await?;
        opened.pool.must_be(opened.id.clone());
        Ok(opened)
    }

    /// The same for one that is to be moved, whether it is of use or not.
    ///
    /// # Errors
    /// As [`PostgresLedger::open`].
    pub async fn open_to_move(
        settings: Settings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, LedgerError> {
        let pool = Pool::new(settings, true, Arc::clone(&entropy));
        let opened = async {
            let (standby, may_make) =
                pool.call(async |client, _| schema::standing(&client).await).await?;
            if standby {
                return Err(Failure::Unavailable(
                    "the server is a standby or was made read-only: name the primary in [state] url, \
                     or all servers with commas between them"
                        .to_owned(),
                ));
            }
            let found = pool.call(async |client, _| schema::look(&client).await).await?;
            if !matches!(found, Found::Ledger(_, true)) {
                if !may_make {
                    return Err(not_made(&pool.settings.address, &found));
                }
                pool.call(async |client, _| schema::migrate(&client).await).await?;
            }
            match pool.call(async |client, _| schema::look(&client).await).await? {
                Found::Ledger(id, _) => Ok(id),
                Found::Nothing => Err(not_made(&pool.settings.address, &Found::Nothing)),
            }
        };
        match opened.await {
            Ok(id) => Ok(Self::new(pool, id, false, entropy)),
            Err(failure) => Err(of(&pool, failure)),
        }
    }

    /// Opens a ledger for looking only. `None` when there is none. Nothing is made or changed; what would
    /// write is answered [`LedgerError::Unavailable`]. A standby will do.
    ///
    /// # Errors
    /// As [`PostgresLedger::open`]; also when it is of an older version, which only a writer can bring
    /// up to date.
    pub async fn open_read_only(
        settings: Settings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Option<Self>, LedgerError> {
        let pool = Pool::new(settings, false, Arc::clone(&entropy));
        match pool.call(async |client, _| schema::look(&client).await).await {
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Ledger(id, true)) => {
                let found = Self::new(pool, id, true, entropy);
                found.ask(|client, _| async move { schema::must_be_of_use(&client).await }).await?;
                found.pool.must_be(found.id.clone());
                Ok(Some(found))
            }
            Ok(Found::Ledger(_, false)) => {
                let words = "an older version of Scimitar made its tables: the next run brings them up \
                             to date";
                Err(of(&pool, Failure::Unusable(words.to_owned())))
            }
            Err(failure) => Err(of(&pool, failure)),
        }
    }

    fn new(pool: Pool, id: LedgerId, looks: bool, entropy: Arc<dyn Entropy>) -> Self {
        let holder = random(&*entropy);
        let url = pool.settings.address.to_string();
        Self { pool: Arc::new(pool), url, id, holder, looks, entropy }
    }

    /// What a run would lack, in words with the way out: rights, or a server that can be written.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn trouble(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<(), LedgerError> {
        let pool = Pool::new(settings, true, entropy);
        let asked = async {
            let (standby, may_make) =
                pool.call(async |client, _| schema::standing(&client).await).await?;
            if standby {
                return Err(Failure::Unavailable(
                    "the server is a standby or was made read-only: name the primary in [state] url, \
                     or all servers with commas between them"
                        .to_owned(),
                ));
            }
            // Before anything is read: to read may be one of them.
            let missing = pool.call(async |client, _| schema::missing(&client).await).await?;
            if !missing.is_empty() {
                let user = &pool.settings.address.user;
                return Err(Failure::Unavailable(format!(
                    "{user} lacks rights: {}; as the owner: GRANT … TO \"{user}\"",
                    missing.join(", ")
                )));
            }
            let found = pool.call(async |client, _| schema::look(&client).await).await?;
            match found {
                Found::Ledger(_, true) => Ok(()),
                Found::Ledger(_, false) | Found::Nothing if may_make => Ok(()),
                found => Err(not_made(&pool.settings.address, &found)),
            }
        };
        asked.await.map_err(|failure| of(&pool, failure))
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

    fn writes(&self) -> Result<(), LedgerError> {
        if self.looks {
            let detail = "it was opened for looking only".to_owned();
            return Err(of(&self.pool, Failure::Unavailable(detail)));
        }
        Ok(())
    }
}

fn of(pool: &Pool, failure: Failure) -> LedgerError {
    failure.of(&pool.settings.address, pool.settings.ca_file.as_deref())
}

fn not_made(address: &Address, found: &Found) -> Failure {
    let (user, database) = (&address.user, &address.database);
    let what = match found {
        Found::Nothing => "there is no ledger in the database",
        Found::Ledger(..) => "its tables are of an older version",
    };
    Failure::Unavailable(format!(
        "{what}, and {user} may not make one: as its owner, run the statements in docs/postgresql.md, or \
         GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\""
    ))
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
                return Ok(Claimed::Yes(claim, rows::load(&client, key).await?));
            }
            claims::claim(&client, key, lease, holder, attempt).await
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
        self.writes()?;
        if record.key != claim.key {
            return Err(LedgerError::ClaimLost);
        }
        let document =
            format::encode(record).map_err(|error| of(&self.pool, Failure::from(error)))?;
        let attempt = random(&*self.entropy);
        let write = rows::Write {
            claim,
            holder: &self.holder,
            attempt: &attempt,
            version,
            record,
            columns: Columns::of(record),
            document,
            entry,
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

    /// A look asks a tenant for next to nothing.
    fn limits(&self) -> Option<Arc<dyn SharedLimit>> {
        if self.looks {
            return None;
        }
        Some(Arc::new(Limits(Arc::clone(&self.pool))))
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        self.ask(|client, _| async move { rows::losses(&client, tenant, since).await }).await
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
