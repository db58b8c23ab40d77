//! The real binary with a real server: from the configuration to the secret.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::{delivery::configured, moto, site::MotoSite};

/// A folder with a configuration that delivers to a site: `sink` and `connection` add to both.
pub(crate) fn delivering(site: &MotoSite, sink: &str, connection: &str) -> tempfile::TempDir {
    let MotoSite { moto, name, .. } = site;
    let url = &moto.url;
    let sink = format!(
        r#"[sinks.a]
type = "aws_secrets_manager"
region = "eu-central-1"
endpoint_url = "{url}"
sts_endpoint_url = "{url}"
{sink}"#
    );
    let to = format!("deliver_to = [{{ sink = \"a\", name = \"{name}\" }}]");
    configured(&sink, &format!("overlap = \"1s\"\n{connection}\n{to}"))
}

/// The older token is revoked by time alone.
fn folder(site: &MotoSite, sink: &str) -> tempfile::TempDir {
    delivering(site, sink, "revoke_after_use = false")
}

pub(crate) async fn scimitar(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml"]).args(arguments).current_dir(folder);
    command.env_clear().env("HOME", folder).stdin(Stdio::null());
    command.env("AWS_ACCESS_KEY_ID", "TEST").env("AWS_SECRET_ACCESS_KEY", "k3y5ecret");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// All that was printed.
pub(crate) fn printed(ended: &Output) -> String {
    let bytes = [&ended.stdout[..], &ended.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn exits(ended: &Output, status: i32) -> String {
    let said = printed(ended);
    assert_eq!(ended.status.code(), Some(status), "{said}");
    said
}

async fn secret(site: &MotoSite) -> Value {
    let (_, text) = site.current().await;
    text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[tokio::test]
async fn a_rotation_ends_in_the_secret() {
    let site = MotoSite::new(moto::shared().await, None);
    let folder = folder(&site, "tags = { team = \"identity\" }");
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 0);
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    assert!(said.contains("no dry run of CreateSecret"), "what cannot be shown is said: {said}");
    assert!(secret(&site).await.is_null(), "a proof writes nothing");
    let mut values = Vec::new();
    for _ in 0..2 {
        let ended = scimitar(folder.path(), &["--rotate-now", "--output", "json", "-vvv"]).await;
        let said = exits(&ended, 0);
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let row = &document["results"][0];
        let secret = secret(&site).await;
        assert_eq!((&row["outcome"], &row["token_id"]), (&json!("rotated"), &secret["token_id"]));
        let place = &row["sinks"][0];
        assert_eq!(place["state"], "delivered", "{document}");
        assert_eq!(place["version"], site.current().await.0, "{document}");
        values.push(secret["token"].as_str().unwrap().to_owned());
        assert!(said.contains("aws"), "the highest verbosity says something");
        for secret in values.iter().map(String::as_str).chain(["k3y5ecret"]) {
            assert!(!said.contains(secret), "a secret is shown");
        }
    }
    assert_ne!(values[0], values[1]);
    assert_eq!(site.tags().await["team"], "identity");
    let current = site.current().await.0;
    assert!(site.labels().await.contains_key("AWSPREVIOUS"), "during the overlap");
    exits(&scimitar(folder.path(), &["--once", "--wait"]).await, 0);
    let labels = site.labels().await;
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["AWSCURRENT"], "revoked, nothing leads back");
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        exits(&scimitar(folder.path(), arguments).await, 0);
    }
    assert_eq!(site.current().await.0, current, "and none on a look");
    // Lost, the ledger is made anew from what the secret says.
    std::fs::remove_file(folder.path().join("ledger.db")).unwrap();
    exits(&scimitar(folder.path(), &["--once"]).await, 0);
    assert_eq!(secret(&site).await["token"], values[1].as_str());
}

#[tokio::test]
async fn what_may_not_be_written_is_found_before_a_mint() {
    let site = MotoSite::new(moto::shared().await, None);
    let folder = folder(&site, "create = false");
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 1);
    assert!(said.contains("missing") && said.contains("create = false"), "{said}");
    let arguments = ["--rotate-now", "--timeout", "1s", "--output", "json"];
    let ended = scimitar(folder.path(), &arguments).await;
    exits(&ended, 1);
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["results"][0]["token_id"], Value::Null, "nothing was minted: {document}");
    site.must("CreateSecret", json!({ "Name": site.name })).await;
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    assert!(secret(&site).await["token"].is_string());
}

#[tokio::test]
async fn another_role_than_the_expected_one_stops_it() {
    let site = MotoSite::new(moto::shared().await, None);
    let role = "arn:aws:iam::111122223333:role/scimitar";
    let folder = folder(&site, &format!("expect_role_arn = \"{role}\""));
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 1);
    assert!(
        said.contains(role) && said.contains("the credentials are those of arn:aws:"),
        "{said}"
    );
}

/// A place that left the configuration is still asked.
#[tokio::test]
async fn a_place_that_left_the_policy_is_still_read() {
    let site = MotoSite::new(moto::shared().await, None);
    let folder = folder(&site, "");
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    let first = secret(&site).await["token_id"].clone();
    let path = folder.path().join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let other = moto::unique("scim/other");
    std::fs::write(&path, config.replace(&site.name, &other)).unwrap();
    exits(&scimitar(folder.path(), &["--once"]).await, 0);
    let moved = MotoSite { name: other, ..MotoSite::new(site.moto, None) };
    assert_eq!(secret(&moved).await["token_id"], first, "it is filled from the one that has it");
}
