//! The real program with a stand-in for the Kubernetes API: from the configuration to the Secret, with
//! the rights that the program itself asks for and no others.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use scimitar_test_support::{
    delivery::configured,
    kubernetes::{KubernetesApi, Mishap, encode},
};
use serde_json::{Value, json};

const ACCOUNT: &str = "acc0unt5ecret";

/// A folder with a configuration that delivers to a Secret, and the API that it is in.
async fn site() -> (KubernetesApi, tempfile::TempDir) {
    let api = KubernetesApi::start("team-a", ACCOUNT).await;
    let sink = "[sinks.k]\ntype = \"kubernetes\"\nkubeconfig = { file = \"kubeconfig\" }\n\
                context = \"prod\"\nnamespace = \"team-a\"";
    let to = "overlap = \"1s\"\nrevoke_after_use = false\n\
              deliver_to = [{ sink = \"k\", secret = \"scim-initech\" }]";
    let folder = configured(sink, to);
    let kubeconfig = format!(
        "kind: Config\nclusters:\n- name: c\n  cluster:\n    server: {}\nusers:\n- name: u\n  user:\n    \
         token: {ACCOUNT}\ncontexts:\n- name: prod\n  context: {{ cluster: c, user: u }}\n",
        api.url
    );
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (api, folder)
}

async fn scimitar(folder: &Path, arguments: &[&str], status: i32) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml"]).args(arguments).current_dir(folder);
    command.env_clear().env("HOME", folder).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[&ended.stdout[..], &ended.stderr].concat()).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{said}");
    (ended, said)
}

/// Grants what the program says that it needs.
async fn grant(api: &KubernetesApi, folder: &Path) {
    let (ended, _) = scimitar(folder, &["permissions", "--output", "json"], 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let roles = document["permissions"][0]["rights"]["rbac"].as_array().unwrap().clone();
    assert_eq!(roles.len(), 1, "{document}");
    api.world().bind(ACCOUNT, roles);
}

fn secret(api: &KubernetesApi) -> Value {
    let world = api.world();
    let found = world.secrets.get(&("team-a".to_owned(), "scim-initech".to_owned()));
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_rotation_ends_in_a_secret_of_kubernetes() {
    let (api, folder) = site().await;
    let folder = folder.path();
    let (_, said) = scimitar(folder, &["check"], 0).await;
    assert!(!said.contains("more than one line"), "a kubeconfig has several: {said}");
    let (_, said) = scimitar(folder, &["check", "--online"], 1).await;
    for verb in ["get", "patch", "create"] {
        let words = format!("the verb {verb} on its Secret in the namespace team-a is not granted");
        assert!(said.contains(&words), "{words}: {said}");
    }
    grant(&api, folder).await;
    let (_, said) = scimitar(folder, &["check", "--online"], 0).await;
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    assert!(secret(&api).is_null(), "a proof writes nothing");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (ended, said) =
            scimitar(folder, &["--rotate-now", "--output", "json", "-vvv"], 0).await;
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let row = &document["results"][0];
        let held = secret(&api);
        assert_eq!(row["outcome"], "rotated", "{document}");
        let id = row["token_id"].as_str().unwrap();
        assert_eq!(held["data"]["token_id"], encode(id));
        assert_eq!(row["sinks"][0]["state"], "delivered", "{document}");
        assert_eq!(row["sinks"][0]["version"], held["metadata"]["resourceVersion"]);
        let value = held["data"]["token"].as_str().unwrap();
        for hidden in [ACCOUNT, value] {
            assert!(!said.contains(hidden), "a secret is shown");
        }
        ids.push(id.to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    scimitar(folder, &["--once", "--wait"], 0).await;
    let version = secret(&api)["metadata"]["resourceVersion"].clone();
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        scimitar(folder, arguments, 0).await;
    }
    assert_eq!(secret(&api)["metadata"]["resourceVersion"], version, "a look writes nothing");
    // Lost, the ledger is made anew from what the Secret says.
    std::fs::remove_file(folder.join("ledger.db")).unwrap();
    scimitar(folder, &["--once"], 0).await;
    assert_eq!(secret(&api)["data"]["token_id"], encode(&ids[1]));
}

/// The write happened, and nobody was told: it is read, and nothing is minted twice.
#[tokio::test]
async fn a_lost_answer_of_kubernetes_costs_no_token() {
    let (api, folder) = site().await;
    grant(&api, folder.path()).await;
    scimitar(folder.path(), &["--rotate-now"], 0).await;
    let before = secret(&api)["data"]["token_id"].clone();
    // The first patch is the proof.
    api.world().next("patch", Mishap::Overtaken);
    api.world().next("patch", Mishap::LostAfter);
    let (ended, _) = scimitar(folder.path(), &["--rotate-now", "--output", "json"], 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let held = secret(&api);
    assert_ne!(held["data"]["token_id"], before);
    let id = document["results"][0]["token_id"].as_str().unwrap();
    assert_eq!(held["data"]["token_id"], json!(encode(id)));
    assert_eq!(held["data"]["theirs"], "dGhlaXJz", "what somebody else added is kept");
}
