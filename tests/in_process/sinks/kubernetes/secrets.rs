//! What a Secret is before and after, and what is never done to one.

use scimitar::{
    error::{Class, Code},
    rotation::policy::Mode,
    sink::{Contents, Loss, Sink, Version},
};
use scimitar_test_support::sink_conformance::*;
use serde_json::{Value, json};

use super::{ACCOUNT, ClusterSite, NAME, NAMESPACE, Site, encode, role};

#[tokio::test]
async fn a_missing_secret_is_made_and_only_our_keys_change_later() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let made = site.secret();
    assert_eq!(made["type"], "Opaque");
    assert_eq!(made["metadata"]["labels"]["app.kubernetes.io/managed-by"], "scimitar");
    assert_eq!(made["data"]["token_id"], json!(encode("tok_1")));
    assert!(made["data"]["expires_at"].is_null() && made["metadata"]["annotations"].is_null());
    site.change(|secret| {
        secret["type"] = json!("team.example.com/scim");
        secret["data"]["theirs"] = json!("/w==");
        secret["data"]["expires_at"] = json!(encode("2026-01-01T00:00:00Z"));
        secret["metadata"]["labels"]["team"] = json!("identity");
        secret["metadata"]["finalizers"] = json!(["example.com/keep"]);
    });
    promote(&sink, 3).await;
    let now = site.secret();
    assert_eq!(
        (&now["type"], &now["data"]["theirs"]),
        (&json!("team.example.com/scim"), &json!("/w=="))
    );
    assert_eq!(now["metadata"]["labels"]["team"], "identity");
    assert_eq!(now["metadata"]["finalizers"], json!(["example.com/keep"]));
    assert!(now["data"]["expires_at"].is_null(), "it is a key of ours, and has nothing to say");
    assert_eq!(now["metadata"]["managedFields"][0]["manager"], "scimitar");
    let world = site.api.world();
    let patch = world.asked.iter().rfind(|asked| asked.verb == "patch").unwrap();
    assert!(patch.body["data"]["theirs"].is_null(), "nothing of others is sent back");
}

/// As whoever makes Secrets by hand, so that `create` need not be granted, leaves it.
#[tokio::test]
async fn a_secret_without_data_is_empty_and_filled() {
    let site = ClusterSite { create: false, ..ClusterSite::new(None).await };
    site.api.world().bind(ACCOUNT, role(&["get", "patch"], false));
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.version.0, Version::ABSENT);
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("create = false"), "{fault}");
    }
    site.make(json!({ "type": "Opaque", "metadata": {} }));
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty) && seen.loss == Loss::Nothing, "{seen:?}");
    assert!(seen.version.is_of_something());
    promote(&sink, 1).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
}

#[tokio::test]
async fn what_nobody_may_change_or_keep_is_refused_before_a_mint() {
    for (change, words) in [
        (json!({ "immutable": true }), "immutable"),
        (json!({ "type": "kubernetes.io/service-account-token" }), "which Kubernetes fills"),
        (json!({ "data": { "theirs": encode("x".repeat(700_000)) } }), "at most 1 MiB"),
    ] {
        let site =
            ClusterSite::new(Some(&[("T", "{{ token }}"), ("u", "{{ scim_endpoint }}")])).await;
        let mut secret = json!({ "metadata": {}, "data": { "T": encode("tok_9.live") } });
        for (key, value) in change.as_object().unwrap() {
            secret[key] = value.clone();
        }
        site.make(secret);
        let before = site.secret();
        let sink = site.sink();
        let seen = sink.read().await.unwrap();
        let big = words.contains("MiB");
        if !big {
            let proof = sink.prove_writable(&seen).await.unwrap_err();
            assert!(proof.detail.contains(words), "{proof}");
        }
        let mut large = delivery(1);
        if big {
            large.scim_endpoint = "x".repeat(400_000);
        }
        let write = sink.promote(&large, &seen.version, &Gate::open()).await.unwrap_err();
        assert_eq!((write.class, write.code), (Class::Terminal, Code::Invalid), "{write}");
        assert!(write.detail.contains(words), "{write}");
        assert_eq!(site.secret(), before);
    }
}

#[tokio::test]
async fn a_secret_that_is_going_is_waited_for() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.change(|secret| {
        secret["metadata"]["deletionTimestamp"] = json!("2026-11-22T04:00:00Z");
        secret["metadata"]["finalizers"] = json!(["example.com/keep"]);
    });
    let seen = sink.read().await.unwrap();
    let fault = sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
}

#[tokio::test]
async fn a_secret_that_a_controller_owns_is_warned_of() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    sink.read().await.unwrap();
    assert_eq!(sink.caveat(), None);
    site.change(|secret| {
        secret["metadata"]["ownerReferences"] =
            json!([{ "kind": "ExternalSecret", "name": "scim", "uid": "u", "controller": true }]);
    });
    sink.read().await.unwrap();
    let said = sink.caveat().unwrap();
    assert!(said.contains("ExternalSecret scim") && said.contains("overwrite"), "{said}");
}

/// A cluster that was made anew under the same address has no such Secret either.
#[tokio::test]
async fn an_empty_namespace_of_another_cluster_is_not_written() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let uid = site.api.world().namespaces[NAMESPACE].clone();
    assert_eq!(seen.container.as_ref().map(|container| container.id.as_str()), Some(uid.as_str()));
    site.api.world().namespaces.insert(NAMESPACE.to_owned(), "another".to_owned());
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
        assert!(fault.detail.contains("uid another"), "{fault}");
    }
    assert_eq!(site.secret(), Value::Null);
    site.api.world().namespaces.clear();
    let gone = sink.read().await.unwrap_err();
    assert_eq!(gone.class, Class::Terminal);
    assert!(gone.detail.contains("no namespace team-a"), "{gone}");
}

#[tokio::test]
async fn that_the_namespace_is_not_told_is_said() {
    let site = ClusterSite::new(None).await;
    let mut roles = role(&["get", "patch"], true);
    roles[0]["rules"].as_array_mut().unwrap().remove(1);
    site.api.world().bind(ACCOUNT, roles);
    let sink = site.sink();
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    assert!(seen.container.is_none());
    assert!(sink.caveat().is_some_and(|said| said.contains("another cluster")), "it is said");
}

#[tokio::test]
async fn missing_rights_are_named_and_a_later_create_too() {
    let site = ClusterSite::new(None).await;
    assert_eq!(site.sink().missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    site.api.world().bind(ACCOUNT, role(&["get"], false));
    let missing = site.sink().missing_rights(Mode::Rotate).await.unwrap();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("verb patch") && missing[1].contains("verb create"), "{missing:?}");
    assert!(missing[1].contains("create = false"), "{missing:?}");
    let to_watch = site.sink().missing_rights(Mode::Observe).await.unwrap();
    assert_eq!(to_watch, [""; 0], "reading is all that watching needs");
    site.sink().read().await.unwrap();
    site.api.world().bind(ACCOUNT, role(&["patch"], true));
    let to_watch = site.sink().missing_rights(Mode::Observe).await.unwrap();
    assert!(to_watch.len() == 1 && to_watch[0].contains("verb get"), "{to_watch:?}");
    site.api.world().bind(ACCOUNT, role(&["get"], false));
    let made = ClusterSite { create: false, ..site };
    assert_eq!(made.sink().missing_rights(Mode::Rotate).await.unwrap().len(), 1);
}

/// The place is remembered with its namespace, and not looked for in another context.
#[tokio::test]
async fn a_remembered_place_keeps_its_namespace() {
    let site = ClusterSite::new(None).await;
    let sink = site.open();
    assert_eq!(sink.place().location, format!("prod/{NAMESPACE}/{NAME}"));
    assert_eq!(sink.place().delivery.read::<Value>().unwrap()["namespace"], NAMESPACE);
    assert_eq!(sink.place().key.as_str(), format!("kubernetes:prod/{NAMESPACE}/{NAME}"));
}
