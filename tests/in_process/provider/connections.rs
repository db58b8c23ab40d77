//! The connections of a tenant, by both ways of listing them, against the sandbox.

use std::sync::Arc;

use scimitar::{
    error::{Class, Code},
    provider::{Provider, auth0::Auth0, connections::Found},
    sandbox::{Act, Options, Rule, Running, Sandbox},
};

use super::{SystemClock, settings, with_clock};

const LIST: &str = "/api/v2/connections-scim-configurations";

async fn tenant(connections: usize) -> (Running, Arc<Auth0>) {
    let running = Sandbox::start(Options { connections, ..Options::default() }).await.unwrap();
    let auth0 = with_clock(settings(running.url().as_str()), Arc::new(SystemClock));
    (running, auth0)
}

fn asked(running: &Running, path: &str) -> usize {
    running.faults().requests().iter().filter(|seen| seen.path.starts_with(path)).count()
}

fn ids(found: &[Found]) -> Vec<&str> {
    found.iter().map(|one| one.id.as_str()).collect()
}

#[tokio::test]
async fn five_thousand_connections_take_a_call_for_each_hundred() {
    let (running, auth0) = tenant(4_997).await;
    let found = auth0.connections(&|_| true).await.unwrap();
    assert_eq!(found.len(), 5_000);
    assert_eq!(asked(&running, LIST), 50);
    // And a log-in.
    assert_eq!(running.faults().requests().len(), 51);
    let okta = found.iter().find(|one| one.id.as_str() == "con_okta000000000001").unwrap();
    assert_eq!(okta.strategy, "okta");
    assert!(!okta.name.is_empty());
}

#[tokio::test]
async fn a_page_that_fails_in_the_middle_is_no_list() {
    let (running, auth0) = tenant(247).await;
    for (act, class) in [
        (Act::Status(500), Class::Transient),
        (Act::Status(404), Class::Terminal),
        (Act::Truncate, Class::Transient),
        (Act::Status(403), Class::Terminal),
    ] {
        running.faults().add(Rule::new("GET", LIST, act.clone()).nth(2)).unwrap();
        let fault = auth0.connections(&|_| true).await.unwrap_err();
        assert_eq!(fault.class, class, "{act:?}: {fault}");
        running.faults().clear();
    }
    assert_eq!(auth0.connections(&|_| true).await.unwrap().len(), 250);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let (running, auth0) = tenant(0).await;
    running.faults().quirks(|quirks| quirks.grant = Some(vec!["read:scim_token".to_owned()]));
    let fault = auth0.connections(&|_| true).await.unwrap_err();
    assert_eq!(fault.code, Code::Forbidden);
    assert!(fault.to_string().contains("grant read:scim_config"), "{fault}");
}

#[tokio::test]
async fn a_tenant_without_the_list_is_asked_about_each_connection() {
    let (running, auth0) = tenant(147).await;
    running.faults().add(Rule::new("GET", LIST, Act::Status(404))).unwrap();
    // One of them has no SCIM.
    let none = Rule::new("GET", "/api/v2/connections/con_okta", Act::ScimNotConfigured);
    running.faults().add(none).unwrap();
    let wanted = |one: &Found| one.strategy != "samlp";
    let found = auth0.connections(&wanted).await.unwrap();
    assert!(!ids(&found).contains(&"con_okta000000000001"));
    assert!(found.iter().all(|one| one.strategy != "samlp"), "{found:?}");
    let requests = running.faults().requests();
    let pages = requests.iter().filter(|seen| seen.path == "/api/v2/connections").count();
    assert_eq!(pages, 2);
    // What is not wanted is not asked about.
    let each = requests.iter().filter(|seen| seen.path.ends_with("/scim-configuration")).count();
    assert_eq!(each, found.len() + 1);
    // Where one cannot be asked about, there is no list.
    running.faults().clear();
    running.faults().add(Rule::new("GET", LIST, Act::Status(404))).unwrap();
    running
        .faults()
        .add(Rule::new("GET", "/api/v2/connections/con_waad", Act::Status(500)))
        .unwrap();
    let fault = auth0.connections(&|_| true).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
}
