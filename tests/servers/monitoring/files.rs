//! The files in `monitoring/`, held to promtool and to what the documents say.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{
    prometheus::{promtool, promtool_accepts},
    site::{of_project, read},
};

/// What stands for the place of the operator's copy of `docs/`.
const RUNBOOKS: &str = "https://scimitar.example/docs";

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
fn the_alerts_for_a_cron_job_fire_in_their_cases_and_only_then() {
    promtool_accepts(&["check", "rules", "--lint-fatal", "alerts_cronjob.yml"], "");
    promtool_accepts(&["test", "rules", "alerts_cronjob_test.yml"], "");
    let rules = read("monitoring/alerts_cronjob.yml");
    let cases = read("monitoring/alerts_cronjob_test.yml");
    let document = read("docs/container.md");
    let mut alerts = 0;
    for alert in rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")) {
        alerts += 1;
        assert!(cases.contains(&format!("alertname: {alert}\n")), "{alert} has no case");
        assert!(document.contains(&format!("| {alert} |")), "{alert} is not explained");
    }
    assert_eq!(alerts, 2);
    // The CronJob is called so.
    let manifest = read("container/kubernetes/cronjob.yaml");
    assert!(manifest.contains("kind: CronJob\nmetadata:\n  name: scimitar\n"), "{manifest}");
    assert_eq!(rules.matches("cronjob=\"").count(), rules.matches("cronjob=\"scimitar\"").count());
}

/// What Prometheus finds out about a pod's container, as Kubernetes would tell it.
fn container(address: &str, name: &str, port: Option<u16>, phase: &str) -> String {
    let port = port.map(|port| format!("__meta_kubernetes_pod_container_port_number: '{port}', "));
    format!(
        "      - targets: ['{address}']\n        labels: {{ \
         __meta_kubernetes_pod_container_name: '{name}', {}\
         __meta_kubernetes_pod_phase: '{phase}', __meta_kubernetes_namespace: 'identity', \
         __meta_kubernetes_pod_name: 'pod-{name}' }}\n",
        port.unwrap_or_default()
    )
}

#[test]
fn the_job_for_kubernetes_finds_the_daemon_and_nothing_else() {
    // Debian's promtool knows no Kubernetes: it is told what that would say.
    let text = read("monitoring/prometheus_kubernetes.yml");
    let found = [
        container("10.0.0.1:9469", "scimitar", Some(9469), "Running"),
        container("10.0.0.2:8080", "application", Some(8080), "Running"),
        container("10.0.0.2:9469", "application", Some(9469), "Running"),
        // A CronJob's has no port, and stays when it has ended.
        container("10.0.0.3", "scimitar", None, "Running"),
        container("10.0.0.4:9469", "scimitar", Some(9469), "Succeeded"),
    ];
    let asks = "    kubernetes_sd_configs:\n      - role: pod\n";
    assert!(text.contains(asks), "{text}");
    let text = text.replace(asks, &format!("    static_configs:\n{}", found.concat()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    fs::write(&path, text).unwrap();
    fs::copy(of_project("monitoring/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    let path = path.to_str().unwrap();
    promtool_accepts(&["check", "config", path], "");
    let said = promtool(&["check", "service-discovery", "--timeout=1s", path, "scimitar"], "");
    assert!(said.status.success(), "{said:?}");
    let targets: Value = serde_json::from_slice(&said.stdout).unwrap();
    let targets = targets.as_array().unwrap();
    assert_eq!(targets.len(), found.len(), "{targets:?}");
    let kept: Vec<&Value> = targets
        .iter()
        .map(|target| &target["labels"])
        .filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty()))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    for (label, value) in [
        ("job", "scimitar"),
        ("instance", "10.0.0.1:9469"),
        ("namespace", "identity"),
        ("pod", "pod-scimitar"),
        ("__metrics_path__", "/metrics"),
        ("__scrape_timeout__", "50s"),
    ] {
        assert_eq!(kept[0][label], value, "{label}");
    }
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
    // Each leads to its own section, below a base that the operator replaces.
    let runbooks: Vec<String> = alerts
        .iter()
        .map(|alert| format!("{RUNBOOKS}/monitoring.md#{}", alert.to_lowercase()))
        .collect();
    assert_eq!(in_alerts("runbook_url:"), runbooks);
    let how = format!("sed -i 's|{RUNBOOKS}|https://wiki.example.com/scimitar|' alerts.yml");
    for file in ["monitoring/alerts.yml", "docs/monitoring.md"] {
        assert!(read(file).contains(&how), "{file} says how the base is replaced");
    }
    let severities = in_alerts("severity:");
    assert_eq!(severities.len(), alerts.len());
    assert!(severities.iter().all(|word| word == "warning" || word == "critical"));
    for key in ["summary:", "description:"] {
        assert_eq!(in_alerts(key).len(), alerts.len(), "{key}");
    }
}

#[test]
fn the_alerts_for_a_cron_job_lead_to_a_section() {
    let rules = read("monitoring/alerts_cronjob.yml");
    let runbooks: Vec<&str> =
        rules.lines().filter_map(|line| line.trim_start().strip_prefix("runbook_url: ")).collect();
    let section = format!("{RUNBOOKS}/container.md#monitoring");
    assert_eq!(runbooks, [section.as_str(); 2]);
    assert!(read("docs/container.md").lines().any(|line| line.ends_with("# Monitoring")));
}

/// Where the rules are in the manifest, indented.
const SPEC: &str = "\nspec:\n";

#[test]
fn the_rule_for_the_operator_holds_the_same_alerts() {
    let name = "monitoring/prometheus_rule.yaml";
    let alerts = read("monitoring/alerts.yml");
    let (_, groups) = alerts.split_once("\ngroups:\n").unwrap();
    let groups = format!("groups:\n{groups}");
    let indented = |line: &str| if line.is_empty() { line.to_owned() } else { format!("  {line}") };
    let rules: Vec<String> = groups.lines().map(indented).collect();
    let kept = read(name);
    let (head, _) = kept.split_once(SPEC).unwrap();
    let wanted = format!("{head}{SPEC}{}\n", rules.join("\n"));
    if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
        fs::write(of_project(name), wanted).unwrap();
        return;
    }
    assert!(
        kept == wanted,
        "{name} is not alerts.yml; to write it anew: \
         UPDATE_ARTEFACTS=1 cargo test --test servers monitoring::files"
    );
    assert!(
        head.contains("apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"),
        "{head}"
    );
    // What the operator loads is what it finds under `spec`.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let (_, spec) = kept.split_once(SPEC).unwrap();
    let spec: Vec<&str> = spec.lines().map(|line| line.get(2..).unwrap_or_default()).collect();
    fs::write(&path, spec.join("\n")).unwrap();
    promtool_accepts(&["check", "rules", "--lint-fatal", path.to_str().unwrap()], "");
}

#[test]
fn the_monitors_for_the_operator_find_the_daemon() {
    let monitor = read("monitoring/pod_monitor.yaml");
    let deployment = read("container/kubernetes/deployment.yaml");
    assert!(
        monitor.contains("apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\n"),
        "{monitor}"
    );
    let label = "app.kubernetes.io/name: scimitar\n";
    assert!(monitor.contains(&format!("matchLabels:\n      {label}")), "{monitor}");
    assert!(deployment.contains(label), "{deployment}");
    assert!(monitor.contains("    - port: http\n"), "{monitor}");
    assert!(
        deployment.contains("- name: http\n              containerPort: 9469\n"),
        "{deployment}"
    );
    // The alerts look for this job, and a slow scrape has the time that prometheus.yml gives it.
    assert!(monitor.contains("- targetLabel: job\n          replacement: scimitar\n"), "{monitor}");
    let timeout = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
        line.map(|value| value.trim().to_owned()).unwrap()
    };
    let prometheus = read("monitoring/prometheus_kubernetes.yml");
    assert_eq!(timeout(&monitor, "scrapeTimeout:"), timeout(&prometheus, "scrape_timeout:"));
    // Who selects ServiceMonitors has the same, by a Service without an address.
    let both = read("monitoring/service_monitor.yaml");
    let (service, by_service) = both.split_once("---\n").unwrap();
    assert!(
        service.contains("kind: Service\n") && service.contains("  clusterIP: None\n"),
        "{both}"
    );
    assert!(service.contains(&format!("  selector:\n    {label}")), "{service}");
    assert!(
        service.contains("    - name: http\n      port: 9469\n      targetPort: http\n"),
        "{both}"
    );
    assert!(
        by_service.starts_with("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\n"),
        "{by_service}"
    );
    assert!(by_service.contains(&format!("matchLabels:\n      {label}")), "{by_service}");
    let endpoints = |text: &str, key: &str| text.split_once(key).unwrap().1.to_owned();
    assert_eq!(
        endpoints(by_service, "endpoints:\n"),
        endpoints(&monitor, "podMetricsEndpoints:\n")
    );
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
