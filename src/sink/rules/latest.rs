//! What we did last, in services of many machines: one that has yet to catch up shows what was before.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
};

/// How long a service may answer from before our own write, until it is taken at its word.
const CATCHING_UP: TimeDelta = TimeDelta::seconds(30);

/// What tells the answers from before our last write, and when that was.
#[derive(Debug)]
pub(in crate::sink) struct Latest<T>(Mutex<Option<(T, Timestamp)>>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Latest<T> {
    /// Something was written.
    pub(in crate::sink) fn note(&self, what: T, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((what, now));
    }

    /// Refuses an answer from before that; `who`: what gave it, in words that "has yet to catch up"
    /// follows.
    pub(in crate::sink) fn refuse_older(
        &self,
        operation: &str,
        now: Timestamp,
        who: &str,
        is_older: impl FnOnce(&T) -> bool,
    ) -> Result<(), Fault> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((what, at)) if now - *at < CATCHING_UP && is_older(what) => {
                let words = format!(
                    "the answer is older than Scimitar's last write: {who} has not caught up yet"
                );
                Err(Fault::new(operation, Class::Transient, Code::Unavailable, words))
            }
            Some(_) | None => Ok(()),
        }
    }
}
