//! From the configuration to providers.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::ProviderConfig,
    http::Http,
    kind::{BuildError, Parts},
    provider::{
        allowance::Allowance,
        budget::{Budget, SharedLimit},
        kind::Built,
    },
    token::{ProviderName, Tenant},
};

/// A provider with its embedded sandbox where it is one, and how it and its SCIM endpoint are
/// reached.
pub(super) type Reached = (Built, Http);

/// The request budgets of the tenants, each with the limit and the share that it was made for:
/// several providers of one tenant share it, and so does the next configuration.
pub type Budgets = BTreeMap<Tenant, Paced>;

/// A budget, and what it was made for.
#[derive(Clone, Debug)]
pub struct Paced {
    pace: Allowance,
    budget: Arc<Budget>,
}

/// Builds one; an embedded sandbox is started. `limits`: where replicas keep together what they take
/// of a tenant's limit.
///
/// # Errors
/// When certificates or a proxy are of no use.
pub(super) async fn reach(
    name: &ProviderName,
    provider: &ProviderConfig,
    parts: &Parts,
    limits: Option<&Arc<dyn SharedLimit>>,
    budgets: &mut Budgets,
) -> Result<Reached, BuildError> {
    let (tenant, pace) = (provider.tenant(), provider.pace());
    let shared = budgets.get(tenant).filter(|paced| paced.pace == pace);
    let budget = shared
        .map_or_else(|| provider.budget(&parts.clock, limits), |paced| Arc::clone(&paced.budget));
    let http = parts.client(&provider.http().cloned().unwrap_or_default())?;
    let built = provider.build(name, parts, http.clone(), Arc::clone(&budget)).await?;
    budgets.insert(tenant.clone(), Paced { pace, budget });
    Ok((built, http))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{SystemClock, SystemEntropy},
        config::{self, Config, Environment, ProcessEnvironment},
        telemetry::metrics::Metrics,
    };

    fn parts(config: &Config, env: Arc<dyn Environment>) -> Parts {
        Parts {
            env,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            metrics: Metrics::try_new().unwrap(),
            http: config.http.clone(),
            request_timeout: config.engine.request_timeout,
            stores: Default::default(),
        }
    }

    /// A file whose providers are these, each with a connection.
    fn config(folder: &std::path::Path, providers: &[(&str, &str)]) -> Config {
        config_of(folder, providers, &ProcessEnvironment)
    }

    fn config_of(
        folder: &std::path::Path,
        providers: &[(&str, &str)],
        env: &dyn Environment,
    ) -> Config {
        use std::{fmt::Write, os::unix::fs::PermissionsExt};
        let secret = folder.join("secret");
        std::fs::write(&secret, "s").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut text = "[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n".to_owned();
        for (number, (name, more)) in providers.iter().enumerate() {
            let _ = write!(
                text,
                "[providers.{name}]\ntype = \"auth0\"\n{}\n\
                 client_id = \"{name}\"\nclient_secret = {{ file = \"secret\" }}\n{more}\n\
                 [[connections]]\nname = \"c{number}\"\nprovider = \"{name}\"\n\
                 connection_id = \"con_okta00000000000{number}\"\nscopes = [\"get:users\"]\nmax_age = \"90d\"\n\
                 deliver_to = [{{ sink = \"disk\", file = \"{number}\" }}]\n",
                if more.contains("domain") { "" } else { "domain = \"acme.eu.auth0.com\"" }
            );
        }
        let file = folder.join("scimitar.toml");
        std::fs::write(&file, text).unwrap();
        config::load(&file, env).unwrap()
    }

    #[test]
    fn a_secret_proxy_is_read_for_the_provider_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let env: Arc<dyn Environment> =
            Arc::new(BTreeMap::from([("P".to_owned(), "http://u:canary@one:3128".to_owned())]));
        let more = "http = { proxy = { env = \"P\" } }";
        let config = config_of(folder.path(), &[("one", more), ("other", "")], env.as_ref());
        let proxy = |name: &str| {
            let provider = config.providers.iter().find(|(it, _)| it.as_str() == name).unwrap().1;
            let http = provider.http().unwrap();
            let settings = parts(&config, env.clone()).http_settings(http).unwrap();
            assert!(!format!("{settings:?}").contains("canary"));
            settings.proxy.map(|proxy| proxy.to_string())
        };
        assert_eq!(proxy("one").as_deref(), Some("http://u:canary@one:3128/"));
        assert_eq!(proxy("other"), None);
    }

    #[tokio::test]
    async fn providers_of_one_tenant_share_its_budget_also_after_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let env: Arc<dyn Environment> = Arc::new(ProcessEnvironment);
        let mut budgets = Budgets::new();
        let mut kept = Vec::new();
        let custom =
            "domain = \"login.acme.com\"\naudience = \"https://acme.eu.auth0.com/api/v2/\"";
        let both = config(folder.path(), &[("one", ""), ("other", custom)]);
        let mut budget = None;
        for _ in 0..2 {
            for (name, provider) in &both.providers {
                let reached =
                    reach(name, provider, &parts(&both, env.clone()), None, &mut budgets).await;
                kept.push(reached.unwrap());
                let paced = &budgets.values().next().unwrap().budget;
                assert!(Arc::ptr_eq(budget.get_or_insert_with(|| Arc::clone(paced)), paced));
            }
        }
        assert_eq!(budgets.len(), 1);
        // The four of them, the map, and this test.
        assert_eq!(budget.as_ref().map(Arc::strong_count), Some(6));
        // Another limit is another budget.
        let limited = "rate_limit = { per_second = 2, burst = 4 }";
        let other = config(folder.path(), &[("one", limited)]);
        for (name, provider) in &other.providers {
            let reached =
                reach(name, provider, &parts(&other, env.clone()), None, &mut budgets).await;
            kept.push(reached.unwrap());
        }
        assert!(!Arc::ptr_eq(&budgets.values().next().unwrap().budget, &budget.unwrap()));
    }
}
