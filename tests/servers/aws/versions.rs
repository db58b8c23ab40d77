//! Versions, labels and tags in moto: what is left behind, and what is refused.

use std::collections::BTreeMap;

use scimitar::{
    error::{Class, Code},
    sink::{Contents, Sink, Staged, Version},
};
use serde_json::{Value, json};

use super::{
    moto::{self, REGION},
    sink_conformance::*,
    site::{MotoSite, named, sink_of, template},
};

async fn site() -> MotoSite {
    MotoSite::new(moto::shared().await, None)
}

fn label(name: &str, id: &Version) -> (String, String) {
    (name.to_owned(), id.0.clone())
}

/// Two versions, each with one label, and nothing else: no label of ours stays, and none is moved
/// by a proof.
#[tokio::test]
async fn only_awss_own_labels_stay() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    assert_eq!(site.labels().await, BTreeMap::from([label("AWSCURRENT", &first)]));
    sink.stage(&delivery(2), &Gate::open()).await.unwrap();
    let labels = site.labels().await;
    assert_eq!(labels["AWSCURRENT"], first.0);
    assert!(labels.contains_key("SCIMITAR_PENDING") && labels.len() == 2, "{labels:?}");
    let second = promote(&sink, 2).await;
    let both = BTreeMap::from([label("AWSCURRENT", &second), label("AWSPREVIOUS", &first)]);
    assert_eq!(site.labels().await, both);
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    assert_eq!(site.labels().await, both);
    sink.forget(&delivery(1).marks.token_id, Some(&first)).await.unwrap();
    assert_eq!(site.labels().await, BTreeMap::from([label("AWSCURRENT", &second)]));
}

/// The version's id is of the token and of the content: the same again is no other version, and a
/// changed template is one.
#[tokio::test]
async fn a_replay_is_the_same_version_and_a_changed_payload_another() {
    let site = site().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    for _ in 0..3 {
        site.sink().stage(&delivery(2), &Gate::open()).await.unwrap();
    }
    let staged = site.labels().await["SCIMITAR_PENDING"].clone();
    let second = promote(&sink, 2).await;
    assert_eq!(second.0, staged, "what was staged is what became current");
    for _ in 0..3 {
        assert_eq!(promote(&site.sink(), 2).await, second);
    }
    let listed = site.must("ListSecretVersionIds", json!({})).await;
    assert_eq!(listed["Versions"].as_array().unwrap().len(), 2);
    let changed = MotoSite { payload: Some(template(&[("T", "{{ token }}")])), ..site };
    let sink = changed.sink();
    assert!(matches!(sink.read().await.unwrap().contents, Contents::Unmarked { value: None }));
    let third = promote(&sink, 2).await;
    assert_ne!(third, second);
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

/// Somebody goes back to what was before, by hand; the same token is delivered once more.
#[tokio::test]
async fn what_was_there_before_is_made_current_again() {
    let site = site().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let second = promote(&sink, 2).await;
    let (_, text) = site.current().await;
    site.put(r#"{"token":"by.hand"}"#).await;
    let body = json!({ "VersionStage": "AWSPREVIOUS", "RemoveFromVersionId": second.0 });
    site.ask("UpdateSecretVersionStage", body).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert!(matches!(&seen.contents, Contents::Unmarked { value: Some(_) }), "{seen:?}");
    sink.stage(&delivery(2), &Gate::open()).await.unwrap();
    assert_staged(&sink.read().await.unwrap(), &delivery(2));
    assert_eq!(promote(&sink, 2).await, second, "the same content is the same version");
    assert_eq!(site.current().await.1, text);
    assert!(!site.labels().await.contains_key("SCIMITAR_PENDING"));
}

#[tokio::test]
async fn marks_in_tags_are_merged_and_do_not_pile_up() {
    let payload = template(&[("SCIM_TOKEN", "{{ token }}")]);
    let mut settings = site().await.settings();
    settings.account.tags = BTreeMap::from([("team".to_owned(), "identity".to_owned())]);
    let site = MotoSite::new(moto::shared().await, Some(payload.clone()));
    let mut to = named(&site.name);
    to.payload = Some(payload);
    to.description = Some("of initech".to_owned());
    settings.account.kms_key_id = Some("alias/scim".to_owned());
    let sink = sink_of(settings, to);
    promote(&sink, 1).await;
    let described = site.must("DescribeSecret", json!({})).await;
    assert_eq!(described["Description"], "of initech");
    assert_eq!(described["KmsKeyId"], "alias/scim");
    let body = json!({ "Tags": [{ "Key": "theirs", "Value": "x" }] });
    site.must("TagResource", body).await;
    for generation in 2..=6 {
        promote(&sink, generation).await;
        let seen = sink.read().await.unwrap();
        assert_holds(&seen, &delivery(generation));
        sink.prove_writable(&seen).await.unwrap();
    }
    let tags = site.tags().await;
    assert_eq!((tags["team"].as_str(), tags["theirs"].as_str()), ("identity", "x"));
    assert_eq!(tags.keys().filter(|key| key.starts_with("scimitar:")).count(), 2, "{tags:?}");
    assert!(!format!("{tags:?}").contains(CANARY));
    // Marks of another value are not believed.
    site.put(r#"{"SCIM_TOKEN":"another"}"#).await;
    let seen = site.sink().read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: Some(_) }), "{seen:?}");
}

#[tokio::test]
async fn a_secret_without_a_value_is_given_its_first() {
    let site = site().await;
    site.must("CreateSecret", json!({ "Name": site.name })).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert!(matches!((&seen.contents, &seen.staged), (Contents::Empty, Staged::Impossible)));
    sink.prove_writable(&seen).await.unwrap();
    assert!(sink.caveat().unwrap().contains("has no value yet"));
    let refused = sink.stage(&delivery(1), &Gate::open()).await.unwrap_err();
    assert!(refused.detail.contains("live immediately"), "{refused}");
    let made = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap();
    assert_eq!(site.labels().await, BTreeMap::from([label("AWSCURRENT", &made)]));
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
    assert_eq!(sink.caveat(), None);
}

#[tokio::test]
async fn a_secret_that_may_not_be_made_is_not() {
    let site = site().await;
    let mut settings = site.settings();
    settings.account.create = false;
    let sink = sink_of(settings, named(&site.name));
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty));
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("create = false"), "{fault}");
    }
    assert_eq!(site.ask("DescribeSecret", json!({})).await.0, 404);
}

#[tokio::test]
async fn what_somebody_else_looks_after_is_refused_with_the_way_out() {
    let rotating = site().await;
    promote(&rotating.sink(), 1).await;
    let body = json!({ "RotationRules": { "AutomaticallyAfterDays": 30 } });
    rotating.must("RotateSecret", body).await;
    let owned = site().await;
    let tag = json!([{ "Key": "aws:secretsmanager:owningService", "Value": "rds" }]);
    let body = json!({ "Name": owned.name, "SecretString": "{}", "Tags": tag });
    owned.must("CreateSecret", body).await;
    let deleted = site().await;
    promote(&deleted.sink(), 1).await;
    deleted.must("DeleteSecret", json!({ "RecoveryWindowInDays": 7 })).await;
    for (site, words) in [
        (&rotating, "aws secretsmanager cancel-rotate-secret --secret-id"),
        (&owned, "managed by rds"),
        (&deleted, "restore = true in [sinks.aws]"),
    ] {
        let sink = site.sink();
        let read = sink.read().await.unwrap_err();
        let any = Version(Version::ABSENT.to_owned());
        let write = sink.promote(&delivery(2), &any, &Gate::open()).await.unwrap_err();
        let stage = sink.stage(&delivery(2), &Gate::open()).await.unwrap_err();
        for fault in [read, write, stage] {
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
            assert!(fault.detail.contains(words), "{fault}");
        }
    }
    // No reader is led anywhere by a secret that is to be deleted, so there is nothing to forget.
    deleted.sink().forget(&delivery(1).marks.token_id, None).await.unwrap();
}

#[tokio::test]
async fn a_deletion_is_called_off_only_when_told() {
    let site = site().await;
    let first = promote(&site.sink(), 1).await;
    site.must("DeleteSecret", json!({ "RecoveryWindowInDays": 7 })).await;
    let mut settings = site.settings();
    settings.account.restore = true;
    let sink = sink_of(settings, named(&site.name));
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.version.0, format!("deleted:{}", first.0));
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "unknown is not empty");
    sink.prove_writable(&seen).await.unwrap();
    assert!(sink.caveat().unwrap().contains("will be restored"));
    let described = site.must("DescribeSecret", json!({})).await;
    assert!(described["DeletedDate"].is_number(), "a proof restores nothing");
    let stale = Version("deleted:another".to_owned());
    let refused = sink.promote(&delivery(2), &stale, &Gate::open()).await.unwrap_err();
    assert_eq!(refused.class, Class::Conflict);
    let refused = sink.promote(&delivery(2), &seen.version, &Gate::shut()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClaimLost);
    assert!(site.must("DescribeSecret", json!({})).await["DeletedDate"].is_number());
    sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap();
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

#[tokio::test]
async fn a_region_that_has_not_caught_up_is_no_delivery() {
    let site = site().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let regions = |region: &str| json!({ "AddReplicaRegions": [{ "Region": region }] });
    site.must("ReplicateSecretToRegions", regions("us-east-1")).await;
    let version = promote(&sink, 2).await;
    assert_eq!(sink.read().await.unwrap().version, version);
    // A name that is taken there.
    let body = json!({ "Name": site.name, "SecretString": "{}" });
    let (status, _) = site.moto.ask_in("eu-west-1", "CreateSecret", body).await;
    assert_eq!(status, 200);
    site.must("ReplicateSecretToRegions", regions("eu-west-1")).await;
    let fault = sink.read().await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    assert!(fault.detail.contains("eu-west-1 is Failed: Replication failed"), "{fault}");
    // The other end of it: a replica is written by nobody.
    let mut settings = site.settings();
    settings.account.region = "us-east-1".to_owned();
    let fault = sink_of(settings, named(&site.name)).read().await.unwrap_err();
    assert_eq!(fault.class, Class::Terminal);
    assert!(fault.detail.contains(&format!("region = \"{REGION}\"")), "{fault}");
}

#[tokio::test]
async fn what_is_too_long_is_not_sent() {
    let site = site().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let (id, text) = site.current().await;
    let mut data: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    data["theirs"] = json!("x".repeat(65_400 - text.as_str().unwrap().len()));
    site.put(&data.to_string()).await;
    assert_ne!(site.current().await.0, id);
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let mut long = delivery(2);
    long.scim_endpoint = format!("https://acme.example.com/{}", "x".repeat(200));
    let fault = sink.promote(&long, &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid));
    assert!(fault.detail.contains("AWS allows at most 65536"), "{fault}");
    assert_eq!(site.labels().await.len(), 2, "nothing was staged");
}
