//! The SCIM configuration of a connection, by the real program: made, compared, restored, explained.

use reqwest::Method;
use scimitar::sandbox::{Act, Rule};
use serde_json::{Value, json};

use super::world::{NAME, OKTA, WAAD, World};

const END: &str = "/scim-configuration";

const ASKED: &str = "[connections.scim_configuration]\nuser_id_attribute = \"externalId\"\n\
                     mapping = [{ auth0 = \"preferred_username\", scim = \"userName\" },\n\
                     { auth0 = \"blocked\", scim = \"active\" }]\n";

fn looked_after(on_drift: &str, table: &str) -> World {
    let mut world = World::new();
    world.config.set("on_drift", &format!("\"{on_drift}\""));
    world.config.more = format!("{table}[log]\naudit = \"audit.jsonl\"\n");
    world.configure();
    world
}

fn config(world: &World) -> (u16, Value) {
    world.api(Method::GET, &format!("connections/{OKTA}{END}"), None)
}

/// Somebody deletes it in the dashboard, and its tokens with it.
fn lose(world: &World) {
    let (status, _) = world.api(Method::DELETE, &format!("connections/{OKTA}{END}"), None);
    assert_eq!(status, 204);
}

/// Somebody changes it there.
fn change(world: &World) {
    let body = json!({
        "user_id_attribute": "externalId",
        "mapping": [{ "auth0": "email", "scim": "userName" }, { "auth0": "blocked", "scim": "active" }],
    });
    let (status, answer) =
        world.api(Method::PATCH, &format!("connections/{OKTA}{END}"), Some(body));
    assert_eq!(status, 200, "{answer}");
}

fn pairs(config: &Value) -> Vec<(&str, &str)> {
    let mapping = config["mapping"].as_array().unwrap();
    mapping
        .iter()
        .map(|pair| (pair["scim"].as_str().unwrap(), pair["auth0"].as_str().unwrap()))
        .collect()
}

/// The lines of the audit log about it: event, outcome and words.
fn audited(world: &World) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    lines
        .map(|line| (of(&line, "event"), of(&line, "outcome"), of(&line, "why")))
        .filter(|(event, _, _)| event.starts_with("scim_config_"))
        .collect()
}

const DIFF: &str = "- userName → email, + userName → preferred_username";

#[test]
fn a_missing_one_is_planned_made_and_then_rotated() {
    let world = looked_after("report", ASKED);
    lose(&world);
    let plan = world.call(&["plan"]).run().exits(0).stdout;
    let makes =
        format!("create the SCIM configuration of {OKTA} with the 2 attributes of the policy");
    assert!(plan.contains(&makes) && plan.contains("create a token for"), "{plan}");
    assert_eq!(config(&world).0, 404, "a plan makes nothing");

    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let (_, made) = config(&world);
    assert_eq!(pairs(&made), [("active", "blocked"), ("userName", "preferred_username")]);
    world.assert_sound("made");
    let audited = audited(&world);
    let steps: Vec<(&str, &str)> =
        audited.iter().map(|(event, outcome, _)| (event.as_str(), outcome.as_str())).collect();
    assert_eq!(
        steps,
        [
            ("scim_config_seen", "noted"),
            ("scim_config_announced", "announced"),
            ("scim_config_changed", "done")
        ]
    );
    assert!(
        world.textfile().contains(
            "scimitar_scim_config_drift{connection=\"initech-okta\",provider=\"acme\"} 0"
        )
    );
}

#[test]
fn the_default_mapping_is_ensured() {
    let world = looked_after("restore", "[connections.scim_configuration]\nensure = true\n");
    lose(&world);
    world.run(&["--once"]).exits(0);
    let (_, made) = config(&world);
    assert!(pairs(&made).contains(&("active", "blocked")) && pairs(&made).len() > 20, "{made}");
    change(&world);
    world.run(&["--once"]).exits(0);
    let (_, restored) = config(&world);
    let set = |config| pairs(config).into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(set(&made), set(&restored));
    assert_eq!(restored["user_id_attribute"], "externalId", "it is left as it is");
}

#[test]
fn drift_is_reported_wherever_a_connection_is_shown() {
    let world = looked_after("report", ASKED);
    world.run(&["--once"]).exits(0);
    change(&world);
    world.run(&["--once"]).exits(0);
    let row = world.status();
    let said =
        format!("scim_config_drift: the SCIM configuration differs from the policy: {DIFF} since ");
    let warns = |row: &Value| {
        let warnings = row["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| warning.as_str().unwrap().starts_with(&said))
    };
    assert!(warns(&row), "{row}");
    for look in [&["explain", NAME] as &[&str], &["plan"]] {
        let text = world.call(look).run().exits(0).stdout;
        assert!(text.contains(DIFF), "{look:?}: {text}");
    }
    assert!(
        world.textfile().contains(
            "scimitar_scim_config_drift{connection=\"initech-okta\",provider=\"acme\"} 1"
        )
    );
    let (_, there) = config(&world);
    assert!(pairs(&there).contains(&("userName", "email")), "nothing was changed");
    assert_eq!(world.asked("PATCH", END), 0);
}

#[test]
fn drift_is_planned_announced_and_restored() {
    let world = looked_after("restore", ASKED);
    world.run(&["--once"]).exits(0);
    change(&world);
    world.faults.forget_requests();
    let plan = world.call(&["plan"]).run().exits(0).stdout;
    assert!(plan.contains(&format!("replace the SCIM configuration of {OKTA}: {DIFF}")), "{plan}");
    assert_eq!(world.asked("PATCH", END), 0);
    world.run(&["--once"]).exits(0);
    let (_, there) = config(&world);
    assert!(pairs(&there).contains(&("userName", "preferred_username")), "{there}");
    let announced =
        audited(&world).into_iter().filter(|(event, _, _)| event == "scim_config_announced");
    let words: Vec<String> = announced.map(|(_, _, why)| why).collect();
    assert!(words.last().unwrap().contains(DIFF), "{words:?}");
    world.assert_sound("restored");
}

#[test]
fn watching_reports_and_writes_nothing() {
    let mut world = looked_after("restore", ASKED);
    world.run(&["--once"]).exits(0);
    world.config.set("mode", "\"observe\"");
    world.configure();
    change(&world);
    world.faults.forget_requests();
    world.run(&["--once"]).exits(0);
    let writes = world.faults.requests().into_iter();
    let writes: Vec<_> =
        writes.filter(|seen| seen.method != "GET" && seen.path != "/oauth/token").collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert!(world.status().to_string().contains(DIFF));
}

#[test]
fn a_comparison_that_fails_fails_neither_rotation_nor_plan() {
    for act in [Act::Status(500), Act::Status(403), Act::DropBefore, Act::Truncate] {
        let world = looked_after("restore", ASKED);
        world.fault(Rule::new("GET", "/api/v2/connections/", act.clone()).ending(END));
        let row = world.run(&["--once"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{act:?}: {row}");
        assert!(row.to_string().contains("the SCIM configuration could not be compared"), "{row}");
        world.call(&["plan"]).run().exits(0);
        world.assert_sound(&format!("{act:?}"));
    }
}

#[test]
fn one_that_is_not_there_is_named_as_that() {
    let world = World::new();
    lose(&world);
    let row = world.run(&["--once", "--timeout", "2s"]).exits(1).row();
    assert_eq!(row["reason"], "scim_not_configured", "{row}");
    let said = row.to_string();
    assert!(said.contains("SCIM is not set up for this connection"), "{said}");
    assert!(said.contains("scim_configuration"), "the way out: {said}");
    assert_eq!(world.status()["reason"], "scim_not_configured");
}

#[test]
fn one_that_may_not_be_made_is_the_reason_with_its_way_out() {
    let world = looked_after("report", ASKED);
    lose(&world);
    world.fault(Rule::new("POST", &format!("/api/v2/connections/{OKTA}{END}"), Act::Status(403)));
    let row = world.run(&["--once", "--timeout", "2s"]).exits(1).row();
    assert_eq!(row["reason"], "scim_not_configured", "{row}");
    assert!(row.to_string().contains("grant create:scim_config"), "{row}");
}

#[test]
fn what_has_to_be_granted_follows_the_policy() {
    let scopes = |on_drift: &str, mode: &str, table: &str| {
        let mut world = looked_after(on_drift, table);
        world.config.set("mode", &format!("\"{mode}\""));
        world.configure();
        world.call(&["permissions"]).run().exits(0).stdout
    };
    let none = scopes("restore", "rotate", "");
    assert!(!none.contains("scim_config"), "{none}");
    let watched = scopes("restore", "observe", ASKED);
    assert!(watched.contains("read:scim_token read:scim_config\n"), "{watched}");
    let made = scopes("report", "rotate", ASKED);
    assert!(made.contains("create:scim_config") && !made.contains("update:scim_config"), "{made}");
    let restored = scopes("restore", "rotate", ASKED);
    assert!(restored.contains("update:scim_config"), "{restored}");
}

/// What is made for one connection is made for no other of the same provider.
#[test]
fn a_missing_one_is_an_obstacle_where_nobody_makes_it() {
    let mut world = looked_after("report", ASKED);
    let other = format!(
        "[[connections]]\nname = \"other\"\nprovider = \"acme\"\nconnection_id = \"{WAAD}\"\n\
         token_lifetime = \"30d\"\nrotate_before = \"10d\"\n\
         deliver_to = [{{ sink = \"disk\", file = \"other.token\" }}]\n"
    );
    world.config.more.push_str(&other);
    world.configure();
    let (status, _) = world.api(Method::DELETE, &format!("connections/{WAAD}{END}"), None);
    assert_eq!(status, 204);
    let said = world.call(&["check", "--online"]).run().exits(1).stdout;
    let of_provider = format!("other: missing:\n    list the tokens of {WAAD}: ");
    assert!(said.contains(&of_provider), "{said}");
    assert!(
        said.contains(&format!("{NAME}: every permission that a rotation needs is granted")),
        "{said}"
    );
}
