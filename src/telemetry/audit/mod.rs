//! The audit log: one JSON line for each step, each holding the hash of the one before it.
//!
//! [`step`](entry::step) says what a step's line holds, [`chain`] how lines are linked, [`file`] how
//! one is added to a file that several processes share, [`writer`] what happens when that does not
//! work, [`heads`] when its head is told elsewhere,
//! and [`verify`] whether a file is what was written.

pub mod actor;
pub mod chain;
pub mod entry;
pub mod file;
pub mod heads;
mod lines;
pub mod verify;
pub mod writer;

use std::fmt;

use async_trait::async_trait;

use self::entry::Entry;

/// Where steps are noted.
#[async_trait]
pub trait Audit: fmt::Debug + Send + Sync {
    /// Whether anything is noted at all: what a line would hold need not be worked out otherwise.
    fn is_on(&self) -> bool;

    /// Notes a step. When this returns the line is durable, or its loss was told and counted:
    /// nobody is kept from a rotation because a log cannot be written.
    ///
    /// # If the answer is lost
    /// The line may be there or not; the next one says how many are not known to be.
    async fn note(&self, entry: Entry);

    /// The same for the lines of one step, in their order. Unless they are to be `on_disk`, a machine
    /// that loses its power may take them along, until a later line is.
    async fn note_all(&self, entries: Vec<Entry>, _on_disk: bool) {
        for entry in entries {
            self.note(entry).await;
        }
    }

    /// This process ends: lines that it missed are counted where the next process finds them.
    async fn leave(&self);

    /// The hash of the last line; `None` while there is none, or nothing is noted.
    async fn head(&self) -> Option<String>;
}

/// No audit log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Off;

#[async_trait]
impl Audit for Off {
    fn is_on(&self) -> bool {
        false
    }

    async fn note(&self, _entry: Entry) {}

    async fn leave(&self) {}

    async fn head(&self) -> Option<String> {
        None
    }
}
