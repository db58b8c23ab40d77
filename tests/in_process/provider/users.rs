//! The operations on throw-away users: what is sent, and what the answers are taken for.

use std::time::Duration;

use reqwest::Url;
use scimitar::{
    probe::{ScimClient, ScimProbe, SeenUser, SeenUsers, UserAct, UserAnswer},
    rotation::probe_user::ProbeUserName,
    token::{ScimUserId, TokenValue},
};
use serde_json::{Value, json};

use super::{
    fake::{Answer, Fake, Kind, reply},
    http, value,
};

fn client() -> ScimClient {
    ScimClient::new(http(), Duration::from_secs(1))
}

fn at(fake: &Fake) -> Url {
    Url::parse(&format!("{}/scim/v2/connections/con_1?aadOptscim062020", fake.url)).unwrap()
}

fn token() -> TokenValue {
    TokenValue::try_new(value()).unwrap()
}

fn id() -> ScimUserId {
    ScimUserId::try_new("okta|acme|../a/b").unwrap()
}

fn name() -> ProbeUserName {
    ProbeUserName::drawn(0xab)
}

fn ours() -> String {
    json!({ "id": id().as_str(), "userName": name().as_str(), "active": true }).to_string()
}

#[tokio::test]
async fn each_operation_is_one_request_with_the_token() {
    const BASE: &str = "/scim/v2/connections/con_1/Users";
    let one = format!("{BASE}/okta%7Cacme%7C..%2Fa%2Fb");
    let search = format!(
        "{BASE}?filter=userName+eq+%22scimitar-probe-00000000000000ab%40scimitar.invalid%22&count=100"
    );
    for (act, method, target) in [
        (UserAct::Create(name()), "POST", BASE),
        (UserAct::Read(id()), "GET", &one),
        (UserAct::Search(name()), "GET", &search),
        (UserAct::Replace(id(), name()), "PUT", &one),
        (UserAct::Patch(id()), "PATCH", &one),
        (UserAct::Deactivate(id()), "PATCH", &one),
        (UserAct::Delete(id()), "DELETE", &one),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Scim, reply(200, ours()));
        let answer = client().user(&at(&fake), &token(), &act).await;
        let seen = fake.seen(Kind::Scim);
        assert_eq!((seen.len(), seen[0].bearer()), (1, value().as_str()), "{act:?}");
        assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), (method, target));
        let user = SeenUser { id: id(), name: name().as_str().to_owned(), active: Some(true) };
        let users = SeenUsers { users: vec![user], ..SeenUsers::default() };
        assert_eq!(answer, UserAnswer::Done(users), "{act:?}");
        if matches!(act, UserAct::Read(_) | UserAct::Search(_) | UserAct::Delete(_)) {
            assert_eq!(seen[0].body, "", "{act:?}");
            continue;
        }
        assert_eq!(seen[0].headers["content-type"], "application/scim+json");
        let body: Value = serde_json::from_str(&seen[0].body).unwrap();
        match act {
            UserAct::Create(_) | UserAct::Replace(..) => {
                assert_eq!(body["userName"], name().as_str());
                assert_eq!(body["active"], true);
            }
            UserAct::Deactivate(_) => assert_eq!(
                body["Operations"],
                json!([{ "op": "replace", "path": "active", "value": false }])
            ),
            UserAct::Patch(_) | UserAct::Read(_) | UserAct::Search(_) | UserAct::Delete(_) => {
                assert_eq!(body["Operations"][0]["path"], "displayName");
            }
        }
    }
}

#[tokio::test]
async fn an_id_that_holds_the_token_is_none() {
    let fake = Fake::start().await;
    let id = format!("okta|{}", value());
    let echo = json!({ "id": id, "userName": name().as_str() }).to_string();
    fake.always(Kind::Scim, reply(201, echo));
    let answer = client().user(&at(&fake), &token(), &UserAct::Create(name())).await;
    let none = SeenUsers { unreadable: true, ..SeenUsers::default() };
    assert_eq!(answer, UserAnswer::Done(none), "nobody is said to be absent");
}

#[tokio::test]
async fn an_answer_is_taken_for_what_it_says() {
    let detail = format!("no such {} as ada", value());
    let body = json!({ "schemas": [], "status": "400", "detail": detail }).to_string();
    for (answer, expected) in [
        (reply(204, ""), "Done"),
        (reply(200, "not json"), "Done"),
        (reply(400, body.clone()), "Refused"),
        (reply(409, body.clone()), "Refused"),
        (reply(501, ""), "Refused"),
        (reply(401, body.clone()), "Unauthorized"),
        (reply(403, body), "Forbidden"),
        (reply(404, ""), "NotThere"),
        (reply(302, "").with("location", "/elsewhere"), "Inconclusive"),
        (reply(408, ""), "Inconclusive"),
        (reply(429, "").with("retry-after", "7"), "Inconclusive"),
        (reply(500, ""), "Inconclusive"),
        (reply(503, ""), "Inconclusive"),
        (Answer::Drop, "Inconclusive"),
        (Answer::Hang, "Inconclusive"),
    ] {
        let fake = Fake::start().await;
        fake.always(Kind::Scim, answer.clone());
        let taken = client().user(&at(&fake), &token(), &UserAct::Patch(id())).await;
        let words = format!("{taken:?}");
        assert!(words.starts_with(expected), "{answer:?}: {words}");
        assert!(!words.contains(&value()), "the token is never quoted: {words}");
        if let UserAnswer::Refused { status: 400, words } = &taken {
            assert_eq!(words, "it answered 400: no such [left out] as ada");
        }
        if let (UserAnswer::Inconclusive(fault), Answer::Reply(429, ..)) = (&taken, &answer) {
            assert_eq!(fault.retry_after, Some(Duration::from_secs(7)));
        }
    }
}
