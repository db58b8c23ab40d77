//! What a secret is in: the engine and the cluster, and the namespaces of secret and log-in.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use scimitar::{
    error::{Class, Code},
    rotation::policy::Mode,
    sink::{
        Contents, Loss, Sink,
        vault::{Method, VaultSink},
    },
};
use serde_json::{Value, json};

use super::{
    bao::{self, Bao, ROOT, unique},
    scripted::{Scripted, answer},
    sink_conformance::{Gate, delivery, promote},
    site::{VaultSite, server, server_settings, server_with, settings, sink, source},
};

/// Every token with a right below the mount is told which engine and which cluster that is.
#[tokio::test]
async fn an_engine_that_was_enabled_again_is_another_container() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let container = async |sink: &VaultSink| sink.read().await.unwrap().container.unwrap();
    let before = container(&sink).await;
    assert!(before.strict);
    let named = format!("the mount {} (kv_", site.mount);
    assert!(before.words.starts_with(&named), "{before:?}");
    assert!(before.words.contains(") of the cluster vault-cluster-"), "{before:?}");
    assert_eq!(container(&site.sink()).await, before);
    let mount = format!("sys/mounts/{}", site.mount);
    site.bao.must("DELETE", &mount, Value::Null).await;
    let body = json!({ "type": "kv", "options": { "version": "2" } });
    site.bao.must("POST", &mount, body).await;
    site.bao.until(&format!("{}/config", site.mount), |status| status == 200).await;
    // Also a sink that knows the first one notices, though there is a secret in the second.
    site.put(json!({ "theirs": 1 })).await;
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    assert_eq!(seen.loss, Loss::Nothing);
    let after = seen.container.unwrap();
    assert_ne!(after.id, before.id);
    assert_ne!(after.words, before.words, "people can tell them apart");
}

#[tokio::test]
async fn another_cluster_at_the_same_address_is_another_container() {
    let first = Bao::start(false).await;
    let port = first.url.rsplit(':').next().unwrap().parse().unwrap();
    let sink = sink(&server_with(&first.url, ROOT), "secret/x");
    promote(&sink, 1).await;
    let before = sink.read().await.unwrap().container.unwrap();
    drop(first);
    let mut second = None;
    for _ in 0..100 {
        second = Bao::start_at(port, false).await;
        if second.is_some() {
            break;
        }
        bao::pause(50).await;
    }
    let second = second.expect("the port is free again");
    let seen = sink.read().await;
    // The sink remembers that it wrote a version that is not there; another process does not.
    assert!(seen.is_err_and(|fault| fault.class == Class::Transient));
    let seen = super::site::sink(&server_with(&second.url, ROOT), "secret/x").read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty), "{seen:?}");
    let after = seen.container.unwrap();
    assert_ne!(after.id, before.id);
    assert_ne!(after.words, before.words);
}

/// Where something in front of the server does not let it be asked, nothing is said; where the server
/// fails, nothing is read.
#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_not_guessed() {
    let mounted = json!({ "data": {
        "path": "kv/", "type": "kv", "options": { "version": "2" }, "uuid": "u-1", "accessor": "kv_1",
    } });
    let health = json!({ "cluster_id": "c-1", "cluster_name": "east", "standby": true });
    let none = json!({ "errors": [] });
    for (mounted, status, health, told) in [
        (mounted.clone(), 200, health.clone(), Some("u-1 c-1")),
        (mounted.clone(), 429, health.clone(), Some("u-1 c-1")),
        (mounted.clone(), 473, health.clone(), Some("u-1 c-1")),
        (mounted.clone(), 200, json!({ "cluster_id": "" }), None),
        (mounted.clone(), 403, none.clone(), None),
        (mounted.clone(), 404, none.clone(), None),
        (
            json!({ "data": { "path": "kv/", "type": "kv", "options": { "version": "2" } } }),
            200,
            health,
            None,
        ),
    ] {
        let vault = Scripted::vault(move |asked| match asked.path.as_str() {
            path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
                Some(answer(200, &[], mounted.clone()))
            }
            "/v1/sys/health" => {
                assert_eq!(asked.header("x-vault-namespace"), None, "it is told in none");
                Some(answer(status, &[], health.clone()))
            }
            _ => None,
        })
        .await;
        let mut settings = server_settings(&vault.url, Method::Token(source("hvs.x")), "token");
        settings.namespace = Some("team".to_owned());
        let sink = sink(&server(settings), "kv/x");
        let seen = sink.read().await.unwrap();
        assert_eq!(seen.container.as_ref().map(|container| container.id.as_str()), told);
        let caveat = sink.caveat().unwrap_or_default();
        let words = "would not notice if another cluster or engine answered there";
        assert_eq!(caveat.contains(words), told.is_none(), "{caveat}");
        if let Some(container) = seen.container {
            assert_eq!(container.words, "the mount kv (kv_1) of the cluster east");
        }
    }
    let failing = Scripted::vault(|asked| match asked.path.as_str() {
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => Some(answer(
            200,
            &[],
            json!({ "data": {
                "path": "kv/", "type": "kv", "options": { "version": "2" }, "uuid": "u-1",
            } }),
        )),
        "/v1/sys/health" => Some(answer(500, &[], json!({ "errors": ["storage"] }))),
        _ => None,
    })
    .await;
    let fault = sink(&server_with(&failing.url, "hvs.x"), "kv/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
}

/// What answers for a secret that is not there, or for one in an engine of version 1: the engine's
/// uuid, the status of `sys/health`, and the cluster.
type World = Arc<Mutex<(&'static str, u16, &'static str)>>;

async fn behind_one_address(version: u8) -> (Scripted, World) {
    let world: World = Arc::new(Mutex::new(("u-1", 200, "c-1")));
    let told = world.clone();
    let vault = Scripted::vault(move |asked| {
        let (uuid, status, cluster) = *told.lock().unwrap();
        let body = match (asked.method.as_str(), asked.path.as_str()) {
            (_, path) if path.starts_with("/v1/sys/internal/ui/mounts/") => json!({ "data": {
                "path": "kv/", "type": "kv", "options": { "version": version.to_string() },
                "uuid": uuid,
            } }),
            (_, "/v1/sys/health") => {
                return Some(answer(status, &[], json!({ "cluster_id": cluster })));
            }
            (_, "/v1/sys/capabilities-self") => {
                json!({ "kv/x": ["update"], "data": { "kv/x": ["update"] } })
            }
            ("GET", "/v1/kv/data/x") => return Some(answer(404, &[], json!({ "errors": [] }))),
            ("GET", "/v1/kv/x") => json!({ "data": { "theirs": 1 } }),
            ("POST", "/v1/kv/data/x") if asked.body.contains("2000000000") => {
                let words = "check-and-set parameter did not match the current version";
                return Some(answer(400, &[], json!({ "errors": [words] })));
            }
            ("GET", "/v1/kv/config") => json!({ "data": {} }),
            _ => return None,
        };
        Some(answer(200, &[], body))
    })
    .await;
    (vault, world)
}

/// "Nothing, so far" is as true of any other cluster and engine, and version 1 compares nothing.
#[tokio::test]
async fn what_was_read_in_one_container_is_not_written_in_another() {
    for (version, elsewhere, words) in [
        (2, ("u-1", 200, "c-2"), "of the cluster c-2"),
        (2, ("u-2", 200, "c-1"), "leads to the mount kv (u-2)"),
        (2, ("u-1", 403, "c-1"), "no longer returns"),
        (1, ("u-1", 200, "c-2"), "of the cluster c-2"),
        (1, ("u-2", 200, "c-1"), "leads to the mount kv (u-2)"),
        (1, ("u-1", 404, "c-1"), "no longer returns"),
    ] {
        let (vault, world) = behind_one_address(version).await;
        let sink = sink(&server_with(&vault.url, "hvs.x"), "kv/x");
        let seen = sink.read().await.unwrap();
        sink.prove_writable(&seen).await.unwrap();
        *world.lock().unwrap() = elsewhere;
        let before = vault.seen().len();
        let proof = sink.prove_writable(&seen).await.unwrap_err();
        let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
        for fault in [proof, write] {
            let expected = (Class::Conflict, Code::Changed);
            assert_eq!((fault.class, fault.code), expected, "{elsewhere:?}: {fault}");
            assert!(fault.detail.contains("the cluster c-1"), "what was read: {fault}");
            assert!(fault.detail.contains(words), "{words}: {fault}");
        }
        let since = vault.seen().split_off(before);
        assert!(since.iter().all(|asked| asked.method == "GET"), "{since:?}");
        // Looked at again, it is known to be there.
        sink.read().await.unwrap();
        if version == 2 {
            sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap();
        }
    }
}

/// The address leads to another cluster between the two questions.
#[tokio::test]
async fn an_empty_path_is_believed_only_if_the_cluster_stayed() {
    let asked_for_it = AtomicUsize::new(0);
    let vault = Scripted::vault(move |asked| match asked.path.as_str() {
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
            let mounted = json!({ "data": {
                "path": "kv/", "type": "kv", "options": { "version": "2" }, "uuid": "u-1",
            } });
            Some(answer(200, &[], mounted))
        }
        "/v1/sys/health" => {
            let nth = asked_for_it.fetch_add(1, Ordering::SeqCst);
            let cluster = if nth == 0 { "c-1" } else { "c-2" };
            Some(answer(200, &[], json!({ "cluster_id": cluster })))
        }
        "/v1/kv/data/x" => Some(answer(404, &[], json!({ "errors": [] }))),
        _ => None,
    })
    .await;
    let sink = sink(&server_with(&vault.url, "hvs.x"), "kv/x");
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
    assert!(fault.detail.contains("c-1") && fault.detail.contains("c-2"), "{fault}");
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.container.unwrap().id, "u-1 c-2");
}

/// A token that may not see the mount: nothing is known, and the message has what it can see.
#[tokio::test]
async fn a_mount_that_is_not_found_is_told_beside_those_that_are_seen() {
    let site = VaultSite::new(2, None).await;
    let server = server_with(&site.bao.url, &site.token);
    let fault = sink(&server, "secrets/team/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    let seen = format!("without a namespace, where the token can see {}/", site.mount);
    assert!(fault.detail.contains(&seen), "{fault}");
    let own: (String, &[&str]) = ("auth/token/lookup-self".to_owned(), &["read"]);
    site.bao.policy(&site.policy, &[own]).await;
    let fault = site.sink().read().await.unwrap_err();
    assert_eq!(fault.code, Code::Forbidden, "{fault}");
    assert!(fault.detail.contains("where the token can see no mount"), "{fault}");
}

#[tokio::test]
async fn what_others_keep_and_what_is_ours_is_told_apart() {
    let site = VaultSite::new(2, None).await;
    site.put(json!({ "OKTA_TOKEN": "tok_live.x", "n": 7 })).await;
    let seen = site.sink().read().await.unwrap();
    assert_eq!(seen.loss, Loss::Nothing);
    let keys: Vec<&str> = seen.elsewhere.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["OKTA_TOKEN"]);
    for data in [json!({ "token": { "is": "theirs" } }), json!({ "scopes": "theirs" })] {
        site.put(data).await;
        assert_eq!(site.sink().read().await.unwrap().loss, Loss::Value);
    }
    let mut asked = settings(&site.path(), None);
    asked.overwrite = true;
    let server = server_with(&site.bao.url, &site.token);
    let overwriting = VaultSink::try_new(&server, asked).unwrap();
    assert!(overwriting.overwrites() && !site.sink().overwrites());
    let again = VaultSink::reopen(&server, overwriting.place()).unwrap();
    assert!(again.overwrites(), "the ledger remembers it");
}

/// Log-in in a namespace, secret in one below it: every call goes where it belongs.
#[tokio::test]
async fn a_log_in_above_its_secrets_is_good_for_them() {
    let bao = bao::shared().await;
    let (above, below) = (unique("org"), "team");
    bao.must("POST", &format!("sys/namespaces/{above}"), json!({})).await;
    let inside = format!("{above}/{below}");
    let within = async |namespace: &str, method: &str, path: &str, body: Value| {
        let headers = [("X-Vault-Namespace", namespace)];
        let (status, answer) = bao.ask_with(ROOT, method, path, body, &headers).await;
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    };
    within(&above, "POST", &format!("sys/namespaces/{below}"), json!({})).await;
    let engine = json!({ "type": "kv", "options": { "version": "2" } });
    within(&inside, "POST", "sys/mounts/kv", engine).await;
    let target = scimitar::sink::vault::VaultTarget {
        path: "kv/x".to_owned(),
        mount: Some("kv".to_owned()),
        payload: None,
        overwrite: false,
        custom_metadata: Default::default(),
    };
    let keeping = scimitar::sink::vault::Keeping::Own;
    let policy = scimitar::sink::vault::policy(keeping, "team/", &[(&target, Mode::Rotate)]).hcl();
    within(&above, "POST", "sys/policies/acl/p", json!({ "policy": policy })).await;
    within(&above, "POST", "sys/auth/approle", json!({ "type": "approle" })).await;
    let role = json!({ "token_policies": ["p"], "token_no_default_policy": true });
    within(&above, "POST", "auth/approle/role/r", role).await;
    let id = within(&above, "GET", "auth/approle/role/r/role-id", Value::Null).await;
    let secret = within(&above, "POST", "auth/approle/role/r/secret-id", json!({})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let method = Method::Approle {
        role_id: text(&id["data"]["role_id"]),
        secret_id: source(&text(&secret["data"]["secret_id"])),
        wrapped: false,
        single_use: false,
    };
    let mut asked = server_settings(&bao.url, method, "approle");
    asked.namespace = Some(inside.clone());
    asked.auth.namespace = Some(above.clone());
    let there = server(asked.clone());
    let sink = sink(&there, "kv/x");
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    assert_eq!(
        sink.missing_rights(Mode::Rotate).await.unwrap(),
        [""; 0],
        "the printed policy is enough"
    );
    sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap();
    promote(&sink, 2).await;
    assert!(seen.container.is_some(), "the cluster is asked outside of namespaces");
    let listed = within(&inside, "LIST", "kv/metadata/", Value::Null).await;
    assert_eq!(listed["data"]["keys"], json!(["x"]));
    let wrong = super::site::sink(&there, "other/x").read().await.unwrap_err();
    let words = format!("in the namespace {inside}, where the token can see kv/");
    assert!(wrong.detail.contains(&words), "{wrong}");
    there.close().await;
    // Without it the log-in is asked for where it is not.
    asked.auth.namespace = None;
    let fault = super::site::sink(&server(asked), "kv/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}
