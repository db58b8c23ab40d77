//! Sinks: the places that tokens are delivered to.

mod access;
pub mod aws;
pub mod azure;
pub mod azure_identity;
pub mod entra;
mod entry;
pub mod exec;
pub mod file;
pub mod gcp;
pub mod handoff;
mod kind;
mod kinds;
pub mod kubernetes;
pub mod okta;
pub mod payload;
mod rules;
pub mod ssm;
pub mod vault;

use std::fmt;

use async_trait::async_trait;

pub(crate) use self::kinds::{SHIPPED, without};
pub use self::{
    kind::{Kind, Known, Opened, Service, Settings, SinkConfig, Spot, Target},
    kinds::{KINDS, Services, reopen},
};
use crate::{
    clock::ProviderTime,
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    token::{ConnectionName, ProviderName, Scopes, TokenId, TokenValue},
};
pub use crate::{
    place::{Container, Marks, Place, Remembered, Version},
    rotation::{
        observe::Loss,
        record::WriteCheck,
        uptake::{Account, Uptake},
    },
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

impl Contents {
    /// The value, where there is one that could be a token.
    #[must_use]
    pub fn value(&self) -> Option<&TokenValue> {
        match self {
            Self::Empty => None,
            Self::Marked { value, .. } => Some(value),
            Self::Unmarked { value } => value.as_ref(),
        }
    }
}

/// What a sink keeps beside what its readers get. It is no delivery: only a place to read a value
/// back from when the worker that had it in memory is gone.
#[derive(Clone, Debug)]
pub enum Staged {
    /// Nothing can be kept there, now or ever.
    Impossible,
    /// Something could be; nothing of ours is.
    Nothing,
    /// A token.
    Token {
        /// The marks.
        marks: Marks,
        /// The value.
        value: TokenValue,
    },
}

/// A string of a place that is none of the keys that Scimitar writes there, or a part of one.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// The key that it stands under; one below it with dots. Empty where all of the content is one
    /// text, which a write replaces.
    pub key: String,
    /// What a payload has in front of the token to write it there (`Bearer `, or nothing); `None`
    /// where no payload can.
    pub before: Option<&'static str>,
    /// The string, where it could be a token.
    pub value: TokenValue,
}

/// One read of a sink.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The state that was seen of what readers get; staging does not change it.
    pub version: Version,
    /// What it held.
    pub contents: Contents,
    /// What is kept beside that.
    pub staged: Staged,
    /// What the place is in, where the sink can tell.
    pub container: Option<Container>,
    /// What a promote would take away.
    pub loss: Loss,
    /// The other strings there.
    pub elsewhere: Vec<Elsewhere>,
}

impl Reading {
    /// Of a place that cannot be asked.
    #[must_use]
    pub fn unasked() -> Self {
        let unasked = Version(Version::UNASKED.to_owned());
        Self::new(unasked, Contents::Unmarked { value: None })
    }

    /// Of a sink that holds what its readers get and nothing else.
    #[must_use]
    pub fn new(version: Version, contents: Contents) -> Self {
        Self {
            version,
            contents,
            staged: Staged::Impossible,
            container: None,
            loss: Loss::Nothing,
            elsewhere: Vec::new(),
        }
    }
}

/// All that is delivered: the value and the fields of the default payload.
#[derive(Clone, Debug)]
pub struct Delivery {
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
    pub created_at: ProviderTime,
    /// When it stops working.
    pub expires_at: Option<ProviderTime>,
    /// Who is asked about the connection: only for what is said beside the value.
    pub owner: Option<String>,
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

    /// What has to happen after a delivery before the client behind the place uses the token. Anything
    /// but [`Uptake::AtOnce`] is for places that cannot be read back.
    fn uptake(&self) -> Uptake {
        Uptake::AtOnce
    }

    /// Asks the client whether it uses the token that was delivered as `delivered`: only where
    /// [`Sink::uptake`] is [`Uptake::ByClient`].
    ///
    /// # Errors
    /// When it could not be asked.
    async fn client(&self, delivered: &Version) -> Result<Account, Fault> {
        let _ = delivered;
        Ok(Account::Waits("it cannot be read back".to_owned()))
    }

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

    /// The rights that are not granted and that the mode needs (a rotation, this one or a later; or
    /// only reading): each in words, with how to grant it. `check --online` asks, where a right that
    /// is not used yet may be missing; what [`Sink::prove_writable`] shows need not be told again.
    ///
    /// # Errors
    /// When that could not be found out.
    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let _ = mode;
        Ok(Vec::new())
    }

    /// What a delivery needs besides and nothing but a write would show, in words; asked where nothing is
    /// missing. `check --online` says it instead of that every right is there.
    ///
    /// # Errors
    /// When that could not be found out.
    async fn untried_rights(&self) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    /// Keeps the delivery beside what readers get, who see no change, so that its value can be read
    /// back before it was promoted. Replaces what was staged before. Called only where the last
    /// reading did not say [`Staged::Impossible`].
    ///
    /// # If the answer is lost
    /// It may be staged, now or later; a late one is replaced by the next, or forgotten.
    ///
    /// # Errors
    /// When it is not, or not known to be, staged.
    async fn stage(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let _ = (delivery, fence);
        let doing = format!("stage a token in {}", self.place().location);
        Err(Fault::new(doing, Class::Terminal, Code::Io, "a token cannot be staged there"))
    }

    /// When [`Sink::prove_writable`] is asked while no rotation is due.
    fn write_check(&self) -> WriteCheck {
        WriteCheck::NowAndThen
    }

    /// Whether an earlier state stays there for readers to go back to.
    fn keeps_earlier(&self) -> bool {
        false
    }

    /// Whether the delivery says `overwrite = true`: what others put there may be lost, once.
    fn overwrites(&self) -> bool {
        false
    }

    /// Takes away what still leads to a token that works no more: as staged, and as `earlier`, the
    /// state in which it was what readers got. What readers get now is never touched; where nothing
    /// leads to it, nothing is done.
    ///
    /// # If the answer is lost
    /// It is asked for again.
    ///
    /// # Errors
    /// When something may still lead there.
    async fn forget(&self, id: &TokenId, earlier: Option<&Version>) -> Result<(), Fault> {
        let _ = (id, earlier);
        Ok(())
    }

    /// Makes the delivery what the sink holds, if it is still in the state `expected`. Keys that
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
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault>;

    /// Whether a delivery says something of itself beside the value: in tags, labels or metadata.
    fn says_beside(&self) -> bool {
        false
    }

    /// Puts there what the delivery says beside the value, or tells why a promote that had it with it
    /// could not. Called when the delivery is done and written down: the value is never touched, and what
    /// others put there stays. Nothing is taken back when it fails; the next delivery says all of it.
    ///
    /// # If the answer is lost
    /// It may stand there, now or later. It is believed of nothing.
    ///
    /// # Errors
    /// When not all of it stands there.
    async fn say_beside(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let _ = (delivery, fence);
        Ok(())
    }
}
