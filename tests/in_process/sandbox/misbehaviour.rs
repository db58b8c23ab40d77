//! Each fault does what it says, and only that.

use scimitar::{
    clock::Clock,
    sandbox::{Act, LateAnswer, Options, Rule},
};
use serde_json::{Value, json};

use super::support::{Bench, HandClock, OKTA, WAAD, send};

fn create(act: Act) -> Rule {
    Rule::new("POST", "/api/v2/", act).ending("/tokens").times(1)
}

fn list(act: Act) -> Rule {
    Rule::new("GET", "/api/v2/", act).ending("/tokens")
}

#[tokio::test]
async fn refusals_without_effect() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    for (act, status, retry, part) in [
        (Act::Throttle { retry_after: Some(7) }, 429, Some("7"), "too_many_requests"),
        (Act::Throttle { retry_after: None }, 429, None, "too_many_requests"),
        (Act::Status(500), 500, None, "\"statusCode\":500"),
        (Act::Status(503), 503, None, "Service Unavailable"),
        (Act::BadGateway, 502, None, "<html>"),
        (Act::NoConnection, 404, None, "inexistent_connection"),
        (Act::ScimNotConfigured, 404, None, "\"message\":\"Not Found\""),
        (Act::ScimUnsupported, 404, None, "does not support SCIM"),
    ] {
        faults.add(create(act.clone())).unwrap();
        let reply = bench.api("POST", &Bench::tokens(OKTA), Some(json!({}))).await;
        assert_eq!(reply.status, status, "{act:?}");
        assert_eq!(reply.header("retry-after"), retry, "{act:?}");
        assert!(reply.text.contains(part), "{act:?}: {}", reply.text);
        assert_eq!(bench.listed(OKTA).await.len(), 0, "{act:?}");
    }
    bench.mint(OKTA).await;
    faults.add(Rule::new("", "/oauth/", Act::Throttle { retry_after: Some(1) })).unwrap();
    assert_eq!(bench.log_in(&[]).await.json()["error_description"], "Client quota exceeded");
    faults.add(Rule::new("", "/scim/", Act::Status(503))).unwrap();
    let reply = bench.scim(None, "GET", &format!("{OKTA}/Users"), None).await;
    assert_eq!((reply.status, &reply.json()["status"]), (503, &json!("503")));
    faults.clear();
    assert_eq!(bench.log_in(&[]).await.status, 200);
}

#[tokio::test]
async fn answers_are_lost_before_and_after_the_effect() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    let path = Bench::tokens(OKTA);
    for (act, live) in [(Act::DropBefore, 0), (Act::DropAfter, 1), (Act::CutAfter(40), 2)] {
        faults.add(create(act.clone())).unwrap();
        let lost = bench.try_api("POST", &path, Some(json!({}))).await.unwrap_err();
        assert!(!lost.is_connect() && !lost.is_timeout(), "{act:?}: {lost:?}");
        assert_eq!(bench.listed(OKTA).await.len(), live, "{act:?}");
    }
    faults.add(create(Act::ErrorAfter)).unwrap();
    let reply = bench.api("POST", &Bench::tokens(WAAD), Some(json!({}))).await;
    assert_eq!((reply.status, bench.listed(WAAD).await.len()), (500, 1));
    faults.add(create(Act::Truncate)).unwrap();
    let reply = bench.api("POST", &Bench::tokens(WAAD), Some(json!({}))).await;
    assert_eq!((reply.status, reply.json()), (201, Value::Null));
    assert_eq!(bench.listed(WAAD).await.len(), 2);
}

#[tokio::test]
async fn only_the_nth_is_hit() {
    let bench = Bench::start().await;
    bench.running.faults().add(list(Act::Status(500)).nth(2)).unwrap();
    for status in [200, 500, 200] {
        assert_eq!(bench.api("GET", &Bench::tokens(OKTA), None).await.status, status);
        // What does not match is not counted.
        assert_eq!(bench.api("GET", "connections", None).await.status, 200);
    }
    let seen = bench.running.faults().requests();
    assert_eq!(seen.len(), 7);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/oauth/token"));
    assert_eq!(seen[1].path, format!("/api/v2/{}", Bench::tokens(OKTA)));
    bench.running.faults().forget_requests();
    assert_eq!(bench.running.faults().requests(), []);
}

#[tokio::test]
async fn held_requests_wait_for_their_release() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    let path = Bench::tokens(OKTA);
    for (act, meanwhile, after) in [(Act::HoldBefore, 0, 1), (Act::HoldAfter, 2, 2)] {
        faults.add(create(act.clone())).unwrap();
        let (reply, ()) = tokio::join!(bench.api("POST", &path, Some(json!({}))), async {
            faults.until_held(1).await;
            // With HoldAfter the effect takes place while it is held.
            while bench.listed(OKTA).await.len() != meanwhile {
                tokio::task::yield_now().await;
            }
            faults.release().await;
        });
        assert_eq!((reply.status, bench.listed(OKTA).await.len()), (201, after), "{act:?}");
    }
}

#[tokio::test]
async fn an_effect_comes_late_even_when_the_caller_has_left() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let faults = bench.running.faults();
    let path = Bench::tokens(OKTA);
    let late = |answer, after| create(Act::Late { answer, after });

    faults.add(late(LateAnswer::ServerError, None)).unwrap();
    assert_eq!(bench.api("POST", &path, Some(json!({}))).await.status, 500);
    assert_eq!(bench.listed(OKTA).await.len(), 0);
    faults.release().await;
    assert_eq!(bench.listed(OKTA).await.len(), 1);

    faults.add(late(LateAnswer::Dropped, Some(3600))).unwrap();
    bench.try_api("POST", &path, Some(json!({}))).await.unwrap_err();
    assert_eq!(bench.listed(OKTA).await.len(), 1);
    clock.advance(3600);
    // The hour is over, and the release returns once the effect has taken place.
    faults.release().await;
    assert_eq!(bench.listed(OKTA).await.len(), 2);
    let list = bench.api("GET", &path, None).await.json();
    let made = list[1]["created_at"].as_str().unwrap();
    assert_eq!(scimitar::clock::parse_timestamp(made), Some(clock.now()));

    // A caller that waits in silence gives up; the delete takes place all the same.
    let target = list[0]["token_id"].as_str().unwrap().to_owned();
    let act = Act::Late { answer: LateAnswer::Silence, after: None };
    faults.add(Rule::new("DELETE", "/api/", act).times(1)).unwrap();
    let deleting = format!("{path}/{target}");
    tokio::select! {
        reply = bench.try_api("DELETE", &deleting, None) => panic!("{reply:?} came too early"),
        () = faults.until_held(1) => {}
    }
    assert_eq!(bench.listed(OKTA).await.len(), 2);
    faults.release().await;
    assert_eq!(bench.listed(OKTA).await.len(), 1);
}

#[tokio::test]
async fn delays_follow_the_clock_of_the_sandbox() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    bench.running.faults().add(list(Act::Delay(90)).times(1)).unwrap();
    let path = Bench::tokens(OKTA);
    let call = bench.api("GET", &path, None);
    tokio::pin!(call);
    let mut passed = 0;
    let reply = loop {
        tokio::select! {
            reply = &mut call => break reply,
            () = async {
                // The request has come in before the clock is moved.
                while bench.running.faults().requests().len() < 2 {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
            } => {
                clock.advance(1);
                passed += 1;
            }
        }
    };
    assert_eq!(reply.status, 200);
    assert!(passed >= 90, "{passed}");
}

#[tokio::test]
async fn lists_and_log_ins_lag() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let faults = bench.running.faults();
    let (first, first_value) = bench.mint(OKTA).await;
    clock.advance(60);
    faults.add(list(Act::Lag(30))).unwrap();
    faults.add(Rule::new("", "/scim/", Act::Lag(30))).unwrap();
    let (second, second_value) = bench.mint(OKTA).await;
    bench.api("DELETE", &format!("{}/{first}", Bench::tokens(OKTA)), None).await;
    let users = format!("{OKTA}/Users?count=1");
    let status = async |value: &str| bench.scim(Some(value), "GET", &users, None).await.status;
    assert_eq!(bench.listed(OKTA).await, [first]);
    assert_eq!((status(&first_value).await, status(&second_value).await), (200, 401));
    clock.advance(30);
    assert_eq!(bench.listed(OKTA).await, [second]);
    assert_eq!((status(&first_value).await, status(&second_value).await), (401, 200));
}

#[tokio::test]
async fn lists_freeze_until_released() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    let (first, _) = bench.mint(OKTA).await;
    faults.add(list(Act::Freeze)).unwrap();
    let (second, _) = bench.mint(OKTA).await;
    bench.api("DELETE", &format!("{}/{first}", Bench::tokens(OKTA)), None).await;
    assert_eq!(bench.listed(OKTA).await, [first]);
    // The cap knows better than the list.
    bench.mint(OKTA).await;
    let path = Bench::tokens(OKTA);
    assert_eq!(bench.api("POST", &path, Some(json!({}))).await.status, 409);
    faults.release().await;
    assert!(bench.listed(OKTA).await.contains(&second));
}

#[tokio::test]
async fn answers_are_changed() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    let life = json!({ "token_lifetime": 1000 });
    faults.add(create(Act::ValidUntilOff(-61))).unwrap();
    let made = bench.api("POST", &Bench::tokens(OKTA), Some(life)).await.json();
    let at = |name: &str| scimitar::clock::parse_timestamp(made[name].as_str().unwrap()).unwrap();
    assert_eq!((at("valid_until") - at("created_at")).num_seconds(), 939);
    faults.add(list(Act::ExtraMembers)).unwrap();
    let listed = bench.api("GET", &Bench::tokens(OKTA), None).await.json();
    assert!(listed[0]["x_added_later"].is_object());
    assert_eq!(listed[0]["token_id"], made["token_id"]);
}

#[tokio::test]
async fn a_sandbox_process_takes_faults_over_http_only_when_enabled() {
    let order = json!({ "rules": [{ "path": "/api/", "act": { "status": 503 }, "count": 1 }],
                        "quirks": { "nulls": true } });
    let bench = Bench::start().await;
    let post = bench.client.post(bench.url("sandbox/faults")).json(&order);
    assert_eq!(send(post).await.unwrap().status, 404);

    let bench = Bench::with(Options { control: true, ..Options::default() }).await;
    let post = bench.client.post(bench.url("sandbox/faults")).json(&order);
    assert_eq!(send(post).await.unwrap().status, 204);
    for status in [503, 200] {
        assert_eq!(bench.api("GET", &Bench::tokens(OKTA), None).await.status, status);
    }
    bench.mint(OKTA).await;
    let listed = bench.api("GET", &Bench::tokens(OKTA), None).await;
    assert!(listed.text.contains("\"valid_until\":null"));
    let seen = send(bench.client.get(bench.url("sandbox/requests"))).await.unwrap().json();
    assert_eq!(seen.as_array().unwrap().len(), 5);
    assert!(!seen.to_string().contains(&bench.access));
    for (method, path) in
        [("DELETE", "sandbox/requests"), ("DELETE", "sandbox/faults"), ("POST", "sandbox/release")]
    {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = send(bench.client.request(method, bench.url(path))).await.unwrap();
        assert_eq!(reply.status, 204, "{path}");
    }
    let bad = bench.client.post(bench.url("sandbox/faults")).json(&json!({ "rule": [] }));
    assert_eq!(send(bad).await.unwrap().status, 400);
}
