//! What is Vault's own: versions, deletions, metadata, engines and their settings.

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code, Fault},
    sink::{
        Contents, Fence, Sink,
        vault::{VaultSink, VaultTarget},
    },
};
use serde_json::{Value, json};

use super::{
    bao::{self, ROOT},
    sink_conformance::{CANARY, Gate, assert_holds, delivery, promote},
    site::{KEY, VaultSite, server_with, settings, sink, template},
};

const NOTHING: Value = Value::Null;

/// Somebody acts between the last look and the write.
#[derive(Debug)]
struct Meanwhile {
    url: String,
    path: String,
    body: Value,
}

#[async_trait]
impl Fence for Meanwhile {
    async fn check(&self) -> Result<(), Fault> {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let answer = client
            .post(format!("{}/v1/{}", self.url, self.path))
            .header("X-Vault-Token", ROOT)
            .body(self.body.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        Ok(())
    }
}

#[tokio::test]
async fn anothers_write_at_the_last_moment_is_a_conflict_and_stays() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let version = promote(&sink, 1).await;
    let mut theirs = site.data().await;
    theirs["theirs"] = json!("kept");
    let meanwhile = Meanwhile {
        url: site.bao.url.clone(),
        path: site.data_path(),
        body: json!({ "data": theirs }),
    };
    let fault = sink.promote(&delivery(2), &version, &meanwhile).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
    assert_eq!(site.data().await, theirs);
    promote(&sink, 2).await;
    assert_eq!(site.data().await["theirs"], "kept");
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

#[tokio::test]
async fn a_first_write_at_the_last_moment_is_a_conflict_too() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let version = sink.read().await.unwrap().version;
    let meanwhile = Meanwhile {
        url: site.bao.url.clone(),
        path: site.data_path(),
        body: json!({ "data": { "theirs": 1 } }),
    };
    let fault = sink.promote(&delivery(1), &version, &meanwhile).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
    assert_eq!(site.data().await, json!({ "theirs": 1 }));
}

/// Deleted softly, destroyed, or with all of its metadata: nothing is there, each state is another
/// one, and the write names the version that it replaces, which is 0 only at the very end.
#[tokio::test]
async fn what_was_deleted_is_empty_and_is_written_again() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let mut before = promote(&sink, 1).await;
    let data = site.data_path();
    let destroy = format!("{}/destroy/{KEY}", site.mount);
    let ways = [
        ("DELETE", data.clone(), NOTHING, 2),
        ("POST", destroy, json!({ "versions": [2] }), 3),
        ("DELETE", site.metadata_path(), NOTHING, 1),
    ];
    for (nth, (method, path, body, number)) in ways.into_iter().enumerate() {
        let generation = nth as u64 + 2;
        site.bao.must(method, &path, body).await;
        // Opened anew: what we wrote just now cannot be gone to a sink that remembers it.
        let sink = site.sink();
        let seen = sink.read().await.unwrap();
        assert!(matches!(seen.contents, Contents::Empty), "{path}: {seen:?}");
        assert_ne!(seen.version, before, "{path}");
        sink.prove_writable(&seen).await.unwrap();
        let fault = sink.promote(&delivery(generation), &before, &Gate::open()).await.unwrap_err();
        assert_eq!(fault.class, Class::Conflict, "{path}");
        before = sink.promote(&delivery(generation), &seen.version, &Gate::open()).await.unwrap();
        assert_eq!(site.metadata().await["current_version"], number, "{path}");
        assert_holds(&site.sink().read().await.unwrap(), &delivery(generation));
    }
    site.bao.must("DELETE", &data, NOTHING).await;
    let deleted = site.sink().read().await.unwrap().version;
    site.bao
        .must("POST", &format!("{}/undelete/{KEY}", site.mount), json!({"versions": [1]}))
        .await;
    let restored = site.sink().read().await.unwrap();
    assert_eq!(restored.version, before, "undeleted it is what it was");
    assert_ne!(restored.version, deleted);
}

/// The same number comes again after a secret was deleted for good: it is another version.
#[tokio::test]
async fn a_version_is_not_its_number_alone() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let version = promote(&sink, 1).await;
    site.bao.must("DELETE", &site.metadata_path(), NOTHING).await;
    site.put(json!({ "theirs": "another" })).await;
    assert_eq!(site.metadata().await["current_version"], 1);
    let fault = sink.promote(&delivery(2), &version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
    assert_eq!(site.data().await, json!({ "theirs": "another" }));
}

#[tokio::test]
async fn a_replay_makes_no_version_more() {
    for payload in [None, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))] {
        let site = VaultSite::new(2, payload).await;
        let version = promote(&site.sink(), 1).await;
        assert_eq!(promote(&site.sink(), 1).await, version);
        assert_eq!(site.metadata().await["current_version"], 1);
    }
}

/// Users' own metadata stays, and so does the mark of what is there until the write is done.
#[tokio::test]
async fn marks_beside_the_payload_touch_no_metadata_of_others() {
    let site = VaultSite::new(2, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    assert_eq!(site.data().await, json!({ "SCIM_TOKEN": delivery(1).value.expose() }));
    let patch = json!({ "custom_metadata": { "owner": "team-a", "scimitar_note": "theirs" } });
    site.bao.must("PATCH", &site.metadata_path(), patch).await;
    for generation in 2..=4 {
        promote(&sink, generation).await;
        let metadata = site.metadata().await["custom_metadata"].clone();
        assert_eq!(metadata["owner"], "team-a");
        assert_eq!(metadata["scimitar_note"], "theirs");
        assert!(!metadata.to_string().contains(CANARY), "no value in metadata");
        assert_eq!(metadata.as_object().unwrap().len(), 2 + 2 * 6 - usize::from(generation == 2));
    }
}

/// Somebody writes another value by hand: the marks beside it are not believed of that.
#[tokio::test]
async fn a_stale_mark_is_not_believed() {
    let site = VaultSite::new(2, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.put(json!({ "SCIM_TOKEN": "tok_hand.made" })).await;
    match site.sink().read().await.unwrap().contents {
        Contents::Unmarked { value: Some(value) } => assert_eq!(value.expose(), "tok_hand.made"),
        other @ (Contents::Empty | Contents::Marked { .. } | Contents::Unmarked { .. }) => {
            panic!("{other:?}")
        }
    }
    // A write that lost its race leaves its marks behind; the old value keeps its own.
    site.put(json!({ "SCIM_TOKEN": delivery(1).value.expose() })).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert_holds(&seen, &delivery(1));
    let meanwhile = Meanwhile {
        url: site.bao.url.clone(),
        path: site.metadata_path(),
        body: json!({ "max_versions": 7 }),
    };
    sink.promote(&delivery(2), &seen.version, &meanwhile).await.unwrap();
    assert_holds(&site.sink().read().await.unwrap(), &delivery(2));
}

#[tokio::test]
async fn without_the_right_to_patch_metadata_the_proof_fails() {
    let site = VaultSite::new(2, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.sink();
    for generation in 1..=2 {
        site.grant(&["create", "read", "update"], &["read"]).await;
        let seen = sink.read().await.unwrap();
        let fault = sink.prove_writable(&seen).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
        assert!(fault.detail.contains("grant \"patch\" on the metadata"), "{fault}");
        site.grant(&["create", "read", "update"], &["read", "patch"]).await;
        sink.prove_writable(&seen).await.unwrap();
        promote(&sink, generation).await;
    }
}

#[tokio::test]
async fn settings_that_take_a_token_away_are_refused_before_a_mint() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let config = format!("{}/config", site.mount);
    let metadata = site.metadata_path();
    let seen = sink.read().await.unwrap();
    for (path, body, words) in [
        (&config, json!({ "delete_version_after": "30h" }), "the engine's delete_version_after"),
        (&metadata, json!({ "delete_version_after": "30h" }), "the secret's delete_version_after"),
        (&config, json!({ "max_versions": 1 }), "max_versions = 1"),
    ] {
        site.bao.must("POST", path, body).await;
        let fault = sink.prove_writable(&seen).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains(words), "{fault}");
        let back = json!({ "delete_version_after": "0s", "max_versions": 0 });
        site.bao.must("POST", path, back).await;
        sink.prove_writable(&seen).await.unwrap();
    }
    // A compare-and-set is always named, so one that is asked for is obeyed.
    site.bao.must("POST", &config, json!({ "cas_required": true })).await;
    sink.prove_writable(&seen).await.unwrap();
    for generation in 1..=2 {
        promote(&sink, generation).await;
    }
}

#[tokio::test]
async fn each_right_that_is_missing_is_found_before_a_mint() {
    let site = VaultSite::new(2, None).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    for (data, metadata) in [(&["read"][..], &["read"][..]), (&["create", "read"], &[])] {
        site.grant(data, metadata).await;
        let fault = sink.prove_writable(&seen).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    }
    // To create is not to update.
    site.grant(&["create", "read"], &["read"]).await;
    sink.prove_writable(&seen).await.unwrap();
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!(fault.code, Code::Forbidden, "{fault}");
}

#[tokio::test]
async fn the_mount_is_asked_for_and_never_guessed() {
    let bao = bao::shared().await;
    let server = server_with(&bao.url, ROOT);
    let missing = sink(&server, "no-such-mount/x").read().await.unwrap_err();
    assert_eq!((missing.class, missing.code), (Class::Terminal, Code::Forbidden), "{missing}");
    assert!(missing.detail.contains("nothing is mounted"), "{missing}");
    let other = sink(&server, "sys/x").read().await.unwrap_err();
    assert_eq!(other.class, Class::Terminal, "{other}");
    let name = bao::unique("deep/er");
    let body = json!({ "type": "kv", "options": { "version": "1" } });
    bao.must("POST", &format!("sys/mounts/{name}"), body).await;
    let settings = |mount: &str| VaultTarget {
        path: format!("{name}/x"),
        mount: Some(mount.to_owned()),
        payload: None,
        overwrite: false,
        custom_metadata: Default::default(),
    };
    promote(&VaultSink::try_new(&server, settings(&name)).unwrap(), 1).await;
    let wrong = VaultSink::try_new(&server, settings("deep")).unwrap().read().await.unwrap_err();
    assert_eq!(wrong.class, Class::Terminal, "{wrong}");
    let outside = VaultSink::try_new(&server, settings("elsewhere")).unwrap_err();
    assert!(outside.detail.contains("does not lie in the mount"), "{outside}");
}

/// An engine in the place of another: what was known of the first says nothing of the second.
#[tokio::test]
async fn another_engine_in_its_place_is_noticed() {
    let site = VaultSite::new(1, None).await;
    let server = server_with(&site.bao.url, ROOT);
    let sink = sink(&server, &site.path());
    promote(&sink, 1).await;
    let mount = format!("sys/mounts/{}", site.mount);
    site.bao.must("DELETE", &mount, NOTHING).await;
    let fault = sink.read().await.unwrap_err();
    assert_ne!(fault.class, Class::Ambiguous, "a mount that is gone is not an empty place");
    let body = json!({ "type": "kv", "options": { "version": "2" } });
    site.bao.must("POST", &mount, body).await;
    let two = VaultSite { version: 2, ..site };
    for _ in 0..800 {
        let (status, _) = two.bao.ask("GET", &format!("{}/config", two.mount), NOTHING).await;
        if status == 200 {
            break;
        }
        bao::pause(25).await;
    }
    two.put(json!({ "theirs": 1 })).await;
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    promote(&sink, 2).await;
    assert_eq!(two.data().await["theirs"], 1);
}

#[tokio::test]
async fn a_remembered_place_is_opened_again_on_its_own_server_alone() {
    let site = VaultSite::new(2, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let here = server_with(&site.bao.url, &site.token);
    let again = VaultSink::reopen(&here, sink.place()).unwrap();
    assert_eq!(again.place(), sink.place());
    assert_holds(&again.read().await.unwrap(), &delivery(1));
    let elsewhere = server_with("http://127.0.0.1:9", &site.token);
    let fault = VaultSink::reopen(&elsewhere, sink.place()).unwrap_err();
    assert!(fault.detail.contains("is on another server"), "{fault}");
    let mut spoilt = sink.place().clone();
    spoilt.delivery = json!({ "path": 1 }).into();
    assert_eq!(VaultSink::reopen(&here, &spoilt).unwrap_err().code, Code::Invalid);
}

/// What the crate would send as another path than it was written is no path here.
#[tokio::test]
async fn a_path_stays_the_path_that_it_is() {
    let server = server_with("http://127.0.0.1:9", ROOT);
    for bad in [
        "",
        "secret//x",
        "/secret/x",
        "secret/x/",
        "secret/../sys/x",
        "secret/./x",
        "..",
        "secret/a%2f..",
        "secret/x?version=1",
        "secret/x#y",
        "secret/a b",
        "secret/a\nb",
    ] {
        let settings = settings(bad, None);
        let fault = VaultSink::try_new(&server, settings).unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{bad:?}");
    }
}

#[tokio::test]
async fn odd_characters_of_a_path_arrive_as_they_are() {
    let site = VaultSite::new(2, None).await;
    let server = server_with(&site.bao.url, ROOT);
    for key in ["a:b@c", "ümlaut", "x^|[y]", "a+b&c=d;e,f", "~'!$()"] {
        let sink = sink(&server, &format!("{}/{key}", site.mount));
        promote(&sink, 1).await;
        let list = site.bao.must("LIST", &format!("{}/metadata/", site.mount), NOTHING).await;
        let keys = list["data"]["keys"].as_array().unwrap();
        assert!(keys.iter().any(|listed| listed == key), "{key}: {keys:?}");
    }
}
