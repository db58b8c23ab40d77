//! What each answer of Google means, each way to lose one, two writers, and that nothing secret is shown.

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
    kubernetes::encode,
    sink_conformance::*,
};

use super::{NAME, ProjectSite, template};

#[tokio::test]
async fn each_answer_to_a_read_has_its_class() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    for (way, class, code) in [
        (Refused(403, "PERMISSION_DENIED"), Class::Terminal, Code::Forbidden),
        (Refused(429, "RESOURCE_EXHAUSTED"), Class::Transient, Code::Throttled),
        (Refused(500, "INTERNAL"), Class::Transient, Code::Unavailable),
        (Refused(503, "UNAVAILABLE"), Class::Transient, Code::Unavailable),
        (Refused(400, "INVALID_ARGUMENT"), Class::Terminal, Code::Invalid),
        // What is not Google's own word says nothing of the secret: it is not absent.
        (Foreign(404), Class::Transient, Code::Unreadable),
        (Foreign(502), Class::Transient, Code::Unavailable),
        (LostBefore, Class::Transient, Code::Unavailable),
        (GarbledAfter, Class::Transient, Code::Unreadable),
    ] {
        for verb in ["get", "access"] {
            site.api.next(verb, way.clone());
            let fault = sink.read().await.unwrap_err();
            assert_eq!((fault.class, fault.code), (class, code), "{verb} {way:?}: {fault}");
        }
    }
}

#[tokio::test]
async fn a_write_is_refused_or_in_doubt_and_never_both() {
    for alias in [None, Some("scim")] {
        let verb = if alias.is_some() { "patch" } else { "add" };
        for (way, class, wrote) in [
            (Refused(403, "PERMISSION_DENIED"), Class::Terminal, false),
            (Refused(429, "RESOURCE_EXHAUSTED"), Class::Transient, false),
            (Refused(400, "INVALID_ARGUMENT"), Class::Terminal, false),
            (Refused(409, "ABORTED"), Class::Conflict, false),
            (Refused(500, "INTERNAL"), Class::Ambiguous, false),
            (RefusedAfter(504, "DEADLINE_EXCEEDED"), Class::Ambiguous, true),
            (Foreign(502), Class::Ambiguous, false),
            (Foreign(403), Class::Transient, false),
            (LostBefore, Class::Ambiguous, false),
            (LostAfter, Class::Ambiguous, true),
            (CutAfter, Class::Ambiguous, true),
            (GarbledAfter, Class::Ambiguous, true),
        ] {
            let site = ProjectSite::of(alias, None, false).await;
            promote(&site.sink(), 1).await;
            let sink = site.sink();
            let seen = sink.read().await.unwrap();
            let before = site.api.count(verb);
            site.api.next(verb, way.clone());
            let done = sink.promote(&delivery(2), &seen.version, &Gate::open()).await;
            let fault = done.unwrap_err();
            assert_eq!(fault.class, class, "{verb} {way:?}: {fault}");
            let after = sink.read().await.unwrap();
            assert_eq!(after.version != seen.version, wrote, "{verb} {way:?}");
            // Sent once: whoever reads decides what follows.
            assert_eq!(site.api.count(verb), before + 1, "{verb} {way:?}");
            // What was lost is made good by the same call again.
            promote(&sink, 2).await;
            assert_holds(&sink.read().await.unwrap(), &delivery(2));
        }
    }
}

/// Both versions are there; the later one is what readers get, and whoever wrote is told.
#[tokio::test]
async fn two_writers_of_the_latest_version_are_both_told() {
    for way in [Overtaken, Followed] {
        let site = ProjectSite::new().await;
        let sink = site.sink();
        let version = promote(&sink, 1).await;
        site.api.next("add", way.clone());
        let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
        let fault = done.unwrap_err();
        let ours = matches!(way, Overtaken);
        // Ours is what readers get then, but what it overwrote was not seen.
        let expected = if ours { Class::Ambiguous } else { Class::Conflict };
        assert_eq!((fault.class, fault.code), (expected, Code::Changed), "{way:?}: {fault}");
        let seen = sink.read().await.unwrap();
        assert_eq!(seen.version.0, "3");
        assert_eq!(matches!(seen.contents, Contents::Marked { .. }), ours, "{way:?}");
    }
}

/// The alias stays where somebody else led it.
#[tokio::test]
async fn two_writers_of_an_alias_are_told_apart() {
    let site = ProjectSite::of(Some("scim"), None, false).await;
    let sink = site.sink();
    let version = promote(&sink, 1).await;
    site.api.next("patch", Overtaken);
    let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
    let fault = done.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
    assert_eq!(site.value().as_deref(), Some(r#"{"theirs":"first"}"#));
    promote(&sink, 2).await;
    assert!(site.value().unwrap().contains(r#""theirs":"first""#), "what others keep is kept");
}

/// `latest` is consistent only after a while (Google's documentation of consistency).
#[tokio::test]
async fn a_latest_version_that_lags_behind_is_not_taken_for_ours() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    let version = promote(&sink, 1).await;
    site.put(site.value().unwrap());
    site.api.world().rules.lagging = true;
    let done = sink.promote(&delivery(2), &version, &Gate::open()).await;
    let fault = done.unwrap_err();
    assert_eq!(fault.class, Class::Ambiguous, "{fault}");
    let behind = sink.read().await.unwrap_err();
    assert_eq!(behind.class, Class::Transient, "{behind}");
    assert!(behind.detail.contains("has not caught up yet"), "{behind}");
    site.api.world().rules.lagging = false;
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

#[tokio::test]
async fn a_payload_with_another_checksum_is_not_believed() {
    let site = ProjectSite::new().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    site.api.world().rules.wrong_checksum = true;
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreadable), "{fault}");
}

#[tokio::test]
async fn nothing_secret_is_shown_of_a_secret_at_google() {
    let (heard, guard) = Heard::listen();
    let mut shown = String::new();
    let mut hidden = vec![CANARY.to_owned(), "acce55".to_owned()];
    for (alias, payload) in [(None, None), (Some("scim"), Some(template()))] {
        let site = ProjectSite::of(alias, payload, false).await;
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
            Refused(400, "INVALID_ARGUMENT"),
            Refused(403, "PERMISSION_DENIED"),
            RefusedAfter(500, "INTERNAL"),
        ] {
            for verb in ["login", "get", "access", "test", "create", "add", "patch", "destroy"] {
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
                if let Some(value) = site.value() {
                    hidden.push(encode(value));
                }
                site.api.world().mishaps.clear();
                generation += 1;
            }
        }
        let stale = Version("stale".to_owned());
        let refused = sink.promote(&delivery(generation), &stale, &Gate::open()).await;
        writeln!(shown, "{refused:?}").unwrap();
        assert!(site.api.world().rules.secrets.contains_key(NAME));
    }
    drop(guard);
    assert!(shown.contains("could not") && hidden.len() > 20);
    heard.holds_none_of(&["hyper"], &hidden, &shown);
}
