//! The provider's own secret lies in a store: it is read there at each log-in.

use scimitar::{
    sandbox::{Options, Running as Tenant, Sandbox},
    secret::Secret,
};
use scimitar_test_support::receiver::Receiver;
use serde_json::json;

use super::{
    bao::ROOT,
    moto::{self, REGION},
    three::Three,
};

const SECRET: &str = "client-secret-canary-91ab";

/// The three, at a tenant that takes this secret only, which lies where `reference` says.
async fn kept(reference: &str) -> (Three, Tenant) {
    let three = Three::new().await;
    let client = Some(("rotator".to_owned(), Secret::new(SECRET.to_owned())));
    let tenant = Sandbox::start(Options { client, ..Options::default() }).await.unwrap();
    three.edit(
        &format!("base_url = \"{}\"", three.tenant_url()),
        &format!("base_url = \"{}\"", tenant.url()),
    );
    three.edit(
        "client_secret = { file = \"client-secret\" }",
        &format!("client_secret = {reference}"),
    );
    (three, tenant)
}

#[tokio::test]
async fn a_secret_in_vault_is_read_at_each_log_in() {
    let (three, _tenant) =
        kept("{ vault = \"MOUNT/scimitar/acme#client_secret\", sink = \"vault\" }").await;
    three.edit("MOUNT", &three.mount);
    let path = format!("{}/data/scimitar/acme", three.mount);
    let put = async |value: &str| {
        let data = json!({ "data": { "client_secret": value, "other": "x" } });
        three.bao.must("POST", &path, data).await;
    };

    let missing = three.run(&["--rotate-now"]).await.exits(1);
    assert!(missing.stdout.contains("there is no such secret"), "{}", missing.stdout);
    put("an-older-one").await;
    let wrong = three.run(&["--rotate-now"]).await.exits(1);
    put(&format!("{SECRET}\n")).await;
    let right = three.run(&["--rotate-now", "-vvv"]).await.exits(0);
    for ended in [missing, wrong, right] {
        let said = ended.stdout + &ended.stderr;
        assert!(!said.contains(SECRET) && !said.contains("an-older-one"), "{said}");
    }

    // What is away may come back: it is no reason to need a person.
    three.bao.must("PUT", "sys/seal", json!({})).await;
    let sealed = three.run(&["check", "--online"]).await.exits(1);
    assert!(sealed.stdout.contains("client_secret cannot be read"), "{}", sealed.stdout);
}

/// The key in a webhook's URL is read when something is told; a store that is away is no mistake.
#[tokio::test]
async fn a_webhook_has_its_secrets_from_a_store() {
    let (three, receiver) = (Three::new().await, Receiver::start());
    let path = format!("{}/data/scimitar/chat", three.mount);
    let put = async |key: &str| {
        let url = format!("http://127.0.0.1:{}/{key}", receiver.port);
        let data = json!({ "data": { "url": url, "key": format!("Bearer {SECRET}") } });
        three.bao.must("POST", &path, data).await;
    };
    let of = |key: &str| {
        format!("{{ vault = \"{}/scimitar/chat#{key}\", sink = \"vault\" }}", three.mount)
    };
    three.edit(
        "[[connections]]",
        &format!(
            "[[hooks]]\nname = \"chat\"\non = [\"delivered\"]\n[hooks.webhook]\nurl = {}\n\
             headers = {{ Authorization = {} }}\n[[connections]]",
            of("url"),
            of("key")
        ),
    );
    let rights = three.run(&["permissions"]).await.exits(0).stdout;
    assert!(rights.contains(&format!("{}/data/scimitar/chat", three.mount)), "{rights}");

    // Each ends with its overlap.
    let rotate = async || {
        let ended = three.run(&["--rotate-now", "-vvv"]).await.exits(0);
        three.run(&["--once", "--wait", "--timeout", "60s"]).await.exits(0);
        ended
    };
    let said = rotate().await;
    assert!(receiver.seen().is_empty(), "there is no such secret");
    put("path-canary-77aa").await;
    rotate().await;
    let seen = receiver.seen();
    // What was not told before is tried again later.
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("POST /path-canary-77aa "), "{seen:?}");
    assert!(seen.iter().all(|it| it.contains(SECRET)), "the header has the key");
    put("path-canary-88bb").await;
    let last = rotate().await;
    assert!(receiver.seen().last().unwrap().starts_with("POST /path-canary-88bb "));

    three.without(&["vault"]);
    three.bao.must("PUT", "sys/seal", json!({})).await;
    let sealed = three.run(&["--rotate-now", "-vvv"]).await.exits(0);
    let status = three.run(&["status", "--output", "json"]).await.exits(0).stdout;
    assert!(status.contains("sealed"), "{status}");
    assert!(!status.contains("needs a person"), "{status}");
    for ended in [said, last, sealed] {
        let text = ended.stdout + &ended.stderr + &status;
        for hidden in [SECRET, "path-canary-77aa", "path-canary-88bb"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}

#[tokio::test]
async fn a_secret_in_aws_is_read_whole_or_by_its_key() {
    let name = moto::unique("scimitar/acme");
    let (three, _tenant) = kept(&format!("{{ aws = \"{name}#secret\", sink = \"aws\" }}")).await;
    let body = json!({ "Name": name, "SecretString": json!({ "secret": SECRET }).to_string() });
    let (status, answer) = three.moto.ask_in(REGION, "CreateSecret", body).await;
    assert_eq!(status, 200, "{answer}");
    three.run(&["--rotate-now"]).await.exits(0);

    three.edit(&format!("{name}#secret"), &name);
    let body = json!({ "SecretId": name, "SecretString": SECRET });
    let (status, answer) = three.moto.ask_in(REGION, "PutSecretValue", body).await;
    assert_eq!(status, 200, "{answer}");
    three.run(&["--rotate-now"]).await.exits(0);

    three.edit(&name, &format!("{name}#secret"));
    let ended = three.run(&["--rotate-now"]).await.exits(1);
    assert!(
        ended.stdout.contains("not a JSON object with a string under that key"),
        "{}",
        ended.stdout
    );
    assert!(!(ended.stdout + &ended.stderr).contains(SECRET));
}

/// What `permissions` prints is enough, and without its second part the read is refused.
#[tokio::test]
async fn what_permissions_prints_lets_the_secret_be_read() {
    let (three, _tenant) = kept("{ vault = \"MOUNT/acme#client_secret\", sink = \"vault\" }").await;
    three.edit("MOUNT", &three.mount);
    let data = json!({ "data": { "client_secret": SECRET } });
    three.bao.must("POST", &format!("{}/data/acme", three.mount), data).await;
    let document = three.run(&["permissions", "--output", "json"]).await.exits(0).json();
    let grants = document["permissions"].as_array().unwrap();
    let ours: Vec<&str> = grants
        .iter()
        .filter(|grant| grant["table"] == "sinks.vault")
        .map(|grant| grant["policy"].as_str().unwrap())
        .collect();
    let [deliver, read] = ours.as_slice() else { panic!("{document}") };
    for (name, policy, status) in
        [("both", format!("{deliver}\n{read}"), 0), ("delivers", (*deliver).to_owned(), 1)]
    {
        let policy = json!({ "policy": policy });
        three.bao.must("PUT", &format!("sys/policies/acl/{name}"), policy).await;
        let token = three.bao.token(name, json!({ "ttl": "1h" })).await;
        std::fs::write(three.folder.path().join("vault-token"), token).unwrap();
        three.run(&["--rotate-now"]).await.exits(status);
    }
    std::fs::write(three.folder.path().join("vault-token"), ROOT).unwrap();
}
