//! The manifests of `container/kubernetes`: by the schemas of Kubernetes, by what the image and the
//! program need of them, and the configurations in them by the program itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    bao::{self, ROOT},
    binary::Call,
    postgres,
    tenant::{OKTA, SECRET, Tenant, put},
    venv,
};

const MANIFESTS: [&str; 4] = ["deployment.yaml", "sidecar.yaml", "cronjob.yaml", REPLICAS];

/// The one whose pods share a ledger.
const REPLICAS: &str = "replicas.yaml";

/// Every document of a file of YAML, as JSON.
const AS_JSON: &str =
    "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("container/kubernetes")
}

fn documents(name: &str) -> Vec<Value> {
    let output = Command::new(venv::bin().join("python"))
        .args(["-c", AS_JSON])
        .arg(folder().join(name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The pods that a file describes.
fn pods(name: &str) -> Vec<Value> {
    let pod = |document: Value| match document["kind"].as_str().unwrap() {
        "Deployment" => Some(document["spec"]["template"]["spec"].clone()),
        "CronJob" => Some(document["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()),
        _ => None,
    };
    documents(name).into_iter().filter_map(pod).collect()
}

fn strict(path: &Path) -> (bool, String) {
    let output = Command::new(venv::bin().join("kubernetes-validate"))
        .arg("--strict")
        .arg(path)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_schemas_find_no_mistake() {
    for name in MANIFESTS {
        let (good, said) = strict(&folder().join(name));
        assert!(good && said.contains("passed"), "{name}: {said}");
    }
    // They do find one.
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("mistaken.yaml");
    let text = fs::read_to_string(folder().join("deployment.yaml")).unwrap();
    fs::write(&path, text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")).unwrap();
    let (good, said) = strict(&path);
    assert!(!good && said.contains("readOnlyRootFileSystem"), "{said}");
}

#[test]
fn every_pod_is_confined_and_there_is_one_at_a_time() {
    for name in MANIFESTS {
        for document in documents(name) {
            if document["kind"] == "Deployment" && name != REPLICAS {
                assert_eq!(document["spec"]["replicas"], 1, "{name}");
                assert_eq!(document["spec"]["strategy"]["type"], "Recreate", "{name}");
            }
            if document["kind"] == "CronJob" {
                assert_eq!(document["spec"]["concurrencyPolicy"], "Forbid");
            }
        }
        let pods = pods(name);
        assert_eq!(pods.len(), 1, "{name}");
        for pod in pods {
            let of_pod = &pod["securityContext"];
            assert_eq!(of_pod["runAsNonRoot"], true, "{name}");
            assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert!(pod["terminationGracePeriodSeconds"].as_u64() >= Some(90), "{name}");
            for container in pod["containers"].as_array().unwrap() {
                let own = &container["securityContext"];
                assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(own["capabilities"]["drop"][0], "ALL", "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            }
            // A secret that every user can read is refused; a group's is not.
            for volume in pod["volumes"].as_array().unwrap() {
                for kind in ["secret", "projected"] {
                    if volume[kind].is_object() {
                        assert_eq!(volume[kind]["defaultMode"], 0o440, "{name}: {volume}");
                    }
                }
            }
        }
    }
}

/// Several at a time only where they share a ledger, and then never all of them away at once.
#[test]
fn replicas_share_a_ledger_and_are_never_all_away() {
    let documents = documents(REPLICAS);
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let config: toml::Table =
        of("ConfigMap")["data"]["scimitar.toml"].as_str().unwrap().parse().unwrap();
    assert!(config["state"]["url"].as_str().unwrap().starts_with("postgres://"));
    let kinds = config["sinks"].as_table().unwrap().values().map(|sink| sink["type"].as_str());
    assert!(kinds.into_iter().all(|kind| kind != Some("file")), "each pod has a folder of its own");
    let deployment = &of("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 3);
    assert_eq!(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 1);
    let volumes = deployment["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().all(|volume| volume.get("persistentVolumeClaim").is_none()));
    let budget = &of("PodDisruptionBudget")["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(&budget["selector"]["matchLabels"], labels);
    for spread in deployment["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap() {
        assert_eq!(&spread["labelSelector"]["matchLabels"], labels);
    }
}

#[test]
fn the_image_and_the_probes_are_the_programs_own() {
    let image = concat!("scimitar:", env!("CARGO_PKG_VERSION"));
    for name in MANIFESTS {
        let pod = pods(name).remove(0);
        let containers = pod["containers"].as_array().unwrap();
        let ours = containers.iter().find(|container| container["name"] == "scimitar").unwrap();
        assert_eq!(ours["image"], image, "{name}");
        if name != "cronjob.yaml" {
            assert_eq!(ours["ports"][0]["containerPort"], 9469, "{name}");
            // An application is not taken out of service because Scimitar is not ready.
            let ready = (name != "sidecar.yaml").then_some("/readyz");
            for (probe, path) in [
                ("startupProbe", Some("/livez")),
                ("livenessProbe", Some("/livez")),
                ("readinessProbe", ready),
            ] {
                assert_eq!(ours[probe]["httpGet"]["path"].as_str(), path, "{name}: {probe}");
                let port = ours[probe]["httpGet"]["port"].as_str();
                let named = path.and_then(|_| ours["ports"][0]["name"].as_str());
                assert_eq!(port, named, "{name}: {probe}");
            }
        }
    }
}

#[test]
fn the_kustomization_takes_the_service_as_it_stands() {
    // What Kustomize knows of these keys; it refuses a file with any other.
    let kustomization = documents("kustomization.yaml");
    assert_eq!(kustomization.len(), 1);
    let kustomization = kustomization[0].as_object().unwrap();
    let keys: Vec<&str> = kustomization.keys().map(String::as_str).collect();
    assert_eq!(keys, ["apiVersion", "images", "kind", "resources"]);
    assert_eq!(kustomization["apiVersion"], "kustomize.config.k8s.io/v1beta1");
    assert_eq!(kustomization["kind"], "Kustomization");
    let resources: Vec<&str> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    // Every file that is there is one of the manifests, and only the service is applied: the other
    // two are used instead of it.
    let mut there: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    there.sort_unstable();
    let mut manifests = MANIFESTS.to_vec();
    manifests.sort_unstable();
    assert_eq!(there, manifests);
    assert_eq!(resources, ["deployment.yaml"]);
    // What it names of them is there, once: Kustomize refuses two of a kind and name.
    let mut seen = BTreeSet::new();
    let mut images = BTreeSet::new();
    for name in &resources {
        for document in documents(name) {
            let id = [&document["kind"], &document["metadata"]["name"]];
            assert!(seen.insert(id.map(|it| it.as_str().unwrap().to_owned())), "{name}: {id:?}");
        }
        for pod in pods(name) {
            for container in pod["containers"].as_array().unwrap() {
                let (image, tag) = container["image"].as_str().unwrap().split_once(':').unwrap();
                images.insert((image.to_owned(), tag.to_owned()));
            }
        }
    }
    let named: BTreeSet<(String, String)> = kustomization["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| {
            let keys: Vec<&str> = image.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["name", "newName", "newTag"]);
            assert_eq!(image["name"], image["newName"], "it changes nothing by itself");
            let of = |key: &str| image[key].as_str().unwrap().to_owned();
            (of("name"), of("newTag"))
        })
        .collect();
    assert_eq!(named, images, "the image that the manifests name, and no other");
    // The pod asks for nothing that the files do not make, but the Secret that an operator makes.
    let pod = pods("deployment.yaml").remove(0);
    let mut wanted = vec![("ServiceAccount", pod["serviceAccountName"].as_str().unwrap())];
    for volume in pod["volumes"].as_array().unwrap() {
        wanted.extend(volume["configMap"]["name"].as_str().map(|name| ("ConfigMap", name)));
        let claim = volume["persistentVolumeClaim"]["claimName"].as_str();
        wanted.extend(claim.map(|name| ("PersistentVolumeClaim", name)));
    }
    assert_eq!(wanted.len(), 3, "{wanted:?}");
    for (kind, name) in wanted {
        assert!(seen.contains(&[kind.to_owned(), name.to_owned()]), "{kind} {name}: {seen:?}");
    }
}

#[test]
fn what_is_scraped_is_called_as_the_alerts_expect() {
    // By name and port, as monitoring/prometheus_kubernetes.yml finds it, in each that stays.
    for (name, port) in
        [("deployment.yaml", "http"), ("sidecar.yaml", "scimitar"), (REPLICAS, "http")]
    {
        let pod = pods(name).remove(0);
        let containers = pod["containers"].as_array().unwrap();
        let ours = containers.iter().find(|container| container["name"] == "scimitar").unwrap();
        assert_eq!(
            (&ours["ports"][0]["name"], &ours["ports"][0]["containerPort"]),
            (&port.into(), &9469.into())
        );
        for document in documents(name) {
            let annotations = &document["spec"]["template"]["metadata"]["annotations"];
            assert!(annotations.get("prometheus.io/scrape").is_none(), "{name}: twice");
        }
    }
    // And as the PodMonitor does.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring/pod_monitor.yaml");
    let monitor = documents(path.to_str().unwrap()).remove(0);
    assert_eq!(monitor["kind"], "PodMonitor");
    let all = documents("deployment.yaml");
    let deployment = all.iter().find(|document| document["kind"] == "Deployment").unwrap();
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["port"], "http");
    let relabelled = serde_json::json!([{ "targetLabel": "job", "replacement": "scimitar" }]);
    assert_eq!(endpoint["relabelings"], relabelled);
}

#[test]
fn the_tokens_that_an_application_reads_are_in_memory_alone() {
    let pod = pods("sidecar.yaml").remove(0);
    let volumes = pod["volumes"].as_array().unwrap();
    let config = documents("sidecar.yaml").remove(0);
    let config: toml::Table = config["data"]["scimitar.toml"].as_str().unwrap().parse().unwrap();
    let folder = config["sinks"]["memory"]["directory"].as_str().unwrap();
    let mut of_each = Vec::new();
    for container in pod["containers"].as_array().unwrap() {
        let name = container["name"].as_str().unwrap();
        let mounts = container["volumeMounts"].as_array().unwrap();
        let holding = |mount: &&Value| {
            let path = mount["mountPath"].as_str().unwrap();
            folder.starts_with(&format!("{path}/"))
        };
        // Of mounts within each other, the innermost is what is there.
        let depth = |mount: &&Value| mount["mountPath"].as_str().unwrap().len();
        let mount = mounts.iter().filter(holding).max_by_key(depth);
        let mount = mount.unwrap_or_else(|| panic!("{name}: {mounts:?}"));
        assert!(mount.get("subPath").is_none(), "{name}: a mount of one file never changes");
        assert_eq!(mount["readOnly"].as_bool(), (name == "application").then_some(true), "{name}");
        let of_it = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert_eq!(of_it["emptyDir"]["medium"], "Memory", "{name}: {of_it}");
        assert!(of_it["emptyDir"]["sizeLimit"].is_string(), "{name}: {of_it}");
        of_each.push((name, &mount["name"], &mount["mountPath"]));
    }
    assert_eq!(of_each.len(), 2, "{of_each:?}");
    assert_eq!((of_each[0].1, of_each[0].2), (of_each[1].1, of_each[1].2), "the same in both");
    // The application looks for it where it is delivered.
    let application = &pod["containers"][0];
    let delivered = config["connections"][0]["deliver_to"].as_array().unwrap();
    let file = delivered.iter().find_map(|place| place.get("file")).unwrap().as_str().unwrap();
    assert_eq!(application["env"][0]["value"], format!("{folder}/{file}"));
}

#[test]
fn the_config_maps_are_valid_and_name_only_mounted_paths() {
    let mut seen = 0;
    for name in MANIFESTS {
        let all = documents(name);
        for map in all.iter().filter(|document| document["kind"] == "ConfigMap") {
            seen += 1;
            let text = map["data"]["scimitar.toml"].as_str().unwrap();
            let scratch = tempfile::tempdir().unwrap();
            fs::write(scratch.path().join("scimitar.toml"), text).unwrap();
            let checked = Call::new(scratch.path(), &["check", "--config", "scimitar.toml"]);
            let said = checked.run().exits(0);
            assert!(said.stdout.contains("no errors"), "{name}: {}", said.stdout);
            let config: toml::Table = text.parse().unwrap();
            let pod = pods(name).remove(0);
            let ours = pod["containers"].as_array().unwrap();
            let ours = ours.iter().find(|container| container["name"] == "scimitar").unwrap();
            let mounts: BTreeSet<&str> = ours["volumeMounts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|mount| mount["mountPath"].as_str().unwrap())
                .collect();
            let mut paths = Vec::new();
            paths_in(&toml::Value::Table(config), &mut paths);
            assert!(paths.len() > 1, "{name}: {paths:?}");
            for path in paths {
                let is_mounted = mounts.iter().any(|mount| path.starts_with(&format!("{mount}/")));
                assert!(is_mounted, "{name}: {path} in none of {mounts:?}");
            }
        }
    }
    assert_eq!(seen, 3);
}

/// Every absolute path that a configuration names.
fn paths_in(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) => {
            let path = text.strip_prefix("sqlite://").unwrap_or(text);
            if path.starts_with('/') {
                found.push(path.to_owned());
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| paths_in(value, found)),
        toml::Value::Table(table) => table.values().for_each(|value| paths_in(value, found)),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

/// As they stand, but for who and where the services are.
#[tokio::test(flavor = "multi_thread")]
async fn the_configurations_in_them_rotate() {
    for name in ["deployment.yaml", "sidecar.yaml", REPLICAS] {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let tenant = Tenant::start(folder.path(), SECRET, None).await.unwrap();
        let bao = bao::shared().await;
        let path = format!("{}/scim/initech-okta", bao.mount(2).await);
        put(&folder.path().join("secrets/auth0-acme"), SECRET);
        put(&folder.path().join("secrets/vault"), ROOT);
        put(&folder.path().join("secrets/ledger"), "no password is asked for");
        let documents = documents(name);
        let map = documents.iter().find(|document| document["kind"] == "ConfigMap").unwrap();
        let theirs = map["data"]["scimitar.toml"].as_str().unwrap();
        let auth = theirs.lines().find(|line| line.starts_with("auth = ")).unwrap();
        let here = |name: &str| folder.path().join(name).display().to_string();
        let sites = [
            ("0.0.0.0:9469", "127.0.0.1:0".to_owned()),
            ("client_id = ", format!("base_url = \"{}\"\nclient_id = ", tenant.url())),
            ("hxY3kZ0bqV7nT2mJ", "rotator".to_owned()),
            ("/run/secrets/scimitar", here("secrets")),
            ("https://vault.example.com:8200", bao.url.clone()),
            (
                auth,
                "auth = { method = \"token\", token = { file = \"secrets/vault\" } }".to_owned(),
            ),
            ("con_0123456789abcdef", OKTA.to_owned()),
            ("secret/scim/initech-okta", path.clone()),
        ];
        let config = sites.iter().fold(theirs.to_owned(), |config, (from, to)| {
            assert!(config.contains(from), "{name}: {from}");
            config.replace(from, to)
        });
        // The image names a ledger, and a pod gives these folders.
        let config = match name {
            "deployment.yaml" => format!("[state]\nurl = \"sqlite://ledger.db\"\n{config}"),
            REPLICAS => {
                let server = postgres::shared().await;
                let url = server.url(&server.database().await);
                config.replace("postgres://scimitar@postgres.example.com/scimitar", &url)
            }
            _ => config
                .replace("sqlite:///var/lib/scimitar/ledger.db", "sqlite://ledger.db")
                .replace("/run/scim/tokens", &here("tokens")),
        };
        put(&folder.path().join("scimitar.toml"), &config);
        for generation in 1..=2 {
            let call = Call::new(folder.path(), &["--config", "scimitar.toml", "--rotate-now"]);
            tokio::task::spawn_blocking(move || call.run()).await.unwrap().exits(0);
            assert_eq!(tenant.tokens().await.len(), generation, "{name}");
        }
        let (mount, secret) = path.split_once('/').unwrap();
        let held = bao.must("GET", &format!("{mount}/data/{secret}"), Value::Null).await;
        let value = held["data"]["data"]["token"].as_str().unwrap();
        assert_eq!(tenant.use_token(value).await, 200, "{name}");
    }
}
