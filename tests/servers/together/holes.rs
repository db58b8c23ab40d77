//! What the world does that no rotation asked for, at real servers: a place that is another one, a
//! token that the policy would not have made, a sink that was restored, a value that was forged.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{binary::Ended, moto::REGION, three::Three};

const SCOPES: [&str; 5] = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

impl Three {
    async fn put_vault(&self, document: &Value) {
        let path = format!("{}/data/initech", self.mount);
        self.bao.must("POST", &path, json!({ "data": document })).await;
    }

    async fn put_aws(&self, document: &Value) {
        let ask = async |action: &str, mut body: Value| {
            body["SecretId"] = json!(self.name);
            let (status, answer) = self.moto.ask_in(REGION, action, body).await;
            assert_eq!(status, 200, "{answer}");
            answer
        };
        // PutSecretValue alone leaves the label at two versions of this server.
        let current = self.labels().await["AWSCURRENT"].clone();
        let body = json!({ "SecretString": document.to_string(), "VersionStages": ["THEIRS"] });
        let put = ask("PutSecretValue", body).await;
        let id = &put["VersionId"];
        let body = json!({ "VersionStage": "AWSCURRENT", "RemoveFromVersionId": current,
            "MoveToVersionId": id });
        ask("UpdateSecretVersionStage", body).await;
        let body = json!({ "VersionStage": "THEIRS", "RemoveFromVersionId": id });
        ask("UpdateSecretVersionStage", body).await;
    }

    fn put_file(&self, document: &Value) {
        std::fs::write(self.folder.path().join("out/token"), document.to_string()).unwrap();
    }

    /// Another engine by the same path: what was in the first one is not in it.
    async fn mount_anew(&self) {
        self.bao.must("DELETE", &format!("sys/mounts/{}", self.mount), Value::Null).await;
        self.bao.mount_at(&self.mount, 2).await;
    }

    /// What everybody has is the newest of these, and the others are gone.
    async fn ends_with(&self, id: &str) {
        self.run(&["--once", "--wait", "--timeout", "60s"]).await.exits(0);
        assert!(self.held().await.into_keys().eq([id.to_owned()]));
        assert_eq!(self.tokens().await, BTreeSet::from([id.to_owned()]));
    }
}

fn row(ended: &Ended) -> Value {
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    answer["results"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_changed_under_its_name_needs_an_operator() {
    let three = Three::new().await;
    let first = three.rotate().await;
    three.ends_with(&first).await;
    three.mount_anew().await;
    for call in [&["--once"][..], &["--rotate-now"]] {
        let ended = three.run(&[call, &["--output", "json"]].concat()).await.exits(3);
        let row = row(&ended);
        assert_eq!((&row["outcome"], &row["reason"]), (&json!("refused"), &json!("place_changed")));
        let why = row["why"].as_str().unwrap();
        assert!(why.contains("adopt initech --place"), "the way out: {why}");
        assert_eq!(three.tokens().await, BTreeSet::from([first.clone()]), "nothing was minted");
    }
    let said = three.run(&["check", "--online"]).await.exits(1).stdout;
    assert!(said.contains("a rotation is blocked by"), "{said}");
    let path = format!("{}/data/initech", three.mount);
    let (status, _) = three.bao.ask("GET", &path, Value::Null).await;
    assert_eq!(status, 404, "nothing was written");
    three.run(&["adopt", "initech", "--place", "vault"]).await.exits(0);
    three.ends_with(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_expiry_or_with_too_many_scopes_is_due() {
    let three = Three::new().await;
    let made = three.api(Method::POST, Some(json!({ "scopes": SCOPES }))).await;
    let id = made["token_id"].as_str().unwrap();
    std::fs::create_dir(three.folder.path().join("out")).unwrap();
    three.put_file(&json!({ "token": made["token"] }));
    three.run(&["--once"]).await.exits(0);
    for taken_over in [three.file(), three.vault().await, three.aws().await] {
        assert_eq!(taken_over["token"], made["token"], "and given to all");
    }
    let status = row(&three.run(&["status", "--output", "json"]).await.exits(0));
    assert_eq!(status["expires_at"], Value::Null);
    assert!(status["next_at"].is_string(), "it is due all the same: {status}");
    let scopes = format!("{SCOPES:?}");
    three.edit(&format!("scopes = {scopes}"), "scopes = [\"get:users\"]");
    let said = three.run(&["plan"]).await.exits(0).stdout;
    assert!(said.contains("delete:users"), "{said}");
    let ended = three.run(&["--once", "--output", "json"]).await.exits(0);
    assert_eq!(row(&ended)["outcome"], "rotated", "{} {}", ended.stdout, ended.stderr);
    let held = three.held().await.into_keys().next().unwrap();
    assert_ne!(held, id);
    let listed = three.api(Method::GET, None).await;
    let listed = listed.as_array().unwrap().iter().find(|token| token["token_id"] == held.as_str());
    assert_eq!(listed.unwrap()["scopes"], json!(["get:users"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_restored_to_a_dead_token_is_repaired_at_once() {
    let three = Three::new().await;
    three.rotate().await;
    let dead = (three.file(), three.vault().await, three.aws().await);
    let second = three.rotate().await;
    three.ends_with(&second).await;
    three.put_aws(&dead.2).await;
    three.run(&["--once"]).await.exits(0);
    assert!(three.held().await.into_keys().eq([second.clone()]), "filled from the others");
    assert_eq!(three.tokens().await, BTreeSet::from([second.clone()]), "and nothing was minted");
    // Now no place has one that works.
    three.put_file(&dead.0);
    three.put_vault(&dead.1).await;
    three.put_aws(&dead.2).await;
    three.run(&["--once"]).await.exits(0);
    let held: Vec<String> = three.held().await.into_keys().collect();
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0] != second && three.tokens().await.contains(&held[0]), "a new one");
    // Others took the second one's value: who has it is not known, so it goes by disuse alone.
    let left = BTreeSet::from([second, held[0].clone()]);
    three.run(&["--once", "--wait", "--timeout", "4s"]).await;
    assert_eq!(three.tokens().await, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_value_goes_nowhere_and_retires_nothing() {
    let three = Three::new().await;
    let first = three.rotate().await;
    let (file, aws) = (three.file(), three.aws().await);
    let mut forged = three.vault().await;
    forged["generation"] = json!(99);
    // What cannot be a token of this tenant is the policy's to decide.
    forged["token"] = json!("forged-by-somebody");
    three.put_vault(&forged).await;
    let said = three.run(&["--once"]).await.exits(0).stdout;
    assert!(said.contains("vault ") && said.contains(": drift"), "{said}");
    assert_eq!(three.vault().await, forged, "it is said, and left");
    let untouched = async || {
        assert_eq!(three.file()["token"], file["token"]);
        assert_eq!(three.aws().await["token"], aws["token"]);
        assert_eq!(three.tokens().await, BTreeSet::from([first.clone()]), "none minted or revoked");
    };
    untouched().await;
    // What names a token and is not it works nowhere: its readers are cut off.
    for named in [format!("{first}.{}", "0a".repeat(32)), format!("{first}.forged")] {
        forged["token"] = json!(named);
        three.put_vault(&forged).await;
        three.run(&["--once"]).await.exits(0);
        assert_eq!(three.vault().await["token"], file["token"], "the true value is put back");
        untouched().await;
    }
    // A mark that nothing exceeds keeps no later rotation out.
    forged["generation"] = json!(u64::MAX);
    three.put_vault(&forged).await;
    let second = three.rotate().await;
    three.ends_with(&second).await;
}
