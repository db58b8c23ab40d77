//! A server, or something in front of it, that repeats in an error what it was sent.

use scimitar::{
    error::Fault,
    sink::{Sink, vault::Method},
};
use serde_json::json;

use super::{
    scripted::{Asked, Scripted, answer},
    sink_conformance::{CANARY, Gate, delivery},
    site::{server, server_settings, server_with, sink, source},
};

/// As short as OpenBao's: nothing about it looks like a secret.
const TOKEN: &str = "s.canaryTokenOfTwentySixCh";

const SECRET_ID: &str = "canary-secret-id";

const JWT: &str = "canary.web.token";

/// A refusal that repeats the token and the body.
fn repeated(asked: &Asked, status: u16) -> super::scripted::Answer {
    let token = asked.header("x-vault-token").unwrap_or_default();
    answer(status, &[], json!({ "errors": [format!("token {token} body {}", asked.body)] }))
}

fn assert_hidden(fault: &Fault, secret: &str) {
    let shown = format!("{fault} {fault:?}");
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("[left out]"), "the server's words are quoted: {shown}");
}

#[tokio::test]
async fn what_a_call_sent_is_left_out_of_its_errors() {
    for status in [400, 403, 429, 500] {
        let vault = Scripted::vault(move |asked| {
            (asked.method == "GET" && asked.path == "/v1/kv/data/x")
                .then(|| repeated(asked, status))
        })
        .await;
        let fault = sink(&server_with(&vault.url, TOKEN), "kv/x").read().await.unwrap_err();
        assert_hidden(&fault, TOKEN);

        let vault = Scripted::vault(move |asked| {
            (asked.method == "POST" && asked.path == "/v1/kv/data/x")
                .then(|| repeated(asked, status))
        })
        .await;
        let sink = sink(&server_with(&vault.url, TOKEN), "kv/x");
        let seen = sink.read().await.unwrap();
        let fault = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
        assert_hidden(&fault, TOKEN);
        assert_hidden(&fault, CANARY);
        let body = vault.seen().into_iter().find(|asked| asked.method == "POST").unwrap().body;
        assert!(body.contains(CANARY), "it was sent");
    }
}

#[tokio::test]
async fn what_a_log_in_sent_is_left_out_of_its_errors() {
    let approle = Method::Approle {
        role_id: "canary-role-id".to_owned(),
        secret_id: source(SECRET_ID),
        wrapped: false,
        single_use: false,
    };
    let jwt = Method::Jwt { role: Some("scimitar".to_owned()), jwt: source(JWT) };
    let kubernetes = Method::Kubernetes { role: "scimitar".to_owned(), jwt: Some(source(JWT)) };
    for (method, mount, secret) in
        [(approle, "approle", SECRET_ID), (jwt, "jwt", JWT), (kubernetes, "kubernetes", JWT)]
    {
        for status in [400, 500] {
            let vault = Scripted::vault(move |asked| {
                asked.path.starts_with("/v1/auth/").then(|| repeated(asked, status))
            })
            .await;
            let settings = server_settings(&vault.url, method.clone(), mount);
            let fault = sink(&server(settings), "kv/x").read().await.unwrap_err();
            assert_hidden(&fault, secret);
            let named = mount == "approle" || fault.to_string().contains("scimitar");
            assert!(named, "the role may be named: {fault}");
        }
    }
}
