//! What each answer of the API means, and each way to lose one.

use std::time::Duration;

use scimitar::{
    error::{Class, Code},
    sink::{Contents, Sink, Version},
};
use scimitar_test_support::{
    kubernetes::Mishap::{
        CutAfter, Deleted, Foreign, GarbledAfter, LostAfter, LostBefore, Overtaken, Paused,
        Refused, RefusedAfter,
    },
    sink_conformance::*,
};
use serde_json::{Value, json};

use super::{ACCOUNT, ClusterSite, role};

#[tokio::test]
async fn each_status_of_a_read_has_its_class() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    for (status, reason, class, code) in [
        (401, "Unauthorized", Class::Terminal, Code::Unauthorized),
        (403, "Forbidden", Class::Terminal, Code::Forbidden),
        (410, "Expired", Class::Transient, Code::Unavailable),
        (429, "TooManyRequests", Class::Transient, Code::Throttled),
        (500, "InternalError", Class::Transient, Code::Unavailable),
        (503, "ServiceUnavailable", Class::Transient, Code::Unavailable),
        (504, "Timeout", Class::Transient, Code::Unavailable),
        (400, "BadRequest", Class::Terminal, Code::Invalid),
    ] {
        site.api.world().next("get", Refused(status, reason));
        let fault = sink.read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{status}: {fault}");
    }
    // What is not of the API says nothing of the Secret: it is not absent.
    for (status, code) in
        [(404, Code::Unreadable), (403, Code::Unreadable), (502, Code::Unavailable)]
    {
        site.api.world().next("get", Foreign(status));
        let fault = sink.read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Transient, code), "{status}: {fault}");
    }
    // The API itself is believed.
    site.api.world().next("get", Refused(404, "NotFound"));
    assert!(matches!(sink.read().await.unwrap().contents, Contents::Empty));
    for way in [LostBefore, CutAfter, GarbledAfter] {
        site.api.world().next("get", way.clone());
        let fault = sink.read().await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{way:?}: {fault}");
    }
    site.api.world().next("get", Paused(429, 7));
    let fault = sink.read().await.unwrap_err();
    assert_eq!(fault.retry_after, Some(Duration::from_secs(7)), "{fault}");
}

#[tokio::test]
async fn a_write_is_refused_or_in_doubt_and_never_both() {
    for first in [true, false] {
        let verb = if first { "create" } else { "patch" };
        for (way, class, wrote) in [
            (Refused(403, "Forbidden"), Class::Terminal, false),
            (Refused(401, "Unauthorized"), Class::Terminal, false),
            (Refused(409, "Conflict"), Class::Conflict, false),
            (Refused(413, "RequestEntityTooLarge"), Class::Terminal, false),
            (Refused(422, "Invalid"), Class::Terminal, false),
            (Refused(429, "TooManyRequests"), Class::Transient, false),
            (Refused(500, "InternalError"), Class::Ambiguous, false),
            (RefusedAfter(504, "Timeout"), Class::Ambiguous, true),
            (Foreign(502), Class::Ambiguous, false),
            (Foreign(403), Class::Transient, false),
            (LostBefore, Class::Ambiguous, false),
            (LostAfter, Class::Ambiguous, true),
            (CutAfter, Class::Ambiguous, true),
            (GarbledAfter, Class::Ambiguous, true),
        ] {
            let site = ClusterSite::new(None).await;
            let sink = site.sink();
            if !first {
                promote(&sink, 1).await;
            }
            let seen = sink.read().await.unwrap();
            site.api.world().next(verb, way.clone());
            let next = if first { 1 } else { 2 };
            let done = sink.promote(&delivery(next), &seen.version, &Gate::open()).await;
            let fault = done.unwrap_err();
            assert_eq!(fault.class, class, "{verb} {way:?}: {fault}");
            let after = sink.read().await.unwrap();
            assert_eq!(after.version != seen.version, wrote, "{verb} {way:?}");
            // Sent once: whoever reads decides what follows.
            assert_eq!(site.api.count(verb), 1, "{verb} {way:?}");
        }
    }
}

/// An admission webhook changes what is stored: found by the proof, before a token is minted, and in the
/// answer to a write where the webhook came in between.
#[tokio::test]
async fn what_a_webhook_changes_is_not_delivered() {
    let strips = |secret: &mut Value| drop(secret["data"].as_object_mut().unwrap().remove("token"));
    let masks = |secret: &mut Value| secret["data"]["token"] = json!("KioqKg==");
    for (nth, webhook) in [strips as fn(&mut Value), masks].into_iter().enumerate() {
        for first in [true, false] {
            let site = ClusterSite::new(None).await;
            let sink = site.sink();
            if !first {
                promote(&sink, 1).await;
            }
            let (seen, before) = (sink.read().await.unwrap(), site.secret());
            site.api.world().admission = Some(webhook);
            let proof = sink.prove_writable(&seen).await.unwrap_err();
            assert_eq!(
                (proof.class, proof.code),
                (Class::Terminal, Code::Invalid),
                "{nth}: {proof}"
            );
            let said = proof.to_string();
            assert!(said.contains("\"token\"") && said.contains("webhook"), "{said}");
            assert_eq!(site.secret(), before, "a proof writes nothing");
            let next = if first { 1 } else { 2 };
            let done = sink.promote(&delivery(next), &seen.version, &Gate::open()).await;
            let fault = done.unwrap_err();
            assert_eq!((fault.class, fault.code), (Class::Ambiguous, Code::Changed), "{fault}");
        }
    }
    // Where the marks are kept beside the value, they are a part of the delivery.
    let site = ClusterSite::new(Some(&[("SCIM_TOKEN", "{{ token }}")])).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    site.api.world().admission =
        Some(|secret| drop(secret["metadata"].as_object_mut().unwrap().remove("annotations")));
    let done = sink.promote(&delivery(1), &seen.version, &Gate::open()).await;
    let said = done.unwrap_err().to_string();
    assert!(said.contains("scimitar/marks"), "{said}");
}

#[tokio::test]
async fn what_changed_in_between_is_a_conflict() {
    for way in [Overtaken, Deleted] {
        let site = ClusterSite::new(None).await;
        let sink = site.sink();
        let version = promote(&sink, 1).await;
        site.api.world().next("patch", way.clone());
        let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
        let fault = done.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{way:?}: {fault}");
    }
    // Two that make it: one of them does.
    let site = ClusterSite::new(None).await;
    let (one, other) = (site.sink(), site.sink());
    let absent = Version(Version::ABSENT.to_owned());
    one.promote(&delivery(1), &absent, &Gate::open()).await.unwrap();
    let refused = other.promote(&delivery(2), &absent, &Gate::open()).await.unwrap_err();
    assert_eq!(refused.class, Class::Conflict, "{refused}");
}

#[tokio::test]
async fn a_proof_is_only_ever_tried_out() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    assert_eq!(site.secret(), Value::Null);
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    let world = site.api.world();
    let dry = world.asked.iter().filter(|asked| asked.query.contains_key("dryRun"));
    assert_eq!(dry.map(|asked| asked.verb).collect::<Vec<_>>(), ["create", "patch"]);
}

/// A quota or an admission webhook refuses what no right does.
#[tokio::test]
async fn what_admission_refuses_is_found_by_a_proof() {
    let site = ClusterSite::new(None).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    site.api.world().next("create", Refused(403, "Forbidden"));
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    site.api.world().next("create", LostAfter);
    let lost = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!(lost.class, Class::Transient, "a proof changes nothing: {lost}");
    site.api.world().bind(ACCOUNT, role(&["get", "patch"], false));
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    assert!(fault.detail.contains("scimitar permissions"), "{fault}");
}
