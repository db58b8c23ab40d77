//! The claim on a connection, its record, and writing under that claim.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    deadline::Deadline,
    spoken::Said,
    worker::{ASK_AGAIN, Engine, LEASE},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::{Claim, Claimed, Durability, Entry, LedgerError, Stored, Then, Writing},
    rotation::{
        event::Event,
        record::{Record, Rotation},
    },
    sink::Fence,
    telemetry::audit::entry::Entry as Line,
};

/// How long a run tries to claim the connection back after a stop, or at the end of its call.
const TAKEN_UP_STOPPING: TimeDelta = TimeDelta::seconds(1);

/// For so long a claim that was just made to last need not be renewed before something is looked at.
const FRESH: TimeDelta = TimeDelta::seconds(10);

/// Nothing is begun under a claim that was last made to last longer ago: half of a lease.
const LASTS_AT_LEAST: TimeDelta = TimeDelta::seconds(LEASE.as_secs() as i64 / 2);

/// How often it is renewed for that.
const TRIES: usize = 3;

/// Why a run cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another worker has taken over.
    ClaimLost,
    /// The ledger cannot be written.
    Ledger(LedgerError),
    /// What was waited for did not come before the call had to end.
    OutOfTime(String),
    /// A defect: the reason is for a bug report.
    Defect(String),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::ClaimLost => Self::ClaimLost,
            LedgerError::Unavailable { .. } | LedgerError::Unusable { .. } => Self::Ledger(error),
        }
    }
}

/// The claim on one connection, and its record.
///
/// What happens is noted here first and written down before anything is waited for, all of it in one
/// piece: [`Lease::ready`]. Between two waits nothing happens outside, so that a process that dies there
/// leaves what one leaves that died before the answer came.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pub(super) engine: &'a Engine,
    pub(super) deadline: Deadline<'a>,
    claim: Claim,
    version: u64,
    record: Arc<Record>,
    /// What happened and is not written down.
    unwritten: Vec<Unwritten>,
    /// Whether something is written down that is not known to be on the disk.
    loose: bool,
    /// When the claim was last made to last.
    renewed: Timestamp,
    /// The last rotation in what is written down.
    rotated: Option<Rotation>,
    /// The version of the record when another worker was last found to have changed it.
    taken_up: u64,
}

/// What the ledger is asked for until it answers.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Renew,
    Settle,
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) entry: Entry,
    /// It says nothing that a later line does not.
    pub(super) quiet: bool,
    /// Its line in the audit log, and how it is told.
    pub(super) line: Option<Said>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        deadline: Deadline<'a>,
        claim: Claim,
        (version, record): (u64, Record),
    ) -> Self {
        let rotated = record.last_rotation.clone();
        Self {
            engine,
            deadline,
            claim,
            version,
            record: Arc::new(record),
            unwritten: Vec::new(),
            loose: false,
            renewed: engine.clock.now(),
            rotated,
            taken_up: 0,
        }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Gives the record up; nothing is written after this.
    pub(super) fn into_record(self) -> Record {
        Arc::unwrap_or_clone(self.record)
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether nothing of the connection was noted yet.
    pub(super) fn is_new(&self) -> bool {
        self.version == 0 && self.unwritten.is_empty()
    }

    /// Whether others changed the record after this version.
    pub(super) fn was_taken_up_since(&self, version: u64) -> bool {
        self.taken_up > version
    }

    /// The record as an event would leave it.
    pub(super) fn applied(&self, event: &Event) -> Result<Record, Stop> {
        Record::clone(&self.record)
            .apply(event.clone())
            .map_err(|illegal| Stop::Defect(illegal.to_string()))
    }

    /// Takes note of what happened; it is written down before anything is waited for.
    pub(super) fn noted(&mut self, record: Record, happened: Unwritten) {
        self.record = Arc::new(record);
        self.unwritten.push(happened);
    }

    /// Makes ready for waiting: what happened is written down, and the claim lasts. With
    /// [`Durability::Now`] it is on the disk, and anything may be begun.
    pub(super) async fn ready(&mut self, durability: Durability) -> Result<(), Stop> {
        self.made_ready(durability).await?;
        // This process may have stood still since the ledger answered, for longer than the claim lasts.
        for _ in 0..TRIES {
            if self.is_renewed_within(LASTS_AT_LEAST) {
                return Ok(());
            }
            self.renew().await?;
        }
        Err(Stop::ClaimLost)
    }

    async fn made_ready(&mut self, durability: Durability) -> Result<(), Stop> {
        if !self.unwritten.is_empty() {
            return self.write_out(durability, Then::Renew(LEASE)).await;
        }
        if durability == Durability::Soon && self.is_renewed_within(FRESH) {
            return Ok(());
        }
        if durability == Durability::Now && self.loose {
            self.settle().await?;
        }
        self.renew().await
    }

    fn is_renewed_within(&self, span: TimeDelta) -> bool {
        let age = self.engine.clock.now() - self.renewed;
        // A clock that was set back shows nothing.
        age >= TimeDelta::zero() && age < span
    }

    /// Gives up what is not written down: the ledger did not answer, and may have it or not.
    pub(super) fn let_go_of_unwritten(&mut self) {
        self.unwritten.clear();
    }

    /// Whether everything that happened is written down; with [`Durability::Now`], on the disk.
    pub(super) fn is_ready(&self, durability: Durability) -> bool {
        self.unwritten.is_empty() && (durability == Durability::Soon || !self.loose)
    }

    /// Writes down what happened, in the audit log first.
    async fn write_out(&mut self, durability: Durability, then: Then) -> Result<(), Stop> {
        let lines = || self.unwritten.iter().filter_map(|happened| happened.line.as_ref());
        let noted: Vec<Line> = lines().map(|line| line.entry.clone()).collect();
        if !noted.is_empty() {
            self.engine.audit.note_all(noted, durability == Durability::Now).await;
        }
        let written = self.write(durability, then).await;
        let happened = std::mem::take(&mut self.unwritten);
        self.told(happened, &written).await;
        written
    }

    /// When this returns the record is written down, with a line of history for each event.
    async fn write(&mut self, durability: Durability, then: Then) -> Result<(), Stop> {
        let now = self.engine.clock.now();
        // That a look found everything as it was is said by what follows from it, else counted.
        let lines = || self.unwritten.iter().filter(|happened| !happened.quiet);
        let mut entries: Vec<Entry> = lines().map(|happened| happened.entry.clone()).collect();
        if entries.is_empty() {
            let last = self.unwritten.last();
            entries.extend(last.map(|happened| Entry::checked(happened.entry.at)));
        }
        let give_up = now + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        let mut unanswered = false;
        loop {
            let writing = Writing {
                version: self.version,
                record: Arc::clone(&self.record),
                entries: entries.clone(),
                durability,
                then,
            };
            match self.engine.ledger.write(&self.claim, writing).await {
                Ok(version) => {
                    self.version = version;
                    self.loose = durability == Durability::Soon;
                    break;
                }
                // What was written, and not answered, is no longer of the version that this rests on.
                Err(error)
                    if matches!(error, LedgerError::Unavailable { .. })
                        || unanswered && matches!(error, LedgerError::ClaimLost) =>
                {
                    unanswered = true;
                    // The write may have happened all the same.
                    let loaded = self.engine.ledger.load(&self.claim.key).await;
                    if let Ok(Some(stored)) = &loaded
                        && stored.version > self.version
                        && stored.record == *self.record
                    {
                        self.version = stored.version;
                        self.loose = true;
                        if durability == Durability::Now {
                            self.settle().await?;
                        }
                        match then {
                            Then::Renew(_) => self.renew().await?,
                            Then::Release => self.release().await,
                        }
                        break;
                    }
                    let is_lost = loaded.is_ok() && matches!(error, LedgerError::ClaimLost);
                    if is_lost || !self.deadline.still_tries(give_up) {
                        return Err(error.into());
                    }
                    tracing::warn!(error = %error, "writing to the ledger failed, retrying: {error}");
                    self.engine.clock.sleep_until(self.in_a_second()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.renewed = now;
        if let Some(last) = &self.record.last_rotation
            && self.rotated.as_ref() != Some(last)
        {
            let took = (last.finished - last.began).to_std().unwrap_or_default();
            self.engine.metrics.rotation(&self.record.provider, took);
            self.rotated = Some(last.clone());
        }
        Ok(())
    }

    /// Renews the claim.
    pub(super) async fn renew(&mut self) -> Result<(), Stop> {
        let now = self.engine.clock.now();
        self.patiently(Asked::Renew).await?;
        self.renewed = now;
        Ok(())
    }

    /// Has everything that was written put on the disk.
    async fn settle(&mut self) -> Result<(), Stop> {
        self.patiently(Asked::Settle).await?;
        self.loose = false;
        Ok(())
    }

    /// Asks the ledger. While it is away, tries until nine tenths of the lease are over: until then nobody
    /// else can have taken over.
    async fn patiently(&self, asked: Asked) -> Result<(), Stop> {
        let (clock, ledger) = (&self.engine.clock, &self.engine.ledger);
        let give_up = clock.now() + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        loop {
            let answer = match asked {
                Asked::Renew => ledger.renew(&self.claim, LEASE).await,
                Asked::Settle => ledger.settle().await,
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(error @ LedgerError::Unavailable { .. })
                    if !self.deadline.still_tries(give_up) =>
                {
                    return Err(Stop::Ledger(error));
                }
                Err(LedgerError::Unavailable { .. }) => {
                    clock.sleep_until(self.in_a_second()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Renews the claim during another wait; while the ledger is away, leaves it to the next renewal.
    pub(super) async fn renew_meanwhile(&self) -> Result<(), Stop> {
        match self.engine.ledger.renew(&self.claim, LEASE).await {
            Ok(()) | Err(LedgerError::Unavailable { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the connection free; what happened and is not written down is lost with the claim.
    pub(super) async fn release(&self) {
        self.engine.release(&self.claim).await;
    }

    /// Writes down what happened, and gives the connection free with it.
    pub(super) async fn close(&mut self, durability: Durability) -> Result<(), Stop> {
        if self.unwritten.is_empty() {
            self.release().await;
            return Ok(());
        }
        self.write_out(durability, Then::Release).await
    }

    /// Claims again a connection that was released. `true`: others changed its record.
    pub(super) async fn take_up(&mut self, until: Timestamp) -> Result<bool, Stop> {
        let patience = self.deadline.patience;
        let (engine, stop) = (self.engine, &patience.stop);
        let key = self.claim.key.clone();
        let began = engine.clock.now();
        loop {
            match engine.ledger.claim(&key, LEASE).await {
                Ok(Claimed::Yes(claim, stored)) => {
                    self.claim = claim;
                    self.renewed = engine.clock.now();
                    return Ok(self.read_again(stored));
                }
                // The release failed: the claim is still ours, and nobody acted.
                Ok(Claimed::Held(_)) if engine.ledger.renew(&self.claim, LEASE).await.is_ok() => {
                    return Ok(false);
                }
                Ok(Claimed::Held(_)) | Err(LedgerError::Unavailable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let soon = began + TAKEN_UP_STOPPING;
            let limit = match patience.until {
                _ if stop.is_cancelled() => soon,
                Some(end) => until.min(end.max(soon)),
                None => until,
            };
            let now = engine.clock.now();
            if now >= limit {
                return Err(Stop::ClaimLost);
            }
            engine.clock.sleep_until(now + ASK_AGAIN).await;
        }
    }

    fn read_again(&mut self, stored: Option<Stored>) -> bool {
        let Some(Stored { version, record, .. }) =
            stored.filter(|stored| stored.version != self.version)
        else {
            return false;
        };
        (self.version, self.record, self.taken_up) = (version, Arc::new(record), version);
        self.rotated.clone_from(&self.record.last_rotation);
        true
    }

    /// The claim, for a sink to check right before it writes.
    pub(super) fn fence(&self) -> ClaimFence {
        ClaimFence { engine: self.engine.clone(), claim: self.claim.clone() }
    }

    fn in_a_second(&self) -> Timestamp {
        self.engine.clock.now() + TimeDelta::seconds(1)
    }
}

/// The claim, for a sink to check right before it writes.
#[derive(Debug)]
pub(super) struct ClaimFence {
    engine: Engine,
    claim: Claim,
}

#[async_trait]
impl Fence for ClaimFence {
    async fn check(&self) -> Result<(), Fault> {
        self.engine.ledger.renew(&self.claim, LEASE).await.map_err(|error| {
            let (class, code) = match error {
                LedgerError::ClaimLost => (Class::Conflict, Code::ClaimLost),
                LedgerError::Unavailable { .. } | LedgerError::Unusable { .. } => {
                    (Class::Transient, Code::Io)
                }
            };
            Fault::new("check the claim", class, code, error.to_string())
        })
    }
}
