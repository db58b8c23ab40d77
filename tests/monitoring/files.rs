//! The files in `monitoring/`, held to promtool and to what the documents say.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    prometheus::{promtool, promtool_accepts},
    site::read,
};

/// The values of a key in `alerts.yml`, which has each on a line of its own.
fn in_alerts(key: &str) -> Vec<String> {
    let text = read("monitoring/alerts.yml");
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    lines.map(|value| value.trim().to_owned()).collect()
}

#[test]
fn promtool_accepts_rules_and_configuration() {
    promtool_accepts(&["check", "rules", "--lint-fatal", "alerts.yml"], "");
    promtool_accepts(&["check", "config", "prometheus.yml"], "");
}

#[test]
fn each_alert_fires_in_its_case_and_only_then() {
    promtool_accepts(&["test", "rules", "alerts_test.yml"], "");
    let cases = read("monitoring/alerts_test.yml");
    for alert in in_alerts("- alert:") {
        let tested = cases.lines().filter(|line| line.ends_with(&format!("alertname: {alert}")));
        assert!(tested.count() > 0, "{alert} has no case");
    }
    // Every case asks before its time and behind it which alerts fire at all.
    let count = |text: &str| cases.matches(text).count();
    assert_eq!(count("expr: ALERTS{alertstate=\"firing\"}\n"), count("  - name: "));
    assert_eq!(
        count("expr: count by (alertname) (ALERTS{alertstate=\"firing\"})"),
        count("- name: ")
    );
}

#[test]
fn no_alert_fires_in_a_healthy_year() {
    promtool_accepts(&["test", "rules", "alerts_year_test.yml"], "");
}

#[test]
fn each_alert_has_its_section_and_says_what_to_do() {
    let alerts = in_alerts("- alert:");
    assert!(alerts.len() > 15);
    let document = read("docs/monitoring.md");
    let sections: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### Scimitar"))
        .map(|name| format!("Scimitar{name}"))
        .collect();
    assert_eq!(sections, alerts.iter().cloned().collect());
    let runbooks: Vec<String> =
        alerts.iter().map(|alert| format!("docs/monitoring.md#{}", alert.to_lowercase())).collect();
    assert_eq!(in_alerts("runbook:"), runbooks);
    let severities = in_alerts("severity:");
    assert_eq!(severities.len(), alerts.len());
    assert!(severities.iter().all(|word| word == "warning" || word == "critical"));
    for key in ["summary:", "description:"] {
        assert_eq!(in_alerts(key).len(), alerts.len(), "{key}");
    }
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "provider", "connection"]);
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{title}");
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
        let of_variable = "${datasource}";
        assert_eq!(panel["datasource"]["uid"], of_variable, "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], of_variable, "{title}");
        }
    }
}

#[test]
fn promtool_does_say_what_is_wrong() {
    assert!(!promtool(&["check", "rules", "prometheus.yml"], "").status.success());
    assert!(!promtool(&["test", "rules", "alerts.yml"], "").status.success());
}
