//! The sink that is a provisioning connection of an application in Okta, against a stand-in for Okta's API:
//! what is looked at and written, what each answer means, and that nothing secret is shown.

use std::{fmt::Write, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, Validation};
use reqwest::Url;
use scimitar::{
    clock::{SystemClock, SystemEntropy},
    error::{Class, Code, Fault},
    http::{Endpoint, HttpSettings},
    rotation::uptake::Uptake,
    secret::{Secret, SecretSource},
    sink::{
        Contents, Reading, Sink, Version,
        okta::{Identity, OktaSink, OktaTarget, Org as Tenant, OrgSettings},
    },
    token::SinkName,
};
use scimitar_test_support::{
    cloud::Mishap::{
        CutAfter, Foreign, GarbledAfter, LostAfter, LostBefore, Refused, RefusedAfter,
    },
    heard::Heard,
    okta::{self, API_TOKEN, BASE_URL, CLIENT, CUSTOM, ORG2ORG, Org, ZSCALER},
    sink_conformance::{CANARY, Gate, delivery},
};
use serde_json::{Value, json};

use crate::provider::assertion::key_pair;

fn secret(text: &str) -> SecretSource {
    let text = text.to_owned();
    SecretSource::new(move || Ok(Secret::new(text.clone())))
}

fn target(app: &str) -> OktaTarget {
    let base_url = (app == ZSCALER).then(|| BASE_URL.to_owned());
    OktaTarget { app_id: app.to_owned(), base_url }
}

fn sink_as(org: &Org, identity: Identity, target: OktaTarget) -> OktaSink {
    let settings = OrgSettings {
        sink: SinkName::try_new("okta").unwrap(),
        org: Endpoint::try_new(Url::parse(&org.url).unwrap()).unwrap(),
        identity,
        http: HttpSettings {
            ca_file: None,
            proxy: None,
            request_timeout: Duration::from_secs(10),
            user_agent: "scimitar/test".to_owned(),
        },
    };
    let tenant = Tenant::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy));
    OktaSink::try_new(&tenant.unwrap(), target).unwrap()
}

fn sink_of(org: &Org, target: OktaTarget) -> OktaSink {
    sink_as(org, Identity::ApiToken(secret(API_TOKEN)), target)
}

fn service_app(org: &Org, key: &str) -> OktaSink {
    let (client, key_id) = (CLIENT.to_owned(), Some("key-1".to_owned()));
    sink_as(org, Identity::PrivateKey { client, key_id, key: secret(key) }, target(ORG2ORG))
}

fn unasked() -> Version {
    Version(Version::UNASKED.to_owned())
}

async fn promote(sink: &OktaSink, generation: u64) -> Result<Version, Fault> {
    sink.promote(&delivery(generation), &unasked(), &Gate::open()).await
}

async fn prove(sink: &OktaSink) -> Result<(), Fault> {
    sink.prove_writable(&Reading::new(unasked(), Contents::Unmarked { value: None })).await
}

/// Whether the connection has this token.
fn has(org: &Org, app: &str, generation: u64) -> bool {
    org.world().rules.apps[app].token.as_deref() == Some(delivery(generation).value.expose())
}

fn order(org: &Org) -> Vec<&'static str> {
    let world = org.world();
    world.asked.iter().map(<okta::Okta as scimitar_test_support::cloud::Rules>::verb).collect()
}

#[tokio::test]
async fn the_application_is_looked_at_and_its_token_is_set() {
    for app in [ORG2ORG, ZSCALER] {
        let org = okta::start().await;
        let sink = sink_of(&org, target(app));
        assert!(!sink.readable());
        assert_eq!(sink.uptake(), Uptake::AtOnce, "Okta does not say whether it used a token");
        prove(&sink).await.unwrap();
        assert_eq!(order(&org), ["app", "connection"], "nothing is written");
        let made = promote(&sink, 1).await.unwrap();
        assert_eq!(made.0, "tok_1");
        assert!(has(&org, app, 1));
        assert_eq!(order(&org)[2..], ["app", "connection", "set"]);
        let world = org.world();
        let connection = &world.rules.apps[app];
        assert_eq!(connection.status, "ENABLED");
        assert_eq!(connection.base_url.as_deref(), (app == ZSCALER).then_some(BASE_URL));
        let last = world.asked.last().unwrap();
        assert_eq!(last.headers["authorization"], format!("SSWS {API_TOKEN}"));
    }
}

#[tokio::test]
async fn what_takes_no_token_is_refused_before_one_is_made() {
    let with = |app: &str, base_url: Option<&str>| OktaTarget {
        app_id: app.to_owned(),
        base_url: base_url.map(str::to_owned),
    };
    let org = okta::start().await;
    for (target, words) in [
        (with(CUSTOM, None), "use a sink of type = \"handoff\""),
        (with(CUSTOM, Some(BASE_URL)), "use a sink of type = \"handoff\""),
        (with(ZSCALER, None), "write base_url = "),
        (with(ORG2ORG, Some(BASE_URL)), "remove base_url"),
        (with("0oaNobody", None), "app_id is the part"),
    ] {
        let sink = sink_of(&org, target.clone());
        for fault in [prove(&sink).await.unwrap_err(), promote(&sink, 1).await.unwrap_err()] {
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
            assert!(fault.detail.contains(words), "{target:?}: {fault}");
        }
    }
    org.world().rules.apps.get_mut(ORG2ORG).unwrap().scheme = "OAUTH2";
    let sink = sink_of(&org, target(ORG2ORG));
    for fault in [prove(&sink).await.unwrap_err(), promote(&sink, 1).await.unwrap_err()] {
        assert!(fault.detail.contains("logs in by OAuth 2.0"), "{fault}");
    }
    assert_eq!(org.count("set"), 0);
}

/// One that was never set up may have no connection to be read.
#[tokio::test]
async fn a_connection_that_is_not_there_yet_is_made() {
    let org = okta::start().await;
    org.world().rules.apps.get_mut(ORG2ORG).unwrap().shows_connection = false;
    let sink = sink_of(&org, target(ORG2ORG));
    prove(&sink).await.unwrap();
    promote(&sink, 1).await.unwrap();
    assert!(has(&org, ORG2ORG, 1));
}

#[tokio::test]
async fn an_answer_that_says_unknown_is_a_failure() {
    let connection = |status: &str, scheme: &str| json!({ "status": status, "authScheme": scheme, "profile": { "authScheme": scheme } });
    for says in [
        connection("UNKNOWN", "TOKEN"),
        connection("ENABLED", "UNKNOWN"),
        connection("DISABLED", "TOKEN"),
        connection("ENABLED", "OAUTH2"),
        json!({}),
    ] {
        let org = okta::start().await;
        org.world().rules.says = Some(says.clone());
        let sink = sink_of(&org, target(ORG2ORG));
        let fault = promote(&sink, 1).await.unwrap_err();
        assert_eq!(fault.class, Class::Ambiguous, "the connection may have it: {says}: {fault}");
        assert!(fault.detail.contains("does not confirm that the token is in use"), "{fault}");
        org.world().rules.says = None;
        promote(&sink, 1).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_is_refused_or_in_doubt_and_never_both() {
    for (way, class, wrote) in [
        (Refused(401, "E0000011"), Class::Terminal, false),
        (Refused(403, "E0000006"), Class::Terminal, false),
        (Refused(404, "E0000007"), Class::Terminal, false),
        (Refused(429, "E0000047"), Class::Transient, false),
        (Refused(400, "E0000001"), Class::Ambiguous, false),
        (RefusedAfter(400, "E0000001"), Class::Ambiguous, true),
        (Refused(500, "E0000009"), Class::Ambiguous, false),
        (RefusedAfter(504, "E0000010"), Class::Ambiguous, true),
        (Refused(405, "E0000022"), Class::Terminal, false),
        (Foreign(502), Class::Ambiguous, false),
        (Foreign(302), Class::Ambiguous, false),
        (Foreign(200), Class::Ambiguous, false),
        (Foreign(403), Class::Transient, false),
        (GarbledAfter, Class::Ambiguous, true),
        (CutAfter, Class::Ambiguous, true),
        (LostBefore, Class::Ambiguous, false),
        (LostAfter, Class::Ambiguous, true),
    ] {
        let org = okta::start().await;
        let sink = sink_of(&org, target(ORG2ORG));
        org.next("set", way.clone());
        if matches!(way, Refused(401, _)) {
            // It is sent once more with the API token as it is then.
            org.next("set", way.clone());
        }
        let fault = promote(&sink, 1).await.unwrap_err();
        assert_eq!((fault.class, has(&org, ORG2ORG, 1)), (class, wrote), "{way:?}: {fault}");
        // The same again does no harm.
        promote(&sink, 1).await.unwrap();
        assert!(has(&org, ORG2ORG, 1), "{way:?}");
    }
}

/// What was asked and not answered well leaves nothing in doubt: nothing was written.
#[tokio::test]
async fn a_look_that_fails_writes_nothing() {
    for verb in ["app", "connection"] {
        for (way, class) in [
            (Refused(401, "E0000011"), Class::Terminal),
            (Refused(403, "E0000006"), Class::Terminal),
            (Refused(429, "E0000047"), Class::Transient),
            (Refused(500, "E0000009"), Class::Transient),
            (Foreign(404), Class::Transient),
            (GarbledAfter, Class::Transient),
            (CutAfter, Class::Transient),
            (LostAfter, Class::Transient),
        ] {
            let org = okta::start().await;
            let sink = sink_of(&org, target(ORG2ORG));
            for _ in 0..2 {
                org.next(verb, way.clone());
            }
            let fault = promote(&sink, 1).await.unwrap_err();
            assert_eq!(fault.class, class, "{verb} {way:?}: {fault}");
            assert_eq!(org.count("set"), 0, "{verb} {way:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_okta_could_not_verify_is_in_doubt() {
    for kept in [false, true] {
        let org = okta::start().await;
        org.world().rules.verifies = false;
        org.world().rules.keeps_unverified = kept;
        let fault = promote(&sink_of(&org, target(ORG2ORG)), 1).await.unwrap_err();
        assert_eq!((fault.class, has(&org, ORG2ORG, 1)), (Class::Ambiguous, kept), "{fault}");
        assert!(fault.detail.contains("Verification failed"), "{fault}");
    }
    // There is nothing that could keep one.
    let org = okta::start().await;
    org.world().rules.apps.get_mut(ORG2ORG).unwrap().provisions = false;
    let fault = promote(&sink_of(&org, target(ORG2ORG)), 1).await.unwrap_err();
    assert_eq!(fault.class, Class::Terminal, "{fault}");
    assert!(fault.detail.contains("Provisioning tab"), "{fault}");
}

#[tokio::test]
async fn a_limit_is_waited_for_as_long_as_okta_says() {
    let org = okta::start().await;
    org.world().rules.limited = true;
    let fault = promote(&sink_of(&org, target(ORG2ORG)), 1).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled), "{fault}");
    assert_eq!(fault.retry_after, Some(Duration::from_secs(42)), "by Okta's own clock");
    let (key, _) = key_pair();
    let fault = promote(&service_app(&org, &key), 1).await.unwrap_err();
    assert_eq!((fault.code, fault.retry_after), (Code::Throttled, Some(Duration::from_secs(42))));
}

#[tokio::test]
async fn a_lost_claim_sends_no_token_to_okta() {
    let org = okta::start().await;
    let sink = sink_of(&org, target(ORG2ORG));
    let fault = sink.promote(&delivery(1), &unasked(), &Gate::shut()).await.unwrap_err();
    assert_eq!(fault.code, Code::ClaimLost);
    assert_eq!(org.count("set"), 0);
}

#[tokio::test]
async fn a_service_app_signs_an_assertion_as_okta_asks_for() {
    let (key, public) = key_pair();
    let org = okta::start().await;
    let sink = service_app(&org, &key);
    promote(&sink, 1).await.unwrap();
    promote(&sink, 2).await.unwrap();
    assert!(has(&org, ORG2ORG, 2));
    assert_eq!(org.world().rules.logins, 1, "the access token is used again");
    let login = org.world().asked[0].clone();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[format!("{}/oauth2/v1/token", org.url)]);
    validation.set_issuer(&[CLIENT]);
    let assertion = &login.form["client_assertion"];
    let token = jsonwebtoken::decode::<Value>(assertion, &public, &validation).unwrap();
    assert_eq!(token.header.kid.as_deref(), Some("key-1"));
    assert_eq!(token.claims["sub"], CLIENT);
    assert_eq!(token.claims["jti"].as_str().unwrap().len(), 32);

    // One that is not accepted any more is replaced once.
    org.world().rules.accepted.clear();
    promote(&sink, 3).await.unwrap();
    assert_eq!(org.world().rules.logins, 2);
}

#[tokio::test]
async fn a_log_in_to_okta_that_fails_says_what_to_do() {
    let (key, _) = key_pair();
    for (way, class, code, words) in [
        (Refused(401, "invalid_client"), Class::Terminal, Code::Unauthorized, "compare org_url"),
        (Refused(400, "invalid_dpop_proof"), Class::Terminal, Code::Invalid, "DPoP"),
        (Refused(400, "invalid_scope"), Class::Terminal, Code::Forbidden, "grant the scopes"),
        (Refused(429, "E0000047"), Class::Transient, Code::Throttled, "E0000047"),
        (Foreign(403), Class::Transient, Code::Unreadable, "403"),
        (Foreign(302), Class::Terminal, Code::Invalid, "a redirect"),
        (Foreign(200), Class::Transient, Code::Unreadable, "is not JSON"),
        (LostAfter, Class::Transient, Code::Unavailable, "127.0.0.1"),
    ] {
        let org = okta::start().await;
        org.next("login", way.clone());
        let fault = prove(&service_app(&org, &key)).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{way:?}: {fault}");
        assert!(fault.detail.contains(words), "{way:?}: {fault}");
    }
    let org = okta::start().await;
    let fault = prove(&service_app(&org, "key-canary")).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
    assert!(!fault.to_string().contains("canary"), "{fault}");
    assert_eq!(org.world().asked.len(), 0, "nothing was sent");
}

/// Each log-in ends in ways of its own.
#[tokio::test]
async fn what_okta_does_not_accept_is_said_of_the_log_in_that_is_used() {
    let (key, _) = key_pair();
    let org = okta::start().await;
    for (sink, words) in [
        (sink_of(&org, target(ORG2ORG)), "after 30 days without use"),
        (service_app(&org, &key), "the service app: check that the app is active"),
    ] {
        // It is sent once more with another log-in.
        org.next("app", Refused(401, "E0000011"));
        org.next("app", Refused(401, "E0000011"));
        let fault = prove(&sink).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
        assert!(fault.detail.contains(words), "{fault}");
        assert_eq!(fault.detail.contains("API token"), words.contains("30 days"), "{fault}");
    }
}

#[tokio::test]
async fn a_remembered_application_is_opened_again() {
    let org = okta::start().await;
    let sink = sink_of(&org, target(ZSCALER));
    let place = sink.place().clone();
    assert_eq!(place.key.to_string(), format!("okta:{ZSCALER}"));
    assert_eq!(place.delivery, json!({ "app_id": ZSCALER, "base_url": BASE_URL }).into());
    assert!(!place.location.contains(BASE_URL), "{}", place.location);
}

#[tokio::test]
async fn nothing_secret_of_okta_is_shown_at_the_highest_verbosity() {
    let (heard, guard) = Heard::listen();
    let (key, _) = key_pair();
    let org = okta::start().await;
    let mut shown = format!("{:?}", sink_of(&org, target(ORG2ORG)));
    for verb in ["login", "app", "connection", "set"] {
        for way in [
            Refused(400, "E0000001"),
            Refused(401, "invalid_client"),
            Foreign(500),
            LostAfter,
            GarbledAfter,
        ] {
            for sink in [sink_of(&org, target(ORG2ORG)), service_app(&org, &key)] {
                org.next(verb, way.clone());
                write!(shown, "{:?}", promote(&sink, 1).await).unwrap();
                org.world().mishaps.clear();
            }
        }
    }
    promote(&service_app(&org, &key), 2).await.unwrap();
    drop(guard);
    let mut secrets = vec![CANARY.to_owned(), API_TOKEN.to_owned()];
    for asked in &org.world().asked {
        secrets.extend(asked.form.get("client_assertion").cloned());
        secrets.extend(Some(asked.token().to_owned()).filter(|token| !token.is_empty()));
    }
    secrets.push(key.lines().nth(1).unwrap().to_owned());
    heard.holds_none_of(&["hyper"], &secrets, &shown);
}
