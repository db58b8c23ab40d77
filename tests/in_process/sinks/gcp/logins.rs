//! Who we are to Google: each way to log in, and what is said where there is none.

use std::{fs, path::Path};

use jsonwebtoken::{Algorithm, Validation};
use scimitar::{
    error::{Class, Code},
    secret::{Secret, SecretSource},
    sink::{Sink, gcp::Origin},
};
use scimitar_test_support::{cloud::Mishap, sink_conformance::*};
use serde_json::{Value, json};

use super::ProjectSite;
use crate::provider::assertion::key_pair;

fn by(document: &Value) -> Option<Origin> {
    let text = document.to_string();
    Some(Origin::Credentials(SecretSource::new(move || Ok(Secret::new(text.clone())))))
}

fn federation(site: &ProjectSite, file: &Path) -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/sts/token", site.api.url),
        "credential_source": { "file": file },
    })
}

#[tokio::test]
async fn a_service_account_signs_an_assertion() {
    let (pem, public) = key_pair();
    let mut site = ProjectSite::new().await;
    let token_uri = format!("{}/token", site.api.url);
    site.origin = by(&json!({
        "type": "service_account", "client_email": "scimitar@acme.example", "private_key": pem,
        "private_key_id": "k1", "token_uri": token_uri,
    }));
    promote(&site.sink(), 1).await;
    let world = site.api.world();
    let login = world.asked.iter().find(|asked| asked.path == "/token").unwrap();
    assert_eq!(login.form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[&token_uri]);
    validation.set_issuer(&["scimitar@acme.example"]);
    let token =
        jsonwebtoken::decode::<Value>(&login.form["assertion"], &public, &validation).unwrap();
    assert_eq!(token.header.kid.as_deref(), Some("k1"));
    assert_eq!(token.claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(world.rules.logins, 1, "the access token is used again");
}

/// The other issuer's token is renewed in its file, and is read each time.
#[tokio::test]
async fn a_federation_exchanges_the_token_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut site = ProjectSite::new().await;
    let mut document = federation(&site, &file);
    site.origin = by(&document);
    let sink = site.sink();
    let missing = sink.read().await.unwrap_err();
    assert_eq!((missing.class, missing.code), (Class::Terminal, Code::Io), "{missing}");
    assert!(missing.detail.contains("No such file"), "{missing}");
    fs::write(&file, "first.jwt\n").unwrap();
    sink.read().await.unwrap();
    // The service account that is acted for has a token of its own.
    fs::write(&file, r#"{"t":"second.jwt"}"#).unwrap();
    document["credential_source"]["format"] =
        json!({ "type": "json", "subject_token_field_name": "t" });
    let to = "v1/projects/-/serviceAccounts/scimitar@acme.example:generateAccessToken";
    document["service_account_impersonation_url"] = json!(format!("{}/{to}", site.api.url));
    site.origin = by(&document);
    site.sink().read().await.unwrap();
    let world = site.api.world();
    let exchanged: Vec<&str> = world
        .asked
        .iter()
        .filter(|asked| asked.path == "/sts/token")
        .map(|asked| asked.form["subject_token"].as_str())
        .collect();
    assert_eq!(exchanged, ["first.jwt", "second.jwt"]);
    let acted = world.asked.iter().find(|asked| asked.path.ends_with(":generateAccessToken"));
    assert_eq!(acted.unwrap().token(), "ya29.acce552");
    assert_eq!(world.asked.last().unwrap().token(), "ya29.acce553");
}

#[tokio::test]
async fn an_access_token_that_is_not_accepted_is_replaced_once() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.api.world().rules.tokens.clear();
    promote(&sink, 2).await;
    assert_eq!(site.api.world().rules.logins, 2);
    for _ in 0..2 {
        site.api.next("get", Mishap::Refused(401, "UNAUTHENTICATED"));
    }
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}

#[tokio::test]
async fn a_log_in_that_fails_is_said_with_its_way_out() {
    let mut site = ProjectSite::new().await;
    for (way, class, words) in [
        (Mishap::Refused(404, "NOT_FOUND"), Class::Terminal, "is not from Google"),
        (Mishap::LostBefore, Class::Transient, "metadata server does not answer"),
    ] {
        site.api.next("login", way);
        let fault = site.sink().read().await.unwrap_err();
        assert_eq!(fault.class, class, "{fault}");
        assert!(fault.detail.contains(words) && fault.operation.starts_with("read "), "{fault}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "5ubject").unwrap();
    site.origin = by(&federation(&site, &file));
    for (way, class, code) in [
        (Mishap::Refused(400, "invalid_grant"), Class::Terminal, Code::Unauthorized),
        (Mishap::Refused(403, "PERMISSION_DENIED"), Class::Terminal, Code::Unauthorized),
        (Mishap::Refused(429, "RESOURCE_EXHAUSTED"), Class::Transient, Code::Throttled),
        (Mishap::Refused(503, "UNAVAILABLE"), Class::Transient, Code::Unavailable),
        (Mishap::Foreign(403), Class::Transient, Code::Unreadable),
        (Mishap::GarbledAfter, Class::Transient, Code::Unreadable),
    ] {
        site.api.next("login", way.clone());
        let fault = site.sink().read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{way:?}: {fault}");
        assert!(!fault.to_string().contains("5ubject"), "{fault}");
    }
    site.origin = by(&json!({ "type": "authorized_user" }));
    let fault = site.sink().read().await.unwrap_err();
    assert!(fault.class == Class::Terminal && fault.detail.contains("a person's"), "{fault}");
}
