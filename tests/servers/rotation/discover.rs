//! `[[discover]]` with the real program: found at a start, at a signal, by a one-shot; nothing is lost
//! while the tenant is away.

use std::fs;

use reqwest::Method;
use scimitar::sandbox::{Act, Rule};
use serde_json::{Value, json};

use super::world::{OKTA, World, until};

const LIST: &str = "/api/v2/connections-scim-configurations";

const RULE: &str = "[[discover]]\nprovider = \"acme\"\nname = \"^(extra|globex)-\"\n\
    scopes = [\"get:users\"]\ntoken_lifetime = \"30d\"\nrotate_before = \"10d\"\noverlap = \"1m\"\n\
    deliver_to = [{ sink = \"disk\", file = \"{{ connection.name }}.token\" }]\n";

/// A tenant with so many connections more than its first three, of which one is written down.
fn world(more: usize) -> World {
    let mut world = World::limited(None, more);
    world.config.more = RULE.to_owned();
    world.configure();
    world
}

fn names(document: &Value) -> Vec<&str> {
    let rows = document["results"].as_array().unwrap();
    rows.iter().map(|row| row["connection"].as_str().unwrap()).collect()
}

fn has_token(world: &World, name: &str) -> bool {
    world.path(&format!("tokens/{name}.token")).exists()
}

fn remove(world: &World, id: &str) {
    let (status, said) = world.api(Method::DELETE, &format!("connections/{id}"), None);
    assert_eq!(status, 202, "{said}");
}

/// Makes a connection with SCIM, and gives its id.
fn create(world: &World, name: &str) -> String {
    let body = json!({ "name": name, "strategy": "okta" });
    let (status, made) = world.api(Method::POST, "connections", Some(body));
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("connections/{id}/scim-configuration");
    assert_eq!(world.api(Method::POST, &path, None).0, 201);
    id
}

#[test]
fn a_one_shot_rotates_what_it_discovers() {
    let world = world(1);
    let planned = world.run(&["plan"]).exits(0).json();
    assert_eq!(names(&planned), ["initech-okta", "extra-1", "globex-waad"]);
    // Nothing was written: neither a token, nor what was listed.
    let text = world.call(&["status"]).run().exits(0).stdout;
    assert!(text.contains("acme: nothing discovered yet"), "{text}");
    let warned = world.call(&["permissions"]).run().exits(0).stderr;
    assert!(warned.contains("no connections of acme are discovered yet"), "{warned}");
    let done = world.run(&["--once"]).exits(0).json();
    assert_eq!(names(&done), ["initech-okta", "extra-1", "globex-waad"]);
    assert!(has_token(&world, "extra-1") && has_token(&world, "globex-waad"));
    let text = world.call(&["status"]).run().exits(0).stdout;
    assert!(text.contains("acme: 2 connections discovered, last listed "), "{text}");
    assert!(!world.call(&["permissions"]).run().exits(0).stderr.contains("discovered yet"));
    let metrics = world.textfile();
    assert!(metrics.contains("scimitar_discovered_connections{provider=\"acme\"} 2"), "{metrics}");
    // Both are known by now: what is asked of one alone costs no list.
    world.faults.forget_requests();
    world.run(&["--rotate-now", "globex-waad"]).exits(0);
    assert_eq!(world.asked("GET", LIST), 0);
    let rights = world.call(&["permissions"]).run().exits(0).stdout;
    assert!(rights.contains("read:scim_config"), "{rights}");
}

/// What `discover` says of the connection of that name.
fn discovered(document: &Value, name: &str) -> Value {
    let rows = document["discovered"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("{name}: {document}")).clone()
}

#[test]
fn a_list_that_fails_takes_no_rotation_away() {
    let world = world(1);
    world.run(&["--once"]).exits(0);
    world.fault(Rule::new("GET", LIST, Act::Status(500)));
    let ended = world.run(&["--rotate-now"]).exits(1);
    let document = ended.json();
    assert_eq!(names(&document).len(), 3);
    assert!(
        document["results"].as_array().unwrap().iter().all(|row| row["outcome"] == "rotated"),
        "{document}"
    );
    let why = document["error"]["message"].as_str().unwrap();
    assert!(why.starts_with("the connections of acme could not be discovered: "), "{why}");
    assert!(why.contains("connections listed at 20"), "{why}");
}

#[test]
fn a_list_that_loses_many_waits_for_an_operator() {
    let world = world(20);
    world.run(&["--once"]).exits(0);
    for nth in 1..=5 {
        remove(&world, &format!("con_{nth:016}"));
    }
    let ended = world.run(&["--once"]);
    let said = "5 of the 21 connections discovered at acme are missing from its list, or no [[discover]] \
                matches them any more, since ";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(ended.stderr.contains("scimitar discover acme --accept"), "{}", ended.stderr);
    assert_eq!(names(&ended.json()).len(), 22);
    let text = world.call(&["status"]).run().exits(0).stdout;
    assert!(text.contains(said), "{text}");
    assert!(world.textfile().contains("scimitar_discovery_held{provider=\"acme\"} 1"));
    // Looking changes nothing.
    create(&world, "extra-21");
    let listed = world.call(&["discover"]).run().exits(0).stdout;
    let line = |name: &str| {
        let of_it = |line: &&str| line.contains(&format!("  {name}  "));
        listed.lines().find(of_it).unwrap_or_else(|| panic!("{name}: {listed}"))
    };
    assert!(line("extra-1").ends_with("rotated as extra-1; missing from the list"), "{listed}");
    assert!(line("extra-6").ends_with("rotated as extra-6"), "{listed}");
    assert!(
        line("extra-21").ends_with("new; not added until an operator accepts the list"),
        "{listed}"
    );
    assert_eq!(listed.matches("; missing from the list").count(), 5, "{listed}");
    let document = world.run(&["discover"]).exits(0).json();
    let state = |name: &str| {
        let row = discovered(&document, name);
        (row["state"].as_str().unwrap().to_owned(), row["connection"].as_str().map(str::to_owned))
    };
    assert_eq!(state("extra-1"), ("missing".to_owned(), Some("extra-1".to_owned())));
    assert_eq!(state("extra-6"), ("known".to_owned(), Some("extra-6".to_owned())));
    assert_eq!(state("extra-21"), ("held".to_owned(), None));
    assert!(world.call(&["status"]).run().exits(0).stdout.contains(said));
    let listed = world.call(&["discover", "acme", "--accept"]).run().exits(0).stdout;
    assert!(listed.contains("con_0000000000000006  extra-6"), "{listed}");
    assert!(!listed.contains("con_0000000000000005"), "{listed}");
    let after = world.run(&["--once"]).exits(0);
    assert_eq!(names(&after.json()).len(), 18);
    // The tokens of those that went stay where they are.
    assert!(has_token(&world, "extra-1"));
}

#[test]
fn what_collides_is_refused_and_the_others_go_on() {
    let mut world = world(1);
    world.config.more = RULE
        .replace("{{ connection.name }}", "{{ connection.strategy }}")
        .replace("^(extra|globex)-", ".*");
    world.configure();
    // extra-1 is an okta connection, and so is the one that is written down elsewhere.
    let document = world.run(&["--once"]).exits(0).json();
    assert_eq!(names(&document).len(), 4, "{document}");
    create(&world, "another");
    let ended = world.run(&["--once"]).exits(0);
    assert!(ended.stderr.contains("the discovered connection another ("), "{}", ended.stderr);
    assert!(ended.stderr.contains("two deliveries go to one place"), "{}", ended.stderr);
    assert_eq!(names(&ended.json()).len(), 4);
    let document = world.run(&["discover"]).exits(0).json();
    let row = discovered(&document, "another");
    assert_eq!((&row["connection"], &row["provider"]), (&Value::Null, &json!("acme")), "{row}");
    assert_eq!((&row["strategy"], &row["shown_as"]), (&json!("okta"), &Value::Null), "{row}");
    assert!(row["refused"].as_str().unwrap().contains("two deliveries go to one place"), "{row}");
    create(&world, "extra-new");
    assert_eq!(discovered(&world.run(&["discover"]).exits(0).json(), "extra-new")["state"], "new");
    assert!(
        world.textfile().contains("scimitar_discovery_refused_connections{provider=\"acme\"} 1")
    );
}

#[test]
fn the_daemon_takes_up_what_is_new_and_lets_go_what_is_gone() {
    let world = world(0);
    let daemon = world.start(&["run"]);
    until("the first is delivered", || has_token(&world, "globex-waad"));
    let id = create(&world, "extra-1");
    daemon.signal("HUP");
    until("the new one is delivered", || has_token(&world, "extra-1"));
    remove(&world, &id);
    let token = fs::read_to_string(world.path("tokens/extra-1.token")).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("connections discovered: 0 added, 1 removed, 0 changed");
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert_eq!(fs::read_to_string(world.path("tokens/extra-1.token")).unwrap(), token);
}

#[test]
fn a_daemon_that_starts_while_the_tenant_is_away_knows_them() {
    let world = world(1);
    world.run(&["--once"]).exits(0);
    for id in [OKTA, "con_waad000000000001", "con_0000000000000001"] {
        assert_eq!(world.tokens_of(id).len(), 1);
    }
    world.fault(Rule::new("", "", Act::Status(503)));
    let daemon = world.start(&["run"]);
    daemon.err.until_text("the connections of acme could not be discovered");
    let text = daemon.err.text();
    assert!(text.contains("\"connections\":3"), "{text}");
    world.faults.clear();
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded: 0 added, 0 removed, 0 changed");
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn a_watched_token_of_that_name_keeps_nothing_from_rotation() {
    let mut world = world(1);
    let watch = "[[watch]]\nname = \"globex-waad\"\nexpires_at = 2099-03-01\n";
    world.config.more = format!("{watch}{RULE}");
    world.configure();
    let words = "globex-waad has the same name as a discovered connection";
    let once = world.call(&["--once"]).run().exits(0);
    assert!(once.stderr.contains(words), "{}", once.stderr);
    assert!(has_token(&world, "globex-waad"));
    let online = world.call(&["check", "--online"]).run();
    assert!(online.stderr.contains(words), "{}", online.stderr);
    let status = world.call(&["status"]).run().exits(0).stdout;
    assert!(status.contains(words), "{status}");
    let document = world.run(&["status"]).exits(0).json();
    assert!(names(&document).contains(&"globex-waad"), "{document}");
    let watched = &document["watched"][0];
    assert_eq!((&watched["standing"], &watched["needs_person"]), (&"valid".into(), &true.into()));
    // Commands mean the connection.
    world.run(&["--rotate-now", "globex-waad"]).exits(0);
}
