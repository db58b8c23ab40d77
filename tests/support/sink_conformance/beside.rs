//! What a delivery says of itself beside the value: in tags, labels or metadata of the service.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::sink::{Sink, payload::Labels};

use super::{CANARY, Gate, Site, assert_holds, delivery};

/// A place with room for that, and the sinks of which are opened with [`labels`].
#[async_trait]
pub trait SaysBeside: Site {
    /// All that stands beside the value, whoever put it there.
    async fn beside(&self) -> BTreeMap<String, String>;

    /// Somebody else puts `team = theirs` there.
    async fn add_beside(&self);

    /// Makes that what a delivery says cannot be written, while its value can; and takes that back.
    async fn forbid_beside(&self, forbidden: bool);
}

/// What the deliveries say, in characters that every service takes.
pub fn labels() -> Labels {
    let pairs = [
        ("who", "{{ owner | replace(' ', '-') }}"),
        ("until", "{{ expires_on }}"),
        ("of", "{{ token_id | replace('_', '-') }}"),
    ];
    pairs.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
}

/// It stands there with each delivery, and neither keeps one back nor touches what others put there.
pub async fn what_is_said_beside_harms_no_delivery(site: &impl SaysBeside) {
    let sink = site.open();
    assert!(sink.says_beside());
    deliver(&*sink, 2).await.unwrap();
    let beside = site.beside().await;
    for (key, text) in [("who", "identity-team"), ("until", "2026-12-22"), ("of", "tok-2")] {
        assert_eq!(beside.get(key).map(String::as_str), Some(text), "{key}: {beside:?}");
    }
    site.add_beside().await;
    // A token that does not expire has no end to tell.
    deliver(&*sink, 3).await.unwrap();
    let beside = site.beside().await;
    assert!(!beside.contains_key("until"), "{beside:?}");
    assert_eq!((beside["of"].as_str(), beside["team"].as_str()), ("tok-3", "theirs"));

    site.forbid_beside(true).await;
    let fault = deliver(&*sink, 4).await.unwrap_err();
    assert_holds(&site.open().read().await.unwrap(), &delivery(4));
    assert!(fault.starts_with("could not write the ") && !fault.contains(CANARY), "{fault}");
    assert_ne!(site.beside().await.get("of").map(String::as_str), Some("tok-4"));
    site.forbid_beside(false).await;
    // The same delivery again, as after a lost answer, says what the first could not.
    deliver(&*site.open(), 4).await.unwrap();
    let beside = site.beside().await;
    assert_eq!((beside["of"].as_str(), beside["until"].as_str()), ("tok-4", "2026-12-22"));
    assert_eq!(beside["team"], "theirs");

    // A worker whose claim is gone says nothing of what it delivered.
    let _ = sink.say_beside(&delivery(5), &Gate::shut()).await;
    let after = site.beside().await;
    assert_eq!(after, beside);
    let shows = |text: &String| text.contains(CANARY);
    assert!(!after.iter().any(|(key, text)| shows(key) || shows(text)), "{after:?}");
}

/// As the engine does it: the value must be delivered, and what is said beside may fail.
async fn deliver(sink: &dyn Sink, generation: u64) -> Result<(), String> {
    let (parcel, gate) = (delivery(generation), Gate::open());
    let seen = sink.read().await.unwrap();
    sink.promote(&parcel, &seen.version, &gate).await.unwrap();
    sink.say_beside(&parcel, &gate).await.map_err(|fault| fault.to_string())
}
