//! Turns the answer to a step into the event to write down and the words for people. The worker and the
//! tests of the rules use it.

mod looked;
mod mint;
mod probe;
mod reading;
mod removal;
mod revoke;
mod scim_config;
mod sink;
#[cfg(test)]
mod tests;
mod user;
mod writing;

pub use self::{
    looked::{Unready, endpoint, looked, not_listed, not_ready, writable, writes_checked},
    mint::created,
    probe::{ProbeAnswer, probed, works},
    reading::{Interpreted, Read, ReadContents, ReadElsewhere, ReadStaged, ReadValue, interpret},
    removal::{
        Removal, Sighting, found, not_created, nowhere, remains, removed, sighted, stuck, undeleted,
    },
    revoke::revoked,
    scim_config::{configured, inspected},
    sink::{client, forgotten, promoted, staged},
    user::{SeenUser, SeenUsers, UserAct, UserAnswer, shows},
    writing::{Created, Writing, announced, user_created},
};
use super::event::Event;
use crate::error::Fault;

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What is written down; `None` where the record stays as it is.
    pub event: Option<Event>,
    /// What is said of it.
    pub words: String,
    /// The failure, where it is one.
    pub fault: Option<Fault>,
}

impl Answered {
    fn done(event: Event, words: impl Into<String>) -> Self {
        Self { event: Some(event), words: words.into(), fault: None }
    }

    fn failed(event: Event, fault: Fault) -> Self {
        Self { event: Some(event), words: fault.to_string(), fault: Some(fault) }
    }
}
