//! The table, and what it takes to start the sandbox and to reach it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::Url;
use serde_json::Value as Schema;

use crate::{
    error::{Class, Code, Fault, chain},
    kind::{BuildError, Credential, Grant, endpoint},
    provider::{
        Provider,
        auth0::{self, Auth0, Auth0Settings, ClientAuth},
        dbt_cloud::{self, DbtCloud, DbtCloudSettings, Scheme},
        kind::{Built, Configuration, Declared, Kind, Needs, Reading, Site, UsualLimit},
        table::limits,
        unstarted::Unstarted,
    },
    rotation::policy::Capabilities,
    sandbox::{Options, Running, Sandbox},
    secret::{Secret, SecretSource},
    table::{
        StoreWord,
        shape::{self, by_default, text, word},
    },
    token::{ConnectionId, Tenant},
};

/// Where a sandbox that did not start would be; nothing asks there.
const NOWHERE: &str = "http://127.0.0.1:1/";

/// Embedded sandboxes.
pub(in crate::provider) const KIND: Kind = Kind {
    word: "sandbox",
    read,
    schema,
    ids: auth0::IDS,
    scopes: auth0::KIND.scopes,
    shortest_life: auth0::KIND.shortest_life,
    configuration: auth0::KIND.configuration,
    managed: None,
};

/// An embedded sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxConfig {
    /// `sandbox:` and the provider's name.
    pub tenant: Tenant,
    /// Which provider it behaves as.
    pub face: Face,
    /// Where its state is kept; absolute. `None`: it is lost with the process.
    pub data_dir: Option<PathBuf>,
}

/// What the sandbox is reached as: it has both faces at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    /// An Auth0 tenant.
    Auth0,
    /// An account of dbt Cloud, with this number.
    DbtCloud(ConnectionId),
}

impl Face {
    /// The one account that the sandbox has.
    fn dbt_cloud() -> Option<Self> {
        ConnectionId::try_new("12345").ok().map(Self::DbtCloud)
    }
}

#[async_trait]
impl Declared for SandboxConfig {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn capabilities(&self) -> Capabilities {
        match self.face {
            Face::Auth0 => auth0::capabilities(),
            Face::DbtCloud(_) => dbt_cloud::capabilities(),
        }
    }

    fn scopes(&self) -> Vec<&str> {
        match self.face {
            Face::Auth0 => auth0::SCOPES.to_vec(),
            Face::DbtCloud(_) => Vec::new(),
        }
    }

    fn only_connection(&self) -> Option<&ConnectionId> {
        match &self.face {
            Face::Auth0 => None,
            Face::DbtCloud(account) => Some(account),
        }
    }

    fn unlistable(&self) -> Option<&str> {
        match self.face {
            Face::Auth0 => None,
            Face::DbtCloud(_) => Some("a dbt Cloud account has one connection"),
        }
    }

    fn strategies(&self) -> &'static [&'static str] {
        &auth0::STRATEGIES
    }

    fn configuration(&self) -> Option<&'static Configuration> {
        match self.face {
            Face::Auth0 => auth0::KIND.configuration,
            Face::DbtCloud(_) => None,
        }
    }

    fn usual_limit(&self) -> UsualLimit {
        UsualLimit::None
    }

    /// It takes any client.
    fn grant(&self, _table: String, _needs: Needs) -> Option<Grant> {
        None
    }

    fn is_sandbox(&self) -> bool {
        true
    }

    fn folder(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    async fn build(&self, site: Site<'_>) -> Result<Built, BuildError> {
        let started = self.start(&site).await;
        let url = match &started {
            Ok(running) => running.url(),
            Err(_) => Url::parse(NOWHERE).map_err(|error| BuildError::of(&error))?,
        };
        let provider = self.reach(site, &url)?;
        Ok(match started {
            Ok(running) => Built { provider, running: Some(running) },
            // It stops its own connections and no others.
            Err(fault) => Built::remote(Arc::new(Unstarted { like: provider, fault })),
        })
    }
}

impl SandboxConfig {
    async fn start(&self, site: &Site<'_>) -> Result<Running, Fault> {
        Sandbox::start(Options {
            data_dir: self.data_dir.clone(),
            rate: site.pace.limit.map(|limit| (limit.per_second, limit.burst)),
            clock: Arc::clone(&site.parts.clock),
            ..Options::default()
        })
        .await
        .map_err(|error| {
            let detail = format!("{}; {}", chain(&error), error.way_out());
            let operation = format!("start the provider {}", site.name);
            Fault::new(operation, Class::Terminal, Code::Unavailable, detail)
        })
    }

    /// It is reached like any provider of its face; it accepts any client.
    fn reach(&self, site: Site<'_>, url: &Url) -> Result<Arc<dyn Provider>, BuildError> {
        // Nobody else sends it requests: it has a budget of its own.
        let Site { name, parts, http, pace, .. } = site;
        let (clock, metrics) = (Arc::clone(&parts.clock), parts.metrics.clone());
        match &self.face {
            Face::Auth0 => {
                let settings = Auth0Settings {
                    name: name.clone(),
                    domain: "sandbox.localhost".to_owned(),
                    base_url: endpoint(url)?,
                    client_id: "scimitar".to_owned(),
                    auth: ClientAuth::Secret(any_secret()),
                    audience: None,
                    share: pace.share.get(),
                    rate_limit: pace.limit,
                    request_timeout: parts.request_timeout,
                };
                let entropy = Arc::clone(&parts.entropy);
                Ok(Auth0::new(settings, http, clock, entropy, metrics, None))
            }
            Face::DbtCloud(account) => {
                let settings = DbtCloudSettings {
                    name: name.clone(),
                    account: account.clone(),
                    base_url: endpoint(url)?,
                    token: any_secret(),
                    scheme: Scheme::default(),
                    share: pace.share.get(),
                    rate_limit: pace.limit,
                    request_timeout: parts.request_timeout,
                };
                Ok(DbtCloud::new(settings, http, clock, metrics, None))
            }
        }
    }
}

/// What a sandbox is shown; it takes anything.
fn any_secret() -> Credential {
    SecretSource::new(|| Ok(Secret::new("sandbox".to_owned()))).into()
}

fn read(&Reading { name, table, .. }: &Reading<'_, '_>) -> Option<Arc<dyn Declared>> {
    let data_dir = table.get("data_dir");
    let path = data_dir.and_then(|value| value.path());
    if data_dir.is_none() {
        table.findings().warning(
            table.at(),
            format!("{} loses its tokens when the process ends", table.name()),
            "give it a data_dir, so that a second run finds the tokens of the first",
        );
    }
    if let (Some(value), Some(path)) = (data_dir, &path)
        && path.exists()
        && !path.is_dir()
    {
        value.refuse("`data_dir` is not a folder", "name a folder");
    }
    let is_dbt = match table.get("face") {
        Some(value) => value.word(&[("auth0", false), ("dbt_cloud", true)])?,
        None => false,
    };
    let face = if is_dbt { Face::dbt_cloud()? } else { Face::Auth0 };
    let tenant = Tenant::try_new(format!("sandbox:{name}")).ok()?;
    Some(Arc::new(SandboxConfig { tenant, face, data_dir: path }))
}

/// The table, as JSON Schema.
fn schema(_stores: &[StoreWord]) -> Schema {
    const DATA: &str = "The folder for its state, so that a second run finds the tokens of the \
                        first. Default: none.";
    const FACE: &str = "Which provider it behaves as. Default: \"auth0\".";
    let keys = shape::table("A sandbox inside this process; its tokens have no real effect.")
        .tag("type", "sandbox")
        .may("data_dir", text(DATA, "example-data/sandbox"))
        .may("face", by_default("auth0", word(FACE, &["auth0", "dbt_cloud"])));
    limits(keys).build()
}
