//! Several servers on one folder, as several one-shots with an embedded sandbox are.

use std::{fs, path::Path};

use scimitar::sandbox::{self, Options, Sandbox, StartError};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, OKTA};

async fn on(folder: &Path) -> Bench {
    Bench::with(Options { data_dir: Some(folder.to_owned()), ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_creates_at_once_on_two_servers_two_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let benches = [on(folder.path()).await, on(folder.path()).await];
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let bench = &benches[number % 2];
        let request = bench
            .client
            .post(bench.url(&format!("api/v2/{}", Bench::tokens(OKTA))))
            .bearer_auth(&bench.access)
            .json(&json!({}));
        calls.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = calls.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409, 409, 409, 409, 409]);
    assert_eq!(benches[0].listed(OKTA).await, benches[1].listed(OKTA).await);
}

#[tokio::test]
async fn a_second_run_finds_the_first_ones_tokens_but_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/tenant");
    let first = on(&path).await;
    let (id, value) = first.mint(OKTA).await;
    let user = json!({ "userName": "joan@example.com" });
    let users = format!("{OKTA}/Users");
    assert_eq!(first.scim(Some(&value), "POST", &users, Some(user)).await.status, 201);
    let access = first.access.clone();
    first.running.stop().await;

    let mut second = on(&path).await;
    // Even the log-in of the first run is good still.
    second.access.clone_from(&access);
    assert_eq!(second.listed(OKTA).await, [id]);
    let found = second.scim(Some(&value), "GET", &users, None).await.json();
    assert_eq!(found["totalResults"], 4);
    for file in fs::read_dir(&path).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let secret = value.split_once('.').unwrap().1;
        assert!(!text.contains(secret) && !text.contains(&access));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let options = Options { data_dir: Some(file.join("tenant")), ..Options::default() };
    let refused = Sandbox::start(options).await.unwrap_err();
    assert!(matches!(refused, StartError::Folder { .. }));
    assert!(refused.to_string().contains("file/tenant"), "{refused}");
}

#[tokio::test]
async fn after_stop_nobody_listens() {
    let bench = Bench::start().await;
    let url = bench.url("oauth/token");
    let client = bench.client.clone();
    bench.running.stop().await;
    assert!(client.post(&url).send().await.unwrap_err().is_connect());
    // Dropping is enough, too.
    let address = {
        let running = Sandbox::start(Options::default()).await.unwrap();
        running.url()
    };
    let mut refused = false;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        refused = client.get(address.clone()).send().await.is_err();
        if refused {
            break;
        }
    }
    assert!(refused);
}

#[tokio::test]
async fn a_tenant_of_its_own_says_where_it_is_and_ends_when_told() {
    let stop = CancellationToken::new();
    let (say, said) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(sandbox::serve(Options::default(), stop.clone(), |url| {
        say.send(url.clone()).unwrap();
    }));
    let url = said.await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(url.clone()).send().await.unwrap().status(), 404);
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert!(client.get(url).send().await.unwrap_err().is_connect());
}
