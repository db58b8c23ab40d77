//! What each answer of Key Vault means, each way to lose one, two writers, and that nothing secret is shown.

use std::fmt::Write;

use scimitar::{
    error::{Class, Code},
    rotation::policy::Mode,
    sink::{Contents, Sink, Version},
};
use scimitar_test_support::{
    cloud::Mishap::{
        CutAfter, Followed, Foreign, GarbledAfter, LostAfter, LostBefore, Overtaken, Refused,
        RefusedAfter,
    },
    heard::Heard,
    sink_conformance::*,
};

use super::{VaultSite, template};

#[tokio::test]
async fn each_answer_of_key_vault_to_a_read_has_its_class() {
    let site = VaultSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    for (way, class, code) in [
        (Refused(403, "ForbiddenByRbac"), Class::Terminal, Code::Forbidden),
        (Refused(403, "ForbiddenByFirewall"), Class::Terminal, Code::Forbidden),
        (Refused(429, "Throttled"), Class::Transient, Code::Throttled),
        (Refused(500, "InternalServerError"), Class::Transient, Code::Unavailable),
        (Refused(400, "BadParameter"), Class::Terminal, Code::Invalid),
        // What is not Key Vault's own word says nothing of the secret: it is not absent.
        (Foreign(404), Class::Transient, Code::Unreadable),
        (Foreign(502), Class::Transient, Code::Unavailable),
        (LostBefore, Class::Transient, Code::Unavailable),
        (CutAfter, Class::Transient, Code::Unreadable),
        (GarbledAfter, Class::Transient, Code::Unreadable),
    ] {
        site.api.next("get", way.clone());
        let fault = sink.read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{way:?}: {fault}");
    }
}

#[tokio::test]
async fn a_write_to_key_vault_is_refused_or_in_doubt() {
    for (way, class, wrote) in [
        (Refused(403, "ForbiddenByRbac"), Class::Terminal, false),
        (Refused(429, "Throttled"), Class::Transient, false),
        (Refused(400, "BadParameter"), Class::Terminal, false),
        (Refused(409, "ObjectIsDeletedButRecoverable"), Class::Terminal, false),
        (Refused(409, "ObjectIsBeingRecovered"), Class::Transient, false),
        (Refused(500, "InternalServerError"), Class::Ambiguous, false),
        (RefusedAfter(504, "GatewayTimeout"), Class::Ambiguous, true),
        (Foreign(502), Class::Ambiguous, false),
        (Foreign(403), Class::Transient, false),
        (LostBefore, Class::Ambiguous, false),
        (LostAfter, Class::Ambiguous, true),
        (CutAfter, Class::Ambiguous, true),
        (GarbledAfter, Class::Ambiguous, true),
    ] {
        let site = VaultSite::new().await;
        let sink = site.sink();
        promote(&sink, 1).await;
        let seen = sink.read().await.unwrap();
        let before = site.api.count("set");
        site.api.next("set", way.clone());
        let done = sink.promote(&delivery(2), &seen.version, &Gate::open()).await;
        let fault = done.unwrap_err();
        assert_eq!(fault.class, class, "{way:?}: {fault}");
        let after = sink.read().await.unwrap();
        assert_eq!(after.version != seen.version, wrote, "{way:?}");
        // Sent once: whoever reads decides what follows.
        assert_eq!(site.api.count("set"), before + 1, "{way:?}");
        promote(&sink, 2).await;
        assert_holds(&sink.read().await.unwrap(), &delivery(2));
    }
}

/// Whoever wrote first is told; whoever wrote last is what readers get.
#[tokio::test]
async fn the_earlier_of_two_writers_is_told() {
    for way in [Overtaken, Followed] {
        let site = VaultSite::new().await;
        let sink = site.sink();
        let version = promote(&sink, 1).await;
        site.api.next("set", way.clone());
        let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
        let seen = sink.read().await.unwrap();
        if matches!(way, Overtaken) {
            assert_eq!(done.unwrap(), seen.version);
            assert_holds(&seen, &delivery(2));
        } else {
            let fault = done.unwrap_err();
            assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
            assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_shown_of_a_secret_at_azure() {
    let (heard, guard) = Heard::listen();
    let mut shown = String::new();
    let hidden = [CANARY.to_owned(), "acce55".to_owned()];
    for payload in [None, Some(template())] {
        let site = VaultSite::of(payload, false).await;
        let sink = site.sink();
        writeln!(shown, "{sink:?} {:?}", site.target).unwrap();
        let mut generation = 1;
        for way in [
            LostBefore,
            LostAfter,
            CutAfter,
            GarbledAfter,
            Foreign(502),
            Foreign(403),
            Refused(400, "BadRequest"),
            Refused(403, "ForbiddenByRbac"),
            RefusedAfter(500, "InternalServerError"),
        ] {
            for verb in ["login", "deleted", "get", "prove", "set", "update"] {
                let parcel = delivery(generation);
                let seen = sink.read().await;
                writeln!(shown, "{seen:?}").unwrap();
                let Ok(seen) = seen else { continue };
                site.api.world().rules.tokens.clear();
                site.api.next(verb, way.clone());
                let proof = sink.prove_writable(&seen).await;
                writeln!(shown, "{proof:?} {:?}", sink.missing_rights(Mode::Rotate).await).unwrap();
                let written = sink.promote(&parcel, &seen.version, &Gate::open()).await;
                let words = written.as_ref().err().map(ToString::to_string).unwrap_or_default();
                writeln!(shown, "{written:?} {words}").unwrap();
                let forgot = sink.forget(&parcel.marks.token_id, Some(&seen.version)).await;
                writeln!(shown, "{forgot:?}").unwrap();
                site.api.world().mishaps.clear();
                generation += 1;
            }
        }
        let stale = Version("stale".to_owned());
        let refused = sink.promote(&delivery(generation), &stale, &Gate::open()).await;
        writeln!(shown, "{refused:?}").unwrap();
        assert!(site.newest().is_some_and(|version| version.value.contains(CANARY)));
    }
    drop(guard);
    assert!(shown.contains("could not"));
    heard.holds_none_of(&["hyper"], &hidden, &shown);
}
