//! What every kind of provider is: how its table is read and described, what is known of it before
//! anything is asked, and how it is built.

use std::{any::Any, fmt, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value as Schema;

use super::{
    Provider,
    allowance::Allowance,
    budget::{Budget, RateLimit},
};
use crate::{
    http::Http,
    kind::{BuildError, Grant, Parts},
    rotation::policy::Capabilities,
    sandbox::Running,
    table::{HttpConfig, Keyring, Table, Value},
    token::{ConnectionId, ProviderName, Tenant},
};

/// A kind of provider: what `type` in `[providers.NAME]` names.
pub(crate) struct Kind {
    /// The word in `type`.
    pub(crate) word: &'static str,
    /// Reads the keys of its table, but `type`, `rate_limit` and `share`.
    pub(crate) read: fn(&Reading<'_, '_>) -> Option<Arc<dyn Declared>>,
    /// The same table as JSON Schema.
    pub(crate) schema: fn() -> Schema,
    /// What its connections are called.
    pub(crate) ids: ConnectionIds,
    /// The scopes that its tokens can have.
    pub(crate) scopes: ScopeWords,
    /// The shortest life, in seconds, that any token of this kind can be given; `None`: tokens do
    /// not expire, or a provider's own table says it.
    pub(crate) shortest_life: Option<u64>,
}

/// The scopes that the tokens of a kind can have.
#[derive(Clone, Copy)]
pub(crate) enum ScopeWords {
    /// None.
    None,
    /// These.
    These(&'static [&'static str]),
    /// Those that a provider's own table names.
    Declared,
}

/// How long a provider's tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// The shortest life that can be asked for; `None`: none can be asked for.
    pub shortest: Option<Duration>,
    /// The longest one, where there is a limit.
    pub longest: Option<Duration>,
    /// They are whole multiples of this.
    pub step: Duration,
    /// Tokens expire also where no life is asked for.
    pub always: bool,
}

/// What a kind calls the connections of an account.
#[derive(Clone, Copy)]
pub(crate) struct ConnectionIds {
    /// The pattern of an id in the JSON Schema.
    pub(crate) pattern: &'static str,
    /// The same in words, as a sentence.
    pub(crate) about: &'static str,
    /// One of them.
    pub(crate) example: &'static str,
    /// Reads one; notes what is wrong with it.
    pub(crate) read: fn(&Value<'_>) -> Option<ConnectionId>,
}

/// A table that is being read, and what its reader may ask for.
pub(crate) struct Reading<'a, 's> {
    /// The provider's name.
    pub(crate) name: &'a ProviderName,
    /// Its table.
    pub(crate) table: &'a Table<'s>,
    /// The top `[http]`, for what its own leaves out.
    pub(crate) outer: &'a HttpConfig,
    /// Where secrets come from.
    pub(crate) keyring: Keyring<'a>,
}

/// One provider as its table declares it.
#[async_trait]
pub trait Declared: Comparable + fmt::Debug + Send + Sync {
    /// The account that its connections belong to.
    fn tenant(&self) -> &Tenant;

    /// Another name that records of this tenant may be kept under.
    fn former_tenant(&self) -> Option<Tenant> {
        None
    }

    /// What it can do, by which it is checked that a policy has a meaning there.
    fn capabilities(&self) -> Capabilities;

    /// The scopes that its tokens can have; empty where they have none.
    fn scopes(&self) -> Vec<&str> {
        Vec::new()
    }

    /// How long its tokens live.
    fn lives(&self) -> Lives {
        let can = self.capabilities();
        Lives { shortest: can.shortest_life, longest: None, step: can.life_step, always: false }
    }

    /// Why its tokens can be watched but not rotated; `None` where they can be rotated.
    fn observe_only(&self) -> Option<&str> {
        None
    }

    /// The one connection that the account has; `None` where it can have many.
    fn only_connection(&self) -> Option<&ConnectionId> {
        None
    }

    /// Its request limit where `rate_limit` does not say.
    fn usual_limit(&self) -> UsualLimit;

    /// Its certificates and proxy; `None` where none are used.
    fn http(&self) -> Option<&HttpConfig> {
        None
    }

    /// What it has to grant; `None` where nothing is to be granted. `table` is what it is for.
    fn grant(&self, table: String) -> Option<Grant>;

    /// Whether its tokens are worth nothing, and it runs in this process.
    fn is_sandbox(&self) -> bool {
        false
    }

    /// A folder that no other provider may have.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Builds it; an embedded server is started.
    ///
    /// # Errors
    /// When it cannot be built as it is configured.
    async fn build(&self, site: Site<'_>) -> Result<Built, BuildError>;
}

/// What a provider is built with.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// Its name.
    pub name: &'a ProviderName,
    /// What the process has for every kind.
    pub parts: &'a Parts,
    /// How it is reached.
    pub http: Http,
    /// Its limit as configured, and the share of it.
    pub pace: Allowance,
    /// What the requests of its tenant are paced by.
    pub budget: Arc<Budget>,
}

/// A provider that was built.
#[derive(Debug)]
pub struct Built {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The embedded server that it talks to, where it is one.
    pub running: Option<Running>,
}

impl Built {
    /// A provider that is reached elsewhere.
    pub(super) fn remote(provider: Arc<dyn Provider>) -> Self {
        Self { provider, running: None }
    }
}

/// What a tenant's request limit is taken to be where `rate_limit` does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UsualLimit {
    /// It is documented.
    Known(RateLimit),
    /// It is learnt from the tenant's answers.
    Learnt {
        /// So many requests a second at least.
        least: f64,
    },
    /// There is none.
    None,
}

/// Declarations of one kind can be compared with each other.
pub trait Comparable: Any {
    /// Whether the other is of the same kind and says the same.
    fn is(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Comparable for T {
    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}
