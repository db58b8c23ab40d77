//! The rows as JSON.

use serde_json::{Value, json};

use super::{sample, site::Stand};

#[tokio::test]
async fn the_rows_are_in_the_order_of_the_files_and_as_documented() {
    let gallery = sample::gallery();
    let stand = Stand::of(&gallery, &[sample::left()]).await;
    let (status, text) = stand.get("/api/v1/connections").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("}\n"));
    let document: Value = serde_json::from_str(&text).unwrap();
    let head: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(head, ["error", "exit_status", "finished_at", "results", "schema", "started_at"]);
    assert_eq!(document["started_at"], "2026-11-22T04:00:00Z");
    let rows = document["results"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["connection"].as_str().unwrap()).collect();
    let expected: Vec<_> = gallery.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, expected);
    let outcomes: Vec<_> = rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        [
            "unchanged",
            "waiting",
            "failed",
            "failed",
            "refused",
            "unchanged",
            "waiting",
            "unchanged",
            "failed",
            "unchanged",
            "unchanged"
        ]
    );
    assert_eq!(
        rows[1],
        json!({
            "connection": "umbrella-entra",
            "connection_id": "con_umbrella-entra",
            "provider": "acme",
            "outcome": "waiting",
            "reason": "overlap",
            "why": rows[1]["why"],
            "phase": "retiring",
            "mode": "rotate",
            "token_id": "tok_umbrella-entra_1",
            "previous_token_id": "tok_umbrella-entra_0",
            "created_at": "2026-11-21T03:53:00Z",
            "expires_at": "2026-12-21T03:53:00Z",
            "last_used_at": "2026-11-22T03:00:00Z",
            "scopes": [],
            "retry_at": null,
            "next_at": "2026-12-11T03:53:00Z",
            "revoke_after": "2026-11-24T04:00:01Z",
            "sinks": [
                { "sink": "disk", "location": "/run/scimitar/umbrella-entra.token", "version": "7", "state": "delivered" },
                { "sink": "vault", "location": "secret/scim/umbrella-entra", "version": "7", "state": "delivered" },
            ],
            "warnings": [],
            "error": null,
        })
    );
}

#[tokio::test]
async fn without_connections_there_are_no_rows() {
    let stand = Stand::of(&[], &[]).await;
    let (_, text) = stand.get("/api/v1/connections").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["results"], &document["exit_status"]), (&json!([]), &json!(0)));
}

async fn names(stand: &Stand, query: &str) -> Vec<String> {
    let (status, text) = stand.get(&format!("/api/v1/connections{query}")).await;
    assert_eq!(status, 200, "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let rows = document["results"].as_array().unwrap().iter();
    rows.map(|row| row["connection"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn rows_are_filtered_and_sorted_as_on_the_page() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    assert_eq!(names(&stand, "?state=refused").await, ["stark-industries-production-eu-central"]);
    // In the order of the files unless another is asked for.
    assert_eq!(
        names(&stand, "?state=failed").await,
        ["hooli-okta", "globex-okta", "cyberdyne-okta"]
    );
    assert_eq!(
        names(&stand, "?state=failed&sort=expiry").await,
        ["cyberdyne-okta", "globex-okta", "hooli-okta"]
    );
    assert_eq!(names(&stand, "?days=5&q=globex&provider=acme").await, ["globex-okta"]);
    assert_eq!(names(&stand, "?cause=permission-missing%40acme").await, ["globex-okta"]);
    assert_eq!(names(&stand, "?sink=elsewhere").await, [""; 0]);
    assert_eq!(names(&stand, "?mode=observe").await, [""; 0]);
    // A program that misspells a value is not given everything.
    for query in ["?state=broken", "?days=soon", "?mode=x", "?sort=x", "?q=a&q=b"] {
        let (status, text) = stand.get(&format!("/api/v1/connections{query}")).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &document["exit_status"]), (400, &json!(2)), "{query}: {text}");
        assert_eq!(document["error"]["class"], "usage");
        assert_eq!(document["results"], json!([]));
    }
}

#[tokio::test]
async fn one_connection_has_an_address_of_its_own() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let (_, all) = stand.get("/api/v1/connections").await;
    let all: Value = serde_json::from_str(&all).unwrap();
    for row in all["results"].as_array().unwrap() {
        let name = row["connection"].as_str().unwrap();
        let (status, text) = stand.get(&format!("/api/v1/connections/{name}")).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &document["results"]), (200, &json!([row])), "{name}");
    }
    assert_eq!(all["results"][3]["retry_at"], "2026-11-22T04:12:00Z");
    let (status, text) = stand.get("/api/v1/connections/nobody").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 404);
    assert_eq!(document["error"]["message"], "no connection named \"nobody\"");
}
