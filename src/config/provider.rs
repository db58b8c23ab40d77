//! `[providers]`: the services that issue tokens, and what no two of them may share.

use std::{collections::BTreeMap, path::Path};

use super::tenants::{self, Providers};
use crate::{
    provider::config::ProviderConfig,
    table::{HttpConfig, Keyring, Set, Table},
    token::ProviderName,
};

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
    tenants::share(root, &mut providers);
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
