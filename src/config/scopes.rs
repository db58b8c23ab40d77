//! Scopes in `[defaults]`: which there are, and for whose connections they are meant.

use std::collections::BTreeSet;

use super::{
    policy::{PolicyKeys, all_scopes},
    provider::Providers,
};
use crate::{
    provider::config::ProviderConfig,
    table::{Findings, Table, Value},
    token::ProviderName,
};

/// Every scope that tokens of any provider here, or of any kind, can have; `None` where that cannot be
/// told: the table that would name some has errors, which come first.
pub(super) fn scopes_of_any<'p>(
    root: &Table<'_>,
    providers: &'p Providers<'_>,
) -> Option<Vec<&'p str>> {
    let mut all: Vec<&str> = all_scopes();
    for set in providers.values() {
        let scopes = set.value.as_ref().map(ProviderConfig::scopes).unwrap_or_default();
        all.extend(scopes.into_iter().filter(|scope| !all.contains(scope)).collect::<Vec<_>>());
    }
    let table = root.get("providers").filter(Value::is_table);
    let Some(table) = table.and_then(|value| value.table("[providers]")) else { return Some(all) };
    let is_read = |name: &str| {
        let found = providers.iter().find(|(known, _)| known.as_str() == name);
        found.is_some_and(|(_, set)| set.value.is_some())
    };
    let unread = table
        .values()
        .any(|(name, value)| !is_read(name) && ProviderConfig::may_declare_scopes(&value));
    (!unread).then_some(all)
}

/// The providers that were told to know a part of the scopes in `[defaults]`.
#[derive(Default)]
pub(super) struct HalfKnown(BTreeSet<ProviderName>);

impl HalfKnown {
    /// Refuses scopes of `[defaults]` of which a provider's tokens can have some and not others: to
    /// leave those out would give a token fewer rights than are written down. Said once a provider.
    pub(super) fn refuse(
        &mut self,
        provider: &ProviderName,
        keys: &PolicyKeys<'_>,
        scopes: &[&str],
        findings: &Findings,
    ) {
        let Some(split) = keys.scopes_from_defaults(scopes) else { return };
        let half = !split.known.is_empty() && !split.others.is_empty();
        if half && self.0.insert(provider.clone()) {
            findings.error(
                split.at,
                format!(
                    "`scopes` in [defaults]: the tokens of `{provider}` can have {}, but not {}",
                    split.known.join(", "),
                    split.others.join(", ")
                ),
                format!(
                    "set `scopes` in each connection of `{provider}`; those in [defaults] then apply to \
                     the others"
                ),
            );
        }
    }
}
