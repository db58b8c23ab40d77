//! The claim on a connection, its record, and writing under that claim.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    deadline::Deadline,
    worker::{ASK_AGAIN, Engine, LEASE},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::{Claim, Claimed, Entry, LedgerError, Stored},
    rotation::{event::Event, record::Record},
    sink::Fence,
};

/// How long a run tries to claim the connection back after a stop, or at the end of its call.
const TAKEN_UP_STOPPING: TimeDelta = TimeDelta::seconds(1);

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
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pub(super) engine: &'a Engine,
    pub(super) deadline: Deadline<'a>,
    claim: Claim,
    version: u64,
    record: Record,
    /// The version of the record when another worker was last found to have changed it.
    taken_up: u64,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        deadline: Deadline<'a>,
        claim: Claim,
        (version, record): (u64, Record),
    ) -> Self {
        Self { engine, deadline, claim, version, record, taken_up: 0 }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Gives the record up; nothing is written after this.
    pub(super) fn into_record(self) -> Record {
        self.record
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether others changed the record after this version.
    pub(super) fn was_taken_up_since(&self, version: u64) -> bool {
        self.taken_up > version
    }

    /// The record as an event would leave it.
    pub(super) fn applied(&self, event: Event) -> Result<Record, Stop> {
        self.record.clone().apply(event).map_err(|illegal| Stop::Defect(illegal.to_string()))
    }

    /// Writes an event down in the ledger. When this returns it is durable.
    pub(super) async fn write_down(&mut self, event: Event, words: &str) -> Result<(), Stop> {
        let name = event.name();
        let record = self.applied(event)?;
        let now = self.engine.clock.now();
        let entry = Entry { at: now, event: name.to_owned(), words: words.to_owned() };
        let give_up = now + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        loop {
            match self.engine.ledger.store(&self.claim, self.version, &record, &entry).await {
                Ok(version) => {
                    self.version = version;
                    break;
                }
                Err(error @ LedgerError::Unavailable { .. }) => {
                    // The write may have happened all the same.
                    if let Ok(Some(stored)) = self.engine.ledger.load(&self.claim.key).await
                        && stored.version == self.version + 1
                        && stored.record == record
                    {
                        self.version = stored.version;
                        break;
                    }
                    if !self.deadline.still_tries(give_up) {
                        return Err(Stop::Ledger(error));
                    }
                    tracing::warn!(error = %error, "the ledger is tried again: {error}");
                    self.engine.clock.sleep_until(self.in_a_second()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(last) = &record.last_rotation
            && self.record.last_rotation.as_ref() != Some(last)
        {
            let took = (last.finished - last.began).to_std().unwrap_or_default();
            self.engine.metrics.rotation(&record.provider, took);
        }
        self.record = record;
        Ok(())
    }

    /// Renews the claim. While the ledger is away, tries until nine tenths of the lease are over: until
    /// then nobody else can have taken over.
    pub(super) async fn renew(&self) -> Result<(), Stop> {
        let (clock, ledger) = (&self.engine.clock, &self.engine.ledger);
        let give_up = clock.now() + TimeDelta::from_std(LEASE).unwrap_or_default() * 9 / 10;
        loop {
            match ledger.renew(&self.claim, LEASE).await {
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

    pub(super) async fn release(&self) {
        self.engine.release(&self.claim).await;
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
        (self.version, self.record, self.taken_up) = (version, record, version);
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
