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
    rotation::{
        policy::{Capabilities, Mode, OnDrift, Terms},
        scim_config::WantedConfig,
    },
    sandbox::Running,
    table::{HttpConfig, Keyring, StoreWord, Table, Value},
    token::{ConnectionId, ProviderName, Tenant},
};

/// A kind of provider: what `type` in `[providers.NAME]` names.
pub(crate) struct Kind {
    /// The word in `type`.
    pub(crate) word: &'static str,
    /// Reads the keys of its table, but `type`, `rate_limit` and `share`.
    pub(crate) read: fn(&Reading<'_, '_>) -> Option<Arc<dyn Declared>>,
    /// The same table as JSON Schema; `stores` is how sinks keep secrets for it.
    pub(crate) schema: fn(stores: &[StoreWord]) -> Schema,
    /// What its connections are called.
    pub(crate) ids: ConnectionIds,
    /// The scopes that its tokens can have.
    pub(crate) scopes: ScopeWords,
    /// The shortest life, in seconds, that any token of this kind can be given; `None`: tokens do
    /// not expire, or a provider's own table says it.
    pub(crate) shortest_life: Option<u64>,
    /// How the SCIM configuration of a connection is described; `None` where there is none to set.
    pub(crate) configuration: Option<&'static Configuration>,
    /// What other tools manage these tokens as.
    pub(crate) managed: Option<Managed>,
}

/// A resource of Terraform and Pulumi that is a token of a kind. Its attributes are named as in
/// Terraform's schema.
pub(crate) struct Managed {
    /// Terraform's type.
    pub(crate) terraform: &'static str,
    /// Pulumi's type token.
    pub(crate) pulumi: &'static str,
    /// The attribute with the connection's id; `None` where an account has one connection.
    pub(crate) connection: Option<&'static str>,
    /// The attribute with the token's id.
    pub(crate) token: &'static str,
    /// The attribute with the scopes.
    pub(crate) scopes: Option<&'static str>,
    /// The attribute with the value, of which only that it is there is looked at.
    pub(crate) value: &'static str,
}

/// How a connection's own table describes its SCIM configuration.
pub struct Configuration {
    /// Reads the table; notes what is wrong with it.
    pub(crate) read: fn(&Table<'_>) -> Option<WantedConfig>,
    /// The same table as JSON Schema.
    pub(crate) schema: fn() -> Schema,
}

/// What is asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether tokens are made and revoked, or only listed.
    pub mode: Mode,
    /// Its connections are listed.
    pub discovers: bool,
    /// SCIM configurations are read.
    pub compares: bool,
    /// They are made where they are missing.
    pub creates: bool,
    /// They are replaced where they differ.
    pub restores: bool,
}

impl Needs {
    /// What tokens need in this mode, and nothing beside.
    #[must_use]
    pub fn of(mode: Mode) -> Self {
        Self { mode, discovers: false, compares: false, creates: false, restores: false }
    }

    /// And what these terms of a connection ask for.
    #[must_use]
    pub fn and(self, terms: &Terms) -> Self {
        let rotates = terms.mode == Mode::Rotate;
        let mode = if rotates { terms.mode } else { self.mode };
        if terms.scim_config.is_none() {
            return Self { mode, ..self };
        }
        Self {
            mode,
            compares: true,
            creates: self.creates || rotates,
            restores: self.restores || (rotates && terms.on_drift == OnDrift::Restore),
            ..self
        }
    }
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

    /// Why its connections cannot be listed, so that no policy can hold for those that match; `None`
    /// where they can.
    fn unlistable(&self) -> Option<&str> {
        Some("this type of provider cannot list its connections")
    }

    /// The strategies that connections with SCIM have, as far as is known; empty where there are none.
    fn strategies(&self) -> &'static [&'static str] {
        &[]
    }

    /// How the SCIM configuration of its connections is described; `None` where it has none to set.
    fn configuration(&self) -> Option<&'static Configuration> {
        None
    }

    /// Its request limit where `rate_limit` does not say.
    fn usual_limit(&self) -> UsualLimit;

    /// Its certificates and proxy; `None` where none are used.
    fn http(&self) -> Option<&HttpConfig> {
        None
    }

    /// What it has to grant; `None` where nothing is to be granted. `table` is what it is for.
    fn grant(&self, table: String, needs: Needs) -> Option<Grant>;

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
