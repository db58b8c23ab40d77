//! dbt Cloud, to the byte: what is asked, what each answer is taken for, and what a lost one means.

use std::{sync::Arc, time::Duration};

use scimitar::{
    clock::{Clock, ProviderTime, SystemClock},
    error::{Class, Code, Fault},
    provider::{
        Provider, Revoked,
        dbt_cloud::{DbtCloud, DbtCloudSettings, Scheme},
    },
    secret::{Secret, SecretSource},
    telemetry::metrics::Metrics,
    token::{ConnectionId, MintRequest, ProviderName, Scope, Scopes, TokenId, TokenName},
};

use super::{
    Jumping, call, endpoint,
    fake::{Answer, Fake, Kind, reply},
    http, remaining, throttled,
};

pub(crate) const TOKEN: &str = "dbt-token-canary";
pub(crate) const VALUE: &str = "dbtc_value-canary-0123456789";
const NAME: &str = "scimitar/people/00000000000000aa";

pub(crate) const CREATED: &str = r#"{"status":{"code":200,"is_success":true,"user_message":"Success!","developer_message":""},"data":{"id":123,"name":"{NAME}","created_at":"2026-11-22T04:00:00.000000Z","last_used":null,"token_string":"{VALUE}"}}"#;
const EMPTY: &str =
    r#"{"status":{"code":200,"is_success":true,"user_message":"Success!"},"data":[]}"#;
const NOT_FOUND: &str = r#"{"status":{"code":404,"is_success":false,"user_message":"The requested resource was not found. Please check that you have the proper permissions.","developer_message":""},"data":null}"#;
const UNAUTHORIZED: &str = r#"{"status":{"code":401,"is_success":false,"user_message":"Unauthorized: Invalid or expired token.","developer_message":""},"data":null}"#;
const FAILED: &str = r#"{"status":{"code":500,"is_success":false,"user_message":"No."},"data":[]}"#;

pub(crate) fn created() -> String {
    CREATED.replace("{NAME}", NAME).replace("{VALUE}", VALUE)
}

pub(crate) fn settings(url: &str) -> DbtCloudSettings {
    DbtCloudSettings {
        name: ProviderName::try_new("warehouse").unwrap(),
        account: account(),
        base_url: endpoint(url),
        token: SecretSource::new(|| Ok(Secret::new(TOKEN.to_owned()))).into(),
        scheme: Scheme::Token,
        share: 0.5,
        rate_limit: None,
        request_timeout: Duration::from_secs(5),
    }
}

pub(crate) fn provider(fake: &Fake) -> Arc<DbtCloud> {
    with_clock(settings(&fake.url), Arc::new(SystemClock))
}

fn with_clock(settings: DbtCloudSettings, clock: Arc<dyn Clock>) -> Arc<DbtCloud> {
    counting(settings, clock, &Metrics::try_new().unwrap())
}

fn counting(settings: DbtCloudSettings, clock: Arc<dyn Clock>, metrics: &Metrics) -> Arc<DbtCloud> {
    DbtCloud::new(settings, http(), clock, metrics.clone(), None)
}

pub(crate) fn account() -> ConnectionId {
    ConnectionId::try_new("70403103916054").unwrap()
}

pub(crate) fn mint() -> MintRequest {
    let name = TokenName::try_new(NAME).ok();
    MintRequest { scopes: Scopes::new(), life: None, name }
}

pub(crate) fn token_id() -> TokenId {
    TokenId::try_new("123").unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Fine,
    NotFound,
    Fault(Class, Code),
}

use Class::{Ambiguous, Terminal, Transient};
use Expected::{Fault as F, Fine, NotFound};

const UNREADABLE: [Expected; 3] = [
    F(Transient, Code::Unreadable),
    F(Ambiguous, Code::Unreadable),
    F(Ambiguous, Code::Unreadable),
];
const UNAVAILABLE: [Expected; 3] = [
    F(Transient, Code::Unavailable),
    F(Ambiguous, Code::Unavailable),
    F(Ambiguous, Code::Unavailable),
];

/// Status and body; then what a list, a create and a revoke make of it.
#[rustfmt::skip]
const TABLE: &[(u16, &str, [Expected; 3])] = &[
    (200, EMPTY, [Fine, F(Ambiguous, Code::Unreadable), Fine]),
    (200, "", UNREADABLE),
    (200, "[]", UNREADABLE),
    (200, FAILED, UNREADABLE),
    (200, "<html>log in</html>", UNREADABLE),
    (200, r#"{"data":null}"#, [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), Fine]),
    (201, EMPTY, UNREADABLE),
    (202, "", UNREADABLE),
    (204, "", [F(Transient, Code::Unreadable), F(Ambiguous, Code::Unreadable), Fine]),
    (206, EMPTY, UNREADABLE),
    (301, "", [F(Terminal, Code::Invalid), F(Ambiguous, Code::Invalid), F(Ambiguous, Code::Invalid)]),
    (400, "", [F(Terminal, Code::Invalid); 3]),
    (401, UNAUTHORIZED, [F(Terminal, Code::Unauthorized); 3]),
    (402, "", [F(Terminal, Code::Forbidden); 3]),
    (403, "<html>", [F(Terminal, Code::Forbidden); 3]),
    (404, NOT_FOUND, [F(Terminal, Code::NoConnection), F(Terminal, Code::NoConnection), NotFound]),
    (404, "<html>", [F(Terminal, Code::Unreadable); 3]),
    (405, "", [F(Terminal, Code::Invalid); 3]),
    (408, "", [F(Transient, Code::Timeout), F(Ambiguous, Code::Timeout), F(Ambiguous, Code::Timeout)]),
    (409, "", [F(Transient, Code::Unavailable), F(Terminal, Code::NoSlot), F(Transient, Code::Unavailable)]),
    (422, "", [F(Terminal, Code::Invalid); 3]),
    (429, "", [F(Transient, Code::Throttled); 3]),
    (500, FAILED, UNAVAILABLE),
    (502, "<html>", UNAVAILABLE),
    (503, "", UNAVAILABLE),
    (600, "", UNREADABLE),
];

async fn ask(dbt_cloud: &DbtCloud, kind: Kind) -> Result<Expected, Fault> {
    let account = account();
    let call = call(&account);
    match kind {
        Kind::List => dbt_cloud.list(call).await.map(|_| Fine),
        Kind::Create => dbt_cloud.create(call, &mint()).await.map(|_| Fine),
        Kind::Revoke => dbt_cloud.revoke(call, &token_id()).await.map(|revoked| match revoked {
            Revoked::Deleted => Fine,
            Revoked::NotFound => NotFound,
        }),
        Kind::Login | Kind::Scim | Kind::Other => panic!("not a call"),
    }
}

const KINDS: [Kind; 3] = [Kind::List, Kind::Create, Kind::Revoke];

#[tokio::test]
async fn every_status_to_every_call() {
    for (status, body, expected) in TABLE {
        for (kind, expected) in KINDS.into_iter().zip(expected) {
            let fake = Fake::start().await;
            fake.always(kind, reply(*status, *body).with("retry-after", "3600"));
            let got = match ask(&provider(&fake), kind).await {
                Ok(outcome) => outcome,
                Err(fault) => {
                    let text = fault.to_string();
                    assert!(text.starts_with("could not "), "{text}");
                    assert!(text.contains("70403103916054"), "{text}");
                    assert!(text.contains(&format!("answered {status}")), "{text}");
                    if *status >= 300 {
                        assert_eq!(fault.retry_after, Some(Duration::from_secs(3600)), "{text}");
                    }
                    F(fault.class, fault.code)
                }
            };
            assert_eq!(got, *expected, "{status} {body} to {kind:?}");
            assert_eq!(fake.count(kind), 1, "{status} {body} to {kind:?}");
        }
    }
}

#[tokio::test]
async fn faults_say_what_the_service_said_and_the_way_out() {
    for (status, body, said, way_out) in [
        (401, UNAUTHORIZED, "Invalid or expired token", "scheme = \"Bearer\""),
        (403, "", "answered 403", "account-admin"),
        (404, NOT_FOUND, "check that you have the proper permissions", "account_id"),
        (404, "<html>", "answered 404", "check host and base_url"),
        (429, "", "answered 429", "five minutes"),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::List, reply(status, body));
        let text = ask(&provider(&fake), Kind::List).await.unwrap_err().to_string();
        assert!(text.contains(said) && text.contains(way_out), "{text}");
    }
}

#[tokio::test]
async fn what_is_asked_is_what_dbt_cloud_documents_with_its_slashes() {
    let fake = Fake::start().await;
    fake.always(Kind::List, reply(200, EMPTY)).always(Kind::Create, reply(200, created()));
    let dbt_cloud = provider(&fake);
    for kind in KINDS {
        ask(&dbt_cloud, kind).await.unwrap();
    }
    let path = "/api/v3/accounts/70403103916054/scim-config/tokens/";
    let list = &fake.seen(Kind::List)[0];
    assert_eq!((list.method.as_str(), list.target.as_str()), ("GET", path));
    let create = &fake.seen(Kind::Create)[0];
    assert_eq!((create.method.as_str(), create.target.as_str()), ("POST", path));
    assert_eq!(create.headers["content-type"], "application/json");
    assert_eq!(create.body, format!(r#"{{"name":"{NAME}"}}"#));
    let revoke = &fake.seen(Kind::Revoke)[0];
    assert_eq!(revoke.target, format!("{path}123/"));
    assert_eq!((revoke.method.as_str(), revoke.body.as_str()), ("DELETE", ""));
    for seen in [list, create, revoke] {
        assert_eq!(seen.headers["authorization"], format!("Token {TOKEN}"));
    }
    let mut settings = settings(&fake.url);
    settings.scheme = Scheme::Bearer;
    ask(&with_clock(settings, Arc::new(SystemClock)), Kind::List).await.unwrap();
    assert_eq!(fake.seen(Kind::List)[1].headers["authorization"], format!("Bearer {TOKEN}"));
    let endpoint = dbt_cloud.scim_endpoint(&account());
    assert_eq!(endpoint.path(), "/api/v3/accounts/70403103916054/scim/v2");
}

#[tokio::test]
async fn the_new_token_is_read_whatever_its_success_is_called() {
    let without_name = created().replace(&format!(r#""name":"{NAME}","#), "");
    let renamed = created().replace(NAME, "scimitar/peo");
    let text_id = created().replace("123,", "\"123\",");
    let spaced = created().replace("2026-11-22T04:00:00.000000Z", "2026-11-22 04:00:00+00:00");
    for (status, body, name) in [
        (200, created(), NAME),
        (201, created(), NAME),
        (200, without_name, NAME),
        (200, renamed, "scimitar/peo"),
        (200, text_id, NAME),
        (200, spaced, NAME),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Create, reply(status, body.clone()));
        let account = account();
        let minted = provider(&fake).create(call(&account), &mint()).await.unwrap();
        assert_eq!(minted.token.id, token_id(), "{body}");
        assert_eq!(minted.token.name, TokenName::try_new(name).ok(), "{body}");
        assert_eq!(minted.token.created_at, ProviderTime::parse("2026-11-22T04:00:00Z").unwrap());
        assert_eq!((minted.token.valid_until, minted.token.last_used_at), (None, None));
        assert_eq!(minted.value.expose(), VALUE);
    }
}

#[tokio::test]
async fn what_dbt_cloud_cannot_make_is_not_asked_for() {
    let fake = Fake::start().await;
    let (dbt_cloud, account) = (provider(&fake), account());
    let scopes: Scopes = [Scope::try_new("get:users").unwrap()].into();
    for request in [
        MintRequest { name: None, ..mint() },
        MintRequest { life: Some(Duration::from_secs(1_000)), ..mint() },
        MintRequest { scopes, ..mint() },
    ] {
        let fault = dbt_cloud.create(call(&account), &request).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Terminal, Code::Invalid));
        assert!(fault.detail.contains("nothing was sent"), "{fault}");
    }
    let other = ConnectionId::try_new("12345").unwrap();
    let fault = dbt_cloud.list(call(&other)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Terminal, Code::NoConnection));
    assert_eq!(fake.total(), 0);
}

fn item(id: u64) -> String {
    format!(r#"{{"id":{id},"name":"n{id}","created_at":"2026-11-01T00:00:00Z","last_used":null}}"#)
}

fn page(ids: std::ops::Range<u64>, pagination: &str) -> String {
    let items: Vec<String> = ids.map(item).collect();
    format!(r#"{{"data":[{}],"extra":{{{pagination}}}}}"#, items.join(","))
}

fn pagination(count: u64, total: u64) -> String {
    format!(r#""pagination":{{"count":{count},"total_count":{total}}}"#)
}

#[tokio::test]
async fn only_a_complete_list_is_a_list() {
    let two_of_three = page(0..2, &pagination(2, 3));
    let the_third = page(2..3, &pagination(1, 3));
    let hundred = page(0..100, "");
    for (pages, expected) in [
        (vec![page(0..0, "")], Some(0)),
        (vec![page(0..0, &pagination(0, 0))], Some(0)),
        (vec![two_of_three.clone(), the_third.clone()], Some(3)),
        // One that says nothing of a second is asked for one, however long it is.
        (vec![page(0..2, ""), page(0..2, "")], Some(2)),
        (vec![page(0..2, r#""pagination":null"#), page(0..0, "")], Some(2)),
        (vec![page(0..25, ""), page(25..50, ""), page(50..51, ""), page(0..0, "")], Some(51)),
        (vec![hundred.clone(), page(0..0, "")], Some(100)),
        (vec![hundred.clone(), hundred.clone()], Some(100)),
        (vec![hundred.clone(), page(100..103, ""), page(0..0, "")], Some(103)),
        // Ends early, repeats itself, changes, contradicts itself.
        (vec![two_of_three.clone(), page(0..0, &pagination(0, 3))], None),
        (vec![two_of_three.clone(), two_of_three.clone()], None),
        (vec![two_of_three.clone(), page(2..3, &pagination(1, 4))], None),
        (vec![two_of_three.clone(), page(2..4, &pagination(2, 3))], None),
        (vec![two_of_three.clone(), page(2..3, "")], None),
        (vec![page(0..0, &pagination(0, 1))], None),
        (vec![page(0..2, &pagination(3, 2))], None),
        (vec![page(0..2, &pagination(2, 1))], None),
    ] {
        let fake = Fake::start().await;
        fake.script(Kind::List, pages.iter().map(|body| reply(200, body.clone())).collect());
        let account = account();
        let listed = provider(&fake).list(call(&account)).await;
        match (listed, expected) {
            (Ok(listing), Some(count)) => assert_eq!(listing.tokens.len(), count, "{pages:?}"),
            (Err(fault), None) => {
                assert_eq!((fault.class, fault.code), (Transient, Code::Unreadable), "{fault}");
            }
            (listed, _) => panic!("{pages:?}: {listed:?}"),
        }
        assert_eq!(fake.count(Kind::List), pages.len());
    }
    let fake = Fake::start().await;
    fake.script(Kind::List, vec![reply(200, two_of_three), reply(200, the_third)]);
    ask(&provider(&fake), Kind::List).await.unwrap();
    let second = &fake.seen(Kind::List)[1].target;
    assert!(second.ends_with("/scim-config/tokens/?limit=100&offset=2"), "{second}");
}

#[tokio::test]
async fn a_list_with_one_unreadable_token_is_no_list() {
    for bad in [
        r#"{"name":"n","created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":1}"#,
        r#"{"id":-1,"created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":"dbtc_value-canary-0123456789","created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":"$(id)","created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":1.5,"created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":"","created_at":"2026-11-01T00:00:00Z"}"#,
        r#"{"id":1,"created_at":"yesterday"}"#,
        r#"{"id":1,"created_at":"2026-11-01T00:00:00Z","last_used":"yesterday"}"#,
        &item(2),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::List, reply(200, format!(r#"{{"data":[{},{bad}]}}"#, item(2))));
        let fault = ask(&provider(&fake), Kind::List).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Transient, Code::Unreadable), "{bad}");
        assert!(!fault.to_string().contains("canary"), "{fault}");
    }
    // A name that nobody could type is nobody's; the token is listed all the same.
    let fake = Fake::start().await;
    let odd = item(2).replace("n2", "a\\u0007b");
    fake.always(Kind::List, reply(200, format!(r#"{{"data":[{odd}]}}"#)));
    let account = account();
    let listing = provider(&fake).list(call(&account)).await.unwrap();
    assert_eq!(listing.tokens[0].name, None);
}

#[tokio::test]
async fn a_lost_answer_leaves_a_change_in_doubt_and_a_list_repeated() {
    let body = created();
    let (begun, _) = body.split_at(90);
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{begun}");
    for (answer, code) in [
        (Answer::Drop, Code::Unavailable),
        (Answer::Hang, Code::Timeout),
        (Answer::Raw("HTTP/1.1 20".to_owned()), Code::Unavailable),
        (Answer::Raw(cut), Code::Unreadable),
    ] {
        for (kind, class) in KINDS.into_iter().zip([Transient, Ambiguous, Ambiguous]) {
            let fake = Fake::start().await;
            fake.always(kind, answer.clone());
            let mut settings = settings(&fake.url);
            if matches!(answer, Answer::Hang) {
                settings.request_timeout = Duration::from_secs(1);
            }
            let dbt_cloud = with_clock(settings, Arc::new(SystemClock));
            let fault = ask(&dbt_cloud, kind).await.unwrap_err();
            assert_eq!((fault.class, fault.code), (class, code), "{answer:?} to {kind:?}");
            if kind != Kind::List {
                assert_eq!(fake.count(kind), 1, "{answer:?}: a change is sent once");
            }
            let shown = format!("{fault} {fault:?}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
    let fake = Fake::start().await;
    fake.script(Kind::List, vec![Answer::Drop, reply(200, EMPTY)]);
    ask(&provider(&fake), Kind::List).await.unwrap();
    assert_eq!(fake.count(Kind::List), 2);
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent() {
    let mut fake = Fake::start().await;
    let dbt_cloud = provider(&fake);
    fake.stop().await;
    for kind in KINDS {
        let fault = ask(&dbt_cloud, kind).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Transient, Code::Unreachable));
        assert!(fault.detail.contains("nothing was sent"), "{fault}");
    }
}

#[tokio::test]
async fn a_429_shuts_the_whole_account_up_for_five_minutes_at_least() {
    for (asked, pause) in [(None, 300), (Some("10"), 300), (Some("900"), 900)] {
        let fake = Fake::start().await;
        let mut closed = reply(429, "").with("x-ratelimit-remaining", "0");
        if let Some(asked) = asked {
            closed = closed.with("retry-after", asked);
        }
        fake.always(Kind::Create, closed).always(Kind::List, reply(200, EMPTY));
        let (clock, metrics) = (Jumping::new(), Metrics::try_new().unwrap());
        let dbt_cloud = counting(settings(&fake.url), clock.clone(), &metrics);
        let fault = ask(&dbt_cloud, Kind::Create).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Transient, Code::Throttled));
        assert_eq!(fault.retry_after, Some(Duration::from_secs(pause)), "{asked:?}");
        assert_eq!(fake.total(), 1, "it is not sent again");
        // The next call is told at once how long the pause is.
        let before = clock.now();
        let fault = ask(&dbt_cloud, Kind::List).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Transient, Code::Throttled));
        assert!(fault.detail.contains("nothing was sent"), "{fault}");
        assert_eq!(fake.total(), 1, "nobody is asked in between");
        assert_eq!(fault.retry_after, Some(Duration::from_secs(pause)), "{asked:?}");
        assert_eq!(clock.now(), before, "it is not waited for inside the call");
        *clock.0.lock().unwrap() += Duration::from_secs(pause);
        ask(&dbt_cloud, Kind::List).await.unwrap();
        assert_eq!(throttled(&metrics, "warehouse"), Some(1.0), "the one that was answered");
        // Its answers are not documented to say what is left.
        assert_eq!(remaining(&metrics, "warehouse"), None);
    }
}
