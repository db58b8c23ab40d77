//! What a kind of sink is: a folder beside this file, and a line in [`KINDS`](super::KINDS).

use std::{any::Any, fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

pub use super::payload::Known;
use super::{Place, Sink};
use crate::{
    error::{Class, Code, Fault},
    kind::{BuildError, Grant, Parts, SecretStore},
    rotation::policy::Mode,
    table::{HttpConfig, Keyring, StoreWord, Table},
    token::SinkName,
};

/// A sink, or why there is none.
pub type Opened = Result<Arc<dyn Sink>, Fault>;

/// A kind of sink, as it is registered.
#[derive(Debug)]
pub struct Kind {
    /// What `type` says in its `[sinks.NAME]`.
    pub name: &'static str,
    /// The kind in the keys of its places ([`Place::kind`]). Ledgers hold it, so it stays as it is.
    pub places: &'static str,
    /// The key of a `deliver_to` entry that says where in the sink.
    pub location: &'static str,
    /// Its `[sinks.NAME]` as JSON Schema.
    pub schema: fn() -> Value,
    /// A `deliver_to` entry as JSON Schema.
    pub delivery_schema: fn() -> Value,
    /// Reads the rest of a `[sinks.NAME]`; what has errors is noted, and `None`.
    pub(crate) read: fn(&Table<'_>, &HttpConfig, Keyring<'_>) -> Option<Arc<dyn SinkConfig>>,
    /// The cargo feature without which this build has no more of it than its name and its schema.
    pub absent: Option<&'static str>,
    /// How secrets of others are kept in it; `None`: it keeps none.
    pub store: Option<StoreWord>,
    /// Opens a remembered place where that needs no `[sinks.NAME]`.
    pub(crate) reopen: Option<fn(&Place) -> Opened>,
}

/// Plain data behind a trait object, compared and found again by its own type.
pub trait Settings: Any + fmt::Debug + Send + Sync {
    /// Whether the other is of the same type and equal.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq + fmt::Debug + Send + Sync> Settings for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// What a `deliver_to` entry says, in the words of its sink's kind.
#[derive(Clone, Debug)]
pub struct Target(Arc<dyn Settings>);

impl Target {
    /// Of the kind whose type this is.
    pub fn new(said: impl Settings) -> Self {
        Self(Arc::new(said))
    }

    /// What it says.
    ///
    /// # Errors
    /// [`Code::Invalid`] when it is of another kind.
    pub fn of_kind<T: Any>(&self) -> Result<&T, Fault> {
        let said: &dyn Any = &*self.0;
        said.downcast_ref().ok_or_else(|| {
            let words = "the entry is of another kind than its sink";
            Fault::new("read a deliver_to entry", Class::Terminal, Code::Invalid, words)
        })
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Eq for Target {}

/// What tells one place from another before anything is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In the file system.
    Path(PathBuf),
    /// In a service, by its full name there.
    Named(String),
}

/// A `[sinks.NAME]` that was read.
pub trait SinkConfig: Settings {
    /// Reads a `deliver_to` entry but for its `sink`: where it leads, also where the entry has other
    /// errors, and what it says, where it has none. `known` is what is known of the connection.
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>);

    /// What the service behind it has to grant for these deliveries; `None` where nothing is to be
    /// granted. A place that is only watched is only read.
    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant>;

    /// What it has to grant besides, where these secrets are read from it; `None`: nothing.
    fn grant_reading(&self, _name: &SinkName, _locations: &[&str]) -> Option<Grant> {
        None
    }

    /// Whether it can be asked what it holds; a connection needs one place that can.
    fn readable(&self) -> bool {
        true
    }

    /// Whether a person takes each token on to the client that uses it.
    fn by_person(&self) -> bool {
        false
    }

    /// Whether a reload builds it again although it says what it said: it names files that are read
    /// once, and may hold something else by now.
    fn reads_files_once(&self) -> bool;

    /// Builds what runs; nothing is asked of it yet.
    ///
    /// # Errors
    /// When certificates, a proxy or an address are of no use.
    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError>;
}

impl PartialEq for dyn SinkConfig {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

/// What runs behind a `[sinks.NAME]`, for all the places in it.
#[async_trait]
pub trait Service: fmt::Debug + Send + Sync {
    /// Of which kind it is.
    fn kind(&self) -> &'static Kind;

    /// The sink of a delivery.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the place cannot be one.
    fn open(&self, target: &Target) -> Opened;

    /// Whether its sinks know nothing that one opened anew would not know, from one call to the next: what they
    /// wrote last, where they found their mount. Such sinks are not kept for very many connections.
    fn forgets(&self) -> bool {
        false
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or does not lie here.
    fn reopen(&self, place: &Place) -> Opened;

    /// Why `check --online` does not log in: that would use up what works once. What can be asked
    /// without using it is asked.
    ///
    /// # Errors
    /// When the log-in would be refused.
    async fn left_alone(&self) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    /// What keeps secrets for others, where its kind does.
    fn store(&self) -> Option<Arc<dyn SecretStore>> {
        None
    }

    /// Gives log-ins back at the end of the process.
    async fn close(&self) {}
}
