//! Who else writes there, and a claim that ends in the middle.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code, Fault},
    sink::{Fence, Sink},
};
use serde_json::json;

use super::{
    faults::site,
    secrets_manager::Mishap::{Overtaken, RefusedAfter},
    sink_conformance::*,
    site::template,
    strict::StrictSite,
};

/// Somebody else is faster, between our look and our move.
#[tokio::test]
async fn a_race_that_is_lost_changes_nothing() {
    for call in ["PutSecretValue", "UpdateSecretVersionStage"] {
        let site = site().await;
        let sink = site.sink();
        let first = promote(&sink, 1).await;
        site.aws.world().next(call, Overtaken(r#"{"theirs":"new"}"#));
        let fault = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{call}: {fault}");
        let current = site.aws.must("GetSecretValue", &json!({ "SecretId": site.name }));
        assert_eq!(current["SecretString"], r#"{"theirs":"new"}"#, "{call}");
        // Read again and merged, as the caller does, it is delivered beside what they wrote.
        promote(&sink, 2).await;
        assert_holds(&sink.read().await.unwrap(), &delivery(2));
        let current = site.aws.must("GetSecretValue", &json!({ "SecretId": site.name }));
        assert!(current["SecretString"].as_str().unwrap().contains(r#""theirs":"new""#));
    }
    let site = site().await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    site.aws.world().next("CreateSecret", Overtaken("{}"));
    let fault = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
}

/// A claim that is gone after so many questions.
#[derive(Debug)]
struct GoneAfter(AtomicUsize);

#[async_trait]
impl Fence for GoneAfter {
    async fn check(&self) -> Result<(), Fault> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| {
            Fault::new("keep the claim", Class::Terminal, Code::ClaimLost, "another has it")
        })
    }
}

/// Before each write it is asked whether the claim still holds; whenever it is lost, readers get what
/// they got.
#[tokio::test]
async fn a_claim_that_ends_in_the_middle_ends_the_delivery() {
    let mut refusals = 0;
    for questions in 0..10 {
        let site = StrictSite::new(Some(template(&[("T", "{{ token }}")]))).await;
        let first = promote(&site.sink(), 1).await;
        site.aws.world().asked.clear();
        let fence = GoneAfter(AtomicUsize::new(questions));
        let done = site.sink().promote(&delivery(2), &first, &fence).await;
        let asked = site.aws.world().asked.clone();
        let reading = ["DescribeSecret", "GetSecretValue"];
        let writes = asked.iter().filter(|asked| !reading.contains(&asked.call.as_str())).count();
        match done {
            Ok(_) => {
                assert!(refusals >= 3, "asked before tags, before the put, before the move");
                assert_holds(&site.sink().read().await.unwrap(), &delivery(2));
                return;
            }
            Err(fault) => {
                assert_eq!(fault.code, Code::ClaimLost);
                assert!(writes < questions.max(1), "{writes} writes after {questions} questions");
                assert_eq!(site.labelled("AWSCURRENT"), Some(first.0));
                refusals += 1;
            }
        }
    }
    panic!("it is asked for ever");
}

/// Notes when it was asked among the calls that were made.
#[derive(Debug)]
struct Noted(Arc<StrictSite>);

#[async_trait]
impl Fence for Noted {
    async fn check(&self) -> Result<(), Fault> {
        self.0.note("fence");
        Ok(())
    }
}

#[tokio::test]
async fn the_fence_is_asked_right_before_each_write() {
    let payload = template(&[("T", "{{ token }}")]);
    let site = Arc::new(StrictSite::new(Some(payload)).await);
    let sink = site.sink();
    promote(&sink, 1).await;
    for generation in 2..4 {
        let seen = sink.read().await.unwrap();
        site.aws.world().asked.clear();
        let fence = Noted(site.clone());
        sink.promote(&delivery(generation), &seen.version, &fence).await.unwrap();
        let asked = site.aws.world().asked.clone();
        let calls: Vec<_> = asked
            .iter()
            .filter(|asked| !["DescribeSecret", "GetSecretValue"].contains(&asked.call.as_str()))
            .collect();
        let writes: Vec<_> = calls
            .windows(2)
            .filter(|pair| {
                let [_, write] = pair else { return false };
                ["TagResource", "PutSecretValue"].contains(&write.call.as_str())
                    || write.body["VersionStage"] == "AWSCURRENT"
            })
            .collect();
        assert_eq!(writes.len(), 3, "{calls:?}");
        assert!(writes.iter().all(|pair| pair[0].call == "fence"), "{calls:?}");
    }
}

/// Refused because it was made already: by the first of two that AWS got.
#[tokio::test]
async fn a_move_that_was_made_already_is_no_failure() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    let way = RefusedAfter(400, "InvalidParameterException");
    site.aws.world().next("UpdateSecretVersionStage", way);
    let second = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap();
    assert_eq!(site.labelled("AWSCURRENT"), Some(second.0));
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

/// Of two who both see a secret without a value, the second only stages.
#[tokio::test]
async fn two_first_versions_are_told_apart() {
    let site = site().await;
    site.aws.must("CreateSecret", &json!({ "Name": site.name }));
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    site.aws.world().next("PutSecretValue", Overtaken(r#"{"token":"theirs"}"#));
    let fault = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
    let current = site.aws.must("GetSecretValue", &json!({ "SecretId": site.name }));
    assert_eq!(current["SecretString"], r#"{"token":"theirs"}"#);
}
