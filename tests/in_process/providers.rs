//! The providers, from outside: the conformance suite over each of them, against the server that
//! stands in for it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use scimitar::{
    clock::{SystemClock, SystemEntropy},
    error::{Class, Code},
    http::{Endpoint, Http, HttpSettings},
    provider::{
        Call, Provider, Urgency,
        auth0::{Auth0, Auth0Settings, ClientAuth},
        dbt_cloud::{DbtCloud, DbtCloudSettings, Scheme},
    },
    sandbox::{Options, Running, Sandbox},
    secret::{Secret, SecretSource},
    telemetry::metrics::Metrics,
    token::{ConnectionId, ProviderName},
};
use scimitar_test_support::provider_conformance::{Mischief, Site, everything, request};

/// What every server here wants of whoever logs in.
const SECRET: &str = "log-in-canary-77aa";

const TIMEOUT: Duration = Duration::from_secs(20);

async fn sandbox() -> Running {
    let client = Some(("rotator".to_owned(), Secret::new(SECRET.to_owned())));
    Sandbox::start(Options { client, ..Options::default() }).await.unwrap()
}

fn secret() -> SecretSource {
    SecretSource::new(|| Ok(Secret::new(SECRET.to_owned())))
}

fn http() -> Http {
    Http::try_new(HttpSettings {
        ca_file: None,
        proxy: None,
        request_timeout: TIMEOUT,
        user_agent: "scimitar/test".to_owned(),
    })
    .unwrap()
}

fn base_url(running: &Running) -> Endpoint {
    Endpoint::try_new(running.url()).unwrap()
}

struct Tenant(Running);

#[async_trait]
impl Site for Tenant {
    fn open(&self) -> Arc<dyn Provider> {
        let settings = Auth0Settings {
            name: ProviderName::try_new("acme").unwrap(),
            domain: "acme.eu.auth0.com".to_owned(),
            base_url: base_url(&self.0),
            client_id: "rotator".to_owned(),
            auth: ClientAuth::Secret(secret().into()),
            audience: None,
            share: 1.0,
            rate_limit: None,
            request_timeout: TIMEOUT,
        };
        let metrics = Metrics::try_new().unwrap();
        Auth0::new(settings, http(), Arc::new(SystemClock), Arc::new(SystemEntropy), metrics, None)
    }

    fn connection(&self) -> ConnectionId {
        ConnectionId::try_new("con_okta000000000001").unwrap()
    }

    fn mischief(&self) -> Box<dyn Mischief> {
        Box::new(self.0.faults())
    }

    fn tokens(&self) -> String {
        "/api/v2/connections/con_okta000000000001/scim-configuration/tokens".to_owned()
    }

    fn secret(&self) -> &str {
        SECRET
    }
}

/// The account, how the token is announced, and where it is kept when that is of interest.
struct Account(Running, Scheme, Option<SecretSource>);

#[async_trait]
impl Site for Account {
    fn open(&self) -> Arc<dyn Provider> {
        let settings = DbtCloudSettings {
            name: ProviderName::try_new("warehouse").unwrap(),
            account: self.connection(),
            base_url: base_url(&self.0),
            token: self.2.clone().unwrap_or_else(secret).into(),
            scheme: self.1,
            share: 1.0,
            rate_limit: None,
            request_timeout: TIMEOUT,
        };
        let metrics = Metrics::try_new().unwrap();
        DbtCloud::new(settings, http(), Arc::new(SystemClock), metrics, None)
    }

    fn connection(&self) -> ConnectionId {
        ConnectionId::try_new("12345").unwrap()
    }

    fn mischief(&self) -> Box<dyn Mischief> {
        Box::new(self.0.faults())
    }

    fn tokens(&self) -> String {
        "/api/v3/accounts/12345/scim-config/tokens/".to_owned()
    }

    fn secret(&self) -> &str {
        SECRET
    }
}

#[tokio::test]
async fn auth0_is_a_provider() {
    everything(async || Tenant(sandbox().await)).await;
}

#[tokio::test]
async fn dbt_cloud_is_a_provider() {
    everything(async || Account(sandbox().await, Scheme::Token, None)).await;
}

/// One third party says that `Bearer` is what is wanted, and lists may come in pages.
#[tokio::test]
async fn dbt_cloud_may_want_another_scheme_and_list_in_pages() {
    let running = sandbox().await;
    running.faults().quirks(|quirks| {
        quirks.dbt_bearer = true;
        quirks.dbt_page = Some(2);
    });
    let account = Account(running, Scheme::Bearer, None);
    let (provider, connection) = (account.open(), account.connection());
    let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
    for nth in 0..5 {
        account.0.faults().forget_requests();
        assert_eq!(provider.list(call).await.unwrap().tokens.len(), nth);
        assert_eq!(account.0.faults().requests().len(), nth.div_ceil(2).max(1), "pages");
        provider.create(call, &request(&*provider, nth as u64)).await.unwrap();
    }
    let other = Account(account.0, Scheme::Token, None);
    let fault = other.open().list(call).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized));
    assert!(fault.to_string().contains("scheme = \"Bearer\""), "{fault}");
}

/// A token that was changed where it is kept is the next one that is sent, once.
#[tokio::test]
async fn a_401_is_asked_again_only_with_another_token() {
    let running = sandbox().await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let mut account = Account(running, Scheme::Token, None);
    account.2 = Some(SecretSource::new(move || {
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::new(if nth == 0 { "old".to_owned() } else { SECRET.to_owned() }))
    }));
    let (provider, connection) = (account.open(), account.connection());
    let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
    provider.create(call, &request(&*provider, 1)).await.unwrap();
    assert_eq!(account.0.faults().requests().len(), 2);
    account.2 = Some(SecretSource::new(|| Ok(Secret::new("wrong".to_owned()))));
    account.0.faults().forget_requests();
    account.open().create(call, &request(&*provider, 2)).await.unwrap_err();
    assert_eq!(account.0.faults().requests().len(), 1);
    account.2 = Some(SecretSource::new(|| Err("the secret is empty".to_owned())));
    account.0.faults().forget_requests();
    let fault = account.open().list(call).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized));
    assert!(fault.to_string().contains("cannot be read: the secret is empty"), "{fault}");
    assert_eq!(account.0.faults().requests().len(), 0);
}
