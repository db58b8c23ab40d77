//! The log-in with a signed assertion (`private_key_jwt`).

use std::sync::Arc;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use scimitar::{
    clock::{Clock, SystemClock},
    error::{Class, Code},
    provider::{
        Provider,
        auth0::{ClientAuth, SecretSource},
        kind::Needs,
    },
    rotation::policy::Mode,
    secret::Secret,
};

use super::{
    fake::{Fake, Kind, reply},
    settings, with_clock,
};

#[tokio::test]
async fn an_assertion_is_signed_as_auth0_asks_for() {
    let (pem, public) = key_pair();
    let fake = Fake::start().await;
    let mut settings = settings(&fake.url);
    settings.auth =
        ClientAuth::AssertionKey(SecretSource::new(move || Ok(Secret::new(pem.clone()))).into());
    let auth0 = with_clock(settings, Arc::new(SystemClock));
    for _ in 0..2 {
        auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    }
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://acme.eu.auth0.com/"]);
    validation.set_issuer(&["the-client"]);
    let mut ids = Vec::new();
    for login in fake.seen(Kind::Login) {
        let form = login.form();
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert!(!form.contains_key("client_secret"));
        let token = jsonwebtoken::decode::<serde_json::Value>(
            &form["client_assertion"],
            &public,
            &validation,
        )
        .unwrap();
        let claims = token.claims;
        assert_eq!(claims["sub"], "the-client");
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(life, 60);
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2);
    assert!(ids[0] != ids[1] && ids[0].len() == 32, "{ids:?}");
}

#[tokio::test]
async fn a_key_that_is_none_is_never_quoted() {
    let fake = Fake::start().await;
    for key in ["key-canary", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"] {
        let mut settings = settings(&fake.url);
        settings.auth =
            ClientAuth::AssertionKey(SecretSource::new(|| Ok(Secret::new(key.to_owned()))).into());
        let auth0 = with_clock(settings, Arc::new(SystemClock));
        let fault = auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid));
        let shown = format!("{fault} {fault:?}");
        assert!(shown.contains("RSA private key") && !shown.contains("canary"), "{shown}");
    }
    assert_eq!(fake.total(), 0);
}

/// What the assertions of these log-ins say of their time, relative to `from`, in seconds.
fn issued(fake: &Fake, from: i64) -> Vec<i64> {
    let claims = |seen: &super::fake::Seen| {
        let assertion = seen.form()["client_assertion"].clone();
        let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&assertion);
        claims.unwrap().claims["iat"].as_i64().unwrap() - from
    };
    fake.seen(Kind::Login).iter().map(claims).collect()
}

#[tokio::test]
async fn an_assertion_uses_the_providers_clock_once_it_is_known() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pem = pem(AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref());
    let fake = Fake::start().await;
    let refused = reply(401, r#"{"error":"invalid_client"}"#);
    let provider_time = "Sun, 22 Nov 2020 04:00:00 GMT";
    let then = chrono::DateTime::parse_from_rfc2822(provider_time).unwrap().timestamp();
    let late = refused.with("date", provider_time);
    let granted = reply(200, r#"{"access_token":"x"}"#).with("date", provider_time);
    fake.script(Kind::Login, vec![late.clone(), granted.clone(), granted, late.clone(), late]);
    let mut settings = settings(&fake.url);
    settings.auth =
        ClientAuth::AssertionKey(SecretSource::new(move || Ok(Secret::new(pem.clone()))).into());
    let auth0 = with_clock(settings, Arc::new(SystemClock));
    let now = SystemClock.now().timestamp();
    auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    // By this host's clock and a little back, then by the provider's, at once.
    assert_eq!(fake.count(Kind::Login), 2);
    assert!((-20..=-5).contains(&issued(&fake, now)[0]), "{:?}", issued(&fake, now));
    assert!((-15..=0).contains(&issued(&fake, then)[1]), "{:?}", issued(&fake, then));
    auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    assert!((-15..=0).contains(&issued(&fake, then)[2]), "{:?}", issued(&fake, then));
    // A clock that is known is no reason to ask twice.
    let fault = auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap_err();
    assert!(fault.detail.contains("public half"), "{fault}");
    assert_eq!(fake.count(Kind::Login), 4);
}

/// A private key in PEM, and its public half.
pub(crate) fn key_pair() -> (String, DecodingKey) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    (pem(der.as_ref()), DecodingKey::from_rsa_der(pair.public_key().as_ref()))
}

/// PKCS#8 in PEM, made for one test and gone with it.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN PRIVATE KEY-----");
    for (nth, three) in der.chunks(3).enumerate() {
        if nth % 16 == 0 {
            text.push('\n');
        }
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for sextet in 0..4 {
            let index = (bits >> (18 - 6 * sextet)) as usize & 63;
            let letter = if sextet <= three.len() { ALPHABET[index] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}
