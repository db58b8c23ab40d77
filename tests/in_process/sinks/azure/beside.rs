//! Tags: part of each version, and never in its way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::sink::Sink;
use scimitar_test_support::{cloud::Mishap, sink_conformance::*};

use super::{NAME, VaultSite};

async fn tagged() -> VaultSite {
    let mut site = VaultSite::new().await;
    site.target.tags = labels();
    site
}

impl VaultSite {
    fn tag(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut world = self.api.world();
        change(&mut world.rules.secrets.get_mut(NAME).unwrap().last_mut().unwrap().tags);
    }
}

#[async_trait]
impl SaysBeside for VaultSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        self.newest().map(|version| version.tags).unwrap_or_default()
    }

    async fn add_beside(&self) {
        self.tag(|tags| drop(tags.insert("team".to_owned(), "theirs".to_owned())));
    }

    /// By tags of others, of which there is no room for more.
    async fn forbid_beside(&self, forbidden: bool) {
        self.tag(|tags| {
            tags.retain(|key, _| !key.starts_with("more"));
            let more = (0..13).filter(|_| forbidden).map(|n| (format!("more{n}"), "x".to_owned()));
            tags.extend(more);
        });
    }
}

#[tokio::test]
async fn tags_harm_no_delivery_to_key_vault() {
    what_is_said_beside_harms_no_delivery(&tagged().await).await;
}

/// A refusal because of a tag refuses the version: it is written without. A replay mends it.
#[tokio::test]
async fn a_refused_tag_does_not_refuse_the_token() {
    let site = tagged().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    site.api.next("set", Mishap::Refused(400, "BadParameter"));
    sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap();
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
    assert_eq!(site.beside().await, BTreeMap::new(), "nothing of the token before it");
    let fault = sink.say_beside(&delivery(2), &Gate::open()).await.unwrap_err().to_string();
    assert!(fault.contains("could not write the tags of") && fault.contains("400"), "{fault}");
    let before = site.newest().unwrap().id;
    promote(&sink, 2).await;
    assert_eq!((site.beside().await["of"].as_str(), site.newest().unwrap().id), ("tok-2", before));
    sink.say_beside(&delivery(2), &Gate::open()).await.unwrap();
}
