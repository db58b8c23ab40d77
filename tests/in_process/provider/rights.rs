//! Which rights a rotation needs, and whether they are granted.

use scimitar::{
    error::{Class, Code},
    provider::{Provider, kind::Needs},
    rotation::policy::Mode,
};

use super::{
    Jumping, call, connection,
    fake::{Fake, Kind, reply},
    mint, provider, settings, with_clock,
};

#[tokio::test]
async fn the_login_and_a_list_of_each_connection_prove_the_rights() {
    let fake = Fake::start().await;
    let missing = r#"{"access_token":"x","scope":"read:scim_token openid delete:scim_token"}"#;
    fake.always(Kind::Login, reply(200, missing));
    fake.script(Kind::List, vec![reply(200, "[]"), reply(404, r#"{"message":"Not Found"}"#)]);
    let auth0 = provider(&fake);
    let rights = auth0.prove(&[connection(), connection()], Needs::of(Mode::Rotate)).await.unwrap();
    let shown: Vec<_> =
        rights.iter().map(|right| (right.name.as_str(), right.missing.is_some())).collect();
    let list = "list the tokens of con_Hvg6w4PSvAVOoCJ2";
    assert_eq!(
        shown,
        [
            ("read:scim_token", false),
            ("create:scim_token", true),
            ("delete:scim_token", false),
            (list, false),
            (list, true),
        ]
    );
    assert!(rights[1].missing.as_ref().unwrap().contains("grant create:scim_token"));
    assert!(rights[4].missing.as_ref().unwrap().contains("SCIM is not set up"));
    // What was granted meanwhile is seen: each proof logs in afresh.
    auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    assert_eq!(fake.count(Kind::Login), 2);
    fake.always(Kind::List, reply(503, ""));
    let fault = auth0.prove(&[connection()], Needs::of(Mode::Rotate)).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient);
}

#[tokio::test]
async fn rights_named_by_neither_login_nor_token_are_unknown() {
    let fake = Fake::start().await;
    fake.always(Kind::Login, reply(200, r#"{"access_token":"opaque"}"#));
    let rights = provider(&fake).prove(&[connection()], Needs::of(Mode::Rotate)).await.unwrap();
    assert!(rights.iter().all(|right| right.missing.is_none()));
    let unknown = |right: &str| right.contains("unknown");
    let unknown: Vec<_> = rights.iter().map(|right| unknown(&right.name)).collect();
    assert_eq!(unknown, [false, true, true, false]);

    let key = jsonwebtoken::EncodingKey::from_secret(b"x");
    let claims = serde_json::json!({ "scope": "read:scim_token create:scim_token" });
    let jwt = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let body = format!(r#"{{"access_token":"{jwt}"}}"#);
    fake.always(Kind::Login, reply(200, body));
    let rights = provider(&fake).prove(&[], Needs::of(Mode::Rotate)).await.unwrap();
    let missing: Vec<_> = rights.iter().map(|right| right.missing.is_some()).collect();
    assert_eq!(missing, [false, false, true]);
}

#[tokio::test]
async fn without_a_right_that_a_rotation_needs_nothing_is_minted() {
    let fake = Fake::start().await;
    let granted = "read:scim_token create:scim_token";
    let login = |scope: &str| reply(200, format!(r#"{{"access_token":"x","scope":"{scope}"}}"#));
    fake.always(Kind::Login, login(granted));
    let clock = Jumping::new();
    let auth0 = with_clock(settings(&fake.url), clock.clone());
    for _ in 0..2 {
        let fault = auth0.create(call(&connection()), &mint()).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
        let words = fault.to_string();
        assert!(words.contains("lacks delete:scim_token"), "{words}");
        assert!(words.contains("grant delete:scim_token to the application"), "{words}");
        assert!(words.contains("nothing was sent"), "{words}");
    }
    assert_eq!((fake.count(Kind::Create), fake.count(Kind::Login)), (0, 1));
    // What is only looked at goes on.
    auth0.list(call(&connection())).await.unwrap();
    // A right that was granted meanwhile is seen without a restart.
    fake.always(Kind::Login, login(&format!("{granted} delete:scim_token")));
    clock.advance(6 * 60);
    auth0.create(call(&connection()), &mint()).await.unwrap();
    assert_eq!((fake.count(Kind::Create), fake.count(Kind::Login)), (1, 2));
}

#[tokio::test]
async fn nothing_is_assumed_where_the_login_names_no_rights() {
    let fake = Fake::start().await;
    fake.always(Kind::Login, reply(200, r#"{"access_token":"opaque"}"#));
    provider(&fake).create(call(&connection()), &mint()).await.unwrap();
    assert_eq!(fake.count(Kind::Create), 1);
}

#[tokio::test]
async fn while_only_watching_no_right_to_write_is_asked_for() {
    let fake = Fake::start().await;
    fake.always(Kind::Login, reply(200, r#"{"access_token":"x","scope":"openid"}"#));
    let needs = Needs { compares: true, ..Needs::of(Mode::Observe) };
    let rights = provider(&fake).prove(&[], needs).await.unwrap();
    let missing: Vec<_> =
        rights.iter().map(|right| (right.name.as_str(), right.missing.is_some())).collect();
    assert_eq!(missing, [("read:scim_token", true), ("read:scim_config", true)]);
}
