//! dbt Cloud's face: an account's tokens and its SCIM endpoint, as dbt Cloud describes them.

use reqwest::Method;
use scimitar::{
    clock::Clock,
    sandbox::{Act, Options, Rule},
    secret::Secret,
};
use serde_json::{Value, json};

use super::support::{Bench, HandClock, Reply, send};

const TOKENS: &str = "api/v3/accounts/12345/scim-config/tokens/";
const SCIM: &str = "api/v3/accounts/12345/scim/v2";

async fn admin(bench: &Bench, method: &str, path: &str, body: Option<Value>) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = bench.client.request(method, bench.url(path));
    request = request.header("authorization", "Token s3cret");
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await.unwrap()
}

async fn mint(bench: &Bench, name: &str) -> (String, String) {
    let reply = admin(bench, "POST", TOKENS, Some(json!({ "name": name }))).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let made = reply.json()["data"].clone();
    (made["id"].to_string(), made["token_string"].as_str().unwrap().to_owned())
}

async fn users(bench: &Bench, token: Option<&str>) -> Reply {
    let mut request = bench.client.get(bench.url(&format!("{SCIM}/Users?count=1")));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    send(request).await.unwrap()
}

#[tokio::test]
async fn tokens_are_made_with_a_name_listed_used_and_deleted() {
    let bench = Bench::start().await;
    let (first, value) = mint(&bench, "okta-scim").await;
    let (second, _) = mint(&bench, "okta-scim").await;
    assert_ne!(first, second, "two may have one name");
    assert_eq!(users(&bench, Some(&value)).await.status, 200);
    let list = admin(&bench, "GET", TOKENS, None).await.json();
    assert_eq!(list["status"]["is_success"], true);
    assert_eq!(list["extra"]["pagination"], json!({ "count": 2, "total_count": 2 }));
    let shown = &list["data"][0];
    let members: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "id", "last_used", "name"], "never a value");
    assert!(shown["last_used"].is_string() && list["data"][1]["last_used"].is_null());
    let one = admin(&bench, "GET", &format!("{TOKENS}{first}/"), None).await;
    assert_eq!((one.status, &one.json()["data"]), (200, shown));

    let gone = admin(&bench, "DELETE", &format!("{TOKENS}{first}/"), None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(users(&bench, Some(&value)).await.status, 401);
    for method in ["DELETE", "GET"] {
        let reply = admin(&bench, method, &format!("{TOKENS}{first}/"), None).await;
        assert_eq!(reply.status, 404, "{method}");
        assert_eq!(reply.json()["data"], Value::Null);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_dbt_clouds_words() {
    let client = Some(("rotator".to_owned(), Secret::new("s3cret".to_owned())));
    let bench = Bench::with(Options { client, ..Options::default() }).await;
    for body in [json!({}), json!({ "name": "" }), json!({ "name": "a", "life": 1 }), json!([])] {
        let reply = admin(&bench, "POST", TOKENS, Some(body)).await;
        assert_eq!((reply.status, reply.json()["status"]["code"].as_u64()), (400, Some(400)));
    }
    let elsewhere = TOKENS.replace("12345", "12346");
    assert_eq!(admin(&bench, "GET", &elsewhere, None).await.status, 404);
    assert_eq!(admin(&bench, "PUT", TOKENS, None).await.status, 405);
    // The slash is a part of the path.
    let reply = send(
        bench
            .client
            .get(bench.url(TOKENS.trim_end_matches('/')))
            .header("authorization", "Token s3cret"),
    )
    .await
    .unwrap();
    assert_eq!(reply.status, 200, "a client that follows redirects gets there: {}", reply.text);
    for header in ["Token wrong", "Bearer s3cret", "s3cret", "Token "] {
        let request = bench.client.get(bench.url(TOKENS)).header("authorization", header);
        let reply = send(request).await.unwrap();
        assert_eq!(reply.status, 401, "{header}");
        let said = reply.json()["status"]["user_message"].as_str().unwrap().to_owned();
        assert_eq!(said, "Unauthorized: Invalid or expired token.");
    }
    assert_eq!(users(&bench, None).await.status, 401);
    bench.running.faults().quirks(|quirks| quirks.dbt_bearer = true);
    let request = bench.client.get(bench.url(TOKENS)).bearer_auth("s3cret");
    assert_eq!(send(request).await.unwrap().status, 200);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::start().await;
    for nth in 0..5 {
        mint(&bench, &format!("n{nth}")).await;
    }
    bench.running.faults().quirks(|quirks| quirks.dbt_page = Some(2));
    for (query, names, count) in [
        ("", vec!["n0", "n1"], 2),
        ("?limit=100&offset=2", vec!["n2", "n3"], 2),
        ("?limit=1&offset=4", vec!["n4"], 1),
        ("?offset=5", vec![], 0),
    ] {
        let list = admin(&bench, "GET", &format!("{TOKENS}{query}"), None).await.json();
        let shown = list["data"].as_array().unwrap().iter();
        let shown: Vec<&str> = shown.map(|token| token["name"].as_str().unwrap()).collect();
        assert_eq!(shown, names, "{query}");
        assert_eq!(list["extra"]["pagination"], json!({ "count": count, "total_count": 5 }));
    }
}

#[tokio::test]
async fn whoever_passes_the_limit_is_shut_out_for_five_minutes() {
    let clock = HandClock::new();
    let options = Options { clock: clock.clone(), rate: Some((100.0, 2)), ..Options::default() };
    let bench = Bench::with(options).await;
    let before = clock.now();
    let status = async || admin(&bench, "GET", TOKENS, None).await.status;
    assert_eq!((status().await, status().await, status().await), (200, 200, 429));
    clock.advance(299);
    assert_eq!(status().await, 429, "whatever the limit would allow by now");
    clock.advance(1);
    assert_eq!(status().await, 200, "since {before}");
    assert_eq!(users(&bench, None).await.status, 401, "another limit is the endpoint's");
}

#[tokio::test]
async fn its_faults_have_the_shape_of_the_api_that_is_asked() {
    let bench = Bench::start().await;
    let faults = bench.running.faults();
    for (act, status) in [
        (Act::Status(404), 404),
        (Act::Status(500), 500),
        (Act::NoConnection, 404),
        (Act::Throttle { retry_after: Some(7) }, 429),
    ] {
        faults.add(Rule::new("", "/api/v3/", act.clone())).unwrap();
        let reply = admin(&bench, "GET", TOKENS, None).await;
        assert_eq!(reply.status, status, "{act:?}");
        assert_eq!(reply.json()["status"]["is_success"], false, "{act:?}: {}", reply.text);
        if matches!(act, Act::Status(_)) {
            let scim = users(&bench, None).await;
            assert_eq!(scim.json()["status"], status.to_string(), "{act:?}: {}", scim.text);
        }
        faults.clear();
    }
}

#[tokio::test]
async fn the_account_is_stored_beside_the_tenant_and_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: Some(folder.path().join("t")), ..Options::default() };
    let (id, value) = {
        let bench = Bench::with(options()).await;
        let made = mint(&bench, "kept").await;
        bench.running.stop().await;
        made
    };
    let bench = Bench::with(options()).await;
    let list = admin(&bench, "GET", TOKENS, None).await.json();
    assert_eq!(list["data"][0]["id"].to_string(), id);
    assert_eq!(users(&bench, Some(&value)).await.status, 200);
    let connections = bench.api("GET", "connections", None).await;
    assert!(!connections.text.contains("warehouse"), "{}", connections.text);
    let other = bench.scim(Some(&value), "GET", "con_okta000000000001/Users", None).await;
    assert_eq!(other.status, 401, "a token is its own connection's");
}
