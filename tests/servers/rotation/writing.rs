//! `verify = "write"`, by the real program: a throw-away user is created, changed and deleted with the new
//! token before any sink gets that, nobody else's user is touched, and none is left behind.

use reqwest::Method;
use scimitar::sandbox::{Act, Rule};
use serde_json::{Value, json};

use super::world::{NAME, OKTA, World, files, until};

const USERS: &str = "/Users";

const SCIM: &str = "/scim/v2/";

/// What every throw-away user's name begins with.
const PROBE: &str = "scimitar-probe-";

fn writing() -> World {
    let mut world = World::new();
    world.config.set("verify", "\"write\"");
    world.config.more = "[log]\naudit = \"audit.jsonl\"\n".to_owned();
    world.configure();
    world
}

/// The same, with one rotation behind it and no request in the log.
pub(super) fn rotated() -> World {
    let world = writing();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    world
}

/// Somebody asks the SCIM endpoint by the back door, with the current token.
fn scim(world: &World, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("{}scim/v2/connections/{OKTA}{path}", world.back.url());
    let mut request = world.client.request(method, url).bearer_auth(world.file());
    if let Some(body) = body {
        request = request.json(&body);
    }
    world.block_on(async {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    })
}

pub(super) fn users(world: &World) -> Vec<Value> {
    let (status, list) = scim(world, Method::GET, USERS, None);
    assert_eq!(status, 200, "{list}");
    list["Resources"].as_array().unwrap().clone()
}

/// The names of the throw-away users that are there.
pub(super) fn probes(world: &World) -> Vec<String> {
    let names = users(world).into_iter().map(|user| user["userName"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with(PROBE)).collect()
}

/// What was asked about users with a body or by id, in short.
pub(super) fn asked(world: &World) -> Vec<String> {
    let seen = world.faults.requests().into_iter().filter(|seen| seen.path.starts_with(SCIM));
    seen.map(|seen| {
        let (_, rest) = seen.path.split_once(USERS).unwrap();
        let whose = if rest.is_empty() { "" } else { " one" };
        format!("{}{whose}", seen.method)
    })
    .collect()
}

pub(super) fn creates(world: &World) -> usize {
    world.asked("POST", USERS)
}

pub(super) fn warnings(row: &Value) -> Vec<String> {
    let warnings = row["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

pub(super) fn warns(row: &Value, words: &str) -> bool {
    warnings(row).iter().any(|warning| warning.contains(words))
}

/// The words of the history about throw-away users.
pub(super) fn audited(world: &World, wanted: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == wanted)
        .map(|line| line["why"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_operation_is_proven_before_a_sink_has_the_token() {
    let world = writing();
    let plan = world.call(&["plan"]).run().exits(0).stdout;
    let planned = "create, read, search, replace, patch, deactivate, delete a throw-away user";
    assert!(plan.contains(planned), "{plan}");
    let ended = world.call(&["--rotate-now", "-vvv"]).run().exits(0);
    assert_eq!(
        asked(&world),
        [
            "GET", // without credentials
            "GET", // the proof by reading
            "POST",
            "GET one",
            "GET", // the search
            "PUT one",
            "PATCH one",
            "PATCH one", // the deactivation …
            "GET one",   // … read back
            "GET one",   // it is still ours
            "DELETE one",
            "GET one", // it is gone
        ]
    );
    let by_id = world.faults.requests().into_iter().find(|seen| seen.method == "PUT").unwrap();
    assert!(by_id.path.contains("/Users/okta%7C"), "an id is one segment: {}", by_id.path);
    assert_eq!(probes(&world), [""; 0]);
    assert_eq!(users(&world).len(), 3);
    let row = world.assert_sound("proven by writing");
    assert_eq!(warnings(&row), [""; 0], "{row}");
    let proved = audited(&world, "proved_by_writing");
    let all = "was proven by writing: create, read, search, replace, patch, deactivate, delete";
    assert!(proved[0].ends_with(all), "{proved:?}");
    for metric in ["scimitar_scim_deactivation_lost", "scimitar_probe_user_left"] {
        let series = format!("{metric}{{connection=\"{NAME}\",provider=\"acme\"}} 0");
        assert!(world.textfile().contains(&series), "{metric}");
    }
    // The new token's value went to the endpoint in a header alone.
    let value = world.file();
    let (_, secret) = value.split_once('.').unwrap();
    assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
    for (path, bytes) in files(world.folder.path()) {
        let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds || path.ends_with("tokens/initech.token"), "{}", path.display());
    }
}

#[test]
fn scopes_that_could_leave_a_user_behind_are_refused() {
    let all = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];
    for lacking in ["get:users", "post:users", "delete:users"] {
        let mut world = writing();
        let rest: Vec<&str> = all.into_iter().filter(|scope| *scope != lacking).collect();
        world.config.set("scopes", &format!("{rest:?}"));
        world.configure();
        let said = world.call(&["check"]).run().exits(2).stderr;
        assert!(said.contains(&format!("it lacks \"{lacking}\"")), "{said}");
        assert!(said.contains("or write verify = \"read\""), "the way out: {said}");
        world.run(&["--once"]).exits(2);
        assert_eq!(world.faults.requests().len(), 0, "nothing was done");
    }
}

#[test]
fn what_the_scopes_do_not_allow_is_left_out() {
    for (lacking, ops, left_out) in [
        ("put:users", "create, read, search, patch, deactivate, delete", "replace (put:users)"),
        (
            "patch:users",
            "create, read, search, replace, delete",
            "patch (patch:users), deactivate (patch:users)",
        ),
    ] {
        let mut world = writing();
        let all = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];
        let rest: Vec<&str> = all.into_iter().filter(|scope| *scope != lacking).collect();
        world.config.set("scopes", &format!("{rest:?}"));
        world.configure();
        world.run(&["--rotate-now"]).exits(0);
        let method = if lacking == "put:users" { "PUT one" } else { "PATCH one" };
        assert!(!asked(&world).contains(&method.to_owned()), "{lacking}: {:?}", asked(&world));
        let proved = audited(&world, "proved_by_writing");
        let said = format!("{ops}; left out because a scope is missing: {left_out}");
        assert!(proved[0].ends_with(&said), "{proved:?}");
        assert_eq!(probes(&world), [""; 0], "{lacking}");
    }
}

#[test]
fn a_create_whose_answer_is_lost_leaves_no_user() {
    for act in [Act::DropAfter, Act::DropBefore, Act::ErrorAfter, Act::Truncate] {
        let world = rotated();
        let before = users(&world);
        world.fault(Rule::new("POST", SCIM, act.clone()).ending(USERS).nth(1));
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{act:?}: {row}");
        assert_eq!(users(&world), before, "{act:?}");
        world.assert_sound(&format!("{act:?}"));
    }
}

#[test]
fn a_user_that_a_crash_left_is_deleted_by_the_next_start() {
    // Killed when the user was created, changed, and about to be deleted.
    for (method, act) in [
        ("POST", Act::HoldAfter),
        ("PUT", Act::HoldBefore),
        ("DELETE", Act::HoldBefore),
        ("DELETE", Act::HoldAfter),
    ] {
        let world = rotated();
        let before = users(&world);
        world.fault(Rule::new(method, SCIM, act.clone()).nth(1));
        let running = world.start(&["--rotate-now"]);
        world.until_held(1);
        assert_eq!(running.kill_9().signal, Some(9));
        let when = format!("{method}, {act:?}");
        let gone = method == "DELETE" && act == Act::HoldAfter;
        assert_eq!(probes(&world).len(), usize::from(!gone), "{when}");
        world.faults.clear();
        world.run(&["--once"]).exits(0);
        assert_eq!(users(&world), before, "{when}");
        world.release();
        assert_eq!(users(&world), before, "{when}");
        world.assert_sound(&when);
    }
}

#[test]
fn a_create_that_comes_after_the_crash_makes_no_user() {
    let world = rotated();
    let before = users(&world);
    world.fault(Rule::new("POST", SCIM, Act::HoldBefore).ending(USERS).nth(1));
    let running = world.start(&["--rotate-now"]);
    world.until_held(1);
    running.kill_9();
    world.run(&["--once"]).exits(0);
    world.release();
    assert_eq!(probes(&world), [""; 0], "its token is revoked");
    // The name is not forgotten: the next proof searches for it, and creates its own under it.
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!(users(&world), before);
}

#[test]
fn one_that_cannot_be_deleted_blocks_nothing_and_is_said() {
    for status in [503, 403, 400] {
        let world = rotated();
        let before = users(&world);
        world.fault(Rule::new("DELETE", SCIM, Act::Status(status)));
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{status}: {row}");
        let left = probes(&world);
        assert_eq!(left.len(), 1, "{status}");
        let said = format!("probe_user_left: the throw-away user {} still exists", left[0]);
        assert!(warns(&row, &said), "{status}: {row}");
        let text = world.call(&["explain", NAME]).run().exits(0).stdout;
        assert!(text.contains(&left[0]), "{status}: {text}");
        let person = status != 503;
        let series = format!(
            "scimitar_probe_user_left{{connection=\"{NAME}\",provider=\"acme\"}} {}",
            u8::from(person)
        );
        assert!(world.textfile().contains(&series), "{status}");

        // The next rotation goes on, and creates no second one.
        world.pass(chrono::TimeDelta::seconds(61));
        world.faults.forget_requests();
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{status}: {row}");
        assert_eq!((creates(&world), probes(&world)), (0, left), "{status}");
        assert!(warns(&row, "was proven only by reading"), "{status}: {row}");

        world.faults.clear();
        until("the user is deleted", || {
            world.run(&["--once"]).exits(0);
            users(&world) == before
        });
        assert!(!warns(&world.status(), "probe_user_left"), "{status}");
        world.assert_sound(&format!("{status}"));
    }
}

#[test]
fn a_mapping_that_loses_active_is_found_and_refuses_nothing() {
    let world = rotated();
    world.faults.quirks(|quirks| quirks.loses_active = true);
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let said = "deactivation_lost: the SCIM endpoint accepted the deactivation of a user and still \
                showed the user as active";
    assert!(warns(&row, said), "{row}");
    assert!(warns(&world.status(), said));
    let text = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(text.contains("deactivation_lost"), "{text}");
    let series = |is: u8| {
        format!("scimitar_scim_deactivation_lost{{connection=\"{NAME}\",provider=\"acme\"}} {is}")
    };
    assert!(world.textfile().contains(&series(1)));
    assert_eq!(probes(&world), [""; 0]);

    // Mended, the next rotation says so.
    world.faults.quirks(|quirks| quirks.loses_active = false);
    world.pass(chrono::TimeDelta::seconds(61));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert!(!warns(&row, "deactivation_lost"), "{row}");
    assert!(world.textfile().contains(&series(0)));

    // A mapping of one's own without it does the same.
    let body = json!({
        "user_id_attribute": "externalId",
        "mapping": [{ "auth0": "email", "scim": "userName" }],
    });
    let config = format!("connections/{OKTA}/scim-configuration");
    assert_eq!(world.api(Method::PATCH, &config, Some(body)).0, 200);
    world.pass(chrono::TimeDelta::seconds(61));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert!(warns(&row, said), "{row}");
}

#[test]
fn nobody_elses_user_is_touched() {
    let world = rotated();
    for name in [
        "scimitar-probe-@scimitar.invalid",
        "scimitar-probe-0123456789abcdef@scimitar.invalid",
        "scimitar-probe-0123456789abcdef@scimitar.invalid.example",
    ] {
        let body = json!({ "userName": name });
        assert_eq!(scim(&world, Method::POST, USERS, Some(body)).0, 201);
    }
    let before = users(&world);
    world.faults.quirks(|quirks| quirks.ignores_filters = true);
    // The user has to be found among all of them, by a search that answers with everybody.
    world.fault(Rule::new("POST", SCIM, Act::HoldAfter).ending(USERS).nth(1));
    let running = world.start(&["--rotate-now"]);
    world.until_held(1);
    running.kill_9();
    world.release();
    assert_eq!(users(&world).len(), before.len() + 1);
    world.run(&["--once"]).exits(0);
    assert_eq!(users(&world), before);
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!(users(&world), before);
}

#[test]
fn what_is_refused_for_its_content_is_no_fault_of_the_token() {
    for (method, op) in [("POST", "create"), ("PUT", "replace"), ("PATCH", "deactivate")] {
        let world = rotated();
        world.fault(Rule::new(method, SCIM, Act::Status(400)));
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{method}: {row}");
        assert!(
            warns(&row, &format!("the operation {op} on a user failed: it answered 400")),
            "{row}"
        );
        assert_eq!(probes(&world), [""; 0], "{method}");
    }
}

#[test]
fn a_token_that_may_not_do_what_it_is_for_is_given_up() {
    for method in ["POST", "PUT", "PATCH"] {
        let world = rotated();
        let (held, before) = (world.held(), users(&world));
        world.fault(Rule::new(method, SCIM, Act::Status(403)));
        let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(1).row();
        assert_eq!(row["outcome"], "failed", "{method}: {row}");
        assert_eq!(world.held(), held, "{method}: no sink got it");
        world.faults.clear();
        world.run(&["--once"]).exits(0);
        assert_eq!(users(&world), before, "{method}");
        world.assert_sound(method);
    }
}

#[test]
fn a_limit_on_requests_is_waited_for() {
    let world = rotated();
    world.fault(Rule::new("PUT", SCIM, Act::Throttle { retry_after: Some(1) }).nth(1));
    world.fault(Rule::new("DELETE", SCIM, Act::Throttle { retry_after: None }).nth(1));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!(creates(&world), 1, "the proof is not begun again");
    assert_eq!((probes(&world).len(), warnings(&row).len()), (0, 0), "{row}");
}
