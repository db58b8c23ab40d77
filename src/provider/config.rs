//! `[providers.NAME]`: one provider as it is configured, whatever its kind.

use std::{any::Any, sync::Arc};

use serde_json::Value as Schema;

use super::{
    KINDS,
    allowance::Allowance,
    budget::{Budget, SharedLimit},
    kind::{
        Built, Configuration, ConnectionIds, Declared, Kind, Lives, Needs, Reading, ScopeWords,
        Site, UsualLimit,
    },
    table,
};
use crate::{
    clock::Clock,
    kind::{BuildError, Grant, Parts},
    rotation::policy::Capabilities,
    table::{HttpConfig, Keyring, StoreWord, Value, shape::any_of_these, shown, suggest},
    token::{ConnectionId, ProviderName, Tenant},
};

/// One provider: what every kind has, and what its own kind declares.
#[derive(Clone)]
pub struct ProviderConfig {
    kind: &'static Kind,
    pace: Allowance,
    own: Arc<dyn Declared>,
}

impl ProviderConfig {
    /// Reads one; `None` when something is wrong with it, which is noted.
    pub(crate) fn read(
        name: &ProviderName,
        value: &Value<'_>,
        outer: &HttpConfig,
        keyring: Keyring<'_>,
    ) -> Option<Self> {
        let table = value.table(format!("[providers.{}]", shown(name.as_str())))?;
        let before = table.findings().count();
        let word = table.require("type", &format!("\"{}\"", FIRST.word))?;
        let text = word.string()?;
        let Some(kind) = KINDS.into_iter().find(|kind| kind.word == text) else {
            word.refuse(
                format!("there is no provider of type \"{}\"", shown(text)),
                suggest(text, KINDS.map(|kind| kind.word), "the types are"),
            );
            return None;
        };
        let own = (kind.read)(&Reading { name, table: &table, outer, keyring });
        let pace = Allowance { limit: table::rate_limit(&table), share: table::share(&table) };
        let findings = table.findings();
        table.finish(&[]);
        // Nothing half-right is handed on.
        let own = own.filter(|_| findings.count() == before)?;
        Some(Self { kind, pace, own })
    }

    /// Whether the table, whatever its errors, is of a kind whose scopes it names itself.
    pub(crate) fn may_declare_scopes(value: &Value<'_>) -> bool {
        let table = value.is_table().then(|| value.table("")).flatten();
        let word = table.and_then(|table| {
            let (_, word) = table.values().find(|(key, _)| *key == "type")?;
            word.as_str()
        });
        KINDS
            .iter()
            .any(|kind| word == Some(kind.word) && matches!(kind.scopes, ScopeWords::Declared))
    }

    /// What its kind declares, where it is of the kind that `T` belongs to.
    #[must_use]
    pub fn of<T: Declared>(&self) -> Option<&T> {
        let own: &dyn Any = &*self.own;
        own.downcast_ref()
    }

    /// The word of its kind: its `type`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.kind.word
    }

    /// The account that its connections belong to.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        self.own.tenant()
    }

    /// Another name that records of this tenant may be kept under.
    #[must_use]
    pub fn former_tenant(&self) -> Option<Tenant> {
        self.own.former_tenant()
    }

    /// What it can do, by which it is checked that a policy has a meaning there.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.own.capabilities()
    }

    /// The scopes that its tokens can have; empty where they have none.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        self.own.scopes()
    }

    /// How the SCIM configuration of its connections is described; `None` where it has none to set.
    #[must_use]
    pub(crate) fn configuration(&self) -> Option<&'static Configuration> {
        self.own.configuration()
    }

    /// How long its tokens live.
    #[must_use]
    pub fn lives(&self) -> Lives {
        self.own.lives()
    }

    /// Why its tokens can be watched but not rotated; `None` where they can be rotated.
    #[must_use]
    pub fn observe_only(&self) -> Option<&str> {
        self.own.observe_only()
    }

    /// The one connection that the account has; `None` where it can have many.
    #[must_use]
    pub fn only_connection(&self) -> Option<&ConnectionId> {
        self.own.only_connection()
    }

    /// Why its connections cannot be listed; `None` where they can.
    #[must_use]
    pub fn unlistable(&self) -> Option<&str> {
        self.own.unlistable()
    }

    /// The strategies that its connections can have, as far as is known.
    pub(crate) fn strategies(&self) -> &'static [&'static str] {
        self.own.strategies()
    }

    /// Its certificates and proxy; `None` where none are used.
    #[must_use]
    pub fn http(&self) -> Option<&HttpConfig> {
        self.own.http()
    }

    /// What it has to grant; `None` where nothing is to be granted.
    #[must_use]
    pub fn grant(&self, name: &ProviderName, needs: Needs) -> Option<Grant> {
        self.own.grant(format!("providers.{name}"), needs)
    }

    /// Whether its tokens are worth nothing, and it runs in this process.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.own.is_sandbox()
    }

    /// A folder that no other provider may have.
    #[must_use]
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.own.folder()
    }

    /// What its connections are called.
    pub(crate) fn ids(&self) -> ConnectionIds {
        self.kind.ids
    }

    /// Its limit as configured, and the share of it.
    #[must_use]
    pub fn pace(&self) -> Allowance {
        self.pace
    }

    /// The same with another limit and share.
    pub(crate) fn set_pace(&mut self, pace: Allowance) {
        self.pace = pace;
    }

    /// How many requests a second may be sent to it; `None`: as many as one likes.
    #[must_use]
    pub fn requests_a_second(&self) -> Option<f64> {
        let whole = match (self.pace.limit, self.own.usual_limit()) {
            (Some(limit), _) | (None, UsualLimit::Known(limit)) => limit.per_second,
            (None, UsualLimit::Learnt { least }) => least,
            (None, UsualLimit::None) => return None,
        };
        Some(whole * self.pace.share.get())
    }

    /// A request budget for it; `limits` is where replicas keep together what they take of it.
    #[must_use]
    pub fn budget(
        &self,
        clock: &Arc<dyn Clock>,
        limits: Option<&Arc<dyn SharedLimit>>,
    ) -> Arc<Budget> {
        let limit = match (self.pace.limit, self.own.usual_limit()) {
            (Some(limit), _) | (None, UsualLimit::Known(limit)) => Some(limit),
            (None, UsualLimit::Learnt { .. } | UsualLimit::None) => None,
        };
        let (share, clock) = (self.pace.share.get(), Arc::clone(clock));
        Arc::new(match limits {
            Some(limits) => {
                let tenant = self.tenant().clone();
                Budget::shared(limit, share, clock, tenant, Arc::clone(limits))
            }
            None => Budget::new(limit, share, clock),
        })
    }

    /// Builds it; an embedded server is started. `http` is how it is reached, `budget` what its
    /// tenant's requests are paced by.
    ///
    /// # Errors
    /// When it cannot be built as it is configured.
    pub async fn build(
        &self,
        name: &ProviderName,
        parts: &Parts,
        http: crate::http::Http,
        budget: Arc<Budget>,
    ) -> Result<Built, BuildError> {
        self.own.build(Site { name, parts, http, pace: self.pace, budget }).await
    }
}

impl PartialEq for ProviderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.pace == other.pace && self.own.is(&*other.own)
    }
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("kind", &self.kind.word)
            .field("pace", &self.pace)
            .field("own", &self.own)
            .finish()
    }
}

/// The kind that examples are of.
pub(crate) const FIRST: &Kind = {
    let [first, ..] = KINDS;
    first
};

/// One provider, as JSON Schema.
pub(crate) fn schema(stores: &[StoreWord]) -> Schema {
    let kinds = KINDS.map(|kind| (kind.schema)(stores));
    any_of_these("A service that issues tokens.", &kinds)
}
