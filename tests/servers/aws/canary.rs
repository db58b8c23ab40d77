//! No value and no key in anything that is shown: every call in every way, at the highest verbosity,
//! against a server that quotes what it was sent, and then a search through all of it.

use std::{collections::BTreeMap, fmt::Write};

use scimitar::{
    aws_identity::Origin,
    secret::Secret,
    sink::{Sink, Version, aws::Role},
};
use scimitar_test_support::heard::{Heard, listening};

use super::{
    secrets_manager::Mishap::{
        CutAfter, Foreign, GarbledAfter, LostAfter, LostBefore, Refused, RefusedAfter,
    },
    sink_conformance::*,
    site::template,
    strict::StrictSite,
};

/// The keys of this test's credentials, and what the server gives out.
const KEYS: [&str; 3] = ["k3y5ecret", "assumed5ecret", "assumedt0ken"];

/// Through the program's own filters nothing is shown, even of a server that quotes what it was sent.
#[tokio::test]
async fn nothing_secret_is_shown_at_the_programs_highest_verbosity() {
    let (heard, guard) = Heard::listen();
    let shown = two_lives(false).await;
    drop(guard);
    searched(&heard, &shown, &["hyper", "aws_config"]);
}

/// And past them nothing of a server that quotes as little as AWS's.
#[tokio::test]
async fn nothing_secret_is_shown_by_the_sdk_at_its_highest_verbosity() {
    let heard = Heard::default();
    let lines = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(heard.clone())
        .finish();
    let guard = listening(lines);
    let shown = two_lives(true).await;
    drop(guard);
    searched(&heard, &shown, &["hyper", "transmitting request", "read HTTP response body"]);
}

fn searched(heard: &Heard, shown: &str, said: &[&str]) {
    assert!(shown.contains("could not"));
    let secrets: Vec<&str> = KEYS.into_iter().chain([CANARY]).collect();
    heard.holds_none_of(said, &secrets, shown);
}

async fn two_lives(discreet: bool) -> String {
    let mut shown = String::new();
    for (assumes, payload) in
        [(false, None), (true, Some(template(&[("T", "Bearer {{ token }}")])))]
    {
        let site = StrictSite::new(payload).await;
        site.aws.world().discreet = discreet;
        let mut settings = site.settings();
        let key = Secret::new(KEYS[0].to_owned());
        settings.origin = Origin::Keys { id: "TEST".to_owned(), key };
        settings.account.role = assumes.then(|| Role {
            arn: "arn:aws:iam::111122223333:role/scimitar".to_owned(),
            external_id: None,
            session_tags: BTreeMap::new(),
        });
        writeln!(shown, "{settings:?}").unwrap();
        let sink = site.sink_with(settings);
        everything_that_can_happen(&site, &sink, &mut shown).await;
    }
    shown
}

async fn everything_that_can_happen(site: &StrictSite, sink: &dyn Sink, shown: &mut String) {
    let mut note = |outcome: &dyn std::fmt::Debug, words: String| {
        writeln!(shown, "{outcome:?} {words}").unwrap();
    };
    let first = promote(sink, 1).await;
    sink.stage(&delivery(2), &Gate::open()).await.unwrap();
    let second = promote(sink, 2).await;
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    sink.forget(&delivery(1).marks.token_id, Some(&first)).await.unwrap();
    note(&sink, String::new());
    note(&seen, String::new());
    let mut generation = 3;
    for way in [
        LostBefore,
        LostAfter,
        CutAfter,
        GarbledAfter,
        Foreign(502),
        Foreign(403),
        Refused(400, "EncryptionFailure"),
        Refused(400, "SomethingNewException"),
        RefusedAfter(500, "InternalServiceError"),
    ] {
        for call in [
            "DescribeSecret",
            "GetSecretValue",
            "PutSecretValue",
            "UpdateSecretVersionStage",
            "TagResource",
        ] {
            let now = sink.read().await.map_or_else(|_| second.clone(), |seen| seen.version);
            site.aws.world().next(call, way.clone());
            let done = sink.promote(&delivery(generation), &now, &Gate::open()).await;
            note(&done, done.as_ref().err().map(ToString::to_string).unwrap_or_default());
            site.aws.world().mishaps.clear();
            generation += 1;
        }
        for call in ["PutSecretValue", "UpdateSecretVersionStage"] {
            site.aws.world().next(call, way.clone());
            let done = sink.prove_writable(&seen).await;
            note(&done, done.as_ref().err().map(ToString::to_string).unwrap_or_default());
            site.aws.world().mishaps.clear();
        }
    }
    let done = sink.promote(&delivery(1), &Version("stale".to_owned()), &Gate::open()).await;
    note(&done, String::new());
}
