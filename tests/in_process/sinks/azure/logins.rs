//! Who we are to Azure: each way to log in, and what is said where there is none.

use std::fs;

use jsonwebtoken::{Algorithm, Validation};
use scimitar::{
    error::{Class, Code},
    secret::{Secret, SecretSource},
    sink::{Sink, azure_identity::Identity},
};
use scimitar_test_support::{cloud::Mishap, kubernetes::encode, sink_conformance::*};
use serde_json::Value;

use super::VaultSite;
use crate::provider::assertion::key_pair;

fn secret(text: &str) -> SecretSource {
    let text = text.to_owned();
    SecretSource::new(move || Ok(Secret::new(text.clone())))
}

fn by_secret() -> Option<Identity> {
    let (tenant, client) = ("acme.onmicrosoft.com".to_owned(), "the-client".to_owned());
    Some(Identity::ClientSecret { tenant, client, secret: secret("5ecret") })
}

#[tokio::test]
async fn a_client_secret_is_exchanged_for_an_access_token() {
    let site = VaultSite { identity: by_secret(), ..VaultSite::new().await };
    promote(&site.sink(), 1).await;
    let world = site.api.world();
    let login = world.asked.iter().find(|asked| asked.path.ends_with("/token")).unwrap();
    assert_eq!(login.path, "/acme.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!(login.form["grant_type"], "client_credentials");
    assert_eq!(
        (&*login.form["client_id"], &*login.form["client_secret"]),
        ("the-client", "5ecret")
    );
    assert_eq!(world.rules.logins, 1, "the access token is used again");
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_that_names_it() {
    let (key, public) = key_pair();
    let der = b"not a certificate, but what stands for one";
    let pem =
        format!("{key}-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", encode(der));
    let (tenant, client) = ("t".to_owned(), "the-client".to_owned());
    let identity = Identity::Certificate { tenant, client, pem: secret(&pem) };
    let site = VaultSite { identity: Some(identity), ..VaultSite::new().await };
    site.sink().read().await.unwrap();
    let world = site.api.world();
    let login = world.asked.iter().find(|asked| asked.path.ends_with("/token")).unwrap();
    let mut validation = Validation::new(Algorithm::PS256);
    validation.set_audience(&[format!("{}/t/oauth2/v2.0/token", site.api.url)]);
    validation.set_issuer(&["the-client"]);
    let assertion = &login.form["client_assertion"];
    let token = jsonwebtoken::decode::<Value>(assertion, &public, &validation).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let thumbprint = encode(digest).replace('+', "-").replace('/', "_");
    assert_eq!(token.header.x5t_s256.as_deref(), Some(thumbprint.trim_end_matches('=')));
    assert_eq!(token.claims["sub"], "the-client");
}

/// The other issuer's token is renewed in its file, and is read each time.
#[tokio::test]
async fn a_workload_identity_shows_the_token_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (tenant, client) = ("t".to_owned(), "the-client".to_owned());
    let identity = Identity::Federated { tenant, client, file: file.clone() };
    let site = VaultSite { identity: Some(identity), ..VaultSite::new().await };
    let sink = site.sink();
    let missing = sink.read().await.unwrap_err();
    assert_eq!((missing.class, missing.code), (Class::Terminal, Code::Io), "{missing}");
    for token in ["first.jwt", "second.jwt"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        site.api.world().rules.tokens.clear();
        sink.read().await.unwrap();
        let world = site.api.world();
        let login = world.asked.iter().rfind(|asked| asked.path.ends_with("/token")).unwrap();
        assert_eq!(login.form["client_assertion"], token);
    }
}

#[tokio::test]
async fn a_managed_identity_is_asked_for_by_its_client_id() {
    let mut site = VaultSite::new().await;
    let client = Some("assigned".to_owned());
    site.identity = Some(Identity::Managed { metadata: site.endpoint(), client });
    site.sink().read().await.unwrap();
    let asked = site.api.world().asked[0].clone();
    assert_eq!(asked.query["client_id"], "assigned");
    assert_eq!(asked.query["api-version"], "2018-02-01");
    site.api.next("login", Mishap::Refused(404, "not_ready"));
    let fault = site.sink().read().await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
}

#[tokio::test]
async fn an_access_token_of_azure_is_replaced_once() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.api.world().rules.tokens.clear();
    promote(&sink, 2).await;
    assert_eq!(site.api.world().rules.logins, 2);
    for _ in 0..2 {
        site.api.next("get", Mishap::Refused(401, "Unauthorized"));
    }
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}

#[tokio::test]
async fn a_refused_log_in_of_azure_has_its_class() {
    let site = VaultSite { identity: by_secret(), ..VaultSite::new().await };
    for (way, class, code) in [
        (Mishap::Refused(401, "invalid_client"), Class::Terminal, Code::Unauthorized),
        (Mishap::Refused(400, "unauthorized_client"), Class::Terminal, Code::Unauthorized),
        (Mishap::Refused(429, "temporarily_unavailable"), Class::Transient, Code::Throttled),
        (Mishap::Refused(503, "temporarily_unavailable"), Class::Transient, Code::Unavailable),
        (Mishap::Foreign(403), Class::Transient, Code::Unreadable),
        (Mishap::GarbledAfter, Class::Transient, Code::Unreadable),
        (Mishap::LostBefore, Class::Transient, Code::Unavailable),
    ] {
        site.api.next("login", way.clone());
        let fault = site.sink().read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{way:?}: {fault}");
        let said = fault.to_string();
        assert!(!said.contains("5ecret") && !said.contains("Trace ID"), "{said}");
    }
}
