//! `type = "http"`: the issuers that `examples/providers` declares, through the same properties as every
//! provider. `tests/servers/issuers` rotates them by the real program.

mod strict;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    clock::{Clock, SystemClock, SystemEntropy},
    config::{self, Config, HttpConfig},
    kind::Parts,
    provider::Provider,
    telemetry::metrics::Metrics,
    token::ConnectionId,
};
use scimitar_test_support::{
    issuers::{self, Api, Double, SECRET, declaration},
    provider_conformance::{Mischief, Site, everything},
};

pub(crate) fn load(text: &str, folder: &Path) -> Result<Config, config::Problems> {
    let file = folder.join("scimitar.toml");
    fs::write(&file, text).unwrap();
    config::load(&file, &environment())
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("ISSUER".to_owned(), SECRET.to_owned())])
}

/// The provider of a configuration.
pub(crate) fn open(config: &Config) -> Arc<dyn Provider> {
    let (name, provider) = config.providers.iter().next().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = Parts {
        env: Arc::new(environment()),
        clock: Arc::clone(&clock),
        entropy: Arc::new(SystemEntropy),
        metrics: Metrics::try_new().unwrap(),
        http: HttpConfig::default(),
        request_timeout: Duration::from_secs(20),
        stores: Default::default(),
    };
    let http = parts.client(&HttpConfig::default()).unwrap();
    let built = provider.build(name, &parts, http, provider.budget(&clock, None));
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| handle.block_on(built)).unwrap().provider
}

/// A double, and the configuration that leads to it.
struct Declared(Double, Config);

impl Declared {
    async fn start(api: Api) -> Self {
        let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
        let config = load(&declaration(&double, folder.path()), folder.path());
        Self(double, config.unwrap_or_else(|problems| panic!("{problems}")))
    }
}

#[async_trait]
impl Site for Declared {
    fn open(&self) -> Arc<dyn Provider> {
        open(&self.1)
    }

    fn connection(&self) -> ConnectionId {
        self.1.connections[0].key.connection.clone()
    }

    fn mischief(&self) -> Box<dyn Mischief> {
        Box::new(self.0.clone())
    }

    fn tokens(&self) -> String {
        self.0.api.tokens.to_owned()
    }

    fn secret(&self) -> &str {
        SECRET
    }

    fn life_is_off_by(&self) -> u64 {
        match self.0.api.file {
            // Moments: what is on the way, and the whole seconds of a `Date`.
            "hcp-terraform" | "cloudflare" => 10,
            _ => 0,
        }
    }

    fn always_expires(&self) -> bool {
        ["hcp-terraform", "confluent-cloud", "scaleway"].contains(&self.0.api.file)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_issuer_is_a_provider() {
    for api in issuers::ALL {
        everything(async || Declared::start(api).await).await;
    }
}
