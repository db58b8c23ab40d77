//! The ledger in one SQLite file, for the processes of one machine.
//!
//! Written down means durable: write-ahead log, `synchronous = FULL`. Every write is one immediate
//! transaction that checks claim and version first. Leases are measured by the machine's boot
//! time; a claim whose holder's lock is gone (`holders`) is free at once.

mod documents;
mod failure;
mod holders;
mod host;
mod inventories;
mod marks;
mod moved;
mod moving;
mod open;
mod read_only;
mod rows;
mod schema;
mod watched;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};

pub use self::host::{LeaseClock, can_hold_a_ledger};
use self::{
    failure::Failure,
    holders::{Holder, Holders},
    open::FileId,
};
use super::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored, inventory::Inventory};
use crate::{
    clock::{Entropy, Timestamp},
    rotation::{record::Record, watch::WatchRecord},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
};

/// How long a call waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// A handle on a ledger file: one holder of claims. Dropping it gives all its claims back.
pub struct SqliteLedger {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    path: PathBuf,
    id: LedgerId,
    access: Access,
}

enum Access {
    /// Reads and writes, one call at a time.
    Write(Box<Mutex<Writer>>),
    /// Reads only, and makes no file.
    Look,
}

/// The open database. Fields are dropped in this order: claims go last.
struct Writer {
    connection: Connection,
    file: FileId,
    clock: LeaseClock,
    holders: Holders,
    holder: Holder,
}

impl SqliteLedger {
    /// Opens a ledger, making folder (mode 0700) and file (0600) where there are none, and
    /// brings an older one up to date. It blocks: on the disk, and for up to 5 s on other
    /// processes.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it cannot be opened or written now;
    /// [`LedgerError::Unusable`] when it is no ledger, of a newer version, damaged, or on a
    /// network file system.
    pub fn open(path: &Path, entropy: &dyn Entropy) -> Result<Self, LedgerError> {
        Self::open_with(path, entropy, host_clock(path)?)
    }

    /// The same for one that is to be moved, whether it is of use or not.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`].
    pub fn open_to_move(path: &Path, entropy: &dyn Entropy) -> Result<Self, LedgerError> {
        Self::opened(path, entropy, host_clock(path)?, |_| Ok(()))
    }

    /// The same with another lease clock, for simulations.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`].
    pub fn open_with(
        path: &Path,
        entropy: &dyn Entropy,
        clock: LeaseClock,
    ) -> Result<Self, LedgerError> {
        Self::opened(path, entropy, clock, marks::must_be_of_use)
    }

    fn opened(
        path: &Path,
        entropy: &dyn Entropy,
        clock: LeaseClock,
        check: fn(&Connection) -> Result<(), Failure>,
    ) -> Result<Self, LedgerError> {
        let opened = open::writer(path, entropy, clock).and_then(|(path, id, writer)| {
            check(&writer.connection)?;
            Ok(Self::new(path, id, Access::Write(Box::new(Mutex::new(writer)))))
        });
        opened.map_err(|failure| failure.of(&url(path)))
    }

    /// Opens a ledger for looking only, beside whatever else has it open. `None` when there is
    /// none. Nothing is made or changed; what would write is answered
    /// [`LedgerError::Unavailable`].
    ///
    /// # Errors
    /// As [`SqliteLedger::open`]; also when it is of an older version, which only a writer can
    /// bring up to date.
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, LedgerError> {
        let found = read_only::ledger_id(path).map_err(|failure| failure.of(&url(path)))?;
        Ok(found.map(|id| Self::new(path.to_owned(), id, Access::Look)))
    }

    fn new(path: PathBuf, id: LedgerId, access: Access) -> Self {
        Self { shared: Arc::new(Shared { url: url(&path), path, id, access }) }
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.blocking(move |shared| match &shared.access {
            Access::Write(writer) => {
                let mut writer = lock(writer);
                writer.file.must_be(&shared.path)?;
                let transaction = writer.connection.transaction()?;
                ask(&transaction)
            }
            Access::Look => read_only::at(&shared.path, &ask),
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection, &Hold<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.blocking(move |shared| {
            let Access::Write(writer) = &shared.access else {
                let detail = "it was opened for looking only".to_owned();
                return Err(Failure::Unavailable(detail));
            };
            let Writer { connection, file, clock, holders, holder } = &mut *lock(writer);
            file.must_be(&shared.path)?;
            holder
                .stand(holders, &shared.path)
                .map_err(|error| Failure::io("keep this process's lock file", &error))?;
            let hold = Hold { holder: holder.id(), holders, clock };
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction, &hold)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// Runs what blocks where that is allowed. A caller that goes away does not stop it.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || {
            call(&shared).map_err(|failure| failure.of(&shared.url))
        });
        answer.await.unwrap_or_else(|error| {
            Err(LedgerError::Unavailable {
                url: self.shared.url.clone(),
                detail: format!("the call did not end: {error}"),
            })
        })
    }
}

/// Who writes, and by which clock.
struct Hold<'a> {
    holder: &'a str,
    holders: &'a Holders,
    clock: &'a LeaseClock,
}

fn lock(writer: &Mutex<Writer>) -> std::sync::MutexGuard<'_, Writer> {
    // A panic in mid-call has rolled its transaction back; nothing is half done.
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host_clock(path: &Path) -> Result<LeaseClock, LedgerError> {
    LeaseClock::host().map_err(|error| {
        let detail = format!("could not read the kernel's boot id from /proc: {error}");
        Failure::Unavailable(detail).of(&url(path))
    })
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("url", &self.shared.url)
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn id(&self) -> &LedgerId {
        &self.shared.id
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        let key = key.clone();
        self.read(move |connection| rows::load(connection, &key)).await
    }

    async fn elsewhere(
        &self,
        key: &ConnectionKey,
        name: &ConnectionName,
    ) -> Result<Option<Record>, LedgerError> {
        let (key, name) = (key.clone(), name.clone());
        self.read(move |connection| rows::elsewhere(connection, &key, &name)).await
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        self.read(rows::all).await
    }

    async fn page(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Stored>, LedgerError> {
        let after = after.cloned();
        self.read(move |connection| rows::page(connection, after.as_ref(), limit)).await
    }

    /// # If the answer is lost
    /// The claim may be ours: asking again is answered `Held` until the lease ends or the handle
    /// is dropped.
    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        let key = key.clone();
        self.write(move |connection, hold| {
            rows::claim(connection, &key, lease, hold.holder, hold.holders, hold.clock)
        })
        .await
    }

    /// # If the answer is lost
    /// The lease ends then or later than it did; renewing again is harmless.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        let claim = claim.clone();
        self.write(move |connection, hold| {
            rows::renew(connection, &claim, lease, hold.holder, hold.clock)
        })
        .await
    }

    /// # If the answer is lost
    /// The claim is given back, or ends with its lease; giving it back again is harmless.
    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        let claim = claim.clone();
        self.write(move |connection, hold| rows::release(connection, &claim, hold.holder)).await
    }

    /// # If the answer is lost
    /// The record may have been written; the caller loads it again before it does anything else.
    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError> {
        let (claim, record, entry) = (claim.clone(), record.clone(), entry.clone());
        self.write(move |connection, hold| {
            rows::store(connection, &claim, version, &record, &entry, hold.holder, hold.clock)
        })
        .await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        self.read(move |connection| rows::due(connection, now, limit)).await
    }

    async fn due_of_each(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        self.read(move |connection| rows::due_of_each(connection, now, limit)).await
    }

    /// Writes a page as it is. The right to write alone is had of a disk that is full as well, or of
    /// one that turned read-only under the open file.
    ///
    /// # If the answer is lost
    /// What it holds is the same.
    async fn writable(&self) -> Result<(), LedgerError> {
        self.write(|connection, _| Ok(schema::rewrite(connection)?)).await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        self.read(move |connection| rows::next_wake(connection, now)).await
    }

    async fn next_rotations(
        &self,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ConnectionKey)>, LedgerError> {
        self.read(move |connection| rows::next_rotations(connection, limit)).await
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let key = key.clone();
        self.read(move |connection| rows::history(connection, &key, limit)).await
    }

    async fn inventory(&self, tenant: &Tenant) -> Result<Option<Inventory>, LedgerError> {
        let tenant = tenant.clone();
        self.read(move |connection| inventories::load(connection, &tenant)).await
    }

    async fn keep_inventory(
        &self,
        tenant: &Tenant,
        inventory: &Inventory,
    ) -> Result<(), LedgerError> {
        let (tenant, inventory) = (tenant.clone(), inventory.clone());
        self.write(move |connection, _| inventories::keep(connection, &tenant, &inventory)).await
    }

    async fn watched(&self, name: &ConnectionName) -> Result<Option<WatchRecord>, LedgerError> {
        let name = name.clone();
        self.read(move |connection| watched::load(connection, &name)).await
    }

    /// # If the answer is lost
    /// It may have been written; whoever claims it next reads it again.
    async fn keep_watched(
        &self,
        claim: &Claim,
        name: &ConnectionName,
        record: &WatchRecord,
    ) -> Result<(), LedgerError> {
        let (claim, name, record) = (claim.clone(), name.clone(), record.clone());
        self.write(move |connection, hold| {
            watched::keep(connection, &claim, &name, &record, hold.holder, hold.clock)
        })
        .await
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        let tenant = tenant.clone();
        self.read(move |connection| rows::losses(connection, &tenant, since)).await
    }

    /// All of them in one transaction.
    async fn move_tenant(&self, from: &Tenant, to: &Tenant) -> Result<usize, LedgerError> {
        let (from, to) = (from.clone(), to.clone());
        self.write(move |connection, hold| moved::tenant(connection, &from, &to, hold)).await
    }
}
