//! `mode = "observe"` changes nothing: what goes to a real OpenBao, to an AWS that writes down each call,
//! to the tenant and to the disk is a log-in or a question, whatever is found there. And it needs no more
//! than the rights to ask.

use std::{collections::BTreeMap, path::PathBuf, time::SystemTime};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    bao::{ROOT, pause},
    recorder::Recorder,
    secrets_manager::SecretsManager,
    three::Three,
};

/// The calls of AWS that change nothing.
const QUESTIONS: [&str; 3] = ["DescribeSecret", "GetCallerIdentity", "GetSecretValue"];

/// What is called while only watching.
const CALLS: [&[&str]; 7] = [
    &["--once"],
    &["--once"],
    &["--rotate-now"],
    &["plan"],
    &["status"],
    &["explain", "initech"],
    &["--once", "--wait", "--timeout", "3s"],
];

/// The three places, with what goes there written down.
struct Watched {
    three: Three,
    vault: Recorder,
    aws: SecretsManager,
}

impl Watched {
    async fn new() -> Self {
        let three = Three::new().await;
        let vault = Recorder::before(&three.bao.url).await;
        let aws = SecretsManager::start().await;
        let (bao, moto) = (three.bao.url.clone(), three.moto.url.clone());
        three.edit(&format!("address = \"{bao}\""), &format!("address = \"{}\"", vault.url));
        three.edit(&format!("\"{moto}\""), &format!("\"{}\"", aws.url));
        Self { three, vault, aws }
    }

    fn observe(&self) {
        self.three.edit("token_lifetime =", "mode = \"observe\"\ntoken_lifetime =");
    }

    fn rotate(&self) {
        self.three.edit("mode = \"observe\"\n", "");
    }

    /// All that was sent since this was asked last and that is neither a log-in nor a question.
    fn changes(&self) -> Vec<String> {
        let faults = self.three.tenant.faults();
        let seen = faults.requests();
        let tenant = seen.iter().filter(|seen| seen.method != "GET" && seen.path != "/oauth/token");
        let mut changes: Vec<String> =
            tenant.map(|seen| format!("tenant: {} {}", seen.method, seen.path)).collect();
        faults.forget_requests();
        for (method, path) in self.vault.take() {
            let asks = matches!(method.as_str(), "GET" | "HEAD" | "LIST");
            if !asks && !path.starts_with("/v1/auth/") {
                changes.push(format!("vault: {method} {path}"));
            }
        }
        let asked = std::mem::take(&mut self.aws.world().asked);
        let aws = asked.iter().filter(|asked| !QUESTIONS.contains(&asked.call.as_str()));
        changes.extend(aws.map(|asked| format!("aws: {}", asked.call)));
        changes
    }

    /// Everything in the folder that is delivered to.
    fn files(&self) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
        let folder = std::fs::read_dir(self.three.folder.path().join("out"));
        let entries = folder.into_iter().flatten().map(|entry| entry.unwrap().path());
        let known = entries.map(|path| {
            let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            (path, (changed, bytes))
        });
        known.collect()
    }

    /// Nothing is changed, whatever is called.
    async fn only_asks(&self, when: &str) {
        let files = self.files();
        self.changes();
        for call in CALLS {
            let ended = self.three.run(call).await;
            assert_eq!(self.changes(), [""; 0], "{when}: {call:?}: {}", ended.stdout);
        }
        self.watches(when).await;
        assert_eq!(self.files(), files, "{when}");
    }

    /// The same of the daemon, over its first pass.
    async fn watches(&self, when: &str) {
        let running = self.three.call(&["run"]).start();
        let lists = || {
            let seen = self.three.tenant.faults().requests();
            seen.iter().filter(|seen| seen.path.ends_with("/tokens")).count()
        };
        while lists() == 0 {
            pause(50).await;
        }
        let ended = tokio::task::spawn_blocking(move || {
            running.signal("TERM");
            running.ended()
        });
        let ended = ended.await.unwrap().exits(0);
        assert_eq!(self.changes(), [""; 0], "{when}: {}", ended.stderr);
    }

    /// What AWS has of the secret.
    fn secret(&self) -> Value {
        let asked = json!({ "SecretId": self.three.name, "VersionStage": "AWSCURRENT" });
        let answer = self.aws.must("GetSecretValue", &asked);
        serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap()
    }

    async fn put_vault(&self, document: Value) {
        let path = format!("{}/data/initech", self.three.mount);
        self.three.bao.must("POST", &path, json!({ "data": document })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_found_nothing_but_questions_is_sent() {
    let watched = Watched::new().await;
    let three = &watched.three;
    watched.observe();
    watched.only_asks("nothing is anywhere").await;
    let body = json!({ "scopes": ["get:users"], "token_lifetime": 2_592_000 });
    let theirs = three.api(Method::POST, Some(body.clone())).await;
    watched.only_asks("a token of others, in no sink").await;
    watched.put_vault(json!({ "token": theirs["token"] })).await;
    watched.only_asks("a token of others, in one sink").await;

    watched.rotate();
    three.run(&["--rotate-now"]).await.exits(0);
    assert_ne!(watched.changes(), [""; 0], "what changes something is seen");
    watched.observe();
    // The overlap is over by now.
    watched.only_asks("a previous token that a rotation would revoke").await;
    assert_eq!(three.tokens().await.len(), 2);
    assert_eq!(watched.secret()["token"], three.vault().await["token"]);

    watched.put_vault(json!({ "token": "somebody-elses", "other": 1 })).await;
    std::fs::remove_file(three.folder.path().join("out/token")).unwrap();
    watched.only_asks("a drifted sink, and an emptied one").await;
    three.bao.must("DELETE", &format!("{}/metadata/initech", three.mount), Value::Null).await;
    watched.aws.world().secrets.remove(&three.name);
    watched.only_asks("no sink holds the current token").await;
    assert_eq!(three.tokens().await.len(), 2);
}

/// Held between the mint and the first sink, and killed.
async fn interrupted(watched: &Watched) {
    watched.three.run(&["--rotate-now"]).await.exits(0);
    let running = watched.three.minted(&["--rotate-now"]).await;
    tokio::task::spawn_blocking(move || running.kill_9()).await.unwrap();
    watched.three.tenant.faults().release().await;
    watched.three.tenant.faults().clear();
    watched.observe();
    watched.changes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_begun_is_finished_and_nothing_more() {
    let watched = Watched::new().await;
    interrupted(&watched).await;
    let tokens = watched.three.tokens().await;
    assert_eq!(tokens.len(), 2);
    watched.changes();
    watched.three.run(&["--once"]).await.exits(0);
    let changes = watched.changes();
    assert!(!changes.is_empty(), "it was staged at AWS, and is delivered");
    assert!(!changes.iter().any(|change| change.starts_with("tenant")), "{changes:?}");
    let delivered = watched.secret()["token"].clone();
    assert_eq!(watched.three.vault().await["token"], delivered);
    assert_eq!(watched.three.file()["token"], delivered);
    watched.only_asks("it is finished").await;
    assert_eq!(watched.three.tokens().await, tokens, "the older one is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_of_an_interrupted_rotation_is_left() {
    let watched = Watched::new().await;
    watched.three.without(&["aws"]);
    interrupted(&watched).await;
    let tokens = watched.three.tokens().await;
    watched.only_asks("the value is lost").await;
    assert_eq!((watched.three.tokens().await, tokens.len()), (tokens, 2));
    watched.rotate();
    watched.three.run(&["--once"]).await.exits(0);
    assert_eq!(watched.three.tokens().await.len(), 1, "a rotation cleans up");
}

/// What `permissions` prints is enough to watch, and no more than the rights to read.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_to_read_are_all_that_watching_needs() {
    let watched = Watched::new().await;
    let three = &watched.three;
    three.run(&["--rotate-now"]).await.exits(0);
    watched.observe();
    let printed = three.run(&["permissions", "--output", "json"]).await.exits(0).json();
    let of = |table: &str| {
        let grants = printed["permissions"].as_array().unwrap();
        grants.iter().find(|grant| grant["table"] == table).unwrap().clone()
    };
    assert_eq!(of("providers.acme")["rights"]["scopes"], json!(["read:scim_token"]));
    let statements = of("sinks.aws")["rights"]["iam"]["Statement"].clone();
    let read = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"];
    assert_eq!((&statements[0]["Action"], &statements[1]), (&json!(read), &Value::Null));

    let policy = of("sinks.vault")["policy"].as_str().unwrap().to_owned();
    for word in ["create", "patch", "delete", "/metadata/", "/config"] {
        assert!(!policy.contains(word), "{policy}");
    }
    three.bao.must("PUT", "sys/policies/acl/watch", json!({ "policy": policy })).await;
    let token = three.bao.token("watch", json!({ "ttl": "1h", "no_default_policy": true })).await;
    let secret = three.folder.path().join("vault-token");
    std::fs::write(&secret, token).unwrap();
    three.tenant.faults().quirks(|tenant| tenant.grant = Some(vec!["read:scim_token".to_owned()]));
    let denied = ["PutSecretValue", "UpdateSecretVersionStage", "CreateSecret", "TagResource"];
    let denied = denied.map(|call| (three.name.clone(), call.to_owned()));
    watched.aws.world().denied.extend(denied);

    let said = three.run(&["check", "--online"]).await.exits(0).stdout;
    assert!(said.contains("every permission that mode = \"observe\" needs is granted"), "{said}");
    watched.only_asks("with the rights to read alone").await;
    let row = three.run(&["--once", "--output", "json"]).await.exits(0).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&json!("unchanged"), &json!("observe")));

    // For a rotation they are not enough.
    watched.rotate();
    let said = three.run(&["check", "--online"]).await.exits(1).stdout;
    for missing in ["create:scim_token", "delete:scim_token", "PutSecretValue", "\"create\""] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    // And each of them is asked for.
    watched.observe();
    watched.aws.world().denied.insert((three.name.clone(), "GetSecretValue".to_owned()));
    three.tenant.faults().quirks(|tenant| tenant.grant = Some(vec![]));
    let none = three.bao.token("default", json!({ "ttl": "1h" })).await;
    std::fs::write(&secret, none).unwrap();
    let said = three.run(&["check", "--online"]).await.exits(1).stdout;
    for missing in ["read:scim_token", "GetSecretValue", "initech"] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    assert!(!said.contains("create:scim_token"), "{said}");
    std::fs::write(&secret, ROOT).unwrap();
}
