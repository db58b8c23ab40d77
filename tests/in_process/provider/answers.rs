//! Every status to every call, and the shapes that were recorded from the live service.

use std::time::Duration;

use scimitar::{
    clock::ProviderTime,
    error::{Class, Code, Fault},
    provider::{Provider, Revoked},
    token::Scope,
};

use super::{
    call, connection,
    fake::{Fake, Kind, reply},
    mint, provider, token_id, value,
};

const GONE: &str = r#"{"statusCode":404,"error":"Not Found","message":"The connection does not exist","errorCode":"inexistent_connection"}"#;
const NOT_CONFIGURED: &str = r#"{"statusCode":404,"error":"Not Found","message":"Not Found"}"#;
const UNSUPPORTED: &str = r#"{"statusCode":404,"error":"Not Found","message":"This connection type does not support SCIM. Please see our documentation for the currently supported connection types: https://auth0.com/docs/authenticate/protocols/scim/configure-inbound-scim."}"#;
const UNSUPPORTED_2024: &str =
    r#"{"statusCode":404,"error":"Not Found","message":"scim strategy not enabled"}"#;
const NO_SCOPE: &str = r#"{"statusCode":403,"error":"Forbidden","message":"Insufficient scope, expected any of: create:scim_token.","errorCode":"insufficient_scope"}"#;
const NO_PLAN: &str = r#"{"statusCode":403,"error":"Forbidden","message":"Please upgrade your subscription to use SCIM.","errorCode":"insufficient_entitlement"}"#;
const CAP: &str =
    r#"{"statusCode":409,"error":"Conflict","message":"Maximum of 2 tokens already issued"}"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Fine,
    NotFound,
    Fault(Class, Code),
}

use Class::{Ambiguous, Terminal, Transient};
use Expected::{Fault as F, Fine, NotFound};

/// Status and body; then what a list, a create and a revoke make of it.
#[rustfmt::skip]
const TABLE: &[(u16, &str, [Expected; 3])] = &[
    (200, "[]", [Fine, F(Ambiguous, Code::Unreadable), Fine]),
    (200, "{}", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), Fine]),
    (201, "[]", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), F(Ambiguous, Code::Unreadable)]),
    (202, "", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), F(Ambiguous, Code::Unreadable)]),
    (204, "", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), Fine]),
    (206, "[]", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), F(Ambiguous, Code::Unreadable)]),
    (301, "", [F(Terminal, Code::Invalid), F(Ambiguous, Code::Invalid), F(Ambiguous, Code::Invalid)]),
    (304, "", [F(Terminal, Code::Invalid), F(Ambiguous, Code::Invalid), F(Ambiguous, Code::Invalid)]),
    (400, "", [F(Terminal, Code::Invalid); 3]),
    (401, "", [F(Terminal, Code::Unauthorized); 3]),
    (402, "", [F(Terminal, Code::Forbidden); 3]),
    (403, NO_SCOPE, [F(Terminal, Code::Forbidden); 3]),
    (403, NO_PLAN, [F(Terminal, Code::Forbidden); 3]),
    (404, GONE, [F(Terminal, Code::NoConnection); 3]),
    (404, UNSUPPORTED, [F(Terminal, Code::ScimUnsupported); 3]),
    (404, UNSUPPORTED_2024, [F(Terminal, Code::ScimUnsupported); 3]),
    (404, NOT_CONFIGURED, [F(Terminal, Code::ScimNotConfigured), F(Terminal, Code::ScimNotConfigured), NotFound]),
    (404, "<html>", [F(Terminal, Code::Unreadable), F(Terminal, Code::Unreadable), NotFound]),
    (405, "", [F(Terminal, Code::Invalid); 3]),
    (408, "", [F(Transient, Code::Timeout), F(Ambiguous, Code::Timeout), F(Ambiguous, Code::Timeout)]),
    (409, CAP, [F(Transient, Code::Unavailable), F(Terminal, Code::NoSlot), F(Transient, Code::Unavailable)]),
    (422, "", [F(Terminal, Code::Invalid); 3]),
    (429, "", [F(Transient, Code::Throttled); 3]),
    (500, "", [F(Transient, Code::Unavailable), F(Ambiguous, Code::Unavailable), F(Ambiguous, Code::Unavailable)]),
    (502, "<html>", [F(Transient, Code::Unavailable), F(Ambiguous, Code::Unavailable), F(Ambiguous, Code::Unavailable)]),
    (503, "", [F(Transient, Code::Unavailable), F(Ambiguous, Code::Unavailable), F(Ambiguous, Code::Unavailable)]),
    (504, "", [F(Transient, Code::Unavailable), F(Ambiguous, Code::Unavailable), F(Ambiguous, Code::Unavailable)]),
    (600, "", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), F(Ambiguous, Code::Unreadable)]),
];

async fn ask(fake: &Fake, kind: Kind) -> Result<Expected, Fault> {
    let (auth0, connection) = (provider(fake), connection());
    let call = call(&connection);
    match kind {
        Kind::List => auth0.list(call).await.map(|_| Fine),
        Kind::Create => auth0.create(call, &mint()).await.map(|_| Fine),
        Kind::Revoke => auth0.revoke(call, &token_id()).await.map(|revoked| match revoked {
            Revoked::Deleted => Fine,
            Revoked::NotFound => NotFound,
        }),
        Kind::Login | Kind::Scim | Kind::Other => panic!("not a call"),
    }
}

#[tokio::test]
async fn every_status_to_every_call() {
    for (status, body, expected) in TABLE {
        let kinds = [Kind::List, Kind::Create, Kind::Revoke];
        for (kind, expected) in kinds.into_iter().zip(expected) {
            let fake = Fake::start().await;
            let answer = reply(*status, *body).with("retry-after", "3600");
            fake.always(kind, answer);
            let got = match ask(&fake, kind).await {
                Ok(outcome) => outcome,
                Err(fault) => {
                    let text = fault.to_string();
                    assert!(text.starts_with("could not "), "{text}");
                    assert!(text.contains("con_Hvg6w4PSvAVOoCJ2"), "{text}");
                    assert!(text.contains(&format!("answered {status}")), "{text}");
                    if *status >= 300 {
                        assert_eq!(fault.retry_after, Some(Duration::from_secs(3600)), "{text}");
                    }
                    F(fault.class, fault.code)
                }
            };
            assert_eq!(got, *expected, "{status} {body} to {kind:?}");
            let sent = if *status == 401 { 2 } else { 1 };
            assert_eq!(fake.count(kind), sent, "{status} {body} to {kind:?}");
        }
    }
}

#[tokio::test]
async fn faults_say_the_way_out() {
    for (status, body, kind, way_out) in [
        (403, NO_SCOPE, Kind::Create, "grant create:scim_token"),
        (403, NO_SCOPE, Kind::Revoke, "grant delete:scim_token"),
        (403, NO_PLAN, Kind::List, "plan does not include SCIM"),
        (404, GONE, Kind::List, "check connection_id"),
        (404, UNSUPPORTED, Kind::List, "strategies samlp"),
        (404, NOT_CONFIGURED, Kind::List, "Provisioning tab"),
        (404, "<html>", Kind::List, "check the provider's domain"),
        (409, CAP, Kind::Create, "revoke one first"),
        (401, "", Kind::List, "audience"),
    ] {
        let fake = Fake::start().await;
        fake.always(kind, reply(status, body));
        let text = ask(&fake, kind).await.unwrap_err().to_string();
        assert!(text.contains(way_out), "{text}");
    }
}

#[tokio::test]
async fn what_is_asked_is_what_auth0_documents() {
    let fake = Fake::start().await;
    for kind in [Kind::List, Kind::Create, Kind::Revoke] {
        ask(&fake, kind).await.unwrap();
    }
    let path = "/api/v2/connections/con_Hvg6w4PSvAVOoCJ2/scim-configuration/tokens";
    let list = &fake.seen(Kind::List)[0];
    assert_eq!((list.method.as_str(), list.target.as_str()), ("GET", path));
    let create = &fake.seen(Kind::Create)[0];
    assert_eq!(create.target, path);
    assert_eq!(create.headers["content-type"], "application/json");
    assert_eq!(create.body, r#"{"scopes":["get:users","post:users"],"token_lifetime":2591985}"#);
    let revoke = &fake.seen(Kind::Revoke)[0];
    assert_eq!(revoke.target, format!("{path}/tok_cw8iYTPrN6Fzb6xi"));
    assert_eq!((revoke.method.as_str(), revoke.body.as_str()), ("DELETE", ""));
    for seen in [list, create, revoke] {
        assert!(seen.bearer().starts_with("access-token-canary-"));
        assert_eq!(seen.headers["user-agent"], "scimitar/test");
    }
}

#[tokio::test]
async fn a_token_without_expiry_is_asked_for_without_a_lifetime() {
    let fake = Fake::start().await;
    let body = r#"{"token_id":"tok_cw8iYTPrN6Fzb6xi","token":"{VALUE}","scopes":["get:users","post:users"],"created_at":"2025-11-06T03:50:37.836Z"}"#;
    fake.always(Kind::Create, reply(201, body.replace("{VALUE}", &value())));
    let connection = connection();
    let mut request = mint();
    request.life = None;
    let minted = provider(&fake).create(call(&connection), &request).await.unwrap();
    assert_eq!(fake.seen(Kind::Create)[0].body, r#"{"scopes":["get:users","post:users"]}"#);
    assert_eq!(minted.token.valid_until, None);
    assert_eq!(minted.value.expose(), value());
}

#[tokio::test]
async fn both_recorded_shapes_of_a_list_are_read() {
    let fake = Fake::start().await;
    let body = r#"[
        {"token_id":"tok_P4oYk3D9djbTNeKd","created_at":"2024-06-26T07:11:44.893Z","scopes":["get:users","patch:users"],"valid_until":null,"last_used_at":null},
        {"token_id":"tok_7XQRQebwegrMuTUb","created_at":"2024-10-14T11:53:14.542Z","scopes":["get:users"],"unheard_of":{"x":[1]}},
        {"token_id":"tok_1","created_at":"2026-11-01T00:00:00Z","valid_until":"2026-12-01T00:00:00.5Z","last_used_at":"2026-11-02T00:00:00.000Z"}
    ]"#;
    let date = "Sun, 22 Nov 2026 04:00:07 GMT";
    fake.always(Kind::List, reply(200, body).with("date", date));
    let connection = connection();
    let listing = provider(&fake).list(call(&connection)).await.unwrap();
    let at = |text: &str| Some(ProviderTime::parse(text).unwrap());
    assert_eq!(listing.provider_time, at("2026-11-22T04:00:07Z"));
    let [june, october, used] = listing.tokens.as_slice() else {
        panic!("three tokens");
    };
    assert_eq!(june.valid_until, None);
    assert_eq!(june.last_used_at, None);
    assert_eq!(june.scopes.len(), 2);
    assert_eq!(Some(october.created_at), at("2024-10-14T11:53:14.542Z"));
    assert_eq!(october.scopes.first(), Some(&Scope::try_new("get:users").unwrap()));
    assert_eq!(used.valid_until, at("2026-12-01T00:00:00.5Z"));
    assert_eq!(used.last_used_at, at("2026-11-02T00:00:00Z"));
}

#[tokio::test]
async fn a_list_with_one_unreadable_token_is_no_list() {
    let good = r#"{"token_id":"tok_1","created_at":"2026-11-01T00:00:00Z"}"#;
    for bad in [
        r#"{"created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"token_id":"tok_2"}"#,
        r#"{"token_id":"","created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"token_id":"$(id)","created_at":"2026-11-01T00:00:00Z"}"#,
        &format!(r#"{{"token_id":"{}","created_at":"2026-11-01T00:00:00Z"}}"#, value()),
        &format!(
            r#"{{"token_id":"tok_2","created_at":"2026-11-01T00:00:00Z","scopes":["{}"]}}"#,
            value()
        ),
        r#"{"token_id":7,"created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"token_id":"tok_2","created_at":"yesterday"}"#,
        r#"{"token_id":"tok_2","created_at":"2026-11-01T00:00:00Z","valid_until":"soon"}"#,
        r#"{"token_id":"tok_2","created_at":"2026-11-01T00:00:00Z","last_used_at":""}"#,
        r#"{"token_id":"tok_2","created_at":"2026-11-01T00:00:00Z","scopes":[""]}"#,
        r#""tok_2""#,
        "null",
        good,
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::List, reply(200, format!("[{good},{bad}]")));
        let fault = ask(&fake, Kind::List).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Transient, Code::Unreadable), "{bad}");
        assert!(!format!("{fault} {fault:?}").contains(&value()), "{fault}");
    }
}

#[tokio::test]
async fn a_created_token_that_cannot_be_read_may_exist_all_the_same() {
    let id = r#""token_id":"tok_cw8iYTPrN6Fzb6xi""#;
    let created = r#""created_at":"2026-11-06T03:50:37.836Z""#;
    for body in [
        format!("{{{id},{created}}}"),
        format!(r#"{{"token":"canary value",{id},{created}}}"#),
        format!(r#"{{"token":"{}",{created}}}"#, value()),
        format!(r#"{{"token":"{}",{id}}}"#, value()),
        format!(r#"{{"token":"{}",{id},{created},"valid_until":"x"}}"#, value()),
        format!(r#"{{"token":["{}"],{id},{created}}}"#, value()),
        format!(r#"{{"token":"{0}","token_id":"{0}",{created}}}"#, value()),
        format!(r#"{{"token":"tok_x.canary-1","token_id":"tok_x.canary-1",{created}}}"#),
        format!(r#"{{"token":"tok_x.canary-1","token_id":"canary-1",{created}}}"#),
        format!(r#"{{"token":"tok_x.canary-1",{id},{created},"scopes":["canary-1"]}}"#),
        format!(r#"["{}"]"#, value()),
        format!(r#"{{"token":"{}""#, value()),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Create, reply(201, body.clone()));
        let fault = ask(&fake, Kind::Create).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Ambiguous, Code::Unreadable));
        let shown = format!("{fault} {fault:?}");
        assert!(!shown.contains("canary") && !shown.contains("0a0a"), "{shown}");
        assert_eq!(fake.count(Kind::Create), 1, "{body}");
    }
}

#[tokio::test]
async fn a_value_of_another_form_is_accepted_but_tells_no_id() {
    let fake = Fake::start().await;
    let body = r#"{"token_id":"tok_cw8iYTPrN6Fzb6xi","token":"opaque","created_at":"2025-11-06T03:50:37.836Z"}"#;
    fake.always(Kind::Create, reply(200, body));
    let (auth0, connection) = (provider(&fake), connection());
    let minted = auth0.create(call(&connection), &mint()).await.unwrap();
    assert_eq!(minted.token.id, token_id());
    assert_eq!(auth0.id_in(&minted.value), None);
    // The answer does not say which scopes it has: those that were asked for.
    assert_eq!(minted.token.scopes, mint().scopes);
}

#[tokio::test]
async fn ids_that_are_no_path_segment_are_never_sent() {
    let fake = Fake::start().await;
    let auth0 = provider(&fake);
    let (connection, good) = ("..".to_owned(), connection());
    let climbing = scimitar::token::ConnectionId::try_new(connection).unwrap();
    let fault = auth0.list(call(&climbing)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Terminal, Code::Invalid));
    let climbing = scimitar::token::TokenId::try_new("..").unwrap();
    let fault = auth0.revoke(call(&good), &climbing).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Terminal, Code::Invalid));
    assert_eq!(fake.total(), 0);
    let slashed = scimitar::token::TokenId::try_new("a/../b?c#d").unwrap();
    auth0.revoke(call(&good), &slashed).await.unwrap();
    let target = &fake.seen(Kind::Revoke)[0].target;
    assert!(target.ends_with("/tokens/a%2F..%2Fb%3Fc%23d"), "{target}");
}

#[test]
fn the_scim_endpoint_is_built_from_the_base_url() {
    let auth0 = super::with_clock(
        super::settings("https://login.acme.example/"),
        std::sync::Arc::new(scimitar::clock::SystemClock),
    );
    assert_eq!(
        auth0.scim_endpoint(&connection()).as_str(),
        "https://login.acme.example/scim/v2/connections/con_Hvg6w4PSvAVOoCJ2"
    );
    let capabilities = auth0.capabilities();
    assert_eq!(capabilities.cap, Some(2));
    assert_eq!(capabilities.shortest_life, Some(Duration::from_secs(901)));
    assert!(capabilities.last_used);
}
