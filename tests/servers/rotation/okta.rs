//! The provisioning connection of an application in Okta as the place of a token, by the real program.

use chrono::TimeDelta;
use scimitar_test_support::{
    binary::Ended,
    okta::{self, API_TOKEN, BASE_URL, CUSTOM, ORG2ORG, Org, ZSCALER},
};
use serde_json::json;

use super::world::World;

fn beside_a_file(entry: &str) -> (World, Org) {
    let mut world = World::new();
    let org = world.block_on(okta::start());
    world.config.policy.remove("revoke_after_use");
    world.config.deliver_to.push(format!("{{ sink = \"okta\", {entry} }}"));
    world.config.more = format!(
        "[sinks.okta]\ntype = \"okta\"\norg_url = \"{}\"\n\
         auth = {{ method = \"api_token\", api_token = {{ env = \"OKTA_TOKEN\" }} }}\n",
        org.url
    );
    world.configure();
    (world, org)
}

fn call(world: &World, arguments: &[&str]) -> Ended {
    world.call(arguments).env("OKTA_TOKEN", API_TOKEN).run()
}

fn run(world: &World, arguments: &[&str], status: i32) -> serde_json::Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
    call(world, &all).exits(status).row()
}

fn held(org: &Org, app: &str) -> Option<String> {
    org.world().rules.apps[app].token.clone()
}

#[test]
fn a_rotation_ends_in_the_application() {
    let entry = format!("app_id = \"{ZSCALER}\", base_url = \"{BASE_URL}\"");
    let (world, org) = beside_a_file(&entry);
    let said = call(&world, &["check", "--online"]).exits(0).stdout;
    assert!(said.contains("every permission that was tried is granted"), "{said}");
    assert!(said.contains("okta.apps.manage) was not checked"), "{said}");
    assert_eq!(org.count("set"), 0, "nothing is written");
    run(&world, &["--rotate-now"], 0);
    assert!(held(&org, ZSCALER).as_deref() == Some(&*world.file()), "it has what the file has");
    assert_eq!(org.world().rules.apps[ZSCALER].base_url.as_deref(), Some(BASE_URL));
    assert_eq!(world.use_token(&world.file()), 200);

    // Okta does not say whether it uses the next one: the provider's last use is what counts.
    world.pass(TimeDelta::hours(1));
    run(&world, &["--rotate-now"], 0);
    assert!(held(&org, ZSCALER).as_deref() == Some(&*world.file()));
    world.pass(TimeDelta::minutes(10));
    // A list shows our own probe's mark, so that a use can be told from it.
    run(&world, &["--once"], 0);
    world.pass(TimeDelta::hours(3));
    world.faults.forget_requests();
    let waits = run(&world, &["--once"], 0);
    assert_eq!(
        (&waits["outcome"], &waits["reason"]),
        (&"waiting".into(), &"delivered_not_used".into()),
        "{waits}"
    );
    assert_eq!(world.deletes(), 0);
    assert_eq!(world.use_token(&held(&org, ZSCALER).unwrap()), 200);
    world.pass(TimeDelta::minutes(10));
    run(&world, &["--once"], 0);
    assert_eq!(world.deletes(), 1);
    world.assert_sound("after its use");
}

#[test]
fn an_application_that_takes_no_token_costs_none() {
    let (world, org) = beside_a_file(&format!("app_id = \"{CUSTOM}\""));
    let row = run(&world, &["--rotate-now"], 1);
    assert!(row.to_string().contains("use a sink of type = \\\"handoff\\\""), "{row}");
    assert_eq!((world.creates(), org.count("set")), (0, 0));
    let online = call(&world, &["check", "--online"]).exits(1);
    assert!(format!("{}{}", online.stdout, online.stderr).contains("handoff"), "{}", online.stdout);
}

/// The connection may have the token or not: both tokens stay, and it is given the same again.
#[test]
fn an_unknown_connection_keeps_both_tokens() {
    let (world, org) = beside_a_file(&format!("app_id = \"{ORG2ORG}\""));
    run(&world, &["--rotate-now"], 0);
    let before = held(&org, ORG2ORG).unwrap();
    world.pass(TimeDelta::hours(1));
    org.world().rules.says = Some(json!({ "status": "UNKNOWN", "authScheme": "UNKNOWN" }));
    let row = run(&world, &["--rotate-now", "--timeout", "30s"], 1);
    assert!(row.to_string().contains("does not confirm that the token is in use"), "{row}");
    world.pass(TimeDelta::hours(3));
    run(&world, &["--once", "--timeout", "30s"], 1);
    assert_eq!(world.use_token(&before), 200, "the previous token is kept");
    assert_eq!(world.listed().len(), 2);
    org.world().rules.says = None;
    world.pass(TimeDelta::hours(3));
    run(&world, &["--once", "--timeout", "30s"], 0);
    assert!(held(&org, ORG2ORG).as_deref() == Some(&*world.file()));
    let given = org.world().rules.given.clone();
    assert!(given.iter().skip(1).all(|token| *token == world.file()), "the same each time");
}

#[test]
fn the_least_right_in_okta_is_printed() {
    let (world, _org) = beside_a_file(&format!("app_id = \"{ORG2ORG}\""));
    let text = call(&world, &["permissions"]).exits(0).stdout;
    assert!(text.contains("okta.apps.manage") && text.contains(ORG2ORG), "{text}");
}
