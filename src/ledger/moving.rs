//! Moving a ledger to another engine or another place, with everything that it knows.
//!
//! Only one of two ledgers with one id may ever be worked with: each would mint for the same
//! connections. So the old one is sealed before the first row is copied, and the new one is of no use
//! before the last one is. Whatever ends in between, the same command goes on from there.

use std::fmt;

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::{Entry, Ledger, LedgerError};
use crate::token::{ConnectionKey, LedgerId};

/// So many connections are copied at a time.
const PAGE: usize = 100;

/// A connection, as it goes from one ledger to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which connection.
    pub key: ConnectionKey,
    /// The greatest fencing number that was ever given out for it.
    pub fence: u64,
    /// The record with its version; `None` where there are only claims of it.
    pub stored: Option<super::Stored>,
    /// Its history, oldest line first.
    pub history: Vec<Entry>,
}

/// Why a ledger is not emptied, though it could be when it was looked at.
pub(super) const NOT_EMPTY: &str = "a process began to use it just now, or another `scimitar state copy` filled \
    it: nothing in it was changed; run this again to see which";

/// Why a ledger is not filled any further.
pub(super) const NOT_OURS: &str = "another `scimitar state copy` has taken it over: nothing is lost, and \
    this run stops; run it again if the other one does not finish";

/// What is kept beside the connections: one document a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// The connections that tenants were last seen to have.
    Inventories,
    /// What hooks were told of watched tokens.
    Watched,
}

/// All shelves.
pub const SHELVES: [Shelf; 2] = [Shelf::Inventories, Shelf::Watched];

/// What a ledger is, as far as moving goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was ever written to it.
    Empty,
    /// It is in use.
    InUse,
    /// It was moved there, and is of no use any more.
    MovedTo(String),
    /// It is being filled from there, and is of no use yet.
    FilledFrom(String),
}

impl Standing {
    /// Why it cannot be worked with, and what to do; `None` when it can.
    #[must_use]
    pub fn of_no_use(&self) -> Option<String> {
        match self {
            Self::Empty | Self::InUse => None,
            Self::MovedTo(there) => {
                Some(format!("it was moved to {there}: set [state] url to the new address"))
            }
            Self::FilledFrom(there) => Some(format!(
                "it is not filled from {there} yet: run `scimitar state copy` again to \
                 continue"
            )),
        }
    }
}

/// A ledger that can be moved.
#[async_trait]
pub trait Movable: Ledger {
    /// Where it is, as `[state] url` names it; without a secret.
    fn url(&self) -> &str;

    /// What it is.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn standing(&self) -> Result<Standing, LedgerError>;

    /// Makes it of no use from now on, for whoever has it open as well. `None`: of use again.
    ///
    /// # If the answer is lost
    /// It may be sealed; sealing it again is harmless.
    ///
    /// # Errors
    /// When somebody acts on one of its connections now, it was moved elsewhere meanwhile, or it cannot
    /// be written.
    async fn seal(&self, to: Option<&str>) -> Result<(), LedgerError>;

    /// Whether it could be emptied and filled, as far as rights go. Nothing is changed.
    ///
    /// # Errors
    /// When it could not: the words say what is missing.
    async fn can_be_filled(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Empties it and gives it this id; until [`Movable::open`] it is of no use. From here on this handle
    /// fills it: of two that do so at once, the first one stops.
    ///
    /// # If the answer is lost
    /// It may be emptied; emptying it again is harmless.
    ///
    /// # Errors
    /// When it cannot be written, or holds what is not from there.
    async fn empty(&self, id: &LedgerId, from: &str) -> Result<(), LedgerError>;

    /// At most `limit` connections in the order of their keys, from the first one behind `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn rows(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Row>, LedgerError>;

    /// Writes rows that are not there yet.
    ///
    /// # If the answer is lost
    /// Some of them may be written: it is emptied before it is filled again.
    ///
    /// # Errors
    /// When they cannot be written, or another handle fills it.
    async fn fill(&self, rows: Vec<Row>) -> Result<(), LedgerError>;

    /// Everything on a shelf.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn shelf(&self, shelf: Shelf) -> Result<Vec<(String, Box<RawValue>)>, LedgerError>;

    /// Puts something on a shelf, in the place of what is there.
    ///
    /// # Errors
    /// When it cannot be written, or another handle fills it.
    async fn put(
        &self,
        shelf: Shelf,
        documents: Vec<(String, Box<RawValue>)>,
    ) -> Result<(), LedgerError>;

    /// Makes it of use: it is filled.
    ///
    /// # If the answer is lost
    /// It may be of use: the standing says.
    ///
    /// # Errors
    /// When it cannot be written, or another handle fills it.
    async fn open(&self) -> Result<(), LedgerError>;
}

/// Why a ledger was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Nothing is to be lost there, or done twice.
    #[error("{0}")]
    Refused(String),
    /// One of the two cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Connections.
    pub connections: usize,
    /// Lines of their history.
    pub lines: usize,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections, {} lines of history", self.connections, self.lines)
    }
}

/// Moves everything from one ledger to another.
///
/// # Errors
/// When one of them is not what it has to be, or cannot be used. Until the last row is copied the old
/// one stays sealed and the new one of no use: the same call goes on.
pub async fn transfer(from: &dyn Movable, to: &dyn Movable) -> Result<Moved, MoveError> {
    let sealed = match from.standing().await? {
        Standing::Empty => {
            return Err(MoveError::Refused(format!(
                "{} is empty: there is nothing to move",
                from.url()
            )));
        }
        Standing::InUse => false,
        Standing::MovedTo(there) if there == to.url() => true,
        Standing::MovedTo(there) => {
            return Err(MoveError::Refused(format!(
                "{} was already moved to {there}: move that ledger, or, if it is lost for good, reopen this \
                 one with `scimitar state reopen {}`",
                from.url(),
                from.url()
            )));
        }
        Standing::FilledFrom(there) => {
            return Err(MoveError::Refused(format!(
                "{} is not filled yet: finish with `scimitar state copy {there} {}`",
                from.url(),
                from.url()
            )));
        }
    };
    match to.standing().await? {
        Standing::Empty => {}
        Standing::FilledFrom(there) if there == from.url() => {}
        // On its way back.
        Standing::MovedTo(there) if there == from.url() && to.id() == from.id() => {}
        Standing::InUse if sealed && to.id() == from.id() => {
            return Err(MoveError::Refused(format!(
                "{} was already moved to {}, which is in use",
                from.url(),
                to.url()
            )));
        }
        Standing::InUse | Standing::MovedTo(_) | Standing::FilledFrom(_) => {
            return Err(MoveError::Refused(format!(
                "{} contains another ledger, which would be lost: name an empty database or a new \
                 file",
                to.url()
            )));
        }
    }
    to.can_be_filled().await?;
    // The old one first: from here on nobody works with either.
    from.seal(Some(to.url())).await?;
    to.empty(from.id(), from.url()).await?;
    let (mut moved, mut after) = (Moved::default(), None);
    loop {
        let rows = from.rows(after.as_ref(), PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        moved.connections += rows.iter().filter(|row| row.stored.is_some()).count();
        moved.lines += rows.iter().map(|row| row.history.len()).sum::<usize>();
        to.fill(rows).await?;
    }
    for shelf in SHELVES {
        to.put(shelf, from.shelf(shelf).await?).await?;
    }
    to.open().await?;
    Ok(moved)
}
