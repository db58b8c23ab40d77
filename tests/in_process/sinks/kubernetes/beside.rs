//! Labels: in the same request as the value, and never in its way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::{
    error::Class,
    sink::{Sink, Version},
};
use scimitar_test_support::{kubernetes::Mishap, sink_conformance::*};
use serde_json::{Value, json};

use super::ClusterSite;

async fn labelled() -> ClusterSite {
    ClusterSite { labels: labels(), ..ClusterSite::new(None).await }
}

#[async_trait]
impl SaysBeside for ClusterSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.secret()["metadata"]["labels"].clone()).unwrap_or_default()
    }

    async fn add_beside(&self) {
        self.change(|secret| secret["metadata"]["labels"]["team"] = json!("theirs"));
    }

    /// By a webhook that takes labels away.
    async fn forbid_beside(&self, forbidden: bool) {
        fn webhook(secret: &mut Value) {
            let labels = secret["metadata"]["labels"].as_object_mut();
            labels.unwrap().retain(|key, _| key == "team" || key.contains('/'));
        }
        self.api.world().admission = forbidden.then_some(webhook);
    }
}

#[tokio::test]
async fn labels_harm_no_delivery_to_kubernetes() {
    what_is_said_beside_harms_no_delivery(&labelled().await).await;
}

/// A new Secret has its labels from the start, and a replay that finds them writes nothing.
#[tokio::test]
async fn value_and_labels_are_one_request() {
    let site = labelled().await;
    let sink = site.sink();
    let made = promote(&sink, 2).await;
    let beside = site.beside().await;
    assert_eq!((beside["of"].as_str(), beside.len()), ("tok-2", 4), "{beside:?}");
    assert_eq!(promote(&sink, 2).await, made);
    assert_eq!((site.api.count("create"), site.api.count("patch")), (1, 0));
    promote(&sink, 3).await;
    let world = site.api.world();
    let patches: Vec<_> = world.asked.iter().filter(|asked| asked.verb == "patch").collect();
    assert_eq!(patches.len(), 1);
    let labels = &patches[0].body["metadata"]["labels"];
    assert_eq!(labels, &json!({ "of": "tok-3", "until": null }), "and nothing of others");
}

/// A policy of the cluster that refuses a label refuses the whole request: it is sent without.
#[tokio::test]
async fn a_refused_label_does_not_refuse_the_token() {
    let site = labelled().await;
    let sink = site.sink();
    for (generation, verb) in [(1, "create"), (2, "patch")] {
        let seen = sink.read().await.unwrap();
        site.api.world().next(verb, Mishap::Refused(403, "Forbidden"));
        let parcel = delivery(generation);
        let made = sink.promote(&parcel, &seen.version, &Gate::open()).await.unwrap();
        assert_holds(&sink.read().await.unwrap(), &parcel);
        let told = sink.say_beside(&parcel, &Gate::open()).await.unwrap_err();
        let words = told.to_string();
        assert!(
            words.contains("could not write the labels of") && words.contains("403"),
            "{words}"
        );
        sink.say_beside(&parcel, &Gate::open()).await.unwrap();
        // What is said of the one token is not said of the next.
        assert!(!site.beside().await.contains_key("of"));
        assert_ne!(made, Version(Version::ABSENT.to_owned()));
    }
    promote(&sink, 2).await;
    assert_eq!(site.beside().await["of"], "tok-2", "the next delivery says it");
}

/// A webhook that fails or hangs on a label does so at each try: none of them costs the token its delivery.
#[tokio::test]
async fn labels_that_fail_in_any_way_cost_no_delivery() {
    let ways = [
        Mishap::Refused(500, "InternalError"),
        Mishap::Paused(429, 1),
        Mishap::Foreign(403),
        Mishap::LostBefore,
    ];
    for way in ways {
        let site = labelled().await;
        let sink = site.sink();
        for (generation, verb) in [(1, "create"), (2, "patch")] {
            let seen = sink.read().await.unwrap();
            site.api.world().next(verb, way.clone());
            let parcel = delivery(generation);
            sink.promote(&parcel, &seen.version, &Gate::open()).await.unwrap();
            assert_holds(&sink.read().await.unwrap(), &parcel);
            assert!(sink.say_beside(&parcel, &Gate::open()).await.is_err(), "{way:?}");
        }
    }
}

/// Whether a lost write arrived is not known by what became of the second.
#[tokio::test]
async fn a_labelled_write_whose_answer_is_lost_stays_unclear() {
    let site = labelled().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    site.api.world().next("patch", Mishap::LostAfter);
    let parcel = delivery(2);
    let fault = sink.promote(&parcel, &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!(fault.class, Class::Ambiguous, "{fault}");
    assert_holds(&sink.read().await.unwrap(), &parcel);
}
