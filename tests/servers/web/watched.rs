//! Watched tokens on the page, in its API and in the metrics: by the same opinion as in `status`.

use std::sync::Arc;

use chrono::TimeDelta;
use scimitar::{
    engine::live::Watched,
    rotation::{policy::USUAL_NOTICE, status::WatchStatus, watch::Watch},
    token::ConnectionName,
};
use serde_json::Value;

use super::{
    sample,
    site::{Stand, now},
};

fn watch(name: &str, days: i64) -> Watch {
    Watch {
        name: ConnectionName::try_new(name).unwrap(),
        expires_at: now() + TimeDelta::days(days),
        owner: Some("identity team".to_owned()),
        note: Some("<b>two</b> people".to_owned()),
        link: Some("https://admin.example.com/scim#tokens".to_owned()),
        notify_before: USUAL_NOTICE.into_iter().collect(),
        shadowed: false,
    }
}

async fn api(stand: &Stand) -> Value {
    let (status, text) = stand.get("/api/v1/connections").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_watched_token_is_the_same_wherever_it_is_shown() {
    let stand = Stand::of(&[sample::quiet("c000", 6, 30)], &[]).await;
    assert_eq!(api(&stand).await.get("watched"), None, "there is none");
    assert!(!stand.page("/").await.contains("Watched tokens"));

    let all = [watch("far", 80), watch("soon", 9), watch("urgent", 1), watch("over", -3)];
    let hooks = Arc::default();
    stand.live.set_watched(Watched { tokens: all.to_vec().into(), hooks });
    let document = api(&stand).await;
    let rows = document["watched"].as_array().unwrap();
    let (_, metrics) = stand.get("/metrics").await;
    // No connection is like that, and none of the looks at the ledger is an old one.
    let page = stand.page("/?q=nothing").await;
    assert!(page.contains("<title>(3) Scimitar</title>"), "three need attention: {page}");
    assert!(page.contains("Watched tokens <span class=\"count\">4</span>"), "{page}");
    assert_eq!(rows.len(), all.len());
    for (watch, row) in all.iter().zip(rows) {
        let (name, shown) = (watch.name.as_str(), WatchStatus::of(watch, None, now()));
        assert_eq!(row["name"], name);
        assert_eq!(row["standing"], shown.standing());
        assert_eq!(row["why"], shown.why.as_str());
        assert_eq!(row["needs_person"], shown.needs_person);
        assert!(
            page.contains(&format!(
                "<th scope=\"row\">{name}</th><td>{}</td>",
                shown.standing().replace('_', " ")
            )),
            "{page}"
        );
        assert_eq!(
            page.contains(&format!("scimitar explain {name}")),
            shown.needs_person,
            "{name}"
        );
        let series = "scimitar_token_expiry_timestamp_seconds";
        let expiry = watch.expires_at.timestamp();
        let line = format!("{series}{{connection=\"{name}\",provider=\"[[watch]]\"}} {expiry}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(page.contains("&lt;b&gt;two&lt;&#x2f;b&gt; people"), "never as markup: {page}");
    assert!(!page.contains("<b>two"), "{page}");

    stand.live.set_watched(Watched::default());
    assert_eq!(api(&stand).await.get("watched"), None);
    assert!(!stand.page("/").await.contains("identity team"));
    assert!(!stand.get("/metrics").await.1.contains("[[watch]]"));
}

/// The picture of the coming days counts them with the expiries of connections.
#[tokio::test]
async fn a_watched_token_is_in_the_calendar() {
    let stand = Stand::of(&[], &[]).await;
    let tokens = [watch("soon", 9), watch("sooner", 9)].to_vec().into();
    stand.live.set_watched(Watched { tokens, hooks: Arc::default() });
    let page = stand.page("/").await;
    assert!(page.contains("Expiries, if nothing rotates <span class=\"quiet\">2</span>"), "{page}");
    assert!(page.contains("<title>Tue 1 Dec 2026: 2</title>"), "{page}");
}
