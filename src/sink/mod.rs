//! Sinks: the places that tokens are delivered to.

pub mod file;
pub mod payload;
pub mod vault;

use std::fmt;

use async_trait::async_trait;

pub use crate::place::{Marks, Place, Version};
use crate::{
    clock::Timestamp,
    error::Fault,
    token::{ConnectionName, ProviderName, Scopes, TokenValue},
};

/// What a sink was seen to hold.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Definitely nothing: no file, no secret, no value.
    Empty,
    /// A token with marks that are believed (its own document's, or proven by the value's digest).
    Marked {
        /// The marks.
        marks: Marks,
        /// The value.
        value: TokenValue,
    },
    /// Something without marks that can be believed. Never "empty".
    Unmarked {
        /// The value, where there is one that could be a token.
        value: Option<TokenValue>,
    },
}

/// One read of a sink.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The state that was seen.
    pub version: Version,
    /// What it held.
    pub contents: Contents,
}

/// All that is delivered: the value and the fields of the default payload.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The token's value.
    pub value: TokenValue,
    /// The marks.
    pub marks: Marks,
    /// The connection's name.
    pub connection: ConnectionName,
    /// The provider's name.
    pub provider: ProviderName,
    /// Where the token is used.
    pub scim_endpoint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// The last check before a write that nothing else fences: does our claim still hold?
#[async_trait]
pub trait Fence: fmt::Debug + Send + Sync {
    /// `Ok` while it does.
    ///
    /// # Errors
    /// [`crate::error::Code::ClaimLost`], or a transient fault when it could not be asked.
    async fn check(&self) -> Result<(), Fault>;
}

/// One place that one connection is delivered to.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// What the ledger remembers of it.
    fn place(&self) -> &Place;

    /// Whether it can be asked what it holds. One that cannot counts as holding a token from the
    /// moment that its promote is written down.
    fn readable(&self) -> bool;

    /// What cannot be promised there and an operator should know, once it was read.
    fn caveat(&self) -> Option<String> {
        None
    }

    /// How long a promote whose answer was lost may still land, after the worker that sent it
    /// is gone. Zero where the lock that it is made under ends with the worker.
    fn lingers(&self) -> std::time::Duration;

    /// Reads what it holds.
    ///
    /// # Errors
    /// When that could not be seen; a missing right or a missing answer is never "empty".
    async fn read(&self) -> Result<Reading, Fault>;

    /// Proves that [`Sink::promote`] would be allowed to write, without a write that a reader
    /// could see.
    ///
    /// # Errors
    /// When it would not be.
    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault>;

    /// Makes the parcel what the sink holds, if it is still in the state `expected`. Keys that
    /// Scimitar does not own are kept. Returns the state that it made.
    ///
    /// # If the answer is lost
    /// The sink may hold the token, now or later. It is read again before anything else is done.
    ///
    /// # Errors
    /// [`crate::error::Class::Conflict`] when the state was another; [`crate::error::Class::Ambiguous`] when it is
    /// not known whether the write happened.
    async fn promote(
        &self,
        parcel: &Parcel,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault>;
}
