//! Which providers are one tenant.

use std::collections::BTreeMap;

use crate::{
    provider::{allowance::Allowance, config::ProviderConfig},
    table::{Set, Table},
    token::{ProviderName, Tenant},
};

/// All providers that are declared: `None` for those with errors of their own, so that a connection
/// that names one of them is not told that it does not exist.
pub(super) type Providers<'s> = BTreeMap<ProviderName, Set<'s, Option<ProviderConfig>>>;

/// Providers of one tenant share its request budget: they get one limit and one share, the lower ones.
pub(super) fn share(root: &Table<'_>, providers: &mut Providers<'_>) {
    let mut seen: BTreeMap<Tenant, Vec<ProviderName>> = BTreeMap::new();
    for (name, set) in providers.iter() {
        if let Some(provider) = &set.value {
            seen.entry(provider.tenant().clone()).or_default().push(name.clone());
        }
    }
    for (tenant, names) in seen.iter().filter(|(_, names)| names.len() > 1) {
        let found: Vec<_> = names
            .iter()
            .filter_map(|name| providers.get(name)?.value.as_ref())
            .map(ProviderConfig::pace)
            .collect();
        let Some(least) = found.iter().copied().reduce(Allowance::lower) else { continue };
        for name in names {
            let Some(set) = providers.get_mut(name) else { continue };
            let Some(provider) = &mut set.value else { continue };
            if provider.pace() != least {
                root.findings().warning(
                    set.at,
                    format!(
                        "the providers {} are the same tenant ({tenant}) and share its request \
                         budget: the lowest `rate_limit` and `share` of them hold for `{name}` too",
                        listed(names)
                    ),
                    "write the same rate_limit and share in each",
                );
                provider.set_pace(least);
            }
        }
    }
}

fn listed(names: &[ProviderName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}
