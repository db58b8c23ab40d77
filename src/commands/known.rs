//! Records that were kept under another name of their tenant.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    app::{self, Use},
    config::{Config, Environment},
    error::chain,
    ledger::LedgerError,
    token::{ConnectionKey, ProviderName, Tenant},
};

/// Sees to it that the records of a tenant with two names (canonical and custom domain) are found:
/// where the ledger may be written they are kept under the canonical one from now on; a connection
/// whose record still is under the other is looked for there. A ledger that cannot be opened is the
/// matter of who needs it.
pub(super) async fn settle(config: &mut Config, usage: Use, env: &Arc<dyn Environment>) {
    let former: BTreeMap<ProviderName, Tenant> = config
        .providers
        .iter()
        .filter_map(|(name, provider)| Some((name.clone(), provider.former_tenant()?)))
        .collect();
    if former.is_empty() {
        return;
    }
    if let Err(error) = find(config, &former, usage, env).await {
        tracing::debug!(
            error = chain(&error),
            "could not look for records under the tenant's other name"
        );
    }
}

async fn find(
    config: &mut Config,
    former: &BTreeMap<ProviderName, Tenant>,
    usage: Use,
    env: &Arc<dyn Environment>,
) -> Result<(), LedgerError> {
    let Some(ledger) = app::ledger::found(&config.state, env).await? else { return Ok(()) };
    if usage == Use::Write {
        let ledger = app::ledger::made(&config.state, env).await?;
        for (name, from) in former {
            let Some(to) = config.providers.get(name).map(|provider| provider.tenant().clone())
            else {
                continue;
            };
            let moved = ledger.move_tenant(from, &to).await?;
            if moved > 0 {
                tracing::info!(provider = %name, %from, %to, moved, "{moved} records of {from} are kept under {to} from now on: both are the same tenant");
            }
        }
    }
    for connection in config.connections.iter_mut() {
        let Some(from) = former.get(&connection.provider) else { continue };
        let old =
            ConnectionKey { tenant: from.clone(), connection: connection.key.connection.clone() };
        if ledger.load(&connection.key).await?.is_none() && ledger.load(&old).await?.is_some() {
            connection.key = old;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::{SystemEntropy, parse_timestamp},
        config::{self, ProcessEnvironment},
        ledger::{Claimed, Entry, Ledger, sqlite::SqliteLedger},
        rotation::fixture,
    };

    const CUSTOM: &str =
        "domain = \"login.acme.com\"\naudience = \"https://acme.eu.auth0.com/api/v2/\"";
    const CANONICAL: &str = "domain = \"acme.eu.auth0.com\"";

    fn config(folder: &std::path::Path, domain: &str) -> Config {
        use std::os::unix::fs::PermissionsExt;
        let secret = folder.join("secret");
        std::fs::write(&secret, "s").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let id = fixture::empty().key.connection;
        let text = format!(
            "[state]\nurl = \"sqlite://ledger.db\"\n\
             [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
             [providers.acme]\ntype = \"auth0\"\n{domain}\nclient_id = \"c\"\n\
             client_secret = {{ file = \"secret\" }}\n\
             [[connections]]\nname = \"c\"\nprovider = \"acme\"\nconnection_id = \"{id}\"\n\
             scopes = [\"get:users\"]\nmax_age = \"90d\"\n\
             deliver_to = [{{ sink = \"disk\", file = \"c\" }}]\n"
        );
        let file = folder.join("scimitar.toml");
        std::fs::write(&file, text).unwrap();
        config::load(&file, &ProcessEnvironment).unwrap()
    }

    fn environment() -> Arc<dyn Environment> {
        Arc::new(ProcessEnvironment)
    }

    /// A ledger of a version that took the domain for the tenant.
    async fn before(folder: &std::path::Path) -> ConnectionKey {
        let mut record = fixture::empty();
        record.key.tenant = Tenant::try_new("login.acme.com").unwrap();
        let ledger = SqliteLedger::open(&folder.join("ledger.db"), &SystemEntropy).unwrap();
        let claimed = ledger.claim(&record.key, Duration::from_secs(60)).await.unwrap();
        let Claimed::Yes(claim, _) = claimed else { panic!("{claimed:?}") };
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let entry = Entry { at, event: "looked".to_owned(), words: "a test".to_owned() };
        ledger.store(&claim, 0, &record, &entry).await.unwrap();
        ledger.release(&claim).await.unwrap();
        record.key
    }

    /// Where the configuration looks for the record, and whether it is there.
    async fn found(folder: &std::path::Path, domain: &str, usage: Use) -> (String, bool) {
        let mut config = config(folder, domain);
        settle(&mut config, usage, &environment()).await;
        let key = &config.connections[0].key;
        let ledger = SqliteLedger::open_read_only(&folder.join("ledger.db")).unwrap().unwrap();
        (key.tenant.to_string(), ledger.load(key).await.unwrap().is_some())
    }

    #[tokio::test]
    async fn a_record_is_found_by_either_name_of_its_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let old = before(folder.path()).await;
        let path = folder.path();
        // Who only looks finds it where it is.
        let looked = found(path, CUSTOM, Use::Look).await;
        assert_eq!(looked, (old.tenant.to_string(), true));
        // Who writes keeps it under the tenant's own name; from then on both names lead there.
        let canonical = ("acme.eu.auth0.com".to_owned(), true);
        assert_eq!(found(path, CUSTOM, Use::Write).await, canonical);
        for (domain, usage) in [
            (CANONICAL, Use::Look),
            (CUSTOM, Use::Look),
            (CANONICAL, Use::Write),
            (CUSTOM, Use::Write),
        ] {
            assert_eq!(found(path, domain, usage).await, canonical, "{domain} {usage:?}");
        }
    }

    #[tokio::test]
    async fn a_ledger_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), CUSTOM);
        settle(&mut config, Use::Write, &environment()).await;
        assert_eq!(config.connections[0].key.tenant.as_str(), "acme.eu.auth0.com");
        assert!(!folder.path().join("ledger.db").exists());
    }
}
