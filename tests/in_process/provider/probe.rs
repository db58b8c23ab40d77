//! What the SCIM endpoint's answers are taken for.

use std::time::Duration;

use reqwest::Url;
use scimitar::{
    error::{Class, Code},
    probe::{ProbeAnswer, ScimClient, ScimProbe},
    token::TokenValue,
};

use super::{
    fake::{Answer, Fake, Kind, reply},
    http, value,
};

const USERS: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"Resources":[{"id":"x"}]}"#;

fn client() -> ScimClient {
    ScimClient::new(http(), Duration::from_secs(1))
}

fn at(fake: &Fake) -> Url {
    Url::parse(&format!("{}/scim/v2/connections/con_1", fake.url)).unwrap()
}

fn token() -> TokenValue {
    TokenValue::try_new(value()).unwrap()
}

#[tokio::test]
async fn a_probe_is_one_read_with_the_token() {
    let fake = Fake::start().await;
    fake.always(Kind::Scim, reply(200, USERS));
    assert_eq!(client().read(&at(&fake), &token()).await, ProbeAnswer::Accepted);
    let seen = fake.seen(Kind::Scim);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "GET");
    assert_eq!(seen[0].target, "/scim/v2/connections/con_1/Users?count=1");
    assert_eq!(seen[0].bearer(), value());
    assert!(seen[0].headers["accept"].starts_with("application/scim+json"));
}

#[tokio::test]
async fn only_200_401_and_403_say_anything_about_a_token() {
    use Class::{Terminal, Transient};
    for (answer, expected) in [
        (reply(200, ""), Ok(ProbeAnswer::Accepted)),
        (reply(401, ""), Ok(ProbeAnswer::Unauthorized)),
        (reply(403, ""), Ok(ProbeAnswer::NotScoped)),
        (reply(204, ""), Err((Transient, Code::Unreadable))),
        (reply(302, "").with("location", "/elsewhere"), Err((Terminal, Code::Invalid))),
        (reply(400, ""), Err((Terminal, Code::Invalid))),
        (reply(404, ""), Err((Terminal, Code::ScimNotConfigured))),
        (reply(408, ""), Err((Transient, Code::Timeout))),
        (reply(429, ""), Err((Transient, Code::Throttled))),
        (reply(500, ""), Err((Transient, Code::Unavailable))),
        (reply(503, ""), Err((Transient, Code::Unavailable))),
        (Answer::Drop, Err((Transient, Code::Unavailable))),
        (Answer::Hang, Err((Transient, Code::Timeout))),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Scim, answer.clone().with("retry-after", "7"));
        let verdict = client().read(&at(&fake), &token()).await;
        match (verdict, expected) {
            (ProbeAnswer::Inconclusive(fault), Err(expected)) => {
                assert_eq!((fault.class, fault.code), expected, "{answer:?}");
                let pause = matches!(answer, Answer::Reply(..)).then_some(Duration::from_secs(7));
                assert_eq!(fault.retry_after, pause);
                assert!(!format!("{fault} {fault:?}").contains("0a0a"));
            }
            (verdict, expected) => assert_eq!(Ok(verdict), expected, "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_good_answer_is_good_however_its_body_ends() {
    let fake = Fake::start().await;
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{".to_owned();
    fake.always(Kind::Scim, Answer::Raw(cut));
    assert_eq!(client().read(&at(&fake), &token()).await, ProbeAnswer::Accepted);
}

#[tokio::test]
async fn without_credentials_only_a_refusal_shows_an_endpoint() {
    for (status, expected) in [
        (401, Ok(())),
        (403, Ok(())),
        (200, Err("answers without credentials, so a token cannot be proven there")),
        (404, Err("no SCIM endpoint")),
        (429, Err("answered 429")),
        (500, Err("answered 500")),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Scim, reply(status, USERS));
        let outcome = client().anonymous(&at(&fake)).await;
        match (outcome, expected) {
            (Err(fault), Err(words)) => {
                assert!(fault.to_string().contains(words), "{fault}");
            }
            (outcome, expected) => assert_eq!(outcome.is_ok(), expected.is_ok(), "{status}"),
        }
        assert!(!fake.seen(Kind::Scim)[0].headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn a_token_is_never_sent_in_clear_to_another_machine() {
    let elsewhere = Url::parse("http://scim.example.com/scim/v2").unwrap();
    let verdict = client().read(&elsewhere, &token()).await;
    let ProbeAnswer::Inconclusive(fault) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid));
    assert!(fault.detail.contains("unencrypted"), "{fault}");
}

#[test]
fn a_probe_may_arrive_later_than_it_is_waited_for() {
    assert!(client().longest() > Duration::from_secs(1));
}
