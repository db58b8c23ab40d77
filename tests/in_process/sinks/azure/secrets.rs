//! What a secret is before and after, and what is never done to one.

use scimitar::{
    error::{Class, Code},
    rotation::policy::Mode,
    sink::{Contents, Sink},
};
use scimitar_test_support::sink_conformance::*;

use super::{NAME, VaultSite, template};

#[tokio::test]
async fn a_version_says_what_it_is_and_when_it_ends() {
    let site = VaultSite::of(Some(template()), false).await;
    let sink = site.sink();
    promote(&sink, 2).await;
    let made = site.newest().unwrap();
    assert_eq!(made.content_type.as_deref(), Some("application/json"));
    // 2026-12-22T04:00:00Z
    assert_eq!(made.expires, Some(1_797_912_000));
    assert!(made.tags.len() == 1 && made.tags.keys().all(|tag| tag.starts_with("scimitar:")));
    {
        let mut world = site.api.world();
        let version = world.rules.secrets.get_mut(NAME).unwrap().last_mut().unwrap();
        version.tags.insert("team".to_owned(), "identity".to_owned());
        version.content_type = Some("theirs".to_owned());
    }
    promote(&sink, 3).await;
    let made = site.newest().unwrap();
    assert_eq!((made.tags["team"].as_str(), made.tags.len()), ("identity", 2));
    assert_eq!((made.content_type.as_deref(), made.expires), (Some("theirs"), None));
}

/// Nothing is purged, and nobody is locked out of a name without being told the way out.
#[tokio::test]
async fn a_name_of_a_deleted_secret_is_refused_before_a_mint() {
    let site = VaultSite::new().await;
    site.api.world().rules.deleted.insert(NAME.to_owned());
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty), "{seen:?}");
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    // Where we may not look, the write itself is refused.
    site.revoke("readMetadata");
    let blind = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write, blind] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("recover") && fault.detail.contains("purge"), "{fault}");
    }
    let world = site.api.world();
    assert!(world.asked.iter().all(|asked| asked.method != "DELETE" && asked.method != "POST"));
}

#[tokio::test]
async fn a_disabled_secret_is_no_empty_place() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.api.world().rules.secrets.get_mut(NAME).unwrap()[0].enabled = false;
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!((proof.class, proof.code), (Class::Terminal, Code::ForeignContent), "{proof}");
    assert!(proof.detail.contains("is disabled"), "{proof}");
    let sink = site.open_overwriting().unwrap();
    promote(&*sink, 2).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

#[tokio::test]
async fn an_older_version_is_disabled_and_never_the_newest() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    let enabled = || -> Vec<bool> {
        let world = site.api.world();
        world.rules.secrets[NAME].iter().map(|version| version.enabled).collect()
    };
    let id = |generation| delivery(generation).marks.token_id;
    sink.forget(&id(1), Some(&first)).await.unwrap();
    assert_eq!(enabled(), [true], "it is what readers get");
    promote(&sink, 2).await;
    for _ in 0..2 {
        sink.forget(&id(1), Some(&first)).await.unwrap();
        assert_eq!(enabled(), [false, true]);
    }
}

#[tokio::test]
async fn what_is_too_large_for_key_vault_is_refused() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let mut large = delivery(1);
    large.scim_endpoint = "x".repeat(25_000);
    let fault = sink.promote(&large, &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
    assert!(fault.detail.contains("at most 25000"), "{fault}");
    let site = VaultSite::of(None, true).await;
    site.put("tok_1.old");
    {
        let mut world = site.api.world();
        let version = &mut world.rules.secrets.get_mut(NAME).unwrap()[0];
        version.tags = (0..15).map(|n| (n.to_string(), String::new())).collect();
    }
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let fault = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    assert!(fault.detail.contains("15 tags"), "{fault}");
}

#[tokio::test]
async fn missing_rights_on_key_vault_are_named_and_proven() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    promote(&sink, 1).await;
    site.revoke("update");
    let missing = sink.missing_rights(Mode::Rotate).await.unwrap();
    assert!(missing.len() == 1 && missing[0].contains("secrets/update/action"), "{missing:?}");
    assert_eq!(sink.missing_rights(Mode::Observe).await.unwrap(), [""; 0]);
    site.grant_all();
    site.revoke("setSecret");
    let seen = sink.read().await.unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!((proof.class, proof.code), (Class::Terminal, Code::Forbidden), "{proof}");
    assert!(proof.detail.contains("scimitar permissions"), "{proof}");
    // A proof that was accepted after all is said.
    site.grant_all();
    assert!(sink.prove_writable(&seen).await.is_ok());
    let world = site.api.world();
    assert_eq!(world.rules.secrets[NAME].len(), 1, "no version more");
}
