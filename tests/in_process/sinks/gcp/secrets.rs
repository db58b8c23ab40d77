//! What a secret is before and after, and what is never done to one.

use scimitar::{
    error::{Class, Code},
    rotation::policy::Mode,
    sink::{Contents, Loss, Sink, Version},
};
use scimitar_test_support::sink_conformance::*;

use super::{NAME, ProjectSite, template};

#[tokio::test]
async fn a_secret_is_made_without_which_nothing_is_written() {
    let site = ProjectSite { create: false, ..ProjectSite::new().await };
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.version.0, Version::ABSENT);
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("create = false"), "{fault}");
    }
    let site = ProjectSite { create: true, ..site };
    let sink = site.sink();
    let made = promote(&sink, 1).await;
    assert_eq!(made.0, "1");
    let world = site.api.world();
    let body = &world.rules.secrets[NAME].body;
    assert_eq!(body["labels"]["managed-by"], "scimitar");
    assert!(body["replication"]["automatic"].is_object());
}

/// As whoever makes secrets by hand, so that `create` need not be granted, leaves it.
#[tokio::test]
async fn a_secret_without_a_version_is_empty_and_filled() {
    let site = ProjectSite { create: false, ..ProjectSite::new().await };
    site.api.world().rules.secrets.insert(NAME.to_owned(), Default::default());
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty) && seen.loss == Loss::Nothing, "{seen:?}");
    assert_eq!(promote(&sink, 1).await.0, "1");
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
}

/// Nobody can see what it holds, so it is not empty; what is destroyed is.
#[tokio::test]
async fn a_disabled_version_is_no_empty_place_and_a_destroyed_is() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let set = |state| {
        site.api.world().rules.secrets.get_mut(NAME).unwrap().versions[0].state = state;
    };
    set("DISABLED");
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!((proof.class, proof.code), (Class::Terminal, Code::ForeignContent), "{proof}");
    assert!(proof.detail.contains("version 1 is disabled"), "{proof}");
    set("DESTROYED");
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty), "{seen:?}");
    assert_eq!(seen.version.0, "1");
    assert_eq!(promote(&sink, 2).await.0, "2");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let mut large = delivery(1);
    large.scim_endpoint = "x".repeat(65_536);
    let fault = sink.promote(&large, &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
    assert!(fault.detail.contains("at most 65536"), "{fault}");
    assert_eq!(site.value(), None);
}

#[tokio::test]
async fn an_older_version_is_destroyed_and_never_the_current() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    promote(&sink, 2).await;
    let states = || -> Vec<&str> {
        let world = site.api.world();
        world.rules.secrets[NAME].versions.iter().map(|version| version.state).collect()
    };
    let id = |generation| delivery(generation).marks.token_id;
    sink.forget(&id(2), None).await.unwrap();
    assert_eq!(states(), ["ENABLED", "ENABLED"]);
    // The one before is known by its marks where nobody says which it was.
    sink.forget(&id(1), None).await.unwrap();
    assert_eq!(states(), ["DESTROYED", "ENABLED"]);
    sink.forget(&id(1), Some(&first)).await.unwrap();
    assert_eq!(states(), ["DESTROYED", "ENABLED"]);
}

/// The other aliases stay where they are, and so do other annotations.
#[tokio::test]
async fn what_others_keep_of_a_secret_stays() {
    let site = ProjectSite::of(Some("scim"), Some(template()), false).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    {
        let mut world = site.api.world();
        let secret = world.rules.secrets.get_mut(NAME).unwrap();
        secret.aliases.insert("theirs".to_owned(), 1);
        secret.annotations.insert("team".to_owned(), "identity".to_owned());
    }
    promote(&sink, 2).await;
    let world = site.api.world();
    let secret = &world.rules.secrets[NAME];
    assert_eq!((secret.aliases["theirs"], secret.aliases["scim"]), (1, 2));
    assert_eq!(secret.annotations["team"], "identity");
    assert!(secret.annotations.contains_key("scimitar-marks"));
}

#[tokio::test]
async fn missing_permissions_are_named_and_proven() {
    let site = ProjectSite::of(Some("scim"), None, false).await;
    let sink = site.sink();
    assert_eq!(
        sink.missing_rights(Mode::Rotate).await.unwrap(),
        [""; 0],
        "nothing is there to ask about"
    );
    promote(&sink, 1).await;
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    let seen = sink.read().await.unwrap();
    for (permission, proven) in [
        ("secretmanager.versions.destroy", true),
        ("secretmanager.versions.add", false),
        ("secretmanager.secrets.update", false),
    ] {
        site.grant_all();
        site.revoke(permission);
        let missing = sink.missing_rights(Mode::Rotate).await.unwrap();
        assert!(missing.len() == 1 && missing[0].contains(permission), "{missing:?}");
        assert_eq!(sink.missing_rights(Mode::Observe).await.unwrap(), [""; 0]);
        let proof = sink.prove_writable(&seen).await;
        assert_eq!(proof.is_ok(), proven, "{permission}");
        if let Err(fault) = proof {
            assert!(fault.detail.contains(permission), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_will_expire_is_warned_of() {
    let site = ProjectSite::of(Some("scim"), None, false).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    sink.read().await.unwrap();
    assert_eq!(sink.caveat(), None);
    site.api.world().rules.expire_time = Some("2027-01-01T00:00:00Z");
    sink.read().await.unwrap();
    assert!(sink.caveat().unwrap().contains(" at 2027-01-01 00:00 UTC"), "{:?}", sink.caveat());
}
