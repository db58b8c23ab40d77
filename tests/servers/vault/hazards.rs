//! What a real server cannot be made to answer, and what vaultrs does when it is left to itself:
//! each is shown not to happen here.

use std::{process::Command, time::Duration};

use scimitar::{
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{Sink, vault::Method},
};
use scimitar_test_support::heard::Heard;
use serde_json::json;

use super::{
    bao::{Bao, ROOT},
    logins::Approle,
    scripted::{Answer, Asked, Scripted, answer, plain},
    sink_conformance::{CANARY, Gate, delivery, promote},
    site::{VaultSite, server, server_settings, server_with, sink, source},
};

const TOKEN: &str = "hvs.canary-token-0123456789abcdefghijklmnopqrstuvwxyz";

const JWT: &str = "canary-header.canary-claims.canary-signature";

const HTML: &str = "<html><body><h1>Bad Gateway</h1></body></html>";

/// What becomes of a read and of a write when only that is answered otherwise.
async fn faults(answered: Answer) -> (Fault, Fault) {
    let to_get = answered.clone();
    let reading = Scripted::vault(move |asked: &Asked| {
        (asked.method == "GET" && asked.path == "/v1/kv/data/x").then(|| to_get.clone())
    })
    .await;
    let writing = Scripted::vault(move |asked: &Asked| {
        (asked.method == "POST" && asked.path == "/v1/kv/data/x").then(|| answered.clone())
    })
    .await;
    let read = sink(&server_with(&reading.url, TOKEN), "kv/x").read().await.unwrap_err();
    let sink = sink(&server_with(&writing.url, TOKEN), "kv/x");
    let seen = sink.read().await.unwrap();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    (read, write)
}

#[tokio::test]
async fn every_answer_has_its_class() {
    use {Class::*, Code::*};
    let own = |words: &str| json!({ "errors": [words] });
    let lost_race = own("check-and-set parameter did not match the current version");
    let upgrading = own("Upgrading from non-versioned to versioned data. This backend will be \
                         unavailable for a brief period and will resume service shortly.");
    let waiting = own("Waiting for the primary to upgrade from non-versioned to versioned data.");
    let cases = [
        (answer(400, &[], lost_race), (Conflict, Changed), (Conflict, Changed)),
        (answer(400, &[], upgrading), (Transient, Unavailable), (Transient, Unavailable)),
        (answer(400, &[], waiting), (Transient, Unavailable), (Transient, Unavailable)),
        (answer(400, &[], own("no data")), (Terminal, Invalid), (Terminal, Invalid)),
        (answer(403, &[], own("denied")), (Terminal, Forbidden), (Terminal, Forbidden)),
        (answer(405, &[], own("no")), (Terminal, Invalid), (Terminal, Invalid)),
        (answer(412, &[], own("behind")), (Transient, Unavailable), (Transient, Unavailable)),
        (
            answer(429, &[], json!({"errors": []})),
            (Transient, Unavailable),
            (Transient, Unavailable),
        ),
        (answer(429, &[], own("slow")), (Transient, Throttled), (Transient, Throttled)),
        (answer(473, &[], own("standby")), (Transient, Unavailable), (Transient, Unavailable)),
        (answer(500, &[], own("storage")), (Transient, Unavailable), (Ambiguous, Unavailable)),
        (answer(502, &[], own("upstream")), (Transient, Unavailable), (Ambiguous, Unavailable)),
        (answer(503, &[], own("sealed")), (Transient, Unavailable), (Transient, Unavailable)),
        (plain(502, &[], HTML), (Transient, Unavailable), (Ambiguous, Unavailable)),
        (plain(503, &[], HTML), (Transient, Unavailable), (Ambiguous, Unavailable)),
        (plain(403, &[], HTML), (Transient, Unreadable), (Transient, Unreadable)),
        (plain(404, &[], HTML), (Transient, Unreadable), (Transient, Unreadable)),
        (plain(429, &[], HTML), (Transient, Throttled), (Transient, Throttled)),
        (plain(408, &[], ""), (Transient, Unavailable), (Ambiguous, Unavailable)),
        (plain(200, &[], HTML), (Transient, Unreadable), (Ambiguous, Unreadable)),
        (answer(200, &[], json!({"data": 1})), (Transient, Unreadable), (Ambiguous, Unreadable)),
        (
            plain(200, &[("content-length", "9")], ""),
            (Transient, Unavailable),
            (Ambiguous, Unavailable),
        ),
        (Answer::HangUp, (Transient, Unavailable), (Ambiguous, Unavailable)),
    ];
    for (answered, read, write) in cases {
        let shown = format!("{answered:?}");
        let (reading, writing) = faults(answered).await;
        assert_eq!((reading.class, reading.code), read, "{shown}: {reading}");
        assert_eq!((writing.class, writing.code), write, "{shown}: {writing}");
        for fault in [reading, writing] {
            assert!(!fault.detail.is_empty() && !fault.detail.contains("<html>"), "{fault}");
            assert!(!format!("{fault:?}").contains(CANARY), "{shown}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let slow = json!({ "errors": ["request path kv/data/x: rate limit quota exceeded"] });
    let (read, write) = faults(answer(429, &[("retry-after", "17")], slow)).await;
    for fault in [read, write] {
        assert_eq!(fault.retry_after, Some(Duration::from_secs(17)), "{fault}");
    }
}

/// Left to itself the crate follows, and gives the other host the token and the body.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Scripted::start(|_| answer(200, &[], json!({}))).await;
    let there = format!("{}/v1/kv/data/x", other.url);
    for status in [301, 302, 307, 308] {
        let (read, write) = faults(plain(status, &[("location", &there)], "")).await;
        // A standby answers so as well when the leader dies that it had passed a write on to.
        for (fault, class) in [(read, Class::Transient), (write, Class::Ambiguous)] {
            assert_eq!((fault.class, fault.code), (class, Code::Unavailable), "{fault}");
            assert!(fault.detail.contains("redirect to 127.0.0.1"), "{fault}");
        }
    }
    assert!(other.seen().is_empty(), "nobody was asked there");
}

/// Left to itself the crate has no time-out.
#[tokio::test]
async fn silence_is_not_waited_for() {
    let silent = |method: &'static str| {
        move |asked: &Asked| {
            let it = asked.method == method && asked.path == "/v1/kv/data/x";
            it.then_some(Answer::Silence)
        }
    };
    for (method, class) in [("GET", Class::Transient), ("POST", Class::Ambiguous)] {
        let vault = Scripted::vault(silent(method)).await;
        let mut settings = server_settings(&vault.url, Method::Token(source(TOKEN)), "token");
        settings.http.request_timeout = Duration::from_secs(3);
        let sink = sink(&server(settings), "kv/x");
        let fault = match sink.read().await {
            Ok(seen) => sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err(),
            Err(fault) => fault,
        };
        assert_eq!((fault.class, fault.code), (class, Code::Timeout), "{fault}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let sink = sink(&server_with("http://127.0.0.1:9", TOKEN), "kv/x");
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable), "{fault}");
}

/// Left to itself the crate panics on what no header may hold.
#[tokio::test]
async fn a_token_is_trimmed_and_checked_before_it_is_a_header() {
    let vault = Scripted::vault(|_| None).await;
    let file = format!("\n {TOKEN} \r\n");
    sink(&server_with(&vault.url, &file), "kv/x").read().await.unwrap();
    assert!(vault.seen().iter().all(|asked| asked.header("x-vault-token") == Some(TOKEN)));
    let before = vault.seen().len();
    for bad in ["hvs.one\nhvs.two", "hvs.\u{e9}", "hvs.\0", "two words"] {
        let fault = sink(&server_with(&vault.url, bad), "kv/x").read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
        assert!(!fault.to_string().contains("hvs."), "{fault}");
    }
    assert_eq!(vault.seen().len(), before, "nothing was sent");
}

/// A token that the server grants has to be one, too.
#[tokio::test]
async fn a_granted_token_is_checked_too() {
    let vault = Scripted::vault(|asked| {
        let granted = json!({ "auth": { "client_token": "two\nlines", "lease_duration": 60 } });
        asked.path.ends_with("/login").then(|| answer(200, &[], granted))
    })
    .await;
    let method = Method::Jwt { role: None, jwt: source("a.b.c") };
    let server = server(server_settings(&vault.url, method, "jwt"));
    let fault = sink(&server, "kv/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreadable), "{fault}");
    assert!(!format!("{fault:?}").contains("two"), "{fault}");
}

/// A log-in that wants a second factor is accepted without a token.
#[tokio::test]
async fn a_log_in_that_wants_a_second_factor_needs_a_person() {
    let vault = Scripted::vault(|asked| {
        let wanted = json!({ "auth": { "client_token": "", "mfa_requirement": {} } });
        asked.path.ends_with("/login").then(|| answer(200, &[], wanted))
    })
    .await;
    let method = Method::Jwt { role: None, jwt: source("a.b.c") };
    let server = server(server_settings(&vault.url, method, "jwt"));
    let fault = sink(&server, "kv/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
    assert!(fault.detail.contains("second factor"), "{fault}");
}

/// A first write names version 0, and any other the number that was seen, also a deleted one.
#[tokio::test]
async fn a_write_names_the_version_that_was_seen() {
    let deleted = json!({ "data": { "data": null, "metadata": {
        "version": 7, "created_time": "t", "deletion_time": "u", "destroyed": false,
    } } });
    let none = json!({ "errors": [] });
    for (status, body, number) in [(404, deleted, 7), (404, none, 0)] {
        let vault = Scripted::vault(move |asked| {
            let it = asked.method == "GET" && asked.path == "/v1/kv/data/x";
            it.then(|| answer(status, &[], body.clone()))
        })
        .await;
        promote(&sink(&server_with(&vault.url, TOKEN), "kv/x"), 1).await;
        let written = vault.seen().into_iter().rfind(|asked| asked.method == "POST").unwrap();
        let written: serde_json::Value = serde_json::from_str(&written.body).unwrap();
        assert_eq!(written["options"]["cas"], number);
    }
}

/// An index that a write was answered with goes with what is asked after it (Vault Enterprise).
#[tokio::test]
async fn what_was_written_is_not_read_from_before() {
    let vault = Scripted::vault(|asked| {
        let made = json!({ "data": { "version": 2, "created_time": "t" } });
        let it = asked.method == "POST" && asked.path == "/v1/kv/data/x";
        it.then(|| answer(200, &[("x-vault-index", "v1:abc")], made))
    })
    .await;
    let sink = sink(&server_with(&vault.url, TOKEN), "kv/x");
    promote(&sink, 1).await;
    // This one answers from before all the same, as a standby of OpenBao would.
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
    assert!(fault.detail.contains("older than Scimitar's last write"), "{fault}");
    let last = vault.seen().pop().unwrap();
    assert_eq!(last.header("x-vault-index"), Some("v1:abc"));
}

/// Left to itself the crate takes its address, token, namespace and even whether certificates
/// count from the environment. That belongs to a process, so this test runs itself again in one.
#[test]
fn the_environment_says_nothing() {
    const OF_THE_ENVIRONMENT: [(&str, &str); 4] = [
        ("VAULT_ADDR", "http://127.0.0.1:9"),
        ("VAULT_TOKEN", "hvs.of-the-environment"),
        ("VAULT_NAMESPACE", "of-the-environment"),
        ("VAULT_SKIP_VERIFY", ""),
    ];
    let name = "vault::hazards::the_environment_says_nothing";
    in_a_process_of_its_own(name, &OF_THE_ENVIRONMENT, async {
        let vault = Scripted::vault(|_| None).await;
        sink(&server_with(&vault.url, TOKEN), "kv/x").read().await.unwrap();
        for asked in vault.seen() {
            assert_eq!(asked.header("x-vault-token"), Some(TOKEN), "{asked:?}");
            assert_eq!(asked.header("x-vault-namespace"), None, "{asked:?}");
        }
        let bao = Bao::start(true).await;
        let fault = sink(&server_with(&bao.url, ROOT), "secret/x").read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable), "{fault}");
        assert!(fault.detail.contains("certificate"), "{fault}");
    });
}

/// Runs `test`, the test of that name, in another process, where nothing else goes on.
fn in_a_process_of_its_own(name: &str, env: &[(&str, &str)], test: impl Future<Output = ()>) {
    const AGAIN: &str = "SCIMITAR_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(AGAIN, "1")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// At the highest verbosity, through good and bad, nothing that is shown holds a secret.
#[test]
fn no_secret_shows_at_the_highest_verbosity() {
    let name = "vault::hazards::no_secret_shows_at_the_highest_verbosity";
    in_a_process_of_its_own(name, &[], no_secret_shows());
}

async fn no_secret_shows() {
    let site = VaultSite::new(2, None).await;
    let (heard, guard) = Heard::listen();
    let server = server_with(&site.bao.url, &site.token);
    let sink = sink(&server, &site.path());
    let mut shown = Vec::new();
    for generation in 1..=2 {
        promote(&sink, generation).await;
    }
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    site.forbid().await;
    shown.push(format!("{:?}", sink.read().await.unwrap_err()));
    let lost = Scripted::vault(|asked| (asked.method == "POST").then_some(Answer::HangUp)).await;
    let other = server_with(&lost.url, TOKEN);
    let refusing = self::sink(&other, "kv/x");
    let seen = refusing.read().await.unwrap();
    let fault = refusing.promote(&delivery(3), &seen.version, &Gate::open()).await.unwrap_err();
    shown.push(format!("{fault} {fault:?} {server:?} {other:?} {sink:?} {refusing:?}"));
    // The credentials of the other log-ins, and an engine whose writes go through the crate.
    let old = VaultSite::new(1, None).await;
    let approle = Approle::of(&old, json!({ "token_ttl": "10m" })).await;
    let (wrapping, secret_id) = (approle.wrapped(old.bao).await, approle.secret_id.clone());
    let wrong = |method| self::server(server_settings(&old.bao.url, method, &approle.mount));
    for (server, good) in [
        (self::server(approle.settings(&old)), true),
        (wrong(approle.method(&wrapping, true)), true),
        (wrong(approle.method(&wrapping, true)), false),
        (wrong(Method::Jwt { role: None, jwt: source(JWT) }), false),
        (wrong(Method::Kubernetes { role: "r".to_owned(), jwt: Some(source(JWT)) }), false),
    ] {
        let sink = self::sink(&server, &old.path());
        if good {
            promote(&sink, 1).await;
            shown.push(format!("{:?}", sink.missing_rights(Mode::Rotate).await));
        } else {
            shown.push(format!("{:?}", sink.read().await.unwrap_err()));
        }
        server.close().await;
        shown.push(format!("{server:?} {sink:?}"));
    }
    drop(guard);
    let logged = heard.text();
    assert!(logged.contains("rustify") && logged.contains(&site.mount), "it was traced");
    shown.push(logged);
    for text in shown {
        for secret in [CANARY, site.token.as_str(), TOKEN, &wrapping, &secret_id, JWT] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
    }
}
