//! What every answer promises, and what nobody gets.

use std::io::Read;

use reqwest::{Method, header::HOST};
use scimitar::{engine::live::Obstacle, web::Limits};

use super::{
    sample,
    site::{Stand, headers, now, soon},
};

const PATHS: [&str; 11] = [
    "/",
    "/c/one",
    "/style.css",
    "/page.js",
    "/icon.svg",
    "/metrics",
    "/livez",
    "/readyz",
    "/api/v1/connections",
    "/api/v1/connections/one",
    "/api/v1/openapi.json",
];

#[tokio::test]
async fn every_answer_tells_browsers_what_to_hold_to() {
    let stand = Stand::of(&[sample::retiring("one")], &[]).await;
    for path in PATHS.into_iter().chain(["/nothing", "/../etc/passwd", "//", "/?page=2"]) {
        let answer = stand.ask(Method::GET, path).await;
        let headers = headers(&answer);
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
        assert_eq!(headers["content-security-policy"], policy, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["connection"], "close", "{path}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
        assert!(!headers.contains_key("set-cookie"), "{path}");
    }
    let kinds: Vec<(&str, &str)> = vec![
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/c/one", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/api/v1/connections/one", "application/json"),
        ("/api/v1/openapi.json", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/livez", "text/plain; charset=utf-8"),
        ("/api/v1/connections", "application/json"),
    ];
    for (path, kind) in kinds {
        assert_eq!(headers(&stand.ask(Method::GET, path).await)["content-type"], kind, "{path}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_answered_and_nothing_changes() {
    let gallery = sample::gallery().into_iter().chain([sample::quiet("one", 5, 30)]);
    let gallery: Vec<_> = gallery.collect();
    let stand = Stand::of(&gallery, &[sample::left()]).await;
    let before = stand.ledger.all().await.unwrap();
    for path in PATHS {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "SCIM"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = stand.ask(method.clone(), path).await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(headers(&answer)["allow"], "GET, HEAD");
        }
        let head = stand.ask(Method::HEAD, path).await;
        assert_eq!(head.status(), 200, "{path}");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
        assert_eq!(stand.get(path).await.0, 200, "{path}");
    }
    for path in
        ["/nothing", "/livez/", "/api/v1/connections/x/y", "/c/", "/style.css2", "/metrics/.."]
    {
        let answer = stand.ask(Method::POST, path).await;
        // Clients resolve dots themselves.
        let expected = if path.ends_with("..") { 405 } else { 404 };
        assert_eq!(answer.status(), expected, "{path}");
    }
    assert_eq!(stand.ledger.all().await.unwrap(), before);
}

#[tokio::test]
async fn a_browser_that_was_led_here_by_another_name_is_turned_away() {
    let stand = Stand::of(&[sample::retiring("one")], &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in PATHS {
        for (host, status) in [
            ("evil.example", 421),
            ("evil.example:9469", 421),
            ("localhost:9469", 200),
            ("127.0.0.1", 200),
        ] {
            let request = client.get(stand.url(path)).header(HOST, host);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{host} {path}");
            if status == 421 {
                assert!(
                    answer.text().await.unwrap().contains("must set the header Host to localhost")
                );
            }
        }
    }
    // Who lets other machines in is found by whatever name they have for it.
    let open = Stand::with(&[], &[], Limits::default(), "0.0.0.0:0").await;
    let url = format!("http://127.0.0.1:{}/livez", open.address.port());
    let answer = client.get(url).header(HOST, "scimitar.example").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn readiness_is_the_daemons_own_and_never_remembered() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    // Failed and refused connections do not make it unready.
    assert_eq!(stand.get("/readyz").await, (200, "ok\n".to_owned()));
    assert!(stand.page("/").await.contains("<p class=\"ready\">Daemon running</p>"));
    stand.live.blocked(Obstacle::Ledger, now(), "the ledger is full: make room on /var");
    stand.live.blocked(Obstacle::Stopping, now(), "it was asked\nto end");
    let words = "the ledger is full: make room on /var (for 0s, since 2026-11-22 04:00 UTC)\n\
                 it was asked to end (for 0s, since 2026-11-22 04:00 UTC)\n";
    assert_eq!(stand.get("/readyz").await, (503, words.to_owned()));
    let page = stand.page("/").await;
    assert!(page.contains("<p class=\"ready bad\">Not ready</p>"), "{page}");
    assert!(page.contains("the ledger is full: make room on &#x2f;var"), "{page}");
    stand.live.cleared(Obstacle::Ledger);
    stand.live.cleared(Obstacle::Stopping);
    assert_eq!(stand.get("/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn it_lives_while_the_scheduler_goes_round() {
    let stand = Stand::of(&[], &[]).await;
    assert_eq!(stand.get("/livez").await, (200, "ok\n".to_owned()));
    stand.clock.pass(chrono::TimeDelta::minutes(4));
    let words = "the scheduler last ran at 2026-11-22 04:00 UTC (4 min ago); it should run every \
                 minute: restart the service\n";
    assert_eq!(stand.get("/livez").await, (503, words.to_owned()));
    // Who asks for readiness alone, as `scimitar healthcheck` does, hears of it as well.
    assert_eq!(stand.get("/readyz").await, (503, words.to_owned()));
    assert!(stand.page("/").await.contains("the scheduler has stopped"));
    stand.live.note_beat(now() + chrono::TimeDelta::minutes(4));
    assert_eq!(stand.get("/livez").await.0, 200);
    assert_eq!(stand.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_said_in_words() {
    let stand = Stand::of(&[sample::retiring("one")], &[]).await;
    let file = stand.folder.path().join("ledger.db");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("ALTER TABLE records RENAME TO elsewhere").unwrap();
    for path in ["/", "/c/one", "/metrics", "/api/v1/connections", "/api/v1/connections/one"] {
        let (status, words) = stand.get(path).await;
        assert_eq!(status, 503, "{path}");
        assert!(words.contains("ledger.db cannot be used"), "{path}: {words}");
    }
    let (_, page) = stand.get("/").await;
    assert!(page.contains("Not ready") && page.contains("</html>"), "{page}");
    let (_, document) = stand.get("/api/v1/connections").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["error"]["class"], "ledger");
    assert_eq!(document["exit_status"], 1);
    // What does not need it goes on, and all of it when the ledger is back.
    assert_eq!(stand.get("/livez").await.0, 200);
    other.execute_batch("ALTER TABLE elsewhere RENAME TO records").unwrap();
    assert!(soon(stand.page("/")).await.contains("one"));
}

#[tokio::test]
async fn a_page_is_packed_for_a_reader_who_can_unpack_it() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/", "/c/globex-okta", "/c/nobody"] {
        let (_, plain) = stand.get(path).await;
        let request = client.get(stand.url(path)).header("Accept-Encoding", "br, gzip");
        let answer = request.send().await.unwrap();
        let told = headers(&answer);
        assert_eq!(told["content-encoding"], "gzip", "{path}");
        assert_eq!(told["vary"], "Accept-Encoding", "{path}");
        assert_eq!(told["content-type"], "text/html; charset=utf-8", "{path}");
        let packed = answer.bytes().await.unwrap();
        assert!(packed.len() < plain.len(), "{path}: {} of {}", packed.len(), plain.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.as_ref()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain, "{path}");
        let answer = stand.ask(Method::GET, path).await;
        assert!(!headers(&answer).contains_key("content-encoding"), "{path}");
    }
}
