//! Tags of a delivery: behind the value, and never in its way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::{rotation::policy::Mode, sink::Sink};
use serde_json::{Value, json};

use super::{
    moto::Moto,
    parameters::ParameterSite,
    sink_conformance::*,
    site::{MotoSite, NEEDED, TAGS},
    strict::StrictSite,
};

async fn guarding() -> &'static Moto {
    Box::leak(Box::new(Moto::start().await))
}

fn theirs() -> Value {
    json!([{ "Key": "team", "Value": "theirs" }])
}

#[async_trait]
impl SaysBeside for MotoSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        self.tags().await
    }

    async fn add_beside(&self) {
        self.must("TagResource", json!({ "Tags": theirs() })).await;
    }

    async fn forbid_beside(&self, forbidden: bool) {
        let tags = if forbidden { &TAGS[..0] } else { &TAGS };
        let rights: Vec<&str> = NEEDED.iter().chain(tags).copied().collect();
        self.grant(&rights).await;
    }
}

#[async_trait]
impl SaysBeside for StrictSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        let world = self.aws.world();
        let secret = world.secrets.get(&self.name);
        secret.map(|secret| secret.tags.clone().into_iter().collect()).unwrap_or_default()
    }

    async fn add_beside(&self) {
        self.aws.must("TagResource", &json!({ "SecretId": self.name, "Tags": theirs() }));
    }

    async fn forbid_beside(&self, forbidden: bool) {
        let mut world = self.aws.world();
        world.denied.clear();
        if forbidden {
            world.denied.extend([(self.name.clone(), "TagResource".to_owned())]);
        }
    }
}

#[async_trait]
impl SaysBeside for ParameterSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        let body = json!({ "ResourceType": "Parameter", "ResourceId": self.name });
        let listed = self.ask("ListTagsForResource", body).await;
        let tags = listed["TagList"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        tags.iter().map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect()
    }

    async fn add_beside(&self) {
        let body =
            json!({ "ResourceType": "Parameter", "ResourceId": self.name, "Tags": theirs() });
        self.ask("AddTagsToResource", body).await;
    }

    async fn forbid_beside(&self, forbidden: bool) {
        self.grant(|action| !forbidden || !action.contains("Tags")).await;
    }
}

#[tokio::test]
async fn tags_harm_no_delivery_to_aws() {
    let moto = guarding().await;
    let site = MotoSite { to_tag: labels(), ..MotoSite::guarded(moto, None).await };
    site.forbid_beside(false).await;
    what_is_said_beside_harms_no_delivery(&site).await;
    let site = StrictSite { to_tag: labels(), ..StrictSite::new(None).await };
    what_is_said_beside_harms_no_delivery(&site).await;
}

#[tokio::test]
async fn tags_harm_no_delivery_to_a_parameter() {
    let site = ParameterSite::tagged(guarding().await, labels()).await;
    what_is_said_beside_harms_no_delivery(&site).await;
}

/// The right is asked for by a tag that comes and goes; no delivery waits for it.
#[tokio::test]
async fn the_right_to_tag_is_named_and_stops_nothing() {
    let moto = guarding().await;
    let secret = MotoSite { to_tag: labels(), ..MotoSite::guarded(moto, None).await };
    let (named, sink) = ("secretsmanager:TagResource", secret.sink());
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0], "nothing is there yet");
    promote(&sink, 1).await;
    let missing = sink.missing_rights(Mode::Rotate).await.unwrap();
    assert!(missing.len() == 1 && missing[0].contains(named), "{missing:?}");
    assert_eq!(sink.missing_rights(Mode::Observe).await.unwrap(), [""; 0]);
    sink.prove_writable(&sink.read().await.unwrap()).await.unwrap();
    secret.forbid_beside(false).await;
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    assert!(secret.beside().await.is_empty(), "the proof is gone again");

    let parameter = ParameterSite::tagged(moto, labels()).await;
    let sink = parameter.sink();
    promote(&sink, 1).await;
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    parameter.forbid_beside(true).await;
    // moto's refusal is in XML, where AWS's own are in JSON.
    let fault = sink.missing_rights(Mode::Rotate).await.unwrap_err();
    assert!(fault.detail.contains("answered 403"), "{fault}");
    sink.prove_writable(&sink.read().await.unwrap()).await.unwrap();
}
