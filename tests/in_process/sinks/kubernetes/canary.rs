//! No value and no credential in anything that is shown: every request in every way, at the highest
//! verbosity, against an API that quotes what it was sent, and then a search through all of it.

use std::fmt::Write;

use scimitar::sink::{Sink, Version};
use scimitar_test_support::{
    heard::Heard,
    kubernetes::Mishap::{
        CutAfter, Foreign, GarbledAfter, LostAfter, LostBefore, Refused, RefusedAfter,
    },
    sink_conformance::*,
};

use super::{ACCOUNT, ClusterSite, encode};

#[tokio::test]
async fn nothing_secret_is_shown_of_a_secret_in_kubernetes() {
    let (heard, guard) = Heard::listen();
    let mut shown = String::new();
    let payload: &[(&str, &str)] = &[("T", "Bearer {{ token }}")];
    let mut hidden = vec![CANARY.to_owned(), ACCOUNT.to_owned()];
    for payload in [None, Some(payload)] {
        let site = ClusterSite { labels: labels(), ..ClusterSite::new(payload).await };
        everything_that_can_happen(&site, &mut shown, &mut hidden).await;
    }
    drop(guard);
    assert!(shown.contains("could not") && hidden.len() > 20);
    heard.holds_none_of(&["hyper"], &hidden, &shown);
}

async fn everything_that_can_happen(
    site: &ClusterSite,
    shown: &mut String,
    hidden: &mut Vec<String>,
) {
    let sink = site.sink();
    writeln!(shown, "{sink:?} {:?}", site.target()).unwrap();
    let mut generation = 1;
    for way in [
        LostBefore,
        LostAfter,
        CutAfter,
        GarbledAfter,
        Foreign(502),
        Foreign(403),
        Refused(422, "Invalid"),
        Refused(403, "Forbidden"),
        RefusedAfter(500, "InternalError"),
    ] {
        for verb in ["get", "create", "patch"] {
            let parcel = delivery(generation);
            // The data is base64, which hides a value from nobody.
            hidden.push(encode(parcel.value.expose()));
            hidden.push(encode(format!("Bearer {}", parcel.value.expose())));
            let seen = sink.read().await;
            writeln!(shown, "{seen:?}").unwrap();
            let Ok(seen) = seen else { continue };
            site.api.world().next(verb, way.clone());
            let proof = sink.prove_writable(&seen).await;
            writeln!(shown, "{proof:?}").unwrap();
            let written = sink.promote(&parcel, &seen.version, &Gate::open()).await;
            let words = written.as_ref().err().map(ToString::to_string).unwrap_or_default();
            let said = sink.say_beside(&parcel, &Gate::open()).await;
            writeln!(shown, "{written:?} {words} {said:?}").unwrap();
            site.api.world().next(verb, way.clone());
            let written =
                sink.promote(&delivery(generation + 1), &seen.version, &Gate::open()).await;
            writeln!(shown, "{written:?}").unwrap();
            site.api.world().mishaps.clear();
            generation += 2;
        }
    }
    let stale = Version("stale".to_owned());
    let refused = sink.promote(&delivery(generation), &stale, &Gate::open()).await.unwrap_err();
    writeln!(shown, "{refused} {refused:?}").unwrap();
}
