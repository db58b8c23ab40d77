//! Labels: beside the value, in the request that moves an alias, and never in the way of either.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::{
    rotation::policy::Mode,
    sink::{Sink, payload::Labels},
};
use scimitar_test_support::{cloud::Mishap, sink_conformance::*};

use super::{NAME, ProjectSite};

async fn labelled(alias: Option<&str>) -> ProjectSite {
    let mut site = ProjectSite::of(alias, None, false).await;
    site.target.labels = labels();
    site
}

#[async_trait]
impl SaysBeside for ProjectSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        let world = self.api.world();
        world.rules.secrets.get(NAME).map(|secret| secret.labels.clone()).unwrap_or_default()
    }

    async fn add_beside(&self) {
        let mut world = self.api.world();
        let secret = world.rules.secrets.get_mut(NAME).unwrap();
        secret.labels.insert("team".to_owned(), "theirs".to_owned());
    }

    async fn forbid_beside(&self, forbidden: bool) {
        self.api.world().rules.labels_refused = forbidden;
    }
}

#[tokio::test]
async fn labels_harm_no_delivery_to_google() {
    for alias in [None, Some("scim")] {
        what_is_said_beside_harms_no_delivery(&labelled(alias).await).await;
    }
}

/// A write of labels names the ETag: one that somebody else changed meanwhile is read again.
#[tokio::test]
async fn labels_are_written_with_the_alias_and_under_the_etag() {
    let site = labelled(Some("scim")).await;
    let sink = site.sink();
    promote(&sink, 2).await;
    let patches = || {
        let world = site.api.world();
        let asked = world.asked.iter().filter(|asked| asked.method == "PATCH");
        asked.map(|asked| asked.query["updateMask"].clone()).collect::<Vec<_>>()
    };
    let masks = patches();
    assert!(masks.len() == 1 && masks[0].contains("labels"), "{masks:?}");
    assert!(masks[0].contains("versionAliases"), "{masks:?}");
    sink.say_beside(&delivery(2), &Gate::open()).await.unwrap();
    assert_eq!(patches().len(), 1, "nothing is left to write");
    assert_eq!(site.beside().await["managed-by"], "scimitar");
    site.api.world().rules.secrets.get_mut(NAME).unwrap().labels.remove("of");
    site.api.next("patch", Mishap::Overtaken);
    sink.say_beside(&delivery(2), &Gate::open()).await.unwrap();
    assert_eq!((site.beside().await["of"].as_str(), patches().len()), ("tok-2", 3));
}

#[tokio::test]
async fn the_right_to_label_is_named_and_stops_nothing() {
    let site = labelled(None).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let update = "secretmanager.secrets.update";
    site.revoke(update);
    let missing = sink.missing_rights(Mode::Rotate).await.unwrap();
    assert!(missing.len() == 1 && missing[0].contains(update), "{missing:?}");
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    let fault = sink.say_beside(&delivery(2), &Gate::open()).await.unwrap_err();
    assert!(fault.to_string().contains(update), "{fault}");
}

/// What the configuration could not know: a text of the provider's that no label takes.
#[tokio::test]
async fn what_no_label_takes_is_told_and_the_others_are_written() {
    let mut site = labelled(None).await;
    let pairs = [("at", "{{ expires_at }}"), ("on", "{{ expires_on }}")];
    let pairs = pairs.map(|(key, text)| (key.to_owned(), text.to_owned()));
    site.target.labels = pairs.into_iter().collect::<Labels>();
    let sink = site.sink();
    promote(&sink, 2).await;
    let fault = sink.say_beside(&delivery(2), &Gate::open()).await.unwrap_err().to_string();
    let words = "\"at\": the value \"2026-12-22T04:00:00Z\" is not a valid label value";
    assert!(fault.contains(words), "{fault}");
    assert_eq!(site.beside().await["on"], "2026-12-22");
}
