//! From the configuration to providers.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::Url;

use crate::{
    clock::Clock,
    config::{
        self, Auth0Config, DbtCloudConfig, Face, HttpConfig, LimitShare, ProviderConfig,
        SandboxConfig,
    },
    error::{Class, Code, Fault, chain},
    http::Http,
    kind::{BuildError, Parts, endpoint},
    provider::{
        Provider,
        auth0::{Auth0, Auth0Settings, ClientAuth},
        budget::{Budget, RateLimit},
        dbt_cloud::{DbtCloud, DbtCloudSettings, Scheme},
        unstarted::Unstarted,
    },
    sandbox::{Options, Running, Sandbox},
    secret::{Secret, SecretSource},
    token::{ConnectionId, ProviderName, Tenant},
};

/// Where a sandbox that did not start would be; nothing asks there.
const NOWHERE: &str = "http://127.0.0.1:1/";

/// A provider, how it and its SCIM endpoint are reached, and its embedded sandbox where it is one.
pub(super) type Reached = (Arc<dyn Provider>, Http, Option<Running>);

/// The request budgets of the tenants, each with the limit and the share that it was made for:
/// several providers of one tenant share it, and so does the next configuration.
pub type Budgets = BTreeMap<Tenant, Paced>;

/// A budget, and what it was made for.
#[derive(Clone, Debug)]
pub struct Paced {
    limit: Option<config::RateLimit>,
    share: LimitShare,
    budget: Arc<Budget>,
}

/// The budget of a tenant, where there is one for this limit and share already.
fn shared(
    budgets: &Budgets,
    tenant: &Tenant,
    limit: Option<config::RateLimit>,
    share: LimitShare,
) -> Option<Arc<Budget>> {
    let paced = budgets.get(tenant)?;
    let same = paced.limit == limit && paced.share == share;
    same.then(|| Arc::clone(&paced.budget))
}

/// Builds one; an embedded sandbox is started.
///
/// # Errors
/// When certificates or a proxy are of no use.
pub(super) async fn reach(
    name: &ProviderName,
    provider: &ProviderConfig,
    parts: &Parts,
    budgets: &mut Budgets,
) -> Result<Reached, BuildError> {
    let (clock, metrics) = (&parts.clock, &parts.metrics);
    let auth0 = |settings: Auth0Settings, http: &Http, shared| {
        let (clock, entropy) = (clock.clone(), parts.entropy.clone());
        Auth0::new(settings, http.clone(), clock, entropy, metrics.clone(), shared)
    };
    match provider {
        ProviderConfig::Auth0(configured) => {
            let (limit, share) = (configured.rate_limit, configured.share);
            let shared = shared(budgets, &configured.tenant, limit, share);
            let http = parts.client(&configured.http)?;
            let auth0 = auth0(auth0_settings(name, configured, parts)?, &http, shared);
            let paced = Paced { limit, share, budget: auth0.budget() };
            budgets.insert(configured.tenant.clone(), paced);
            Ok((auth0, http, None))
        }
        ProviderConfig::DbtCloud(configured) => {
            let (limit, share) = (configured.rate_limit, configured.share);
            let shared = shared(budgets, &configured.tenant, limit, share);
            let http = parts.client(&configured.http)?;
            let settings = dbt_cloud_settings(name, configured, parts)?;
            let dbt = DbtCloud::new(settings, http.clone(), clock.clone(), metrics.clone(), shared);
            let paced = Paced { limit, share, budget: dbt.budget() };
            budgets.insert(configured.tenant.clone(), paced);
            Ok((dbt, http, None))
        }
        ProviderConfig::Sandbox(sandbox) => {
            let http = parts.client(&HttpConfig::default())?;
            let started = start_sandbox(name, sandbox, clock).await;
            let url = match &started {
                Ok(running) => running.url(),
                Err(_) => Url::parse(NOWHERE).map_err(|error| BuildError::of(&error))?,
            };
            let provider: Arc<dyn Provider> = match &sandbox.face {
                Face::Auth0 => auth0(sandbox_settings(name, sandbox, &url, parts)?, &http, None),
                Face::DbtCloud(account) => {
                    let settings = sandbox_account(name, sandbox, account, &url, parts)?;
                    DbtCloud::new(settings, http.clone(), clock.clone(), metrics.clone(), None)
                }
            };
            match started {
                Ok(running) => Ok((provider, http, Some(running))),
                // It stops its own connections and no others.
                Err(fault) => Ok((Arc::new(Unstarted { like: provider, fault }), http, None)),
            }
        }
    }
}

fn rate_limit(limit: Option<config::RateLimit>) -> Option<RateLimit> {
    limit.and_then(|limit| RateLimit::try_new(limit.per_second, limit.burst))
}

fn auth0_settings(
    name: &ProviderName,
    auth0: &Auth0Config,
    parts: &Parts,
) -> Result<Auth0Settings, BuildError> {
    Ok(Auth0Settings {
        name: name.clone(),
        domain: auth0.domain.clone(),
        base_url: endpoint(&auth0.base_url)?,
        client_id: auth0.client_id.clone(),
        auth: match &auth0.auth {
            config::ClientAuth::Secret(secret) => ClientAuth::Secret(parts.secret(secret)),
            config::ClientAuth::AssertionKey(key) => ClientAuth::AssertionKey(parts.secret(key)),
        },
        audience: Some(auth0.audience.clone()),
        share: auth0.share.get(),
        rate_limit: rate_limit(auth0.rate_limit),
        request_timeout: parts.request_timeout,
    })
}

fn dbt_cloud_settings(
    name: &ProviderName,
    configured: &DbtCloudConfig,
    parts: &Parts,
) -> Result<DbtCloudSettings, BuildError> {
    Ok(DbtCloudSettings {
        name: name.clone(),
        account: configured.account.clone(),
        base_url: endpoint(&configured.base_url)?,
        token: parts.secret(&configured.token),
        scheme: configured.scheme,
        share: configured.share.get(),
        rate_limit: rate_limit(configured.rate_limit),
        request_timeout: parts.request_timeout,
    })
}

async fn start_sandbox(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Running, Fault> {
    Sandbox::start(Options {
        data_dir: sandbox.data_dir.clone(),
        rate: sandbox.rate_limit.map(|limit| (limit.per_second, limit.burst)),
        clock: clock.clone(),
        ..Options::default()
    })
    .await
    .map_err(|error| {
        let detail = format!("{}; {}", chain(&error), error.way_out());
        Fault::new(format!("start the provider {name}"), Class::Terminal, Code::Unavailable, detail)
    })
}

/// What a rehearsal server is shown; it takes anything.
fn rehearsal() -> SecretSource {
    SecretSource::new(|| Ok(Secret::new("rehearsal".to_owned())))
}

/// The embedded sandbox, reached like any account of dbt Cloud.
fn sandbox_account(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    account: &ConnectionId,
    url: &Url,
    parts: &Parts,
) -> Result<DbtCloudSettings, BuildError> {
    Ok(DbtCloudSettings {
        name: name.clone(),
        account: account.clone(),
        base_url: endpoint(url)?,
        token: rehearsal(),
        scheme: Scheme::default(),
        share: sandbox.share.get(),
        rate_limit: rate_limit(sandbox.rate_limit),
        request_timeout: parts.request_timeout,
    })
}

/// The embedded sandbox is reached like any Auth0 tenant, over HTTP; it accepts any client.
fn sandbox_settings(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    url: &Url,
    parts: &Parts,
) -> Result<Auth0Settings, BuildError> {
    Ok(Auth0Settings {
        name: name.clone(),
        domain: "sandbox.localhost".to_owned(),
        base_url: endpoint(url)?,
        client_id: "scimitar".to_owned(),
        auth: ClientAuth::Secret(rehearsal()),
        audience: None,
        share: sandbox.share.get(),
        rate_limit: rate_limit(sandbox.rate_limit),
        request_timeout: parts.request_timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{SystemClock, SystemEntropy},
        config::{Config, Environment, ProcessEnvironment},
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
    fn a_proxy_that_is_a_secret_is_read_for_the_provider_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let env: Arc<dyn Environment> =
            Arc::new(BTreeMap::from([("P".to_owned(), "http://u:canary@one:3128".to_owned())]));
        let more = "http = { proxy = { env = \"P\" } }";
        let config = config_of(folder.path(), &[("one", more), ("other", "")], env.as_ref());
        let proxy = |name: &str| {
            let provider = config.providers.iter().find(|(it, _)| it.as_str() == name).unwrap().1;
            let ProviderConfig::Auth0(auth0) = provider else { panic!("{provider:?}") };
            let settings = parts(&config, env.clone()).http_settings(&auth0.http).unwrap();
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
                let reached = reach(name, provider, &parts(&both, env.clone()), &mut budgets).await;
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
            let reached = reach(name, provider, &parts(&other, env.clone()), &mut budgets).await;
            kept.push(reached.unwrap());
        }
        assert!(!Arc::ptr_eq(&budgets.values().next().unwrap().budget, &budget.unwrap()));
    }
}
