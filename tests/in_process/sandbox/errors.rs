//! Every refusal, to the letter where one is on record.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeySize, PrivateDecryptingKey},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use scimitar::{clock::Clock, sandbox::Options, secret::Secret};
use serde_json::{Value, json};

use super::support::{Bench, HandClock, NOBODY, OKTA, Reply, send};

fn assert_refused(reply: &Reply, status: u16, message: &str, code: Option<&str>) {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(body["statusCode"], status, "{body}");
    assert_eq!(body["message"], message, "{body}");
    assert_eq!(body.get("errorCode").and_then(Value::as_str), code, "{body}");
    let error = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        _ => panic!("{status} is not among the errors"),
    };
    assert_eq!(body["error"], error, "{body}");
}

#[tokio::test]
async fn requests_for_tokens_are_validated() {
    let bench = Bench::start().await;
    let path = Bench::tokens(OKTA);
    for body in [
        json!({ "token_lifetime": 900 }),
        json!({ "token_lifetime": -1 }),
        json!({ "token_lifetime": "3600" }),
        json!({ "token_lifetime": 3600.5 }),
        json!({ "token_lifetime": i64::MAX }),
        json!({ "scopes": [] }),
        json!({ "scopes": ["get:users", "get:everything"] }),
        json!({ "scopes": "get:users" }),
        json!({ "scopes": [1] }),
        json!({ "name": "mine" }),
        json!([]),
    ] {
        let reply = bench.api("POST", &path, Some(body.clone())).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        let refused = reply.json();
        assert_eq!(refused["error"], "Bad Request");
        assert_eq!(refused["errorCode"], "invalid_body", "{body}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with("Payload validation error: "), "{message}");
    }
    assert_eq!(bench.listed(OKTA).await.len(), 0);
    for body in [json!({}), json!({ "token_lifetime": 901, "scopes": ["delete:groups"] })] {
        assert_eq!(bench.api("POST", &path, Some(body)).await.status, 201);
    }
}

#[tokio::test]
async fn a_third_token_is_a_conflict() {
    let bench = Bench::start().await;
    let (first, _) = bench.mint(OKTA).await;
    bench.mint(OKTA).await;
    let reply = bench.api("POST", &Bench::tokens(OKTA), Some(json!({}))).await;
    let message = "Maximum of 2 tokens already issued for this connection";
    assert_refused(&reply, 409, message, None);
    assert_eq!(bench.listed(OKTA).await.len(), 2);
    bench.api("DELETE", &format!("{}/{first}", Bench::tokens(OKTA)), None).await;
    bench.mint(OKTA).await;
}

#[tokio::test]
async fn missing_things_are_told_apart() {
    let bench = Bench::start().await;
    let gone = ("The connection does not exist", Some("inexistent_connection"));
    let plain = ("Not Found", None);
    let database = json!({ "name": "plain", "strategy": "auth0" });
    let database = bench.api("POST", "connections", Some(database)).await.json()["id"].clone();
    let database = database.as_str().unwrap().to_owned();
    let bare = json!({ "name": "bare", "strategy": "oidc" });
    let bare = bench.api("POST", "connections", Some(bare)).await.json()["id"].clone();
    let bare = bare.as_str().unwrap().to_owned();
    let unknown = "tok_0000000000000000";
    for (method, path, (message, code)) in [
        ("GET", format!("connections/{NOBODY}"), gone),
        ("DELETE", format!("connections/{NOBODY}"), gone),
        ("PATCH", format!("connections/{NOBODY}"), gone),
        ("GET", Bench::tokens(NOBODY), gone),
        ("POST", Bench::tokens(NOBODY), gone),
        ("DELETE", format!("{}/{unknown}", Bench::tokens(NOBODY)), gone),
        ("DELETE", format!("connections/{NOBODY}/scim-configuration"), gone),
        ("GET", format!("connections/{NOBODY}/scim-configuration/default-mapping"), gone),
        ("GET", Bench::tokens(&bare), plain),
        ("POST", Bench::tokens(&bare), plain),
        ("GET", format!("connections/{bare}/scim-configuration"), plain),
        ("DELETE", format!("{}/{unknown}", Bench::tokens(OKTA)), plain),
        ("GET", "no-such-thing".to_owned(), plain),
    ] {
        let body = ["POST", "PATCH"].contains(&method).then(|| json!({}));
        assert_refused(&bench.api(method, &path, body).await, 404, message, code);
    }
    let path = format!("connections/{database}/scim-configuration");
    let reply = bench.api("POST", &path, None).await;
    let message = "This connection type does not support SCIM. Please see our documentation for \
                   the currently supported connection types: \
                   https://auth0.com/docs/authenticate/protocols/scim/configure-inbound-scim.";
    assert_refused(&reply, 404, message, None);
    bench.running.faults().quirks(|quirks| quirks.terse_strategy_error = true);
    let reply = bench.api("POST", &path, None).await;
    assert_refused(&reply, 404, "scim strategy not enabled", None);
    bench.running.faults().quirks(|quirks| quirks.delete_is_idempotent = true);
    let path = format!("{}/{unknown}", Bench::tokens(OKTA));
    assert_eq!(bench.api("DELETE", &path, None).await.status, 204);
}

#[tokio::test]
async fn malformed_paths_queries_and_configurations_are_refused() {
    let bench = Bench::start().await;
    for path in [
        "connections/con_1",
        "connections/con_1/scim-configuration",
        "connections/okta/scim-configuration/tokens",
    ] {
        let reply = bench.api("GET", path, None).await;
        assert_eq!((reply.status, &reply.json()["errorCode"]), (400, &json!("invalid_uri")));
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Path validation error: "), "{message}");
    }
    let reply = bench.api("DELETE", &format!("{}/tok_1", Bench::tokens(OKTA)), None).await;
    assert_eq!((reply.status, &reply.json()["errorCode"]), (400, &json!("invalid_uri")));
    for path in [
        "connections?per_page=101",
        "connections?per_page=many",
        "connections?take=0",
        "connections?page=10",
        "connections-scim-configurations?take=101",
    ] {
        assert_eq!(bench.api("GET", path, None).await.status, 400, "{path}");
    }
    let reply = bench.api("GET", "connections-scim-configurations?from=nowhere", None).await;
    assert_refused(&reply, 400, "Invalid pagination cursor.", None);

    let path = format!("connections/{OKTA}/scim-configuration");
    let reply = bench.api("POST", &path, None).await;
    assert_refused(&reply, 400, "SCIM configuration alreay exists for connection", None);
    let wrong = json!({ "user_id_attribute": "x", "mapping": [{ "scim": "a" }] });
    let reply = bench.api("PATCH", &path, Some(wrong)).await;
    assert_refused(&reply, 400, "Invalid mapping provided", None);
    let half = json!({ "user_id_attribute": "x" });
    assert_eq!(bench.api("PATCH", &path, Some(half)).await.status, 400);

    let twice = json!({ "name": "initech-okta", "strategy": "okta" });
    let reply = bench.api("POST", "connections", Some(twice)).await;
    let message = "A connection with the same name already exists";
    assert_refused(&reply, 409, message, Some("conflict"));
    for body in [json!({ "name": "x" }), json!({ "name": "-x", "strategy": "okta" })] {
        assert_eq!(bench.api("POST", "connections", Some(body)).await.status, 400);
    }
}

#[tokio::test]
async fn management_tokens_are_asked_for_known_current_and_scoped() {
    let clock = HandClock::new();
    let mut bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let anonymous = send(bench.client.get(bench.url("api/v2/connections"))).await.unwrap();
    assert_refused(&anonymous, 401, "Missing authentication", None);
    let wrong = bench.client.get(bench.url("api/v2/connections")).bearer_auth("wrong");
    assert_refused(&send(wrong).await.unwrap(), 401, "Invalid token", None);

    let narrow = bench.log_in(&[("scope", "read:scim_config read:connections")]).await.json();
    assert_eq!(narrow["scope"], "read:connections read:scim_config");
    let wide =
        std::mem::replace(&mut bench.access, narrow["access_token"].as_str().unwrap().to_owned());
    let reply = bench.api("GET", &Bench::tokens(OKTA), None).await;
    let message = "Insufficient scope, expected any of: read:scim_token.";
    assert_refused(&reply, 403, message, Some("insufficient_scope"));
    // The scope is looked at before the path and the body are.
    let reply = bench.api("POST", &Bench::tokens("x"), Some(json!([]))).await;
    assert_eq!(reply.json()["errorCode"], "insufficient_scope");
    bench.running.faults().quirks(|q| q.grant = Some(vec!["read:connections".to_owned()]));
    assert_eq!(bench.log_in(&[]).await.json()["scope"], "read:connections");

    bench.access = wide;
    clock.advance(86_399);
    assert_eq!(bench.listed(OKTA).await.len(), 0);
    clock.advance(1);
    let reply = bench.api("GET", &Bench::tokens(OKTA), None).await;
    let message = "Expired token received for JSON Web Token validation";
    assert_refused(&reply, 401, message, None);
    assert_eq!(reply.json()["attributes"]["error"], message);
}

#[tokio::test]
async fn the_log_in_answers_and_refuses_as_documented() {
    let client = Some(("rotator".to_owned(), Secret::new("s3cret".to_owned())));
    let bench = Bench::with(Options { client, ..Options::default() }).await;
    let granted = bench.log_in(&[]).await;
    let body = granted.json();
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(86_400), &json!("Bearer")));
    for scope in ["read:scim_token", "create:scim_token", "delete:scim_token", "read:scim_config"] {
        assert!(body["scope"].as_str().unwrap().contains(scope), "{body}");
    }
    let denied = json!({
        "error": "invalid_client",
        "error_description": "Client authentication failed",
    });
    for change in [("client_secret", "wrong"), ("client_id", "wrong"), ("client_secret", "")] {
        let reply = bench.log_in(&[change]).await;
        assert_eq!((reply.status, reply.json()), (401, denied.clone()), "{change:?}");
    }
    let reply = bench.log_in(&[("audience", "https://elsewhere.example/")]).await;
    assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("access_denied")));
    let reply = bench.log_in(&[("grant_type", "password")]).await;
    assert_eq!(reply.status, 403);
    let by_json = bench.client.post(bench.url("oauth/token")).json(&json!({
        "grant_type": "client_credentials", "client_id": "rotator", "client_secret": "s3cret",
        "audience": "https://acme.eu.auth0.com/api/v2/",
    }));
    assert_eq!(send(by_json).await.unwrap().status, 200);
}

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn assertions_are_good_once_and_only_when_their_claims_hold() {
    let clock = HandClock::new();
    let bench = Bench::with(Options { clock: clock.clone(), ..Options::default() }).await;
    let now = clock.now().timestamp();
    let good = json!({
        "iss": "rotator", "sub": "rotator", "aud": "https://acme.eu.auth0.com/", "jti": "1",
        "iat": now, "exp": now + 60,
    });
    let log_in = async |claims: &Value| {
        let key = EncodingKey::from_secret(b"whatever");
        let assertion = jsonwebtoken::encode(&Header::default(), claims, &key).unwrap();
        let form = [
            ("client_secret", ""),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion.as_str()),
        ];
        bench.log_in(&form).await.status
    };
    assert_eq!(log_in(&good).await, 200);
    assert_eq!(log_in(&good).await, 401, "a jti is good once");
    for (number, (name, value)) in [
        ("sub", json!("someone")),
        ("aud", json!("https://acme.eu.auth0.com")),
        ("exp", json!(now - 11)),
        ("exp", json!(now + 311)),
        ("iat", json!(now + 11)),
        ("nbf", json!(now + 11)),
        ("jti", json!("")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = good.clone();
        claims["jti"] = json!(format!("bad-{number}"));
        claims[name] = value;
        assert_eq!(log_in(&claims).await, 401, "{claims}");
    }
    assert_eq!(bench.log_in(&[("client_assertion", "no.jwt")]).await.status, 401);
}

#[tokio::test]
async fn a_signature_is_checked_where_a_key_is_known() {
    let pair = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = pem("PRIVATE KEY", private.as_ref());
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let public = pem("PUBLIC KEY", public.as_ref());
    let options = Options { client_public_key: Some(public), ..Options::default() };
    let bench = Bench::with(options).await;
    let now = scimitar::clock::SystemClock.now().timestamp();
    let claims = |jti: &str| {
        json!({
            "iss": "rotator", "sub": "rotator", "aud": "https://acme.eu.auth0.com/", "jti": jti,
            "exp": now + 60,
        })
    };
    let log_in = async |assertion: &str| {
        let form = [
            ("client_secret", ""),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        bench.log_in(&form).await.status
    };
    let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
    let signed = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims("1"), &key).unwrap();
    assert_eq!(log_in(&signed).await, 200);
    let other = EncodingKey::from_secret(b"whatever");
    let forged = jsonwebtoken::encode(&Header::default(), &claims("2"), &other).unwrap();
    assert_eq!(log_in(&forged).await, 401);
    let (head, _) = signed.rsplit_once('.').unwrap();
    assert_eq!(log_in(&format!("{head}.AAAA")).await, 401);
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----");
    for (index, three) in der.chunks(3).enumerate() {
        if index % 16 == 0 {
            text.push('\n');
        }
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[bits >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    format!("{text}\n-----END {label}-----\n")
}
