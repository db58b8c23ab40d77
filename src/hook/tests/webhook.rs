//! Webhooks against a real receiver.

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::RawQuery,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::*;
use crate::{
    clock::SystemClock,
    http::{Endpoint, Http, HttpSettings},
    kind::Credential,
    secret::{Secret, SecretSource},
};

/// A key of the specification's own length; not one that anybody uses.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver is to answer: the status and one header. `None`: nothing, ever.
type Answer = Option<(u16, &'static str, &'static str)>;

struct Receiver {
    url: Url,
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    queries: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn start(answer: Answer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let queries: Arc<Mutex<Vec<_>>> = Arc::default();
        let (noted, asked) = (Arc::clone(&seen), Arc::clone(&queries));
        let take = move |query: RawQuery, headers: HeaderMap, body: Bytes| {
            noted.lock().unwrap().push((headers, body));
            asked.lock().unwrap().extend(query.0);
            async move {
                let Some((status, name, value)) = answer else { std::future::pending().await };
                let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
                answer.header(name, value).body(axum::body::Body::from("token: canary")).unwrap()
            }
        };
        let app = Router::new().route("/in", post(take));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url: Url::parse(&url).unwrap(), seen, queries, serving }
    }

    fn hook(&self, key: &'static str) -> Webhook {
        let url = Address::Plain(Endpoint::try_new(self.url.clone()).unwrap());
        self.posting(Post { url, headers: Vec::new(), body: None, secret: Some(kept(key)) })
    }

    /// The same with another request.
    fn posting(&self, post: Post<Credential>) -> Webhook {
        // Only one of them never answers.
        let timeout = Duration::from_secs(5);
        let settings = WebhookSettings { name: name(), post, timeout };
        let http = HttpSettings {
            ca_file: None,
            proxy: None,
            request_timeout: Duration::from_secs(30),
            user_agent: "scimitar/test".to_owned(),
        };
        Webhook::new(settings, Http::try_new(http).unwrap(), Arc::new(SystemClock))
    }
}

fn kept(text: impl Into<String>) -> Credential {
    let text = text.into();
    SecretSource::new(move || Ok(Secret::new(text.clone()))).into()
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[test]
fn the_signature_is_that_of_other_implementations() {
    // Made with Python's hmac module.
    let key = SigningKey::try_new(&Secret::new(KEY.to_owned())).unwrap();
    let signature =
        key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(format!("{key:?}"), "[redacted]");
}

#[test]
fn what_is_no_key_is_refused_without_being_shown() {
    for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_canary", "whsec_Y2FuYXJ5"]
    {
        let refused = SigningKey::try_new(&Secret::new(bad.to_owned())).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{bad}");
    }
}

#[tokio::test]
async fn it_is_sent_a_signed_cloud_event() {
    let receiver = Receiver::start(Some((204, "x-a", "b"))).await;
    receiver.hook(KEY).run(&message()).await.unwrap();
    let seen = receiver.seen.lock().unwrap();
    let [(headers, body)] = &seen[..] else { panic!("{} requests", seen.len()) };
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/cloudevents+json");
    assert_eq!(text("webhook-id"), message().id());
    let sent: i64 = text("webhook-timestamp").parse().unwrap();
    assert!((crate::clock::Clock::now(&SystemClock).timestamp() - sent).abs() < 60);
    let key = SigningKey::try_new(&Secret::new(KEY.to_owned())).unwrap();
    assert_eq!(text("webhook-signature"), key.sign(message().id(), sent, body));
    let event: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(event, message().cloud_event());
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_answer_is_judged() {
    let long = Some(Duration::from_secs(90));
    let cases = [
        (Some((200, "x-a", "b")), None),
        (
            Some((500, "x-a", "b")),
            Some((Class::Transient, Code::Unavailable, "answered 500", None)),
        ),
        (
            Some((429, "retry-after", "90")),
            Some((Class::Transient, Code::Throttled, "answered 429", long)),
        ),
        (
            Some((503, "retry-after", "90")),
            Some((Class::Transient, Code::Unavailable, "answered 503", long)),
        ),
        (
            Some((410, "x-a", "b")),
            Some((Class::Terminal, Code::Invalid, "it no longer accepts events", None)),
        ),
        (
            Some((401, "x-a", "b")),
            Some((Class::Terminal, Code::Unauthorized, "the same secret", None)),
        ),
        (Some((404, "x-a", "b")), Some((Class::Terminal, Code::Invalid, "answered 404", None))),
        (
            Some((308, "location", "http://127.0.0.1:1/elsewhere?canary")),
            Some((Class::Terminal, Code::Invalid, "a redirect to 127.0.0.1, which Scimitar", None)),
        ),
        (None, Some((Class::Transient, Code::Timeout, "", None))),
    ];
    for (answer, expected) in cases {
        let receiver = Receiver::start(answer).await;
        let outcome = receiver.hook(KEY).run(&message()).await;
        assert_eq!(receiver.seen.lock().unwrap().len(), 1, "one request each: {answer:?}");
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(fault), Some((class, code, words, pause))) => {
                assert_eq!((fault.class, fault.code, fault.retry_after), (class, code, pause));
                assert!(fault.detail.contains(words), "{fault}");
                assert!(!fault.to_string().contains("canary"), "{fault}");
            }
            (outcome, _) => panic!("{answer:?}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let receiver = Receiver::start(Some((200, "x-a", "b"))).await;
    let fault = receiver.hook("canary").run(&message()).await.unwrap_err();
    assert_eq!(fault.class, Class::Terminal);
    assert!(!fault.to_string().contains("canary"), "{fault}");
    assert!(receiver.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_that_is_away_is_tried_again() {
    let receiver = Receiver::start(Some((200, "x-a", "b"))).await;
    let hook = receiver.hook(KEY);
    receiver.serving.abort();
    while !receiver.serving.is_finished() {
        tokio::task::yield_now().await;
    }
    drop(receiver);
    let fault = hook.run(&message()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable), "{fault}");
}

/// What a service of its own kind is sent: its URL, headers and body with secrets in them.
fn own_form(receiver: &Receiver, url: Option<&'static str>) -> Webhook {
    let content_type = ContentType::try_new("application/vnd.x+json").unwrap();
    let source = r#"{ "key": "{{ secrets.key }}", "why": "{{ why }}" }"#;
    let template = BodyTemplate::parse(source, content_type, ["key"].into_iter()).unwrap();
    let header = |text: &'static str| HeaderText::Kept(kept(text));
    receiver.posting(Post {
        url: Address::Kept(kept(url.map_or_else(|| receiver.url.to_string(), str::to_owned))),
        headers: vec![
            (HeaderName::from_static("authorization"), header("Bearer canary-header")),
            (
                HeaderName::from_static("x-from"),
                HeaderText::Plain(HeaderValue::from_static("scimitar")),
            ),
        ],
        body: Some(Body { template, secrets: [("key".to_owned(), kept("canary\"body"))].into() }),
        secret: None,
    })
}

#[tokio::test]
async fn a_service_is_sent_its_own_form_unsigned() {
    let mut receiver = Receiver::start(Some((202, "x-a", "b"))).await;
    receiver.url.set_query(Some("key=canary-url"));
    let hook = own_form(&receiver, None);
    hook.run(&message()).await.unwrap();
    assert!(!format!("{hook:?}").contains("canary"), "{hook:?}");
    let seen = receiver.seen.lock().unwrap();
    let [(headers, body)] = &seen[..] else { panic!("{} requests", seen.len()) };
    assert_eq!(headers["content-type"], "application/vnd.x+json");
    assert_eq!(headers["authorization"], "Bearer canary-header");
    assert_eq!(headers["x-from"], "scimitar");
    assert_eq!(headers["webhook-id"], message().id());
    assert!(!headers.contains_key("webhook-signature"));
    let sent: serde_json::Value = serde_json::from_slice(body).unwrap();
    let expected = serde_json::json!({ "key": "canary\"body", "why": "every sink holds tok_2" });
    assert_eq!(sent, expected);
    assert_eq!(receiver.queries.lock().unwrap().as_slice(), ["key=canary-url"]);
}

#[tokio::test]
async fn no_failure_shows_a_key() {
    for (status, words) in [(403, "check that the key in `url`"), (404, "answered 404"), (500, "")]
    {
        let mut receiver = Receiver::start(Some((status, "x-a", "b"))).await;
        receiver.url.set_query(Some("key=canary-url"));
        let fault = own_form(&receiver, None).run(&message()).await.unwrap_err();
        assert!(fault.detail.contains(words), "{fault}");
        assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault}");
    }
    let receiver = Receiver::start(Some((200, "x-a", "b"))).await;
    for bad in ["canary", "http://canary.example/", "https://u:canary@h/", "https://h/#canary"] {
        let fault = own_form(&receiver, Some(bad)).run(&message()).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid));
        assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault}");
    }
    let unreachable = "http://127.0.0.1:1/canary/path?canary";
    let fault = own_form(&receiver, Some(unreachable)).run(&message()).await.unwrap_err();
    assert_eq!(fault.code, Code::Unreachable);
    assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault}");
    assert!(receiver.seen.lock().unwrap().is_empty());
}
