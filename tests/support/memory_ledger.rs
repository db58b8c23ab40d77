//! A ledger in memory that behaves as the SQLite one does, for simulations.
//!
//! Deterministic, and never pending: every call is done when it is first polled.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use scimitar::{
    clock::Timestamp,
    ledger::{
        Claim, Claimed, Durability, Entry, Ledger, LedgerError, Losses, Stored, Then, Writing,
        format::{self, Columns, HISTORY},
        history::{self, CHECKED},
    },
    rotation::record::Record,
    token::{ConnectionKey, LedgerId, Tenant},
};

/// The lease clock: time since boot.
pub type BootClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// One process's handle on a ledger in memory. Dropping it is not dying: see [`Self::die`].
pub struct MemoryLedger {
    id: LedgerId,
    holder: u64,
    dead: AtomicBool,
    shared: Arc<Shared>,
}

/// So often a record goes through its stored form: that form has tests of its own, and a simulation
/// would spend most of its time in it.
const READ_BACK: u64 = 8;

/// All that is written down; what [`MemoryLedger::restore`] goes back to.
#[derive(Clone, Debug, Default)]
pub struct Backup {
    rows: BTreeMap<ConnectionKey, Row>,
    claims: BTreeMap<ConnectionKey, ClaimRow>,
    events: BTreeMap<ConnectionKey, VecDeque<Entry>>,
}

struct Shared {
    boot: BootClock,
    state: Mutex<State>,
}

struct State {
    written: Backup,
    /// What stood before each write that is not known to be on the disk, the oldest first.
    loose: Vec<(ConnectionKey, Option<Row>)>,
    holders: u64,
    reachable: bool,
    fenced: bool,
}

#[derive(Clone, Debug)]
struct Row {
    version: u64,
    columns: Columns,
    record: Arc<Record>,
    /// The stored form, made once it is read: most records are replaced before anybody reads them.
    document: OnceLock<String>,
}

#[derive(Clone, Debug)]
struct ClaimRow {
    holder: Option<u64>,
    fence: u64,
    until: Duration,
}

impl MemoryLedger {
    /// Makes a new ledger and gives `handles` of it: as many processes.
    pub fn shared(id: &LedgerId, boot: BootClock, handles: usize) -> Vec<Self> {
        let shared = Arc::new(Shared {
            boot,
            state: Mutex::new(State {
                written: Backup::default(),
                loose: Vec::new(),
                holders: 0,
                reachable: true,
                fenced: true,
            }),
        });
        (0..handles).map(|_| Self::open(id, &shared)).collect()
    }

    /// A further process on the same ledger.
    pub fn another(&self) -> Self {
        Self::open(&self.id, &self.shared)
    }

    /// The process is gone: its claims are free at once, and this handle does nothing any more.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        for claim in self.state().written.claims.values_mut() {
            if claim.holder == Some(self.holder) {
                claim.holder = None;
            }
        }
    }

    /// The process is gone, and nobody can tell: its claims end when their lease does, as in a database
    /// that processes on many hosts share.
    pub fn vanish(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// From now on every write is taken, whoever's claim it is made under, whatever it replaces: what
    /// the checks of a simulation have to catch.
    pub fn forget_fences(&self) {
        self.state().fenced = false;
    }

    /// While `false`, every call of every handle is answered [`LedgerError::Unavailable`].
    pub fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
    }

    /// A copy of all that is written down.
    pub fn backup(&self) -> Backup {
        self.state().written.clone()
    }

    /// Goes back to an older copy, as an operator does who restores a file while nothing runs:
    /// nobody's claim outlives it. [`Backup::default`] is a ledger that was emptied.
    pub fn restore(&self, backup: Backup) {
        let mut state = self.state();
        state.written = backup;
        state.loose.clear();
        for claim in state.written.claims.values_mut() {
            claim.holder = None;
        }
    }

    /// The machine loses its power, and with it every process: records go back to what was on the disk.
    /// Gives those that did. History keeps its lines, which nobody decides by.
    pub fn lose_power(&self) -> Vec<(ConnectionKey, Option<Record>)> {
        let mut state = self.state();
        let mut back = BTreeMap::new();
        for (key, row) in std::mem::take(&mut state.loose).into_iter().rev() {
            back.insert(key.clone(), row.as_ref().map(|row| Record::clone(&row.record)));
            match row {
                Some(row) => state.written.rows.insert(key, row),
                None => state.written.rows.remove(&key),
            };
        }
        for claim in state.written.claims.values_mut() {
            claim.holder = None;
        }
        back.into_iter().collect()
    }

    fn open(id: &LedgerId, shared: &Arc<Shared>) -> Self {
        let mut state = lock(&shared.state);
        state.holders += 1;
        let holder = state.holders;
        drop(state);
        Self { id: id.clone(), holder, dead: AtomicBool::new(false), shared: Arc::clone(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn reach(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        let unavailable = |detail: &str| LedgerError::Unavailable {
            url: "memory:".to_owned(),
            detail: detail.to_owned(),
        };
        if self.dead.load(Ordering::SeqCst) {
            return Err(unavailable("this process is dead"));
        }
        let state = self.state();
        if state.reachable { Ok(state) } else { Err(unavailable("it cannot be reached")) }
    }

    fn now(&self) -> Duration {
        (self.shared.boot)()
    }

    /// Writes record and history if claim and version hold.
    fn put(
        &self,
        claim: &Claim,
        version: u64,
        record: Arc<Record>,
        entries: &[Entry],
        durability: Durability,
    ) -> Result<(u64, MutexGuard<'_, State>), LedgerError> {
        let mut state = self.reach()?;
        let found = state.written.rows.get(&claim.key).map_or(0, |row| row.version);
        let is_ours = self.still_held(&state, claim) && (found == version || !state.fenced);
        if record.key != claim.key || !is_ours {
            return Err(LedgerError::ClaimLost);
        }
        format::writable(&record).map_err(|error| unusable(&error))?;
        let row = Row {
            version: found + 1,
            columns: Columns::of(&record),
            record,
            document: OnceLock::new(),
        };
        let before = state.written.rows.insert(claim.key.clone(), row);
        match durability {
            // One log holds everything: what was written before is on the disk as well.
            Durability::Now => state.loose.clear(),
            Durability::Soon => state.loose.push((claim.key.clone(), before)),
        }
        let events = state.written.events.entry(claim.key.clone()).or_default();
        match (entries, events.back_mut()) {
            ([entry], Some(last)) if entry.event == CHECKED && last.event == CHECKED => {
                last.words = history::counted(history::times(&last.words) + 1);
            }
            _ => events.extend(entries.iter().cloned()),
        }
        let surplus = events.len().saturating_sub(HISTORY);
        events.drain(..surplus);
        Ok((found + 1, state))
    }

    fn still_held(&self, state: &State, claim: &Claim) -> bool {
        !state.fenced
            || state.written.claims.get(&claim.key).is_some_and(|row| {
                row.holder == Some(self.holder)
                    && row.fence == claim.fence
                    && self.now() < row.until
            })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A test that panicked has failed already; its other tasks need no second panic.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unusable(error: &dyn std::error::Error) -> LedgerError {
    LedgerError::Unusable { url: "memory:".to_owned(), detail: error.to_string() }
}

impl Row {
    fn stored(&self) -> Result<Stored, LedgerError> {
        if !self.version.is_multiple_of(READ_BACK) {
            return Ok(Stored { version: self.version, record: Record::clone(&self.record) });
        }
        let document = match self.document.get() {
            Some(document) => document,
            None => {
                let document = format::encode(&self.record).map_err(|error| unusable(&error))?;
                self.document.get_or_init(|| document)
            }
        };
        let record = format::decode(document).map_err(|error| unusable(&error))?;
        Ok(Stored { version: self.version, record })
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").field("holder", &self.holder).finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    fn id(&self) -> &LedgerId {
        &self.id
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        self.reach()?.written.rows.get(key).map(Row::stored).transpose()
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        self.reach()?.written.rows.values().map(Row::stored).collect()
    }

    async fn claim(&self, key: &ConnectionKey, lease: Duration) -> Result<Claimed, LedgerError> {
        let mut state = self.reach()?;
        let now = self.now();
        let Backup { rows, claims, .. } = &mut state.written;
        let row = claims.entry(key.clone()).or_insert(ClaimRow {
            holder: None,
            fence: 0,
            until: Duration::ZERO,
        });
        if row.holder.is_some() && now < row.until {
            return Ok(Claimed::Held(row.until - now));
        }
        let stored = rows.get(key).map(Row::stored).transpose()?;
        row.holder = Some(self.holder);
        row.fence += 1;
        row.until = now.saturating_add(lease);
        Ok(Claimed::Yes(Claim { key: key.clone(), fence: row.fence }, stored))
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<(), LedgerError> {
        let mut state = self.reach()?;
        if !self.still_held(&state, claim) {
            return Err(LedgerError::ClaimLost);
        }
        let until = self.now().saturating_add(lease);
        if let Some(row) = state.written.claims.get_mut(&claim.key) {
            row.until = until;
        }
        Ok(())
    }

    async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        let mut state = self.reach()?;
        if let Some(row) = state.written.claims.get_mut(&claim.key)
            && row.holder == Some(self.holder)
            && row.fence == claim.fence
        {
            row.holder = None;
        }
        Ok(())
    }

    async fn store(
        &self,
        claim: &Claim,
        version: u64,
        record: &Record,
        entry: &Entry,
    ) -> Result<u64, LedgerError> {
        let record = Arc::new(record.clone());
        self.put(claim, version, record, std::slice::from_ref(entry), Durability::Now)
            .map(|(version, _)| version)
    }

    async fn write(&self, claim: &Claim, writing: Writing) -> Result<u64, LedgerError> {
        let Writing { version, record, entries, durability, then } = writing;
        let (version, mut state) = self.put(claim, version, record, &entries, durability)?;
        let now = self.now();
        if let Some(row) = state.written.claims.get_mut(&claim.key) {
            match then {
                Then::Renew(lease) => row.until = now.saturating_add(lease),
                Then::Release => row.holder = None,
            }
        }
        Ok(version)
    }

    async fn settle(&self) -> Result<(), LedgerError> {
        self.reach()?.loose.clear();
        Ok(())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        let state = self.reach()?;
        let mut due: Vec<_> = state
            .written
            .rows
            .iter()
            .filter(|(_, row)| row.columns.is_due(now))
            .map(|(key, row)| {
                let expiry = row.columns.expires_at;
                (expiry.is_none(), expiry, row.columns.wake_at, key)
            })
            .collect();
        due.sort();
        due.truncate(limit);
        Ok(due.into_iter().map(|(.., key)| key.clone()).collect())
    }

    async fn history(&self, key: &ConnectionKey, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let state = self.reach()?;
        let entries = state.written.events.get(key).into_iter().flatten().rev();
        Ok(entries.take(limit).cloned().collect())
    }

    async fn losses(&self, tenant: &Tenant, since: Timestamp) -> Result<Losses, LedgerError> {
        let state = self.reach()?;
        let of_tenant = state.written.rows.iter().filter(|(key, _)| key.tenant == *tenant);
        Ok(of_tenant.fold(Losses::default(), |mut losses, (_, row)| {
            losses.connections += usize::from(row.columns.lost.is_some());
            losses.lost +=
                usize::from(row.columns.lost.is_some_and(|at| at >= since.timestamp_millis()));
            losses
        }))
    }
}
