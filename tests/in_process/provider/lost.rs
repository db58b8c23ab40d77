//! Answers that never come, come broken, or come too late; and the pace of requests.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use scimitar::{
    clock::{Clock, SystemClock},
    error::{Class, Code, Fault},
    provider::{Call, Provider, Revoked, Urgency, kind::Needs},
    rotation::policy::Mode,
    telemetry::metrics::Metrics,
};

use super::{
    CREATED, Jumping, call, connection, counted, counting,
    fake::{Answer, Fake, Kind, reply},
    mint, provider, rate, remaining, settings, throttled, token_id, value, with_clock,
};

/// List, create and revoke, each against a server that treats them all alike.
async fn all(answer: &Answer) -> [Fault; 3] {
    let fake = Fake::start().await;
    // One answer comes first: a tenant that never answered is asked by one request at a time.
    fake.script(Kind::List, vec![reply(200, "[]"), answer.clone()]);
    fake.always(Kind::Create, answer.clone()).always(Kind::Revoke, answer.clone());
    let mut settings = settings(&fake.url);
    if matches!(answer, Answer::Hang) {
        settings.request_timeout = Duration::from_secs(1);
    }
    let auth0 = with_clock(settings, Arc::new(SystemClock));
    let (connection, request, id) = (connection(), mint(), token_id());
    auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    auth0.list(call(&connection)).await.unwrap();
    let faults = tokio::join!(
        auth0.list(call(&connection)),
        auth0.create(call(&connection), &request),
        auth0.revoke(call(&connection), &id),
    );
    let faults = [faults.0.unwrap_err(), faults.1.unwrap_err(), faults.2.unwrap_err()];
    assert_eq!(fake.count(Kind::Create), 1, "a create is sent once");
    assert_eq!(fake.count(Kind::Revoke), 1);
    faults
}

#[tokio::test]
async fn a_lost_answer_leaves_a_change_in_doubt_and_a_list_repeated() {
    let created = CREATED.replace("{VALUE}", &value());
    let (begun, _) = created.split_at(90);
    let cut = format!("HTTP/1.1 201 Created\r\ncontent-length: 400\r\n\r\n{}", begun);
    let chunked =
        format!("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5a\r\n{}\r\n", begun);
    let announced = "HTTP/1.1 201 Created\r\ncontent-length: 5000000\r\n\r\n".to_owned();
    let huge =
        format!("HTTP/1.1 201 Created\r\nconnection: close\r\n\r\n{}", " ".repeat(1024 * 1024 + 1));
    for (answer, code, words) in [
        (Answer::Drop, Code::Unavailable, "ended before there was an answer"),
        (Answer::Hang, Code::Timeout, "no answer from 127.0.0.1"),
        (Answer::Raw("SSH-2.0-x\r\n".to_owned()), Code::Unavailable, "ended before"),
        (Answer::Raw("HTTP/1.1 20".to_owned()), Code::Unavailable, "ended before"),
        (Answer::Raw(cut), Code::Unreadable, "was cut off"),
        (Answer::Raw(chunked), Code::Unreadable, "was cut off"),
        (Answer::Raw(announced), Code::Unreadable, "longer than 1 MiB"),
        (Answer::Raw(huge), Code::Unreadable, "longer than 1 MiB"),
    ] {
        let [list, create, revoke] = all(&answer).await;
        for (fault, class) in
            [(&list, Class::Transient), (&create, Class::Ambiguous), (&revoke, Class::Ambiguous)]
        {
            assert_eq!(fault.class, class, "{answer:?}: {fault}");
            let shown = format!("{fault} {fault:?}");
            assert!(!shown.contains("0a0a") && !shown.contains("canary"), "{shown}");
        }
        assert_eq!(create.code, code, "{answer:?}");
        assert!(create.detail.contains(words), "{create}");
    }
}

#[tokio::test]
async fn a_list_is_repeated_once_when_its_connection_was_lost() {
    let fake = Fake::start().await;
    fake.script(Kind::List, vec![Answer::Drop, reply(200, "[]"), Answer::Drop]);
    let (auth0, connection) = (provider(&fake), connection());
    auth0.list(call(&connection)).await.unwrap();
    assert_eq!(fake.count(Kind::List), 2);
    auth0.list(call(&connection)).await.unwrap_err();
    assert_eq!(fake.count(Kind::List), 4);
}

#[tokio::test]
async fn a_status_decides_even_where_its_body_is_lost() {
    let cut = "HTTP/1.1 409 Conflict\r\ncontent-length: 400\r\n\r\n{".to_owned();
    let [list, create, revoke] = all(&Answer::Raw(cut)).await;
    assert_eq!((create.class, create.code), (Class::Terminal, Code::NoSlot));
    assert_eq!(list.class, Class::Transient);
    assert_eq!(revoke.class, Class::Transient);
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent() {
    let mut fake = Fake::start().await;
    let (auth0, connection) = (provider(&fake), connection());
    auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    fake.stop().await;
    let faults = [
        auth0.list(call(&connection)).await.unwrap_err(),
        auth0.create(call(&connection), &mint()).await.unwrap_err(),
        auth0.revoke(call(&connection), &token_id()).await.unwrap_err(),
    ];
    for fault in faults {
        assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable));
        assert!(fault.detail.contains("nothing was sent"), "{fault}");
        assert!(fault.detail.contains("refused"), "{fault}");
    }
    assert_eq!(fake.total(), 1);
}

#[tokio::test]
async fn changes_go_over_connections_of_their_own() {
    let fake = Fake::start().await;
    let (auth0, connection) = (provider(&fake), connection());
    for _ in 0..2 {
        auth0.list(call(&connection)).await.unwrap();
        auth0.create(call(&connection), &mint()).await.unwrap();
        auth0.revoke(call(&connection), &token_id()).await.unwrap();
    }
    let of = |kind| -> Vec<usize> {
        let seen = fake.seen(kind);
        seen.iter().map(|seen| seen.connection).collect()
    };
    let (lists, mut changes) = (of(Kind::List), of(Kind::Create));
    assert_eq!(lists[0], lists[1], "an idle connection is used again");
    changes.extend(of(Kind::Revoke));
    changes.sort_unstable();
    changes.dedup();
    assert_eq!(changes.len(), 4);
    assert!(!changes.contains(&lists[0]));
}

#[tokio::test]
async fn a_429_is_waited_out_and_the_call_sent_again() {
    let fake = Fake::start().await;
    let closed = reply(429, "").with("retry-after", "3").with("x-ratelimit-remaining", "0");
    let created = reply(201, CREATED.replace("{VALUE}", &value()));
    fake.script(Kind::Create, vec![closed.clone(), created]);
    fake.always(Kind::List, closed);
    let (clock, metrics) = (Jumping::new(), Metrics::try_new().unwrap());
    let auth0 = counting(settings(&fake.url), clock.clone(), &metrics);
    let connection = connection();
    let before = clock.now();
    auth0.create(call(&connection), &mint()).await.unwrap();
    assert_eq!((clock.now() - before).num_seconds(), 3);
    assert_eq!(fake.count(Kind::Create), 2);
    assert_eq!(throttled(&metrics, "acme"), Some(1.0));
    assert_eq!(remaining(&metrics, "acme"), Some(0.0), "a 429 says it as well");

    let fault = auth0.list(call(&connection)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled));
    assert_eq!(fault.retry_after, Some(Duration::from_secs(3)));
    // A third one would come after the time that one request may take.
    assert_eq!(fake.count(Kind::List), 2);
    assert_eq!(throttled(&metrics, "acme"), Some(3.0), "each of them counts");
    for (operation, code, count) in
        [("create", "429", 1.0), ("create", "201", 1.0), ("list", "429", 2.0)]
    {
        let labels = format!("code=\"{code}\",operation=\"{operation}\",provider=\"acme\"");
        let requests = counted(&metrics, &format!("scimitar_provider_requests_total{{{labels}}}"));
        assert_eq!(requests, Some(count), "{labels}");
    }
}

#[tokio::test]
async fn the_reset_of_a_429_is_in_unix_seconds_of_the_providers_clock() {
    let fake = Fake::start().await;
    // The provider's clock is years behind ours.
    let closed = reply(429, "")
        .with("date", "Sun, 22 Nov 2020 04:00:00 GMT")
        .with("x-ratelimit-reset", "1606017604");
    fake.script(Kind::Revoke, vec![closed, reply(404, "{}")]);
    let clock = Jumping::new();
    let (auth0, connection) = (with_clock(settings(&fake.url), clock.clone()), connection());
    let before = clock.now();
    let revoked = auth0.revoke(call(&connection), &token_id()).await.unwrap();
    assert_eq!(revoked, Revoked::NotFound);
    assert_eq!((clock.now() - before).num_seconds(), 4);
}

#[tokio::test]
async fn what_the_answers_say_is_left_paces_the_next_calls() {
    let fake = Fake::start().await;
    let almost_empty = reply(200, "[]")
        .with("date", "Sun, 22 Nov 2020 04:00:00 GMT")
        .with("x-ratelimit-limit", "10")
        .with("x-ratelimit-remaining", "5")
        .with("x-ratelimit-reset", "1606017602");
    fake.always(Kind::List, almost_empty);
    fake.always(Kind::Revoke, reply(204, "").with("x-ratelimit-remaining", "7"));
    let (clock, metrics) = (Jumping::new(), Metrics::try_new().unwrap());
    let auth0 = counting(settings(&fake.url), clock.clone(), &metrics);
    let connection = connection();
    assert_eq!(remaining(&metrics, "acme"), None, "nobody has said it yet");
    let mut waits = Vec::new();
    for urgency in [Urgency::Routine, Urgency::Urgent, Urgency::Emergency] {
        let before = clock.now();
        let call = Call { connection: &connection, urgency, not_after: None };
        auth0.list(call).await.unwrap();
        waits.push((clock.now() - before).num_seconds());
    }
    // Half of the limit is the others'; only an emergency goes into it. What the reset means where
    // some are left is not known: one asks after a second how fast they come back.
    assert_eq!(waits, [0, 1, 0]);
    assert_eq!(remaining(&metrics, "acme"), Some(5.0));
    auth0.revoke(call(&connection), &token_id()).await.unwrap();
    assert_eq!(remaining(&metrics, "acme"), Some(7.0), "the last answer's");
    assert_eq!(throttled(&metrics, "acme"), None, "none was refused");
}

#[tokio::test]
async fn a_change_that_would_be_sent_late_is_not_sent() {
    let fake = Fake::start().await;
    let clock = Jumping::new();
    let mut settings = settings(&fake.url);
    settings.rate_limit = rate(0.01, 2);
    let (auth0, connection) = (with_clock(settings, clock.clone()), connection());
    auth0.list(call(&connection)).await.unwrap();
    let fault = auth0.create(call(&connection), &mint()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled));
    assert!(fault.detail.contains("nothing was sent"), "{fault}");
    assert_eq!(fake.count(Kind::Create), 0);
}

#[tokio::test]
async fn a_revocation_is_not_sent_after_its_deadline() {
    let fake = Fake::start().await;
    fake.always(Kind::Revoke, reply(204, ""));
    let clock = Jumping::new();
    let mut settings = settings(&fake.url);
    settings.request_timeout = Duration::from_secs(60);
    settings.rate_limit = rate(0.2, 2);
    let (auth0, connection) = (with_clock(settings, clock.clone()), connection());
    auth0.list(call(&connection)).await.unwrap();
    let not_after = Some(clock.now() + TimeDelta::seconds(5));
    let late = Call { not_after, ..call(&connection) };
    let fault = auth0.revoke(late, &token_id()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled));
    assert!(fault.detail.contains("nothing was sent"), "{fault}");
    assert_eq!(fake.count(Kind::Revoke), 0);
    auth0.revoke(call(&connection), &token_id()).await.unwrap();
    assert_eq!(fake.count(Kind::Revoke), 1);
}

#[tokio::test]
async fn a_list_waits_no_longer_than_a_request_may_take() {
    let fake = Fake::start().await;
    let mut settings = settings(&fake.url);
    settings.rate_limit = rate(0.01, 2);
    let (auth0, connection) = (with_clock(settings, Jumping::new()), connection());
    auth0.list(call(&connection)).await.unwrap();
    let fault = auth0.list(call(&connection)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled));
    assert_eq!(fake.count(Kind::List), 1);
}
