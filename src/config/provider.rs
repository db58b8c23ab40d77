//! `[providers]`: the services that issue tokens, and what no two of them may share.

use std::{collections::BTreeMap, path::Path};

use crate::{
    provider::{allowance::Allowance, config::ProviderConfig},
    table::{HttpConfig, Keyring, Set, Table},
    token::{ProviderName, Tenant},
};

/// All providers that are declared: `None` for those with errors of their own, so that a connection
/// that names one of them is not told that it does not exist.
pub(super) type Providers<'s> = BTreeMap<ProviderName, Set<'s, Option<ProviderConfig>>>;

/// Reads `[providers]`.
pub(super) fn providers<'s>(
    root: &Table<'s>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Providers<'s> {
    let table = root.get("providers").and_then(|value| value.table("[providers]"));
    let mut providers = Providers::new();
    for (name, value) in table.iter().flat_map(Table::values) {
        let name = match ProviderName::try_new(name) {
            Ok(name) => name,
            Err(error) => {
                value.findings().plain_error(value.key_at, error.to_string());
                continue;
            }
        };
        let read = ProviderConfig::read(&name, &value, outer, keyring);
        providers.insert(name, Set { value: read, at: value.key_at });
    }
    share(root, &mut providers);
    refuse_shared_folders(root, &providers);
    providers
}

/// Two sandboxes in one folder are one tenant under two names: a connection could be in it twice.
fn refuse_shared_folders(root: &Table<'_>, providers: &Providers<'_>) {
    let mut seen: BTreeMap<&Path, &ProviderName> = BTreeMap::new();
    for (name, set) in providers {
        let folder = set.value.as_ref().and_then(ProviderConfig::folder);
        let Some(folder) = folder else { continue };
        if let Some(first) = seen.get(folder) {
            root.findings().error(
                set.at,
                format!("the sandboxes `{first}` and `{name}` have the same data_dir"),
                "give each its own folder, or use one provider for both",
            );
        } else {
            seen.insert(folder, name);
        }
    }
}

/// Providers of one tenant share its request budget: they get one limit and one share, the lower ones.
fn share(root: &Table<'_>, providers: &mut Providers<'_>) {
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
                         budget: the lowest `rate_limit` and `share` among them also apply to `{name}`",
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
