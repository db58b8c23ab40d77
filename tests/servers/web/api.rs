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
            "token_id": "tok_umbrella-entra_1",
            "previous_token_id": "tok_umbrella-entra_0",
            "expires_at": "2026-12-21T03:53:00Z",
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
