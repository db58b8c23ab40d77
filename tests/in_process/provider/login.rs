//! The log-in: what is sent, how long its answer is used, and who shares it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use scimitar::{
    clock::SystemClock,
    error::{Class, Code},
    provider::{
        Provider,
        auth0::{ClientAuth, SecretSource},
    },
    secret::Secret,
    telemetry::metrics::Metrics,
};

use super::{
    CLIENT_SECRET, Jumping, call, connection, counting,
    fake::{Fake, Kind, access_token, reply},
    mint, provider, settings, throttled, with_clock,
};

#[tokio::test]
async fn the_secret_goes_into_a_form_once_and_the_answer_is_shared() {
    let fake = Fake::start().await;
    let (auth0, connection) = (provider(&fake), connection());
    let calls = (0..20).map(|_| {
        let (auth0, connection) = (auth0.clone(), connection.clone());
        tokio::spawn(async move { auth0.list(call(&connection)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let logins = fake.seen(Kind::Login);
    assert_eq!((logins.len(), fake.count(Kind::List)), (1, 20));
    assert_eq!(logins[0].headers["content-type"], "application/x-www-form-urlencoded");
    let form = logins[0].form();
    let expected = [
        ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ("client_id", "the-client"),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "client_credentials"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, expected.into_iter().collect());
}

#[tokio::test]
async fn a_failed_log_in_is_shared_too() {
    let fake = Fake::start().await;
    fake.always(Kind::Login, reply(500, ""));
    let (auth0, connection) = (provider(&fake), connection());
    let request = mint();
    let both =
        tokio::join!(auth0.list(call(&connection)), auth0.create(call(&connection), &request),);
    let (list, create) = (both.0.unwrap_err(), both.1.unwrap_err());
    assert_eq!(list, create);
    assert_eq!((list.class, list.code), (Class::Transient, Code::Unavailable));
    assert_eq!(fake.count(Kind::Login), 1);
    // A later call tries again.
    auth0.list(call(&connection)).await.unwrap_err();
    assert_eq!(fake.count(Kind::Login), 2);
    assert_eq!(fake.count(Kind::List) + fake.count(Kind::Create), 0);
}

#[tokio::test]
async fn a_changed_secret_is_read_with_the_next_log_in() {
    let fake = Fake::start().await;
    fake.always(Kind::Login, reply(401, r#"{"error":"access_denied"}"#));
    let reads = Arc::new(AtomicUsize::new(0));
    let counter = reads.clone();
    let mut settings = settings(&fake.url);
    settings.auth = ClientAuth::Secret(
        SecretSource::new(move || match counter.fetch_add(1, Ordering::SeqCst) {
            2 => Err("the file is gone".to_owned()),
            nth => Ok(Secret::new(format!("secret-{nth}"))),
        })
        .into(),
    );
    let (auth0, connection) = (with_clock(settings, Arc::new(SystemClock)), connection());
    for _ in 0..2 {
        auth0.list(call(&connection)).await.unwrap_err();
    }
    let fault = auth0.list(call(&connection)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Io));
    assert!(fault.detail.contains("client_secret cannot be read: the file is gone"));
    let sent = fake.seen(Kind::Login);
    let sent: Vec<_> = sent.iter().map(|seen| seen.form()["client_secret"].clone()).collect();
    assert_eq!(sent, ["secret-0", "secret-1"]);
}

#[tokio::test]
async fn an_access_token_is_renewed_before_its_end() {
    let fake = Fake::start().await;
    fake.on(Kind::Login, |_, nth| {
        let body = r#"{"access_token":"{TOKEN}","expires_in":1000}"#;
        match nth {
            0 | 3 => reply(200, body.replace("{TOKEN}", &access_token(nth))),
            _ => reply(503, ""),
        }
    });
    let clock = Jumping::new();
    let auth0 = with_clock(settings(&fake.url), clock.clone());
    let connection = connection();
    let mut bearers = Vec::new();
    for (advance, logins) in [
        (0, 1),
        (899, 1),
        // Nine tenths are over and the log-in fails: the token is good for 99 s yet.
        (2, 2),
        // Not tried again with each call.
        (1, 2),
        (49, 3),
    ] {
        clock.advance(advance);
        auth0.list(call(&connection)).await.unwrap();
        assert_eq!(fake.count(Kind::Login), logins, "after {advance} s more");
        bearers.push(fake.seen(Kind::List).last().unwrap().bearer().to_owned());
    }
    assert_eq!(bearers, vec![access_token(0); 5]);
    clock.advance(60);
    auth0.list(call(&connection)).await.unwrap();
    assert_eq!(fake.seen(Kind::List).last().unwrap().bearer(), access_token(3));
    // Its life is over and no log-in works any more.
    clock.advance(1001);
    let fault = auth0.list(call(&connection)).await.unwrap_err();
    assert!(fault.operation.starts_with("log in to acme.eu.auth0.com"));
}

#[tokio::test]
async fn a_401_costs_one_fresh_log_in_however_many_met_it() {
    let fake = Fake::start().await;
    fake.on(Kind::List, |seen, _| match seen.bearer() {
        "access-token-canary-0" => reply(401, ""),
        _ => reply(200, "[]"),
    });
    let (auth0, connection) = (provider(&fake), connection());
    let calls = (0..10).map(|_| {
        let (auth0, connection) = (auth0.clone(), connection.clone());
        tokio::spawn(async move { auth0.list(call(&connection)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(fake.count(Kind::Login), 2);
}

#[tokio::test]
async fn a_create_is_sent_again_after_a_401_and_never_a_third_time() {
    for (answers, fine) in [([401, 201], true), ([401, 401], false)] {
        let fake = Fake::start().await;
        fake.on(Kind::Create, move |_, nth| {
            let body = super::CREATED.replace("{VALUE}", &super::value());
            reply(answers[nth.min(1)], body)
        });
        let (auth0, connection) = (provider(&fake), connection());
        let outcome = auth0.create(call(&connection), &mint()).await;
        assert_eq!(outcome.is_ok(), fine);
        if let Err(fault) = outcome {
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized));
        }
        assert_eq!((fake.count(Kind::Login), fake.count(Kind::Create)), (2, 2));
        let creates = fake.seen(Kind::Create);
        assert_ne!(creates[0].bearer(), creates[1].bearer());
        assert_eq!(creates[0].body, creates[1].body);
    }
}

#[tokio::test]
async fn what_the_log_in_answers_is_classified_and_says_the_way_out() {
    const GRANT: &str = r#"{"error":"access_denied","error_description":"Client is not authorized to access \"https://acme.eu.auth0.com/api/v2/\". You need to create a \"client-grant\" associated to this API."}"#;
    use Class::{Terminal, Transient};
    for (status, body, class, code, words) in [
        (200, "", Transient, Code::Unreadable, "the answer ends"),
        (200, r#"{"access_token":"a b"}"#, Transient, Code::Unreadable, "no valid access token"),
        (302, "", Terminal, Code::Invalid, "which Scimitar does not follow"),
        (400, r#"{"error":"unauthorized_client"}"#, Terminal, Code::Invalid, "grant type"),
        (
            401,
            r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#,
            Terminal,
            Code::Unauthorized,
            "Client authentication failed (invalid_client); compare client_id",
        ),
        (
            401,
            r#"{"error":"access_denied","error_description":"Unauthorized"}"#,
            Terminal,
            Code::Unauthorized,
            "Unauthorized (access_denied); compare",
        ),
        (
            403,
            GRANT,
            Terminal,
            Code::Forbidden,
            "needs a client grant for https://acme.eu.auth0.com/api/v2/",
        ),
        (403, r#"{"error":"invalid_grant"}"#, Terminal, Code::Forbidden, "client grant"),
        (404, "", Terminal, Code::Invalid, "check domain"),
        (408, "", Transient, Code::Timeout, "408"),
        (
            429,
            r#"{"error":"too_many_requests","error_description":"Client quota exceeded"}"#,
            Transient,
            Code::Throttled,
            "Client quota exceeded",
        ),
        (
            500,
            r#"{"error":"access_denied","error_description":"Global limit has been reached"}"#,
            Transient,
            Code::Unavailable,
            "Global limit",
        ),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Login, reply(status, body));
        let connection = connection();
        let fault = provider(&fake).list(call(&connection)).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{status} {body}");
        let text = fault.to_string();
        assert!(text.contains("log in to acme.eu.auth0.com as client the-client"), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!((fake.count(Kind::Login), fake.count(Kind::List)), (1, 0));
    }
}

#[tokio::test]
async fn a_log_in_that_asked_to_be_left_alone_is() {
    let fake = Fake::start().await;
    let closed = reply(429, "").with("retry-after", "100");
    fake.script(Kind::Login, vec![closed, reply(200, r#"{"access_token":"x"}"#)]);
    let (clock, metrics) = (Jumping::new(), Metrics::try_new().unwrap());
    let auth0 = counting(settings(&fake.url), clock.clone(), &metrics);
    let connection = connection();
    for advance in [0, 98] {
        clock.advance(advance);
        let fault = auth0.list(call(&connection)).await.unwrap_err();
        assert_eq!(fault.code, Code::Throttled);
        assert_eq!(fake.count(Kind::Login), 1);
        assert_eq!(throttled(&metrics, "acme"), Some(1.0), "what was answered, not what was asked");
    }
    clock.advance(3);
    auth0.list(call(&connection)).await.unwrap();
    assert_eq!(fake.count(Kind::Login), 2);
    assert_eq!(throttled(&metrics, "acme"), Some(1.0));
}
