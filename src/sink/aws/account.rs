//! One account and region: whose credentials, which clients, for all the secrets there.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, sts::AssumeRoleProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sdk_secretsmanager::{Client, Config};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use chrono::TimeDelta;
use tokio::sync::OnceCell;

use super::{
    answers::{self, Effect, Refused},
    settings::{AccountSettings, account_in},
    signing::{Known, Noted, Signing},
};
use crate::{
    aws_identity::{Wire, credentials as why_none, found, timeouts},
    clock::{Clock, Timestamp},
    error::{Class, Code, Fault},
    http::Http,
};

/// What a session is called where a role is taken on: CloudTrail shows it.
const SESSION: &str = "scimitar";

/// How long before they expire credentials are had anew.
const EARLY: TimeDelta = TimeDelta::minutes(5);

/// How long expired credentials may be a matter of a host that is slow to renew them: the SDK goes
/// on with those of an instance for just under this when its metadata service is away.
const STATIC_STABILITY: TimeDelta = TimeDelta::minutes(15);

/// An account and region, shared by all secrets there.
pub struct AwsAccount {
    pub(in crate::sink) settings: AccountSettings,
    pub(super) clock: Arc<dyn Clock>,
    wire: Wire,
    pub(super) credentials: OnceCell<SharedCredentialsProvider>,
    /// Whether the credentials are those of `expect_role_arn`.
    expected: OnceCell<()>,
    /// Those that the region's client signs with.
    pub(super) signing: Signing,
    /// The last that were given out, for as long as they are good: not every source keeps them.
    kept: tokio::sync::Mutex<Option<Credentials>>,
    /// Whose they are.
    pub(super) known: tokio::sync::Mutex<Option<Known>>,
    clients: Mutex<BTreeMap<String, Client>>,
    /// Since when every answer says that the credentials have expired.
    expired: Mutex<Option<Timestamp>>,
}

impl fmt::Debug for AwsAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsAccount").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl AwsAccount {
    /// An account; nothing is asked of it yet.
    ///
    /// # Errors
    /// When the certificates or the proxy are of no use.
    pub fn try_new(settings: AccountSettings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Fault> {
        let http = Http::try_new(settings.http.clone()).map_err(|error| {
            let what = format!("reach Secrets Manager in {}", settings.account.region);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let wire = Wire { http, request_timeout: settings.http.request_timeout };
        Ok(Arc::new(Self {
            settings,
            clock,
            wire,
            credentials: OnceCell::new(),
            expected: OnceCell::new(),
            signing: Signing::default(),
            kept: tokio::sync::Mutex::default(),
            known: tokio::sync::Mutex::default(),
            clients: Mutex::default(),
            expired: Mutex::default(),
        }))
    }

    /// The client of the region, once it is known that the credentials are the expected ones.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        self.expected.get_or_try_init(|| self.expect()).await?;
        Ok(self.client_in(&self.settings.account.region).await)
    }

    /// The client that requests go through.
    pub(in crate::sink) fn http(&self) -> &Http {
        &self.wire.http
    }

    /// The time.
    pub(in crate::sink) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The credentials of this moment, once it is known that they are the expected ones.
    pub(in crate::sink) async fn keys(&self, operation: &str) -> Result<Credentials, Fault> {
        let expected = self.expected.get_or_try_init(|| self.expect()).await;
        expected.map_err(|fault| Fault {
            detail: format!("{}: {}", fault.operation, fault.detail),
            operation: operation.to_owned(),
            ..fault
        })?;
        let mut kept = self.kept.lock().await;
        let soon = SystemTime::from(self.clock.now() + EARLY);
        let good = |kept: &&Credentials| kept.expiry().is_some_and(|expiry| expiry > soon);
        if let Some(kept) = kept.as_ref().filter(good) {
            return Ok(kept.clone());
        }
        let found = self.credentials().await.provide_credentials().await;
        let found = found.map_err(|error| {
            let (class, code, words) = why_none(&error, &[]);
            Fault::new(operation, class, code, words)
        })?;
        *kept = Some(found.clone());
        Ok(found)
    }

    /// A client of any region. The configured endpoint is the region's own; other regions are
    /// reached where they always are, unless all of AWS is on this machine.
    pub(super) async fn client_in(&self, region: &str) -> Client {
        let credentials = self.credentials().await;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let made = clients.entry(region.to_owned()).or_insert_with(|| {
            let endpoint = self.settings.endpoint.as_ref();
            let endpoint = endpoint
                .filter(|there| region == self.settings.account.region || there.is_loopback());
            let credentials = if region == self.settings.account.region {
                let signing = Arc::clone(&self.signing);
                SharedCredentialsProvider::new(Noted { inner: credentials, signing })
            } else {
                credentials
            };
            let config = Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(region.to_owned()))
                .credentials_provider(credentials)
                .http_client(self.wire.clone())
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts(self.wire.request_timeout))
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
            let config = match endpoint {
                Some(endpoint) => config.endpoint_url(endpoint.url().as_str()),
                None => config,
            };
            Client::from_conf(config.build())
        });
        made.clone()
    }

    /// Reads an error of the SDK.
    pub(super) fn refused<E>(
        &self,
        operation: &str,
        error: &SdkError<E, HttpResponse>,
        effect: Effect,
        hidden: &[&str],
    ) -> Refused
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let mut refused = answers::refused(operation, error, effect, hidden);
        let expired = ["ExpiredTokenException", "ExpiredToken"].iter().any(|name| refused.is(name));
        let mut since = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        if !expired {
            *since = None;
            return refused;
        }
        let now = self.clock.now();
        if now - *since.get_or_insert(now) >= STATIC_STABILITY {
            refused.fault.class = Class::Terminal;
            refused.fault.detail.push_str(
                " for more than 15 minutes: provide new ones, or use a role, which renews them automatically",
            );
        }
        refused
    }

    /// A call was answered well: whatever had expired is renewed.
    pub(super) fn answered(&self) {
        *self.expired.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn credentials(&self) -> SharedCredentialsProvider {
        self.credentials.get_or_init(|| self.find_credentials()).await.clone()
    }

    async fn find_credentials(&self) -> SharedCredentialsProvider {
        let settings = &self.settings;
        let found = found(&settings.origin, &settings.account.region, &self.wire);
        let Some(role) = &self.settings.account.role else { return found };
        let config = self.sts_config(found);
        let mut provider =
            AssumeRoleProvider::builder(&role.arn).session_name(SESSION).configure(&config);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        if !role.session_tags.is_empty() {
            provider = provider.tags(role.session_tags.clone());
        }
        SharedCredentialsProvider::new(provider.build().await)
    }

    pub(super) fn sts_config(&self, credentials: SharedCredentialsProvider) -> SdkConfig {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.settings.account.region.clone()))
            .credentials_provider(credentials)
            .http_client(self.wire.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(self.wire.request_timeout))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .time_source(aws_smithy_async::time::SystemTimeSource::new());
        // A server on this machine is not AWS, and what is not AWS has no other STS.
        let own = self.settings.endpoint.as_ref().filter(|endpoint| endpoint.is_loopback());
        let endpoint = self.settings.sts_endpoint.as_ref().or(own);
        config.set_endpoint_url(endpoint.map(|endpoint| endpoint.url().to_string()));
        config.set_sleep_impl(aws_smithy_async::rt::sleep::default_async_sleep());
        config.build()
    }

    /// Whose credentials were found is nothing that goes wrong loudly: a pod that lost its role
    /// falls through to the node's.
    async fn expect(&self) -> Result<(), Fault> {
        let Some(expected) = &self.settings.account.expect_role_arn else { return Ok(()) };
        let operation = format!("check which AWS credentials [sinks.{}] uses", self.settings.sink);
        let config = self.sts_config(self.credentials().await);
        let answer = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        let identity =
            answer.map_err(|error| self.refused(&operation, &error, Effect::None, &[]).fault)?;
        let found = identity.arn.unwrap_or_default();
        if is_of(&found, expected) {
            return Ok(());
        }
        let words = format!(
            "the credentials are those of {found}, not of {expected} (`expect_role_arn`): check whether \
             they come from the environment, a profile, a web identity, the container or the instance"
        );
        Err(Fault::new(operation, Class::Terminal, Code::Unauthorized, words))
    }
}

/// Whether whoever STS says that we are is of a role: it names the session, and leaves the role's
/// path out.
fn is_of(found: &str, expected: &str) -> bool {
    if found == expected {
        return true;
    }
    let role = expected.split_once(":role/").and_then(|(_, path)| path.rsplit('/').next());
    let session = found.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
    role.is_some() && role == session && account_in(found) == account_in(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_its_role_in_its_account() {
        let role = "arn:aws:iam::111122223333:role/team/scimitar";
        assert!(is_of("arn:aws:sts::111122223333:assumed-role/scimitar/session", role));
        assert!(is_of(role, role));
        for other in [
            "arn:aws:sts::111122223333:assumed-role/node/i-0123",
            "arn:aws:sts::999922223333:assumed-role/scimitar/session",
            "arn:aws:iam::111122223333:user/scimitar",
            "",
        ] {
            assert!(!is_of(other, role), "{other}");
        }
    }
}
