//! The ledger in one SQLite file, for the processes of one machine.
//!
//! Written down means durable: write-ahead log, and a commit that waits for the disk wherever a side
//! effect may follow (`writer` says what need not wait). Every write checks claim and version first.
//! Leases are measured by the machine's boot time; a claim whose holder's lock is gone (`holders`) is
//! free at once.

mod documents;
mod failure;
mod file_id;
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
mod serving;
mod watched;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;

use self::{
    failure::Failure,
    writer::{Asked, Call, Hold, Needs, unfinished},
};
pub use self::{
    host::{LeaseClock, can_hold_a_ledger},
    serving::{Daemon, Left, Serving, forget_killed, killed, left},
};
use super::{
    Claim, Claimed, Durability, Entry, Ledger, LedgerError, Losses, Stored, Then, Writing,
    inventory::Inventory,
};
use crate::{
    clock::{Entropy, Timestamp},
    rotation::{record::Record, watch::WatchRecord},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
};

/// How long a call waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// A handle on a ledger file: one holder of claims. Dropping it gives all its claims back.
pub struct SqliteLedger {
    url: String,
    path: PathBuf,
    id: LedgerId,
    access: Access,
}

/// Where calls wait for the thread that answers them.
type Calls = Sender<Box<dyn Call>>;

enum Access {
    /// Reads and writes, on a thread of its own. `None` once the handle is being dropped.
    Write(Option<(Calls, JoinHandle<()>)>),
    /// Reads only, and makes no file.
    Look,
}

impl Drop for SqliteLedger {
    /// Waits until what was asked is done and the file closed.
    fn drop(&mut self) {
        if let Access::Write(thread) = &mut self.access
            && let Some((calls, thread)) = thread.take()
        {
            drop(calls);
            let _ = thread.join();
        }
    }
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
        open::writer(path, entropy, clock)
            .and_then(|(id, writer)| {
                check(&writer.connection)?;
                let (path, (calls, waiting)) = (writer.path.clone(), channel());
                let thread = std::thread::Builder::new()
                    .name("ledger".to_owned())
                    .spawn(move || writer.work(&waiting))
                    .map_err(|error| {
                        Failure::Unavailable(format!("could not start its thread: {error}"))
                    })?;
                Ok(Self::new(path, id, Access::Write(Some((calls, thread)))))
            })
            .map_err(|failure| failure.of(&url(path)))
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
        Self { url: url(&path), path, id, access }
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        match &self.access {
            Access::Write(_) => self.ask(Needs::Read, move |connection, _| ask(connection)).await,
            Access::Look => {
                let (path, url) = (self.path.clone(), self.url.clone());
                let look = move || read_only::at(&path, &ask).map_err(|failure| failure.of(&url));
                let answer = tokio::task::spawn_blocking(look).await;
                answer.unwrap_or_else(|_| Err(unfinished(&self.url)))
            }
        }
    }

    async fn write_down<T: Send + 'static>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Connection, &Hold<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.ask(Needs::Write(durability), change).await
    }

    /// Has it done by the thread that owns the database. A caller that goes away does not stop it.
    async fn ask<T: Send + 'static>(
        &self,
        needs: Needs,
        call: impl FnOnce(&Connection, &Hold<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let calls = match &self.access {
            Access::Write(Some((calls, _))) => calls,
            Access::Write(None) => return Err(unfinished(&self.url)),
            Access::Look => {
                let detail = "it was opened read-only".to_owned();
                return Err(Failure::Unavailable(detail).of(&self.url));
            }
        };
        let (call, answer) = Asked::new(&self.url, needs, call);
        if calls.send(Box::new(call)).is_err() {
            return Err(unfinished(&self.url));
        }
        answer.await.unwrap_or_else(|_| Err(unfinished(&self.url)))
    }
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
            .field("url", &self.url)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn id(&self) -> &LedgerId {
        &self.id
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

    async fn load_many(&self, keys: &[&ConnectionKey]) -> Result<Vec<Option<Stored>>, LedgerError> {
        let keys: Vec<ConnectionKey> = keys.iter().copied().cloned().collect();
        self.read(move |connection| rows::load_many(connection, &keys)).await
    }

    async fn keys(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<ConnectionKey>, LedgerError> {
        let after = after.cloned();
        self.read(move |connection| rows::keys(connection, after.as_ref(), limit)).await
    }

    /// # If the answer is lost
    /// The claim may be ours: asking again is answered `Held` until the lease ends or the handle
    /// is dropped.
    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        let key = key.clone();
        self.write_down(Durability::Soon, move |connection, hold| {
            rows::claim(connection, &key, lease, hold)
        })
        .await
    }

    /// # If the answer is lost
    /// The lease ends then or later than it did; renewing again is harmless.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        let claim = claim.clone();
        self.write_down(Durability::Soon, move |connection, hold| {
            rows::renew(connection, &claim, lease, hold)
        })
        .await
    }

    /// # If the answer is lost
    /// The claim is given back, or ends with its lease; giving it back again is harmless.
    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        let claim = claim.clone();
        self.write_down(Durability::Soon, move |connection, hold| {
            rows::release(connection, &claim, hold)
        })
        .await
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
        self.write_down(Durability::Now, move |connection, hold| {
            rows::store(connection, &claim, version, &record, &[entry], hold)
        })
        .await
    }

    /// # If the answer is lost
    /// All of it may have been written; the caller loads the record again before it does anything else.
    async fn write(&self, claim: &Claim, writing: Writing) -> Result<u64, LedgerError> {
        let claim = claim.clone();
        self.write_down(writing.durability, move |connection, hold| {
            let Writing { version, record, entries, then, .. } = writing;
            let version = rows::store(connection, &claim, version, &record, &entries, hold)?;
            match then {
                Then::Renew(lease) => rows::renew(connection, &claim, lease, hold)?,
                Then::Release => rows::release(connection, &claim, hold)?,
            }
            Ok(version)
        })
        .await
    }

    /// # If the answer is lost
    /// It is on the disk, or settling it again is harmless.
    async fn settle(&self) -> Result<(), LedgerError> {
        // A durable transaction takes everything before it along.
        self.write_down(Durability::Now, |_, _| Ok(())).await
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
        self.write_down(Durability::Now, |connection, _| Ok(schema::rewrite(connection)?)).await
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
        self.write_down(Durability::Soon, move |connection, _| {
            inventories::keep(connection, &tenant, &inventory)
        })
        .await
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
        self.write_down(Durability::Now, move |connection, hold| {
            watched::keep(connection, &claim, &name, &record, hold)
        })
        .await
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        let tenant = tenant.clone();
        self.read(move |connection| rows::losses(connection, &tenant, since, None)).await
    }

    async fn losses_in_brief(
        &self,
        tenant: &Tenant,
        since: Timestamp,
        of: usize,
    ) -> Result<Losses, LedgerError> {
        let tenant = tenant.clone();
        self.read(move |connection| rows::losses(connection, &tenant, since, Some(of))).await
    }

    /// All of them in one transaction.
    async fn move_tenant(&self, from: &Tenant, to: &Tenant) -> Result<usize, LedgerError> {
        let (from, to) = (from.clone(), to.clone());
        let call = move |connection: &Connection, hold: &Hold<'_>| {
            moved::tenant(connection, &from, &to, hold)
        };
        self.write_down(Durability::Now, call).await
    }
}
