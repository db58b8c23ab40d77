//! How a log-in is kept, prolonged, lost and had anew.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use scimitar::{
    clock::{Clock, SystemClock, SystemEntropy, Timestamp},
    error::{Class, Code},
    secret::{Secret, SecretSource},
    sink::{
        Sink,
        vault::{Method, ServerSettings, VaultServer},
    },
};
use serde_json::json;
use tokio::sync::Notify;

use super::{
    logins::Approle,
    scripted::{Scripted, answer},
    sink_conformance::{assert_holds, delivery, promote},
    site::{VaultSite, server_settings, sink, source},
};

/// A clock that is moved by hand.
#[derive(Debug)]
struct HandClock {
    at: Mutex<Timestamp>,
    moved: Notify,
}

impl HandClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { at: Mutex::new(SystemClock.now()), moved: Notify::new() })
    }

    fn advance(&self, seconds: i64) {
        *self.at.lock().unwrap() += chrono::TimeDelta::seconds(seconds);
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.at.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= deadline {
                return;
            }
            moved.await;
        }
    }
}

fn at(settings: ServerSettings, clock: Arc<dyn Clock>) -> Arc<VaultServer> {
    VaultServer::try_new(settings, clock, Arc::new(SystemEntropy)).unwrap()
}

#[tokio::test]
async fn a_403_is_answered_by_one_fresh_log_in() {
    let site = VaultSite::new(2, None).await;
    let approle = Approle::of(&site, json!({ "token_ttl": "10m" })).await;
    let clock = HandClock::new();
    let sink = sink(&at(approle.settings(&site), clock.clone()), &site.path());
    promote(&sink, 1).await;
    approle.revoke_all(site.bao).await;
    promote(&sink, 2).await;
    let first = approle.accessors(site.bao).await;
    assert_eq!(first.len(), 1);
    // A right that is not there is not had by logging in a moment later.
    site.forbid().await;
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    assert_eq!(approle.accessors(site.bao).await, first);
    // A token of other policies may be had by now; the one that it replaces is given back.
    clock.advance(31);
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
    let second = approle.accessors(site.bao).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
}

/// A secret id that can be used once: the log-in that a refusal leads to is refused as well, which
/// is told beside the refusal, and costs the token that lives nothing.
#[tokio::test]
async fn a_log_in_that_cannot_be_had_again_hides_no_refusal() {
    let site = VaultSite::new(2, None).await;
    let more = json!({ "token_ttl": "10m", "secret_id_num_uses": 1 });
    let approle = Approle::of(&site, more).await;
    let clock = HandClock::new();
    let sink = sink(&at(approle.settings(&site), clock.clone()), &site.path());
    promote(&sink, 1).await;
    site.forbid().await;
    clock.advance(31);
    let fault = sink.read().await.unwrap_err();
    assert_eq!(fault.class, Class::Terminal, "{fault}");
    assert!(fault.detail.starts_with("answered 403, and then: could not log in"), "{fault}");
    site.grant(&["create", "read", "update"], &["read"]).await;
    promote(&sink, 2).await;
}

/// A renewal that is refused is asked for once: a token that was given to us is then used to its
/// end, and one that was had by logging in is had anew at two thirds of its life.
#[tokio::test]
async fn a_token_that_may_not_renew_itself_is_asked_only_once() {
    for given in [true, false] {
        let vault = Scripted::vault(|asked| {
            let no = answer(403, &[], json!({ "errors": ["permission denied"] }));
            let granted = json!({ "auth": {
                "client_token": "hvs.one", "lease_duration": 60, "renewable": true,
            } });
            let looked = json!({ "data": { "ttl": 60, "renewable": true } });
            match asked.path.as_str() {
                "/v1/auth/token/renew-self" => Some(no),
                "/v1/auth/jwt/login" => Some(answer(200, &[], granted)),
                "/v1/auth/token/lookup-self" => Some(answer(200, &[], looked)),
                _ => None,
            }
        })
        .await;
        let method = if given {
            Method::Token(source("hvs.one"))
        } else {
            Method::Jwt { role: None, jwt: source("a.b.c") }
        };
        let clock = HandClock::new();
        let server = at(server_settings(&vault.url, method, "jwt"), clock.clone());
        let sink = sink(&server, "kv/x");
        let asked =
            |path: &str| vault.seen().iter().filter(|asked| asked.path.ends_with(path)).count();
        for _ in 0..59 {
            sink.read().await.unwrap();
            clock.advance(1);
        }
        assert_eq!(asked("/renew-self"), 1, "given: {given}");
        assert_eq!(asked("/login"), if given { 0 } else { 2 });
    }
}

/// A server that does not say whether the token lives longer is asked again, less and less often.
#[tokio::test]
async fn a_renewal_without_an_answer_costs_no_log_in() {
    let vault = Scripted::vault(|asked| match asked.path.as_str() {
        "/v1/auth/token/renew-self" => Some(answer(503, &[], json!({ "errors": ["sealed"] }))),
        "/v1/auth/jwt/login" => {
            let auth =
                json!({ "client_token": "hvs.one", "lease_duration": 600, "renewable": true });
            Some(answer(200, &[], json!({ "auth": auth })))
        }
        _ => None,
    })
    .await;
    let clock = HandClock::new();
    let method = Method::Jwt { role: None, jwt: source("a.b.c") };
    let sink = sink(&at(server_settings(&vault.url, method, "jwt"), clock.clone()), "kv/x");
    for _ in 0..590 {
        sink.read().await.unwrap();
        clock.advance(1);
    }
    let asked = |path: &str| vault.seen().iter().filter(|asked| asked.path.ends_with(path)).count();
    assert!((2..=5).contains(&asked("/renew-self")), "{}", asked("/renew-self"));
    assert_eq!(asked("/login"), 1);
}

#[tokio::test]
async fn a_token_is_renewed_automatically_at_two_thirds_of_its_life() {
    let site = VaultSite::new(2, None).await;
    let more = json!({ "period": "60s", "no_default_policy": false });
    let token = site.bao.token(&site.policy, more).await;
    let clock = HandClock::new();
    // As a file has it.
    let method = Method::Token(source(&format!(" {token}\n")));
    let server = at(server_settings(&site.bao.url, method, "token"), clock.clone());
    promote(&sink(&server, &site.path()), 1).await;
    let renewed = async || {
        let body = json!({ "token": token });
        let looked = site.bao.must("POST", "auth/token/lookup", body).await;
        !looked["data"]["last_renewal"].is_null()
    };
    clock.advance(30);
    sink(&server, &site.path()).read().await.unwrap();
    assert!(!renewed().await, "not yet");
    clock.advance(12);
    let mut done = false;
    for _ in 0..2_000 {
        done = renewed().await;
        if done {
            break;
        }
    }
    assert!(done, "no call of ours was needed");
}

#[tokio::test]
async fn at_the_end_of_the_longest_life_there_is_a_fresh_log_in() {
    let site = VaultSite::new(2, None).await;
    let more = json!({ "token_ttl": "60s", "token_max_ttl": "61s" });
    let approle = Approle::of(&site, more).await;
    let clock = HandClock::new();
    let sink = sink(&at(approle.settings(&site), clock.clone()), &site.path());
    promote(&sink, 1).await;
    clock.advance(59 * 60);
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
    assert_eq!(approle.living(site.bao).await, 2, "the clock says that the first has ended");
}

#[tokio::test]
async fn a_secret_is_read_again_for_each_log_in() {
    let site = VaultSite::new(2, None).await;
    let current = Arc::new(Mutex::new("not-a-token".to_owned()));
    let read = current.clone();
    let changing = SecretSource::new(move || Ok(Secret::new(read.lock().unwrap().clone())));
    let clock = HandClock::new();
    let settings = server_settings(&site.bao.url, Method::Token(changing), "token");
    let sink = sink(&at(settings, clock.clone()), &site.path());
    assert_eq!(sink.read().await.unwrap_err().code, Code::Unauthorized);
    *current.lock().unwrap() = site.token.clone();
    clock.advance(5);
    promote(&sink, 1).await;
    site.bao.must("POST", "auth/token/revoke", json!({ "token": site.token })).await;
    let other = site.bao.token(&site.policy, json!({})).await;
    *current.lock().unwrap() = other;
    promote(&sink, 2).await;
}

/// A standby may know nothing yet of the token that the leader has just granted through it.
#[tokio::test]
async fn a_token_that_is_not_known_yet_is_no_missing_right() {
    let policy = "1 error occurred:\n\t* permission denied\n\n";
    for (words, class, code) in [
        ("permission denied", Class::Transient, Code::Unavailable),
        (
            "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n",
            Class::Transient,
            Code::Unavailable,
        ),
        (policy, Class::Terminal, Code::Forbidden),
    ] {
        let vault = Scripted::vault(move |asked| {
            let no = answer(403, &[], json!({ "errors": [words] }));
            let auth = json!({ "client_token": "hvs.one", "lease_duration": 600 });
            match asked.path.as_str() {
                "/v1/auth/jwt/login" => Some(answer(200, &[], json!({ "auth": auth }))),
                "/v1/auth/token/lookup-self" | "/v1/kv/data/x" => Some(no),
                _ => None,
            }
        })
        .await;
        let method = Method::Jwt { role: None, jwt: source("a.b.c") };
        let clock = HandClock::new();
        let server = at(server_settings(&vault.url, method, "jwt"), clock);
        let fault = sink(&server, "kv/x").read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{words}: {fault}");
    }
}

/// It may have heard of the token between the refusal and the question whether it lives.
#[tokio::test]
async fn a_token_that_is_known_a_moment_later_is_no_missing_right() {
    let refused = Arc::new(Mutex::new(0));
    let count = refused.clone();
    let vault = Scripted::vault(move |asked| {
        let auth = json!({ "client_token": "hvs.one", "lease_duration": 600 });
        match asked.path.as_str() {
            "/v1/auth/jwt/login" => Some(answer(200, &[], json!({ "auth": auth }))),
            path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
                let mut count = count.lock().unwrap();
                *count += 1;
                let no = json!({ "errors": ["preflight capability check returned 403"] });
                (*count == 1).then(|| answer(403, &[], no))
            }
            _ => None,
        }
    })
    .await;
    let method = Method::Jwt { role: None, jwt: source("a.b.c") };
    let server = at(server_settings(&vault.url, method, "jwt"), HandClock::new());
    sink(&server, "kv/x").read().await.unwrap();
    let asked = |path: &str| vault.seen().iter().filter(|asked| asked.path.ends_with(path)).count();
    assert_eq!((*refused.lock().unwrap(), asked("/login")), (2, 1), "once more, by the same token");
}

/// Servers lock out who tries too often; many secrets may be asked for one after the other.
#[tokio::test]
async fn a_refused_log_in_is_not_tried_for_each_secret() {
    let vault = Scripted::vault(|asked| {
        let no = json!({ "errors": ["invalid role or secret ID"] });
        asked.path.ends_with("/login").then(|| answer(400, &[], no))
    })
    .await;
    let clock = HandClock::new();
    let method = Method::Jwt { role: None, jwt: source("a.b.c") };
    let server = at(server_settings(&vault.url, method, "jwt"), clock.clone());
    for (seconds, tries) in [(0, 1), (4, 1), (1, 2), (3, 2)] {
        clock.advance(seconds);
        for nth in 0..10 {
            let fault = sink(&server, &format!("kv/{nth}")).read().await.unwrap_err();
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
        }
        assert_eq!(vault.seen().len(), tries);
    }
}
