//! Credentials from where AWS's own tools find them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, default_provider::credentials::DefaultCredentialsChain,
    provider_config::ProviderConfig, timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{
        self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
    },
};

use super::wire::Wire;
use crate::secret::Secret;

/// The longest that making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Whose credentials are used.
#[derive(Clone, Debug)]
pub enum Origin {
    /// What the SDK's default chain finds: environment, profile, web identity (IRSA), container
    /// (ECS, EKS Pod Identity), instance.
    Chain,
    /// These.
    Keys {
        /// The key's id.
        id: String,
        /// The key itself.
        key: Secret,
    },
}

/// Credentials from where they are said to come from.
pub(crate) fn found(origin: &Origin, region: &str, wire: &Wire) -> SharedCredentialsProvider {
    match origin {
        Origin::Keys { id, key } => {
            SharedCredentialsProvider::new(Credentials::new(id, key.expose(), None, None, "given"))
        }
        Origin::Chain => SharedCredentialsProvider::new(Host {
            region: region.to_owned(),
            wire: wire.clone(),
            chain: Mutex::default(),
        }),
    }
}

/// How long a call takes at most, whose one request takes at most so long.
pub(crate) fn timeouts(request: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(request.mul_f64(0.8)))
        .read_timeout(request)
        .operation_attempt_timeout(request + CONNECT)
        // Credentials may have to be had first.
        .operation_timeout(request * 2 + CONNECT)
        .build()
}

/// The SDK's default chain. It reads profiles once, and tells an error in them once: where it finds
/// nothing, it is built again for the next question, so that what was fixed is seen without a restart.
struct Host {
    region: String,
    wire: Wire,
    chain: Mutex<Option<Arc<DefaultCredentialsChain>>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    fn kept(&self) -> MutexGuard<'_, Option<Arc<DefaultCredentialsChain>>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn chain(&self) -> Arc<DefaultCredentialsChain> {
        let kept = self.kept().clone();
        if let Some(chain) = kept {
            return chain;
        }
        let region = Region::new(self.region.clone());
        let config = ProviderConfig::without_region()
            .with_region(Some(region.clone()))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_timeout_config(timeouts(self.wire.request_timeout))
            .with_http_client(self.wire.clone());
        let chain = DefaultCredentialsChain::builder().region(region).configure(config).build();
        let built = Arc::new(chain.await);
        self.kept().get_or_insert(built).clone()
    }

    async fn load(&self) -> provider::Result {
        let found = self.chain().await.provide_credentials().await;
        let nothing = matches!(
            found,
            Err(CredentialsError::CredentialsNotLoaded(_)
                | CredentialsError::InvalidConfiguration(_))
        );
        if nothing {
            *self.kept() = None;
        }
        found
    }
}

impl ProvideCredentials for Host {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let kept = self.kept().clone();
        kept?.fallback_on_interrupt()
    }
}
