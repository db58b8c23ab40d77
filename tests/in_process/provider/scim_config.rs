//! SCIM configurations over HTTP: against the sandbox, and against answers that it never gives.

use std::sync::Arc;

use scimitar::{
    error::{Class, Code, Fault},
    provider::{Provider, auth0::Auth0},
    rotation::scim_config::{ConfigChange, Diff, Mapped, ScimConfig},
    sandbox::{Act, Options, Rule, Running, Sandbox},
    token::ConnectionId,
};
use serde_json::{Value, json};

use super::{
    SystemClock, call, connection,
    fake::{Answer, Fake, Kind, reply},
    provider, settings, with_clock,
};

const OKTA: &str = "con_okta000000000001";

async fn tenant() -> (Running, Arc<Auth0>) {
    let running = Sandbox::start(Options::default()).await.unwrap();
    let auth0 = with_clock(settings(running.url().as_str()), Arc::new(SystemClock));
    (running, auth0)
}

fn config(pairs: &[(&str, &str)]) -> ScimConfig {
    let mapped =
        |(scim, user): &(&str, &str)| Mapped { scim: (*scim).to_owned(), user: (*user).to_owned() };
    ScimConfig {
        user_id_attribute: "externalId".to_owned(),
        mapping: pairs.iter().map(mapped).collect(),
    }
}

fn wanted() -> ScimConfig {
    config(&[("userName", "preferred_username"), ("active", "blocked")])
}

/// Sends what a person would in the dashboard.
async fn by_hand(
    running: &Running,
    method: reqwest::Method,
    path: &str,
    body: Option<Value>,
) -> Value {
    let url = running.url().join(&format!("api/v2/connections{path}")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = client
        .post(running.url().join("oauth/token").unwrap())
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "a"),
            ("client_secret", "b"),
            ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ])
        .send()
        .await
        .unwrap();
    let login: Value = login.json().await.unwrap();
    let mut request =
        client.request(method, url).bearer_auth(login["access_token"].as_str().unwrap());
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.unwrap().json().await.unwrap_or_default()
}

#[tokio::test]
async fn one_is_read_made_and_replaced() {
    let (running, auth0) = tenant().await;
    let id = ConnectionId::try_new(OKTA).unwrap();
    let found = auth0.scim_config(call(&id), true).await.unwrap().unwrap();
    assert_eq!(found.default.as_ref(), Some(&found.config.mapping), "as it was made");
    assert!(found.config.maps_active());

    by_hand(&running, reqwest::Method::DELETE, &format!("/{OKTA}/scim-configuration"), None).await;
    assert_eq!(auth0.scim_config(call(&id), false).await.unwrap(), None);

    let made = auth0.configure(call(&id), &ConfigChange::Create(Some(wanted()))).await.unwrap();
    assert_eq!(made, wanted());
    let by = config(&[("userName", "email")]);
    let diff = Diff::between(&made, &by).unwrap();
    let replace = ConfigChange::Replace { by: by.clone(), diff };
    assert_eq!(auth0.configure(call(&id), &replace).await.unwrap(), by);
    let found = auth0.scim_config(call(&id), false).await.unwrap().unwrap();
    assert_eq!((found.config, found.default), (by, None));

    // Somebody was there first.
    let fault = auth0.configure(call(&id), &ConfigChange::Create(None)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Changed), "{fault}");
}

#[tokio::test]
async fn the_default_is_made_where_no_mapping_is_asked_for() {
    let (running, auth0) = tenant().await;
    let id = ConnectionId::try_new(OKTA).unwrap();
    by_hand(&running, reqwest::Method::DELETE, &format!("/{OKTA}/scim-configuration"), None).await;
    let made = auth0.configure(call(&id), &ConfigChange::Create(None)).await.unwrap();
    let found = auth0.scim_config(call(&id), true).await.unwrap().unwrap();
    assert_eq!((&found.config, found.default.as_ref()), (&made, Some(&made.mapping)));
}

#[tokio::test]
async fn the_common_endpoint_and_other_types_are_refused() {
    let (running, auth0) = tenant().await;
    let refused = async |strategy: &str, options: Value| -> Fault {
        let body = json!({ "name": strategy, "strategy": strategy, "options": options });
        let made = by_hand(&running, reqwest::Method::POST, "", Some(body)).await;
        let id = ConnectionId::try_new(made["id"].as_str().unwrap()).unwrap();
        auth0.configure(call(&id), &ConfigChange::Create(None)).await.unwrap_err()
    };
    let fault = refused("waad", json!({ "waad_common_endpoint": true })).await;
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
    assert!(fault.to_string().contains("switch off \"Use common endpoint\""), "{fault}");
    let fault = refused("auth0", json!({})).await;
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::ScimUnsupported), "{fault}");
    assert!(fault.to_string().contains("samlp, oidc, okta and waad"), "{fault}");
}

#[tokio::test]
async fn each_missing_right_is_named() {
    let (running, auth0) = tenant().await;
    let id = ConnectionId::try_new(OKTA).unwrap();
    let rights = vec!["read:scim_token".to_owned()];
    running.faults().quirks(|quirks| quirks.grant = Some(rights));
    let replace = ConfigChange::Replace { by: wanted(), diff: Diff::default() };
    let said = [
        auth0.scim_config(call(&id), false).await.map(drop).unwrap_err(),
        auth0.configure(call(&id), &ConfigChange::Create(None)).await.map(drop).unwrap_err(),
        auth0.configure(call(&id), &replace).await.map(drop).unwrap_err(),
    ];
    for (fault, scope) in said.iter().zip(["read", "create", "update"]) {
        assert_eq!(fault.code, Code::Forbidden, "{fault}");
        assert!(fault.to_string().contains(&format!("grant {scope}:scim_config")), "{fault}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_nothing_is_sent_twice() {
    let (running, auth0) = tenant().await;
    let id = ConnectionId::try_new(OKTA).unwrap();
    let path = format!("/api/v2/connections/{OKTA}/scim-configuration");
    running.faults().add(Rule::new("PATCH", &path, Act::Status(500))).unwrap();
    running.faults().add(Rule::new("POST", &path, Act::DropBefore)).unwrap();
    let replace = ConfigChange::Replace { by: wanted(), diff: Diff::default() };
    for change in [replace, ConfigChange::Create(None)] {
        let fault = auth0.configure(call(&id), &change).await.unwrap_err();
        assert_eq!(fault.class, Class::Ambiguous, "{fault}");
    }
    let sent = |method: &str| {
        running
            .faults()
            .requests()
            .iter()
            .filter(|seen| seen.method == method && seen.path == path)
            .count()
    };
    assert_eq!((sent("PATCH"), sent("POST")), (1, 1));
}

/// As recorded in 2025, with members that this version does not know.
const RECORDED: &str = r#"{"tenant_name":"t","connection_id":"con_mVCaBewj77K7HKZS","connection_name":"n","strategy":"okta","mapping":[{"scim":"scim_1","auth0":"attr_auth0_1"},{"scim":"scim_2","auth0":"attr_auth0_2"}],"updated_on":"2025-05-06T04:11:08.562Z","created_at":"2025-05-06T04:11:08.562Z","user_id_attribute":"test_attribute","later":{}}"#;

#[tokio::test]
async fn answers_are_read_as_they_were_recorded() {
    let asked = async |answer: Answer| {
        let fake = Fake::start().await;
        fake.always(Kind::List, answer);
        provider(&fake).scim_config(call(&connection()), false).await
    };
    let found = asked(reply(200, RECORDED)).await.unwrap().unwrap();
    assert_eq!(found.config.user_id_attribute, "test_attribute");
    let pairs: Vec<(&str, &str)> =
        found.config.mapping.iter().map(|one| (one.scim.as_str(), one.user.as_str())).collect();
    assert_eq!(pairs, [("scim_1", "attr_auth0_1"), ("scim_2", "attr_auth0_2")]);

    let nothing = r#"{"statusCode":404,"error":"Not Found","message":"Not Found"}"#;
    assert_eq!(asked(reply(404, nothing)).await.unwrap(), None);
    let gone = r#"{"statusCode":404,"error":"Not Found","message":"The connection does not exist","errorCode":"inexistent_connection"}"#;
    for (answer, class, code) in [
        (reply(404, gone), Class::Terminal, Code::NoConnection),
        (reply(404, "<html>"), Class::Terminal, Code::Unreadable),
        (reply(503, ""), Class::Transient, Code::Unavailable),
        // Half a configuration is none that anything is compared with.
        (reply(200, r#"{"user_id_attribute":"x"}"#), Class::Transient, Code::Unreadable),
        (reply(200, "[]"), Class::Transient, Code::Unreadable),
    ] {
        let shown = format!("{answer:?}");
        let fault = asked(answer).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{shown}: {fault}");
    }
}
