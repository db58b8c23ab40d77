//! Lives, uses, slots over time, and the request limit.

use scimitar::{
    clock::{Clock, rfc3339},
    sandbox::{Expired, Options},
};
use serde_json::json;

use super::support::{Bench, HandClock, OKTA, WAAD};

#[tokio::test]
async fn a_token_lives_as_long_as_asked_and_then_holds_no_slot() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let users = format!("{OKTA}/Users?count=1");
    let wanted = json!({ "scopes": ["get:users"], "token_lifetime": 3600 });
    let (first, value) = bench.mint_with(OKTA, wanted).await;
    bench.mint(OKTA).await;
    let list = bench.api("GET", &Bench::tokens(OKTA), None).await.json();
    let until = scimitar::clock::parse_timestamp(list[0]["valid_until"].as_str().unwrap()).unwrap();
    assert_eq!(until, clock.now() + chrono::TimeDelta::hours(1));
    assert_eq!(list[1].get("valid_until"), None);

    clock.advance(3599);
    assert_eq!(bench.scim(Some(&value), "GET", &users, None).await.status, 200);
    clock.advance(1);
    let refused = bench.scim(Some(&value), "GET", &users, None).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert!(bench.listed(OKTA).await.contains(&first), "expired ones are listed for an hour");
    bench.mint(OKTA).await;
    assert_eq!(bench.listed(OKTA).await.len(), 3);
    clock.advance(3600);
    assert!(!bench.listed(OKTA).await.contains(&first));
}

#[tokio::test]
async fn expired_tokens_can_be_told_to_vanish_or_to_count() {
    for (expired, listed, third) in
        [(Expired::Listed, 2, 201), (Expired::Dropped, 1, 201), (Expired::Counted, 2, 409)]
    {
        let clock = HandClock::new();
        let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
        bench.running.faults().quirks(|quirks| quirks.expired = expired);
        let (first, _) = bench.mint_with(OKTA, json!({ "token_lifetime": 901 })).await;
        bench.mint(OKTA).await;
        clock.advance(901);
        assert_eq!(bench.listed(OKTA).await.len(), listed, "{expired:?}");
        let path = Bench::tokens(OKTA);
        let reply = bench.api("POST", &path, Some(json!({}))).await;
        assert_eq!(reply.status, third, "{expired:?}");
        if expired == Expired::Counted {
            let path = format!("{path}/{first}");
            assert_eq!(bench.api("DELETE", &path, None).await.status, 204);
            bench.mint(OKTA).await;
        }
    }
}

#[tokio::test]
async fn uses_are_noted_as_coarsely_and_as_late_as_told() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let (_, value) = bench.mint(OKTA).await;
    let used = async || {
        let list = bench.api("GET", &Bench::tokens(OKTA), None).await.json();
        list[0].get("last_used_at").map(|at| {
            let at = scimitar::clock::parse_timestamp(at.as_str().unwrap()).unwrap();
            (clock.now() - at).num_seconds()
        })
    };
    let call = async || {
        let users = format!("{OKTA}/Users?count=1");
        assert_eq!(bench.scim(Some(&value), "GET", &users, None).await.status, 200);
    };
    assert_eq!(used().await, None);
    call().await;
    assert_eq!(used().await, Some(0));
    clock.advance(5);
    call().await;
    assert_eq!(used().await, Some(0));
    bench.running.faults().quirks(|quirks| quirks.use_grain = 60);
    clock.advance(59);
    call().await;
    assert_eq!(used().await, Some(59), "within the grain only the first use is noted");
    bench.running.faults().quirks(|quirks| quirks.use_delay = 300);
    assert_eq!(used().await, None, "the mark is not in the list yet");
    clock.advance(300);
    assert_eq!(used().await, Some(359));
}

#[tokio::test]
async fn the_limit_is_shown_and_enforced() {
    let clock = HandClock::new();
    let options = Options { clock: clock.clone(), rate: Some((0.5, 2)), ..Options::default() };
    let bench = Bench::with(options).await;
    let now = clock.now().timestamp();
    let path = Bench::tokens(OKTA);
    let headers = async |status: u16, expected: [Option<i64>; 4]| {
        let reply = bench.api("GET", &path, None).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        let names =
            ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"];
        let found = names.map(|name| reply.header(name).map(|text| text.parse().unwrap()));
        assert_eq!(found, expected);
        reply
    };
    headers(200, [Some(2), Some(1), Some(now), None]).await;
    headers(200, [Some(2), Some(0), Some(now + 2), None]).await;
    let reply = headers(429, [Some(2), Some(0), Some(now + 2), Some(2)]).await;
    assert_eq!(
        reply.json(),
        json!({
            "statusCode": 429,
            "error": "Too Many Requests",
            "message": "Global limit has been reached",
            "errorCode": "too_many_requests",
        })
    );
    clock.advance(2);
    headers(200, [Some(2), Some(0), Some(now + 4), None]).await;
    // The log-in and the SCIM endpoint have limits of their own, which are not served here.
    assert_eq!(bench.log_in(&[]).await.status, 200);
}

#[tokio::test]
async fn without_a_limit_no_headers_speak_of_one() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let reply = bench.api("GET", &Bench::tokens(OKTA), None).await;
    assert_eq!(reply.header("x-ratelimit-limit"), None);
    let date = reply.header("date").unwrap();
    let date = chrono::DateTime::parse_from_rfc2822(date).unwrap();
    assert_eq!(rfc3339(date.to_utc()), rfc3339(clock.now()), "Date is the tenant's own clock");
}

#[tokio::test]
async fn very_many_connections_are_served() {
    let bench = Bench::with(Options { connections: 100_000, ..Options::default() }).await;
    let mut path = "connections-scim-configurations?take=100".to_owned();
    for _ in 0..3 {
        let page = bench.api("GET", &path, None).await.json();
        assert_eq!(page["scim_configurations"].as_array().unwrap().len(), 100);
        let next = page["next"].as_str().unwrap();
        path = format!("connections-scim-configurations?take=100&from={next}");
    }
    bench.mint("con_0000000000099999").await;
    bench.mint(WAAD).await;
    let reply = bench.api("GET", "connections?include_totals=true&per_page=1", None).await;
    assert_eq!(reply.json()["total"], 100_003);
}

#[tokio::test]
async fn a_limit_that_lets_nothing_through_is_refused() {
    for rate in [(0.0, 5), (f64::NAN, 5), (1.0, 0)] {
        let options = Options { rate: Some(rate), ..Options::default() };
        scimitar::sandbox::Sandbox::start(options).await.unwrap_err();
    }
}
