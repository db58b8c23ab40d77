//! What is exported is well-formed, is really scraped, and has all that alerts and dashboard ask
//! for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    prometheus::{Prometheus, promtool, promtool_accepts},
    site::{Site, read},
};

/// What is asked for and not there in a quiet life: Prometheus' own, and what only trouble shows.
const BESIDE: [&str; 5] = [
    "up",
    "scimitar_handoff_waiting_since_timestamp_seconds",
    "scimitar_hook_runs_total",
    "scimitar_provider_rate_limit_remaining",
    "scimitar_revocation_pending_since_timestamp_seconds",
];

/// The names of metrics in an expression.
fn names(expression: &str) -> BTreeSet<&str> {
    let outside: Vec<&str> = expression.split('"').step_by(2).collect();
    let words = outside.into_iter().flat_map(|part| {
        part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
    });
    words
        .filter(|word| {
            *word == "up" || word.starts_with("scimitar_") || word.starts_with("process_")
        })
        .collect()
}

/// The names that an exposition has, with those of the parts of its histograms.
fn exported(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        found.insert(name.to_owned());
        if kind == "histogram" {
            found.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        }
    }
    found
}

/// Every expression of the dashboard, as Grafana would send it with everything selected.
fn of_the_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets
        .map(|target| {
            let expression = target["expr"].as_str().unwrap();
            expression
                .replace("$provider", ".*")
                .replace("$connection", ".*")
                .replace("$__rate_interval", "5m")
        })
        .collect()
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_any_exposition() {
    for limit in [10_000, 1, 0] {
        let site = Site::rotated(limit);
        for text in [site.exposition().await, site.textfile()] {
            promtool_accepts(&["check", "metrics"], &text);
            assert!(!text.contains("tok_"), "{text}");
        }
    }
    // It does look.
    assert!(!promtool(&["check", "metrics"], "a_total{b=\"c} 1\n").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_it_and_understands_every_expression() {
    let site = Site::rotated(10_000);
    let server = Prometheus::scraping(site.serve().await).await;
    server.until("up{job=\"scimitar\"} == 1").await;
    let tokens = server.until("scimitar_tokens{kind=\"current\"} == 1").await;
    assert_eq!(tokens.len(), 3, "{tokens:?}");
    let expiring = server.query("scimitar_token_expiry_timestamp_seconds - time() > 29 * 86400");
    assert_eq!(expiring.await.len(), 3);

    let known: BTreeSet<String> = [exported(&site.exposition().await), exported(&site.textfile())]
        .into_iter()
        .flatten()
        .chain(BESIDE.map(str::to_owned))
        .collect();
    let dashboard = of_the_dashboard();
    assert!(dashboard.len() > 30, "{}", dashboard.len());
    let rules = server.rules().await;
    assert!(rules.len() > 15, "{}", rules.len());
    let of_rules = rules.iter().map(|rule| {
        assert_eq!(rule["health"], "ok", "{rule}");
        rule["query"].as_str().unwrap().to_owned()
    });
    for expression in dashboard.into_iter().chain(of_rules) {
        server.query(&expression).await;
        let asked = names(&expression);
        assert!(!asked.is_empty(), "{expression}");
        for name in asked {
            assert!(known.contains(name), "{name}: {expression}");
        }
    }
    // Nothing is wrong here: what the rules saw before the first scrape has passed, and no alert is
    // on its way.
    server.until("absent(ALERTS)").await;
}
