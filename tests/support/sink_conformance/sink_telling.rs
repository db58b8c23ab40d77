//! That a sink tells the truth of its place: what cannot be understood, what it is in, what a write
//! would lose, and what else could be a token there.

use scimitar::{
    error::{Class, Code},
    sink::{Contents, Loss, Version},
};

use super::{CANARY, Gate, Site, assert_holds, delivery, promote};

/// "Unknown" is never "empty". What cannot be parsed is refused, before a mint as well; where it may
/// be lost, or is nothing but a value, it is replaced by a write that knows what it replaces.
pub(crate) async fn what_cannot_be_understood_is_not_empty(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    site.garble().await;
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    let sink = match &seen.loss {
        Loss::Nothing | Loss::Value => sink,
        Loss::Unparsed(why) => {
            assert!(!why.is_empty() && !why.contains(CANARY), "{why}");
            let before = site.visible().await;
            let proof = sink.prove_writable(&seen).await.unwrap_err();
            let write = sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap_err();
            for fault in [proof, write] {
                let expected = (Class::Terminal, Code::ForeignContent);
                assert_eq!((fault.class, fault.code), expected, "{fault}");
                assert!(fault.detail.contains(why) && fault.detail.contains("overwrite = true"));
            }
            assert_eq!(site.visible().await, before);
            // What is refused has a way out.
            site.open_overwriting().unwrap()
        }
    };
    sink.prove_writable(&seen).await.unwrap();
    promote(&*sink, 2).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

/// Whoever asks, and whatever is delivered there, it is the same container.
pub(crate) async fn what_a_place_is_in_stays_the_same(site: &impl Site) {
    let sink = site.open();
    let first = sink.read().await.unwrap().container;
    promote(&*sink, 1).await;
    let container = sink.read().await.unwrap().container;
    let again = site.open().read().await.unwrap().container;
    assert_eq!(container, again);
    assert_eq!(container.is_some(), site.tells());
    let (Some(first), Some(container)) = (first, container) else { return };
    assert!(!container.id.is_empty() && !container.words.is_empty());
    assert!(!format!("{container:?}").contains(CANARY));
    // A place that had yet to be made is in nothing that anything was delivered to.
    assert!(first == container || (first.strict && first.id == Version::MISSING), "{first:?}");
}

/// Nothing of an empty place and of what others keep beside it; the value where there is one.
pub(crate) async fn what_a_write_would_lose_is_told(site: &impl Site) {
    let sink = site.open();
    assert_eq!(sink.read().await.unwrap().loss, Loss::Nothing);
    promote(&*sink, 1).await;
    if !site.tells() {
        return;
    }
    // Whether a value of ours counts as one is for the core to say; it is never unreadable.
    let own = sink.read().await.unwrap().loss;
    assert!(matches!(own, Loss::Nothing | Loss::Value), "{own:?}");
    if site.only_others("theirs").await.is_some() {
        let seen = sink.read().await.unwrap();
        assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
        assert_eq!(seen.loss, Loss::Nothing, "what others keep is kept");
    }
}

/// The token that readers use may stand under a key that Scimitar does not write.
pub(crate) async fn a_token_under_another_key_is_found(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    let own = sink.read().await.unwrap().elsewhere;
    assert!(own.iter().all(|one| !one.value.expose().contains(CANARY)), "{own:?}");
    let theirs = format!("tok_live.{CANARY}");
    let Some(key) = site.only_others(&theirs).await else { return };
    let found = sink.read().await.unwrap().elsewhere;
    let here = found.iter().find(|one| one.value.expose() == theirs);
    assert_eq!(here.map(|one| one.key.as_str()), Some(key.as_str()), "{found:?}");
    let can_be_written = here.is_some_and(|one| one.before.is_some());
    assert_eq!(can_be_written, !key.contains('.'), "{found:?}");
    assert!(!format!("{found:?}").contains(CANARY));
}

/// Keys that Scimitar does not own are kept, and are a change that compare-and-set sees.
pub(crate) async fn what_others_keep_there_stays(site: &impl Site) {
    let sink = site.open();
    let version = promote(&*sink, 1).await;
    let Some(foreign) = site.add_foreign().await else {
        return;
    };
    let seen = sink.read().await.unwrap();
    assert_ne!(seen.version, version);
    assert_holds(&seen, &delivery(1));
    for generation in 2..=3 {
        promote(&*sink, generation).await;
        assert!(
            site.visible().await.iter().any(|text| text.contains(&foreign)),
            "{foreign:?} is gone"
        );
        assert_holds(&sink.read().await.unwrap(), &delivery(generation));
    }
}
