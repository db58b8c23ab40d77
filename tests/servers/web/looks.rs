//! What is green, what is in sight, and in which order.

use chrono::TimeDelta;
use scimitar::{
    engine::live::Obstacle,
    error::Class,
    rotation::{
        pause::Pause,
        record::{Record, Survey},
    },
    token::ProviderName,
};

use super::{
    sample,
    site::{Stand, now},
};

/// The heading, and the shape before it.
fn heading(page: &str) -> (&str, &str) {
    let (_, rest) = page.split_once("<h1 id=\"standing\">").unwrap();
    let (_, rest) = rest.split_once("<use href=\"#").unwrap();
    let (look, rest) = rest.split_once('"').unwrap();
    let words = rest.split_once("</svg>").unwrap().1.split("</h1>").next().unwrap();
    (look, words)
}

#[tokio::test]
async fn only_what_is_known_to_be_healthy_is_green() {
    let new: Vec<Record> = (0..3)
        .map(|index| {
            let mut record = sample::empty(&format!("new-{index}"));
            record.wake_at = None;
            record
        })
        .collect();
    let stand = Stand::of(&new, &[]).await;
    assert_eq!(heading(&stand.page("/").await), ("new", "3 connections, not checked yet"));
    let mut paused = sample::quiet("paused", 5, 30);
    paused.pause = Some(Pause {
        since: now(),
        until: now() + TimeDelta::hours(8),
        by: "alice".to_owned(),
        reason: "tenant migration".to_owned(),
    });
    let stand = Stand::of(&[paused.clone()], &[]).await;
    assert_eq!(heading(&stand.page("/").await), ("paused", "All clear: 1 connection, 1 paused"));
    let some = [sample::quiet("well", 5, 30), paused, new[0].clone()];
    let stand = Stand::of(&some, &[]).await;
    assert_eq!(
        heading(&stand.page("/").await),
        ("healthy", "All clear: 3 connections, 1 paused, 1 not checked yet")
    );
    // What somebody should know although there is nothing to do is no all-clear.
    let mut stale = sample::quiet("stale", 5, 30);
    let at = now() - TimeDelta::days(1);
    stale.survey = Some(Survey { at, skew_ms: 0, tokens: Vec::new() });
    let noted = Stand::of(&[stale, sample::quiet("well", 5, 30)], &[]).await;
    let page = noted.page("/").await;
    assert_eq!(heading(&page), ("attention", "Nothing to do: 1 of 2 connections has a notice"));
    assert!(page.contains("<h2 id=\"attention-list\">Notices</h2>"), "{page}");
    // While the daemon is kept from its work, nobody knows.
    stand.live.blocked(Obstacle::Ledger, now(), "the ledger is full");
    assert_eq!(heading(&stand.page("/").await).0, "new");
    // That it runs says nothing of how connections are, and has no colour.
    stand.live.cleared(Obstacle::Ledger);
    let page = stand.page("/").await;
    assert!(page.contains("<p class=\"ready\">Daemon running</p>"), "{page}");
    // A sink that holds a token nobody can use any more is not well either.
    let stand = Stand::of(&[sample::expired("over"), sample::quiet("well", 5, 30)], &[]).await;
    for path in ["/?q=over", "/c/over"] {
        let page = stand.page(path).await;
        assert!(page.contains("<svg class=\"dot expired\""), "{page}");
        assert!(!page.contains("<svg class=\"dot delivered\" role"), "{page}");
    }
    let page = stand.page("/?q=well").await;
    assert!(page.contains("<svg class=\"dot delivered\" role"), "{page}");
}

#[tokio::test]
async fn a_token_that_is_gone_is_not_green_and_has_no_days_left() {
    let stand = Stand::of(&[sample::gone("lost"), sample::quiet("well", 5, 30)], &[]).await;
    // The list also explains its dots: those of rows have a role.
    for (path, of) in [("/?q=lost", " role"), ("/c/lost", "")] {
        let page = stand.page(path).await;
        assert!(page.contains(&format!("<svg class=\"dot gone\"{of}")), "{page}");
        assert!(!page.contains(&format!("<svg class=\"dot delivered\"{of}")), "{page}");
        let axis = "current token created 6 days ago, no longer exists at the provider";
        assert!(page.contains(axis) && !page.contains("expires in "), "{page}");
    }
    // It is named as what it is, not by what holds up its replacement.
    let page = stand.page("/").await;
    assert!(page.contains("token gone, its clients are locked out"), "{page}");
    let card = stand.page("/c/lost").await;
    assert!(card.contains("<td class=\"late\">gone <time datetime="), "{card}");
    // Whoever asks for what expires within a week has to see it.
    let week = stand.page("/?days=7").await;
    assert!(week.contains(">lost</a>") && !week.contains(">well</a>"), "{week}");
    // The moment that programs read is what the provider said when it was made.
    let rows = stand.page("/api/v1/connections?q=lost").await;
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let row = &rows["results"][0];
    assert!(row["expires_at"].as_str().unwrap() > "2026-12-01", "{row}");
    assert_eq!(row["sinks"][0]["state"], "delivered", "{row}");
    assert!(row["why"].as_str().unwrap().contains("no longer exists"), "{row}");
}

#[tokio::test]
async fn very_many_providers_are_folded_the_worst_in_sight() {
    let mut records: Vec<Record> = (0..20)
        .map(|index| {
            let mut record = sample::quiet(&format!("c{index:02}"), 5, 30);
            record.provider = ProviderName::try_new(format!("p{index:02}")).unwrap();
            record
        })
        .collect();
    let mut worst = sample::failed("worst", Class::Terminal);
    worst.provider = ProviderName::try_new("zeta").unwrap();
    records.push(worst);
    let stand = Stand::of(&records, &[]).await;
    let page = stand.page("/").await;
    let (shown, folded) = page.split_once("<summary>9 more</summary>").unwrap();
    assert!(shown.contains("?provider=zeta#connections") && shown.contains("?provider=p10#"));
    assert!(folded.contains("?provider=p11#connections"), "{page}");
    // What is chosen is in sight.
    let page = stand.page("/?provider=p19").await;
    let shown = page.split_once("<summary>9 more</summary>").unwrap().0;
    assert!(shown.contains("aria-current=\"true\" title=\"healthy\""), "{page}");
}

#[tokio::test]
async fn the_heads_of_columns_sort() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let page = stand.page("/?provider=acme&page=2").await;
    assert!(page.contains("<th scope=\"col\" class=\"c-state\" aria-sort=\"other\">"), "{page}");
    for (column, sort, order) in [
        ("c-name", "name", "ascending"),
        ("c-age", "age", "descending"),
        ("c-axis", "expiry", "ascending"),
        ("c-next", "next", "ascending"),
    ] {
        // It keeps the filters, and begins with the first page.
        let path = format!("/?provider=acme&sort={sort}");
        let link = format!(
            "<th scope=\"col\" class=\"{column}\"><a href=\"&#x2f;?provider=acme&amp;sort={sort}#connections\""
        );
        assert!(page.contains(&link), "{link}\n{page}");
        let sorted = stand.page(&path).await;
        let head = format!("<th scope=\"col\" class=\"{column}\" aria-sort=\"{order}\">");
        assert_eq!(sorted.matches(" aria-sort=").count(), 1, "{sorted}");
        assert!(sorted.contains(&head), "{head}\n{sorted}");
    }
}
