//! What is exported is well-formed, is really scraped, and has all that alerts and dashboard ask
//! for.

use std::collections::BTreeSet;

use scimitar::telemetry::metrics::Reader;
use serde_json::Value;

use super::{
    prometheus::{Prometheus, promtool, promtool_accepts},
    site::{Site, read},
};

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

/// The names that the tables of docs/monitoring.md explain.
fn documented() -> BTreeSet<String> {
    let document = read("docs/monitoring.md");
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let words = cells.flat_map(|cell| cell.split(['`', ',', ' ', '{']));
    words.filter(|word| word.starts_with("scimitar_")).map(str::to_owned).collect()
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

#[tokio::test]
async fn promtool_accepts_a_busy_and_complete_exposition() {
    for limit in [10_000, 1, 0] {
        let site = Site::rotated(limit);
        for reader in [Reader::Prometheus, Reader::NodeExporter] {
            let text = site.busy(reader).await;
            promtool_accepts(&["check", "metrics"], &text);
            let there = exported(&text);
            let missing: Vec<String> =
                documented().into_iter().filter(|name| !there.contains(name)).collect();
            match (limit, reader) {
                (10_000, Reader::Prometheus) => assert!(missing.is_empty(), "{missing:?}"),
                (10_000, Reader::NodeExporter) => {
                    assert_eq!(missing, ["scimitar_survey_interval_seconds"]);
                }
                (0, _) => assert!(missing.len() > 10, "{missing:?}"),
                (_, _) => assert!(missing.len() <= 1, "{missing:?}"),
            }
            for name in there.iter().filter(|name| name.starts_with("scimitar_")) {
                let of_it = |line: &str| line.starts_with(name) && !line.starts_with('#');
                assert!(text.lines().any(of_it), "{name} has no series");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_and_evaluates_every_expression() {
    let site = Site::rotated(10_000);
    let (daemon, address) = site.daemon();
    // Packed for those who ask for it, as Prometheus does; as it is for everybody else.
    let ask = |accepts: &'static str| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("http://{address}/metrics")).header("Accept-Encoding", accepts).send()
    };
    let packed = ask("gzip").await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.unwrap();
    let plain = ask("identity").await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none());
    let plain = plain.bytes().await.unwrap();
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() * 3 < plain.len());
    let server = Prometheus::scraping(address).await;
    server.until("up{job=\"scimitar\"} == 1").await;
    let tokens = server.until("scimitar_tokens{kind=\"current\"} == 1").await;
    assert_eq!(tokens.len(), 3, "{tokens:?}");
    server.until("count(scimitar_token_expiry_timestamp_seconds - time() > 29 * 86400) == 3").await;

    let known: BTreeSet<String> = exported(&site.busy(Reader::Prometheus).await)
        .into_iter()
        .chain(["up".to_owned()])
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
    // Each scrape has a connection of its own, and is not turned away; one may come too late.
    server.until("sum_over_time(up{job=\"scimitar\"}[10m]) > 4").await;
    server.until("avg_over_time(up{job=\"scimitar\"}[10m]) > 0.7").await;
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_of_the_daemon_becomes_an_alert_which_goes_with_it() {
    let site = Site::rotated(10_000);
    let (daemon, address) = site.daemon();
    let server = Prometheus::scraping(address).await;
    server.until("scimitar_config_last_reload_successful == 1").await;
    server.until("scimitar_config_differs == 0").await;
    server.until("absent(ALERTS)").await;
    // A mistake in the file.
    let good = site.configuration();
    site.configure(&good.replacen("rotate_before", "rotate_bfore", 1));
    daemon.signal("HUP");
    let alerts = server.until("ALERTS{alertname=\"ScimitarReloadFailed\"}").await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["metric"]["severity"], "warning");
    assert_eq!(alerts[0]["metric"]["instance"], address.to_string());
    // And the files are not what is in force, which is told where it stays so.
    server.until("scimitar_config_differs == 1").await;
    let waiting = "ALERTS{alertname=\"ScimitarConfigDiffers\",alertstate=\"pending\"}";
    assert_eq!(server.until(waiting).await.len(), 1);
    server.until("count(ALERTS) == 2").await;
    site.configure(&good);
    daemon.signal("HUP");
    server.until("absent(ALERTS)").await;
    // No daemon.
    daemon.signal("TERM");
    daemon.ended().exits(0);
    let alerts = server.until("ALERTS{alertname=\"ScimitarDaemonSilent\"}").await;
    assert_eq!(alerts[0]["metric"]["instance"], address.to_string());
}
