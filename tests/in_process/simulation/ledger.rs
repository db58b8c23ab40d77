//! The ledger in memory behind calls that can be cut off, lost, and made to fail.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use scimitar::{
    clock::{AgreedClock, Timestamp},
    ledger::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored, Writing},
    rotation::record::Record,
    token::{ConnectionKey, LedgerId, Tenant},
};

use super::{
    calls::{Rest, Step},
    clock::timestamp,
    faults::Op,
    memory_ledger::{Backup, MemoryLedger},
    world::{Ms, Pid, Sim},
};

/// Where the ledger stands: what processes open, operators copy, and accidents lose.
pub(crate) struct Shelf {
    boot: Arc<AtomicI64>,
    root: MemoryLedger,
    open: BTreeMap<Pid, Arc<MemoryLedger>>,
    copies: Vec<Backup>,
    lost: u64,
    seed: u64,
    /// Nobody can tell that a process is gone: its claims end when their lease does.
    claims_last: bool,
    /// The saboteur: nobody's claim is asked for.
    forgets_fences: bool,
}

impl Shelf {
    pub(crate) fn new(seed: u64) -> Self {
        let boot = Arc::new(AtomicI64::new(0));
        Self {
            root: root(seed, 0, &boot),
            boot,
            open: BTreeMap::new(),
            copies: Vec::new(),
            lost: 0,
            seed,
            claims_last: false,
            forgets_fences: false,
        }
    }

    /// Sets the boot clock.
    pub(crate) fn tick(&self, since_boot: Ms) {
        self.boot.store(since_boot, Ordering::Relaxed);
    }

    fn open(&mut self, pid: Pid) -> Arc<MemoryLedger> {
        let handle = Arc::new(self.root.another());
        self.open.insert(pid, Arc::clone(&handle));
        handle
    }

    /// The process is gone, and its claims with it where that can be told.
    pub(crate) fn close(&mut self, pid: Pid) {
        match self.open.remove(&pid) {
            Some(handle) if self.claims_last => handle.vanish(),
            Some(handle) => handle.die(),
            None => {}
        }
    }

    /// As a database does that processes on many hosts share.
    pub(crate) fn share(&mut self) {
        self.claims_last = true;
    }

    /// Every write is taken from now on, whoever's claim it is.
    pub(crate) fn forget_fences(&mut self) {
        self.forgets_fences = true;
        self.root.forget_fences();
    }

    /// An operator's backup.
    pub(crate) fn copy(&mut self) {
        self.copies.push(self.root.backup());
    }

    /// The newest backup comes back; nothing runs meanwhile.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(copy) = self.copies.pop() else {
            return false;
        };
        self.root.restore(copy);
        true
    }

    /// The machine loses its power; gives the records that went back to what was on the disk.
    pub(crate) fn lose_power(&mut self) -> Vec<(ConnectionKey, Option<Record>)> {
        self.root.lose_power()
    }

    /// The ledger is gone; the next process makes a new one.
    pub(crate) fn lose(&mut self) {
        self.lost += 1;
        self.root = root(self.seed, self.lost, &self.boot);
        if self.forgets_fences {
            self.root.forget_fences();
        }
        self.copies.clear();
    }
}

fn root(seed: u64, nth: u64, boot: &Arc<AtomicI64>) -> MemoryLedger {
    let id = LedgerId::try_new(format!("{seed:016x}{nth:016x}")).expect("hex is a name");
    let boot = Arc::clone(boot);
    let clock =
        Arc::new(move || Duration::from_millis(boot.load(Ordering::Relaxed).unsigned_abs()));
    MemoryLedger::shared(&id, clock, 1).remove(0)
}

/// One process's ledger.
pub(crate) struct SimLedger {
    sim: Sim,
    pid: Pid,
    inner: Arc<MemoryLedger>,
    id: LedgerId,
}

impl SimLedger {
    pub(crate) fn open(sim: &Sim, pid: Pid, clock: &Arc<AgreedClock>) -> Self {
        let inner = sim.lock().shelf.open(pid);
        let id = inner.id().clone();
        let ledger = Self { sim: sim.clone(), pid, inner, id };
        if ledger.is_shared() {
            if let Some(process) = sim.lock().processes.get_mut(&pid) {
                process.clock = Some(Arc::clone(clock));
            }
            ledger.learn(clock.host_time(), ledger.database_time());
        }
        ledger
    }

    /// The database's clock showed this.
    fn learn(&self, asked: Timestamp, shown: Timestamp) {
        let clock = self.sim.lock().processes.get(&self.pid).and_then(|it| it.clock.clone());
        if let Some(clock) = clock {
            clock.learn(asked, shown);
        }
    }

    /// What the database's clock shows.
    fn database_time(&self) -> Timestamp {
        let world = self.sim.lock();
        timestamp(world.now + world.host_offset)
    }

    fn host_time(&self) -> Timestamp {
        timestamp(self.sim.lock().host_wall(self.pid))
    }

    async fn begin(&self, key: Option<&ConnectionKey>, op: Op) -> Result<Rest, LedgerError> {
        let conn = key.map(|key| self.sim.lock().index(key));
        match self.sim.begin(self.pid, conn, op).await {
            Step::Do(rest) | Step::Later(_, rest) => Ok(rest),
            Step::Answer(fault) => Err(unavailable(fault.detail)),
        }
    }

    async fn end<T>(&self, rest: Rest, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        match self.sim.end(rest).await {
            Ok(()) => result,
            Err(fault) => Err(unavailable(fault.detail)),
        }
    }
}

fn unavailable(detail: String) -> LedgerError {
    LedgerError::Unavailable { url: "memory:".to_owned(), detail }
}

impl fmt::Debug for SimLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimLedger")
    }
}

#[async_trait]
impl Ledger for SimLedger {
    fn id(&self) -> &LedgerId {
        &self.id
    }

    fn is_shared(&self) -> bool {
        self.sim.lock().shelf.claims_last
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        let rest = self.begin(Some(key), Op::Load).await?;
        let result = self.inner.load(key).await;
        self.end(rest, result).await
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        let rest = self.begin(None, Op::Look).await?;
        let result = self.inner.all().await;
        self.end(rest, result).await
    }

    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        let asked = self.host_time();
        let rest = self.begin(Some(key), Op::Claim).await?;
        let result = self.inner.claim(key, lease).await;
        let shown = self.database_time();
        if let Ok(Claimed::Yes(claim, _)) = &result {
            let fence = claim.fence;
            self.sim.lock().claimed(self.pid, key, fence);
        }
        let result = self.end(rest, result).await?;
        self.learn(asked, shown);
        Ok(result)
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        let rest = self.begin(Some(&claim.key), Op::Renew).await?;
        let result = self.inner.renew(claim, lease).await;
        self.end(rest, result).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        let rest = self.begin(Some(&claim.key), Op::Release).await?;
        let result = self.inner.release(claim).await;
        self.end(rest, result).await
    }

    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError> {
        let rest = self.begin(Some(&claim.key), Op::Store).await?;
        let result = self.inner.store(claim, version, record, entry).await;
        if result.is_ok() {
            self.sim.lock().stored(self.pid, &Arc::new(record.clone()), entry);
        }
        self.end(rest, result).await
    }

    async fn write(&self, claim: &Claim, writing: Writing) -> Result<u64, LedgerError> {
        let rest = self.begin(Some(&claim.key), Op::Store).await?;
        let (record, entries) = (Arc::clone(&writing.record), writing.entries.clone());
        let result = self.inner.write(claim, writing).await;
        if result.is_ok() {
            for entry in &entries {
                self.sim.lock().stored(self.pid, &record, entry);
            }
        }
        self.end(rest, result).await
    }

    async fn settle(&self) -> Result<(), LedgerError> {
        let rest = self.begin(None, Op::Store).await?;
        let result = self.inner.settle().await;
        self.end(rest, result).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        let rest = self.begin(None, Op::Look).await?;
        let result = self.inner.due(now, limit).await;
        self.end(rest, result).await
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let rest = self.begin(Some(key), Op::Look).await?;
        let result = self.inner.history(key, limit).await;
        self.end(rest, result).await
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        let rest = self.begin(None, Op::Look).await?;
        let result = self.inner.losses(tenant, since).await;
        self.end(rest, result).await
    }
}
