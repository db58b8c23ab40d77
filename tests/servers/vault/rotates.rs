//! The real binary with a real server: from the configuration to the secret.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::{
    bao::{Bao, ROOT},
    delivery::configured,
    logins::Approle,
    sink_conformance::promote,
    site::{VaultSite, server_with, sink},
};

/// A folder with a configuration that delivers to a site, logged in by an AppRole: `auth` and
/// `connection` add to both. The secret id is in the file `secret-id`.
pub(crate) fn delivering(
    site: &VaultSite,
    approle: &Approle,
    auth: &str,
    connection: &str,
) -> tempfile::TempDir {
    let sink = format!(
        r#"[sinks.v]
type = "vault"
address = "{url}"
auth = {{ method = "approle", mount = "{mount}", role_id = "{role}", secret_id = {{ file = "secret-id" }}{auth} }}"#,
        url = site.bao.url,
        mount = approle.mount,
        role = approle.role_id,
    );
    let to = format!("deliver_to = [{{ sink = \"v\", path = \"{}\" }}]", site.path());
    configured(&sink, &format!("{connection}\n{to}"))
}

/// Keeps a secret id where the configuration names it.
pub(crate) fn keep(folder: &Path, secret: &str) {
    keep_as(folder, "secret-id", secret);
}

pub(super) fn keep_as(folder: &Path, name: &str, secret: &str) {
    let path = folder.join(name);
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn folder(site: &VaultSite) -> (tempfile::TempDir, Approle) {
    let approle = Approle::of(site, json!({ "token_ttl": "10m" })).await;
    let folder = delivering(site, &approle, "", "revoke_after_use = false");
    // As an editor leaves it.
    keep(folder.path(), &format!("{}\n", approle.secret_id));
    (folder, approle)
}

pub(crate) async fn scimitar(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml"]).args(arguments).current_dir(folder);
    command.env_clear().stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn exits(ended: &Output, status: i32) -> String {
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{said}{errors}");
    said + &errors
}

#[tokio::test]
async fn a_rotation_ends_in_the_secret_and_writes_once() {
    let site = VaultSite::new(2, None).await;
    let (folder, approle) = folder(&site).await;
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 0);
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    assert!(site.data().await.is_null(), "a proof writes nothing");
    let mut values = Vec::new();
    for round in 1..=2 {
        let said = exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
        let data = site.data().await;
        values.push(data["token"].as_str().unwrap().to_owned());
        assert!(said.contains(data["token_id"].as_str().unwrap()), "{said}");
        assert!(values.iter().all(|value| !said.contains(value)), "a value is shown");
        assert_eq!(data["connection_id"], "con_okta000000000001");
        assert_eq!(site.metadata().await["current_version"], round, "one write a rotation");
    }
    assert_ne!(values[0], values[1]);
    for arguments in [&["--once"][..], &["status"], &["plan"]] {
        exits(&scimitar(folder.path(), arguments).await, 0);
    }
    assert_eq!(site.metadata().await["current_version"], 2, "and none on a look");
    assert_eq!(approle.living(site.bao).await, 0, "every log-in was given back");
    // Lost, the ledger is made anew from what the secret says.
    std::fs::remove_file(folder.path().join("ledger.db")).unwrap();
    exits(&scimitar(folder.path(), &["--once"]).await, 0);
    assert_eq!(site.data().await["token"], values[1].as_str());
}

#[tokio::test]
async fn without_a_right_nothing_is_minted() {
    let site = VaultSite::new(2, None).await;
    let (folder, _approle) = folder(&site).await;
    site.grant(&["read"], &["read"]).await;
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 1);
    assert!(
        said.contains("missing") && said.contains("do not grant \"create\", \"update\" on"),
        "{said}"
    );
    let arguments = ["--rotate-now", "--timeout", "1s", "--output", "json"];
    let ended = scimitar(folder.path(), &arguments).await;
    exits(&ended, 1);
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["results"][0]["outcome"], "failed", "{document}");
    assert_eq!(document["results"][0]["token_id"], Value::Null, "{document}");
    // Once it is granted, the next run does what was asked for.
    site.grant(&["create", "read", "update"], &["read"]).await;
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    assert!(site.data().await["token"].is_string());
}

#[tokio::test]
async fn what_version_1_cannot_promise_is_said() {
    let site = VaultSite::new(1, None).await;
    let (folder, _approle) = folder(&site).await;
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 0);
    assert!(said.contains("warning: ") && said.contains("has no compare-and-set"), "{said}");
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    assert!(site.data().await["token"].is_string());
}

/// Sealed before a mint, nothing is minted; the next run after it was opened does what was asked.
#[tokio::test]
async fn a_sealed_server_is_found_before_a_mint() {
    let bao: &'static Bao = Box::leak(Box::new(Bao::start(false).await));
    let site = VaultSite::on(bao, 2, None).await;
    let (folder, _approle) = folder(&site).await;
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    let first = site.data().await["token_id"].clone();
    bao.must("PUT", "sys/seal", Value::Null).await;
    let arguments = ["--rotate-now", "--timeout", "5s", "--output", "json"];
    let ended = scimitar(folder.path(), &arguments).await;
    let said = exits(&ended, 1);
    assert!(said.contains("sealed"), "{said}");
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["results"][0]["token_id"], first, "nothing was minted: {document}");
    bao.must("PUT", "sys/unseal", json!({ "key": bao.unseal_key() })).await;
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    let data = site.data().await;
    assert_eq!(data["previous_token_id"], first, "{data}");
}

/// A place that left the configuration is still asked, and a rotation that knows it goes on.
#[tokio::test]
async fn a_place_that_left_the_policy_is_still_read() {
    let site = VaultSite::new(2, None).await;
    let (folder, _approle) = folder(&site).await;
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    let first = site.data().await["token_id"].clone();
    let path = folder.path().join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let moved = config.replace(&site.path(), &format!("{}/team/other", site.mount));
    std::fs::write(&path, moved).unwrap();
    // The new path is one that the token may not write to: nothing is minted for it.
    exits(&scimitar(folder.path(), &["--rotate-now", "--timeout", "1s"]).await, 1);
    assert_eq!(site.data().await["token_id"], first);
    std::fs::write(&path, config).unwrap();
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    assert_ne!(site.data().await["token_id"], first);
}

/// Restored from a snapshot: the older version is there again, and what it lacks is noticed.
#[tokio::test]
async fn an_older_version_is_seen_as_what_it_is() {
    let bao = Bao::start(false).await;
    let sink = sink(&server_with(&bao.url, ROOT), "secret/x");
    let first = promote(&sink, 1).await;
    promote(&sink, 2).await;
    let body = json!({ "versions": [2] });
    bao.must("POST", "secret/destroy/x", body).await;
    let older = bao.must("GET", "secret/data/x?version=1", Value::Null).await;
    let body = json!({ "data": older["data"]["data"] });
    bao.must("POST", "secret/data/x", body).await;
    let seen = scimitar::sink::Sink::read(&sink).await.unwrap();
    assert_ne!(seen.version, first, "the same content is another version");
    super::sink_conformance::assert_holds(&seen, &super::sink_conformance::delivery(1));
}
