//! The chart: linted and rendered by Helm's own SDK, held to Kubernetes' schemas, and compared with the
//! manifests of `container/kubernetes`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::venv;

/// A set of values for each mode in `charts/scimitar/ci`, with the release's name and the manifest that
/// it makes the same pod as.
const MODES: [(&str, &str, Option<&str>); 5] = [
    ("deployment", "scimitar", Some("deployment.yaml")),
    ("replicas", "scimitar", Some("replicas.yaml")),
    ("sidecar", "application", Some("sidecar.yaml")),
    ("cronjob", "scimitar", Some("cronjob.yaml")),
    ("everything", "scimitar", None),
];

/// The alerts that the chart carries: Helm takes no file from outside of it.
const ALERTS: [&str; 2] = ["alerts.yml", "alerts_cronjob.yml"];

/// What the Prometheus operator adds to a cluster: not among Kubernetes' own schemas.
const OF_THE_OPERATOR: &str = "monitoring.coreos.com/v1";

/// A file of YAML as JSON.
const AS_JSON: &str =
    "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    root().join("charts/scimitar")
}

fn python(arguments: &[&str], folder: &Path) -> Value {
    let mut command = Command::new(venv::helm().join("python"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn helm(arguments: &[&str], folder: &Path) -> Value {
    helm_of(&chart(), arguments, folder)
}

fn helm_of(chart: &Path, arguments: &[&str], folder: &Path) -> Value {
    let script = root().join("tests/system/container/helm.py");
    let fixed = [script.to_str().unwrap(), chart.to_str().unwrap()];
    python(&[&fixed, arguments].concat(), folder)
}

fn rendered(mode: &str, release: &str) -> Value {
    let values = chart().join(format!("ci/{mode}-values.yaml"));
    let answer = helm(&[release, values.to_str().unwrap()], root());
    assert_eq!(answer["refused"], Value::Null, "{mode}");
    answer
}

/// What Helm says of values that it does not take.
fn refusal(values: &Value) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("values.yaml");
    fs::write(&path, values.to_string()).unwrap();
    let answer = helm(&["scimitar", path.to_str().unwrap()], root());
    answer["refused"].as_str().unwrap_or_else(|| panic!("{values} is taken")).to_owned()
}

fn of<'a>(documents: &'a Value, kind: &str) -> &'a Value {
    let mut found = documents.as_array().unwrap().iter().filter(|one| one["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}: {documents}"));
    assert!(found.next().is_none(), "more than one {kind}");
    one
}

fn has(documents: &Value, kind: &str) -> bool {
    documents.as_array().unwrap().iter().any(|one| one["kind"] == kind)
}

fn manifest(name: &str) -> Value {
    let path = root().join("container/kubernetes").join(name);
    python(&["-c", AS_JSON, path.to_str().unwrap()], root())
}

fn pod(documents: &Value) -> Value {
    if has(documents, "CronJob") {
        return of(documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    }
    of(documents, "Deployment")["spec"]["template"]["spec"].clone()
}

/// Without what a chart adds on purpose: the release's name in selectors, when to pull; and with no order
/// where there is none.
fn comparable(mut pod: Value) -> Value {
    for container in pod["containers"].as_array_mut().unwrap() {
        container.as_object_mut().unwrap().remove("imagePullPolicy");
        sort(&mut container["volumeMounts"]);
    }
    sort(&mut pod["volumes"]);
    for spread in pod["topologySpreadConstraints"].as_array_mut().into_iter().flatten() {
        let labels = spread["labelSelector"]["matchLabels"].as_object_mut().unwrap();
        labels.remove("app.kubernetes.io/instance");
    }
    // Indexing made it where it was not.
    if pod["topologySpreadConstraints"].is_null() {
        pod.as_object_mut().unwrap().remove("topologySpreadConstraints");
    }
    pod
}

fn sort(named: &mut Value) {
    named.as_array_mut().unwrap().sort_by_key(|one| one["name"].to_string());
}

#[test]
fn helm_finds_nothing_and_the_schemas_hold_in_each_mode() {
    let scratch = tempfile::tempdir().unwrap();
    for (mode, release, _) in MODES {
        let answer = rendered(mode, release);
        assert_eq!(answer["lint"], json!([]), "{mode}");
        let documents = answer["documents"].as_array().unwrap();
        assert!(documents.len() > 2, "{mode}");
        let own = documents.iter().filter(|one| one["apiVersion"] != OF_THE_OPERATOR);
        let text: Vec<String> = own.map(ToString::to_string).collect();
        let path = scratch.path().join(format!("{mode}.yaml"));
        fs::write(&path, text.join("\n---\n")).unwrap();
        let strict = Command::new(venv::bin().join("kubernetes-validate"))
            .arg("--strict")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&strict.stdout);
        assert!(strict.status.success() && said.contains("passed"), "{mode}: {said}");
        // Nothing is installed into another namespace, and each object says whose it is.
        for one in documents {
            assert_eq!(one["metadata"]["namespace"], Value::Null, "{mode}: {one}");
            assert_eq!(one["metadata"]["labels"]["app.kubernetes.io/instance"], release, "{mode}");
        }
        let notes = answer["notes"].as_str().unwrap();
        assert!(notes.contains("create secret generic scimitar"), "{mode}: {notes}");
    }
}

#[test]
fn its_pods_are_those_of_the_manifests() {
    for (mode, release, name) in MODES {
        let Some(name) = name else { continue };
        let documents = &rendered(mode, release)["documents"];
        let manifest = manifest(name);
        assert_eq!(comparable(pod(documents)), comparable(pod(&manifest)), "{mode}");
        if has(&manifest, "ConfigMap") {
            let (ours, theirs) = (of(documents, "ConfigMap"), of(&manifest, "ConfigMap"));
            assert_eq!(ours["data"], theirs["data"], "{mode}");
            assert_eq!(ours["metadata"]["name"], theirs["metadata"]["name"], "{mode}");
        }
        // The claim of the CronJob is the Deployment's there.
        if has(documents, "PersistentVolumeClaim") && mode != "cronjob" {
            let claim = |all| of(all, "PersistentVolumeClaim")["spec"].clone();
            assert_eq!(claim(documents), claim(&manifest), "{mode}");
        }
        assert_eq!(has(documents, "PodDisruptionBudget"), mode == "replicas", "{mode}");
        if has(documents, "Deployment") {
            let spec = |all| of(all, "Deployment")["spec"].clone();
            let (ours, theirs) = (spec(documents), spec(&manifest));
            for key in ["replicas", "strategy"] {
                assert_eq!(ours[key], theirs[key], "{mode}: {key}");
            }
            let labels = ours["template"]["metadata"]["labels"].as_object().unwrap();
            for (key, value) in ours["selector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(labels.get(key), Some(value), "{mode}: {key}");
            }
        }
        if mode == "cronjob" {
            let spec = |all| of(all, "CronJob")["spec"].clone();
            let (mut ours, mut theirs) = (spec(documents), spec(&manifest));
            for one in [&mut ours, &mut theirs] {
                one["jobTemplate"]["spec"].as_object_mut().unwrap().remove("template");
            }
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn values_under_which_tokens_would_be_lost_are_refused() {
    let config = "[server]\nlisten = \"0.0.0.0:9469\"\n";
    let shared = "[state]\nurl = \"postgres://scimitar@db.example.com/scimitar\"\n";
    for (values, words) in [
        (json!({}), "set config to the text of scimitar.toml"),
        (json!({ "config": config, "existingConfigMap": "mine" }), "not both"),
        // Two pods with a ledger each would both rotate.
        (json!({ "config": config, "replicas": 2 }), "replicas"),
        (
            json!({ "config": config, "replicas": 2, "ledger": { "type": "postgres" } }),
            "each pod would keep a ledger of its own",
        ),
        (json!({ "config": shared }), "set ledger.type to postgres"),
        (json!({ "config": config, "mode": "sidecar" }), "containers"),
        (json!({ "config": config, "ledger": { "accessMode": "ReadWriteMany" } }), "accessMode"),
        (
            json!({ "config": config, "podSecurityContext": { "runAsNonRoot": false } }),
            "runAsNonRoot",
        ),
        (json!({ "config": config, "podSecurityContext": { "runAsUser": 0 } }), "runAsUser"),
        (json!({ "config": config, "secrets": { "auth0-acme": "value" } }), "secrets"),
    ] {
        let said = refusal(&values);
        assert!(said.contains(words), "{values}: {said}");
    }
}

#[test]
fn a_changed_configuration_restarts_the_pods() {
    let checksum = |text: &str| {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("values.yaml");
        fs::write(&path, json!({ "config": text }).to_string()).unwrap();
        let answer = helm(&["scimitar", path.to_str().unwrap()], root());
        let deployment = of(&answer["documents"], "Deployment");
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        annotations["checksum/config"].as_str().unwrap().to_owned()
    };
    let first = checksum("[server]\nlisten = \"0.0.0.0:9469\"\n");
    assert_eq!(first, checksum("[server]\nlisten = \"0.0.0.0:9469\"\n"));
    assert_ne!(first, checksum("[server]\nlisten = \"0.0.0.0:9470\"\n"));
}

/// Where the links of the alerts point is the site's to say.
#[test]
fn the_links_of_the_alerts_point_where_they_are_told() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("values.yaml");
    let copy = scratch.path().join("scimitar");
    let copied = Command::new("cp").arg("-r").arg(chart()).arg(&copy).status().unwrap();
    assert!(copied.success());
    for name in ALERTS {
        let file = copy.join("files").join(name);
        let text = fs::read_to_string(&file).unwrap();
        let linked = text.replace("runbook: docs/", "runbook_url: https://scimitar.example/docs/");
        fs::write(file, linked).unwrap();
    }
    for mode in ["deployment", "cronjob"] {
        let rule = json!({ "enabled": true, "runbookUrl": "https://wiki.example.com/scimitar/" });
        let monitoring = json!({ "prometheusRule": rule });
        let values = json!({ "config": "[server]", "mode": mode, "monitoring": monitoring });
        fs::write(&path, values.to_string()).unwrap();
        let answer = helm_of(&copy, &["scimitar", path.to_str().unwrap()], root());
        let rules = &of(&answer["documents"], "PrometheusRule")["spec"]["groups"][0]["rules"];
        let rules = rules.as_array().unwrap();
        assert!(rules.len() > 1, "{mode}: {rules:?}");
        for rule in rules {
            let link = rule["annotations"]["runbook_url"].as_str().unwrap();
            let page = link.strip_prefix("https://wiki.example.com/scimitar/").unwrap();
            assert!(page.contains(".md#"), "{link}");
        }
    }
}

/// `UPDATE_ARTEFACTS=1` copies them.
#[test]
fn the_alerts_of_the_chart_are_those_of_the_project() {
    for name in ALERTS {
        let (kept, copy) = (root().join("monitoring").join(name), chart().join("files").join(name));
        if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
            fs::copy(&kept, &copy).unwrap();
        }
        let same = fs::read_to_string(&kept).unwrap() == fs::read_to_string(&copy).unwrap();
        assert!(same, "{}: UPDATE_ARTEFACTS=1 copies it", copy.display());
    }
}

#[test]
fn what_is_asked_for_is_there() {
    let documents = &rendered("everything", "scimitar")["documents"];
    // The rules are handed on as they are: Helm's templates and Prometheus' look the same.
    let kept = root().join("monitoring/alerts.yml");
    let alerts = python(&["-c", AS_JSON, kept.to_str().unwrap()], root());
    assert_eq!(of(documents, "PrometheusRule")["spec"], alerts[0]);
    let monitor = of(documents, "ServiceMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let endpoint = &monitor["spec"]["endpoints"][0];
    let relabelled = json!([{ "targetLabel": "job", "replacement": "scimitar" }]);
    assert_eq!(endpoint["relabelings"], relabelled, "the alerts look for this job");
    let service = of(documents, "Service");
    assert_eq!(service["spec"]["clusterIP"], "None", "each pod is asked by its address");
    assert_eq!(service["spec"]["ports"][0]["name"], endpoint["port"]);
    let deployment = &of(documents, "Deployment")["spec"];
    for (who, selector) in [
        ("Service", &service["spec"]["selector"]),
        (
            "PodDisruptionBudget",
            &of(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        ),
        ("NetworkPolicy", &of(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]),
        ("ServiceMonitor", &monitor["spec"]["selector"]["matchLabels"]),
    ] {
        assert_eq!(selector, &deployment["selector"]["matchLabels"], "{who}");
    }
    let policy = &of(documents, "NetworkPolicy")["spec"];
    assert_eq!(policy["ingress"][0]["ports"][0]["port"], "http");
    assert_eq!(policy["egress"].as_array().map(Vec::len), Some(2));
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    assert!(container["image"].as_str().unwrap().starts_with("scimitar@sha256:"), "{container}");
    let secret = &container["env"][0]["valueFrom"]["secretKeyRef"];
    assert_eq!(secret, &json!({ "name": "scimitar", "key": "dbt" }));
    // A sink of Kubernetes needs the account's own token, and nothing else does.
    assert_eq!(pod["automountServiceAccountToken"], true);
    assert_eq!(of(documents, "Role")["rules"][0]["verbs"], json!(["get", "patch"]));
    assert_eq!(of(documents, "RoleBinding")["subjects"][0]["namespace"], "identity");
}

#[test]
fn the_chart_is_packed_as_this_version() {
    let scratch = tempfile::tempdir().unwrap();
    let answer = helm(&[], scratch.path());
    assert!(answer["version"].as_str().unwrap().starts_with("v4."), "{answer}");
    let package = scratch.path().join(concat!("scimitar-", env!("CARGO_PKG_VERSION"), ".tgz"));
    let listed = Command::new("tar").arg("-tzf").arg(&package).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for file in
        ["Chart.yaml", "values.schema.json", "templates/deployment.yaml", "files/alerts.yml"]
    {
        assert!(listed.lines().any(|line| line == format!("scimitar/{file}")), "{file}: {listed}");
    }
    assert!(!listed.contains("scimitar/ci/"), "{listed}");
    let text = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let app = concat!("\nappVersion: ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(text.contains(app), "{text}");
}
