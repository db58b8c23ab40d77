//! `--timeout` and SIGTERM are obeyed in time, whatever does not answer, and nothing is lost by it.

use std::{fs::File, io::Read, net::TcpListener, thread};

use chrono::TimeDelta;
use scimitar::{
    clock::{Clock, SystemClock, parse_timestamp},
    sandbox::{Act, Rule},
};
use serde_json::Value;

use super::world::{TOKENS, World, side_by_side};

/// Only a hang takes this long: a request may take five minutes here.
const BOUND: TimeDelta = TimeDelta::seconds(40);

/// How long a call took, by its own document.
fn took(document: &Value) -> TimeDelta {
    let at = |key: &str| parse_timestamp(document[key].as_str().unwrap()).unwrap();
    at("finished_at") - at("started_at")
}

/// A tenant where requests may take five minutes, with one rotation behind it.
fn patient() -> World {
    let mut world = World::rotated();
    world.config.request_timeout = "5m".to_owned();
    world.configure();
    world
}

/// What may not be answered: the request that is held for ever, and whether it takes effect.
fn held() -> [(&'static str, Rule); 5] {
    let rule = |method, act| Rule::new(method, "", act);
    [
        ("the log-in", Rule::new("POST", "/oauth", Act::HoldBefore).nth(1)),
        ("the list", rule("GET", Act::HoldBefore).ending(TOKENS).nth(1)),
        ("the create", rule("POST", Act::HoldBefore).ending(TOKENS).nth(1)),
        ("the create, which happens", rule("POST", Act::HoldAfter).ending(TOKENS).nth(1)),
        // The first one asks without credentials, before the create.
        ("the probe", Rule::new("GET", "/scim/", Act::HoldBefore).nth(2)),
    ]
}

/// Whatever was under way, the next runs end with one token that works, and no orphan.
fn goes_on(world: &World, what: &str) {
    world.faults.clear();
    world.release();
    world.pass(TimeDelta::minutes(2));
    world.run(&["--rotate-now"]).exits(0);
    world.pass(TimeDelta::minutes(5));
    world.run(&["--once"]).exits(0);
    world.assert_sound(what);
    assert_eq!(world.listed().len(), 1, "{what}: {:?}", world.listed());
}

#[test]
fn a_call_whose_time_is_up_ends_whatever_is_not_answered() {
    side_by_side(held(), |(what, rule)| {
        let world = patient();
        world.fault(rule);
        let ended = world.run(&["--rotate-now", "--timeout", "2s"]).exits(1);
        let document = ended.json();
        let row = &document["results"][0];
        assert_eq!(
            (&row["outcome"], &row["reason"]),
            (&"failed".into(), &"timeout".into()),
            "{what}: {row}"
        );
        assert!(took(&document) < BOUND, "{what}: {}", took(&document));
        goes_on(&world, what);
    });
}

#[test]
fn sigterm_ends_a_call_whatever_is_not_answered() {
    side_by_side(held(), |(what, rule)| {
        let world = patient();
        world.fault(rule);
        let call = world.start(&["--rotate-now", "--output", "json"]);
        world.until_held(1);
        let signalled = SystemClock.now();
        call.signal("TERM");
        let document = call.ended().exits(143).json();
        let row = &document["results"][0];
        assert_eq!(row["reason"], "interrupted", "{what}: {row}");
        assert!(SystemClock.now() - signalled < BOUND, "{what}");
        goes_on(&world, what);
    });
}

#[test]
fn sigterm_ends_the_daemon_whatever_is_not_answered() {
    side_by_side(held(), |(what, rule)| {
        let world = World::new();
        world.fault(rule);
        let daemon = world.start(&["run"]);
        world.until_held(1);
        let signalled = SystemClock.now();
        daemon.signal("TERM");
        daemon.ended().exits(0);
        assert!(SystemClock.now() - signalled < BOUND, "{what}");
        goes_on(&world, what);
    });
}

#[test]
fn commands_that_only_look_obey_a_signal_as_well() {
    side_by_side([vec!["plan"], vec!["check", "--online"]], |words| {
        let world = patient();
        world.fault(Rule::new("GET", "", Act::HoldBefore).ending(TOKENS).nth(1));
        let call = world.start(&words);
        world.until_held(1);
        let signalled = SystemClock.now();
        call.signal("TERM");
        call.ended().exits(143);
        assert!(SystemClock.now() - signalled < BOUND, "{words:?}");
        world.release();
    });
}

#[test]
fn a_tenant_that_never_answers_delays_no_other_rotation() {
    // Everybody is let in, and nobody is told anything.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut visitors = Vec::new();
        for visitor in listener.incoming() {
            let Ok(mut visitor) = visitor else { return };
            let mut bytes = [0; 64];
            let _ = visitor.read(&mut bytes);
            visitors.push(visitor);
        }
    });
    let mut world = World::new();
    world.config.request_timeout = "5m".to_owned();
    // More of them than workers, and in front of the others.
    let silent = (0..4).map(|number| {
        format!(
            "[[connections]]\nname = \"a-silent-{number}\"\nprovider = \"silent\"\n\
             connection_id = \"con_silent00000000{number:02}\"\n\
             token_lifetime = \"30d\"\noverlap = \"1m\"\n\
             deliver_to = [{{ sink = \"disk\", file = \"silent-{number}.token\" }}]\n"
        )
    });
    world.config.more = format!(
        "[engine.unused]\n[providers.silent]\ntype = \"auth0\"\ndomain = \"silent.example\"\n\
         base_url = \"http://{address}\"\nclient_id = \"rotator\"\n\
         client_secret = {{ file = \"client-secret\" }}\n{}",
        silent.collect::<String>()
    )
    .replace("[engine.unused]\n", "");
    world.configure();
    let text = std::fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let few = text.replace("request_timeout = ", "max_parallel = 2\nrequest_timeout = ");
    assert_ne!(few, text);
    std::fs::write(world.path("scimitar.toml"), few).unwrap();
    let ended = world.run(&["--once", "--timeout", "8s"]).exits(1);
    let document = ended.json();
    assert!(took(&document) < BOUND, "{}", took(&document));
    for row in document["results"].as_array().unwrap() {
        let silent = row["connection"].as_str().unwrap().starts_with("a-silent");
        let expected = if silent { "failed" } else { "rotated" };
        assert_eq!(row["outcome"], expected, "{row}");
    }
    assert_eq!(document["results"].as_array().unwrap().len(), 5);
}

#[test]
fn a_file_size_limit_is_an_error_and_not_a_silent_end() {
    let world = World::rotated();
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$0\" \"$@\""];
    let ended = world.call(&["--rotate-now", "--timeout", "2s"]).through(&limited).run();
    assert_eq!((ended.signal, ended.status), (None, Some(1)), "{}", ended.stderr);
    assert!(ended.stderr.contains("ledger.db"), "{}", ended.stderr);
    assert_eq!(world.creates(), 0);
    world.run(&["--rotate-now"]).exits(0);
}

#[test]
fn a_locked_ledger_is_waited_for_only_until_the_deadline() {
    let world = World::rotated();
    let held = File::open(world.path("ledger.db.holders")).unwrap();
    held.lock().unwrap();
    let began = SystemClock.now();
    let document = world.run(&["--once", "--timeout", "2s"]).exits(1).json();
    assert!(SystemClock.now() - began < BOUND);
    let words = document["error"]["message"].as_str().unwrap();
    assert!(words.contains("timed out while opening the ledger"), "{words}");
    drop(held);
    world.run(&["--once", "--timeout", "30s"]).exits(0);
}

#[test]
fn a_check_asks_connections_side_by_side() {
    let mut world = World::new();
    world.config.request_timeout = "20s".to_owned();
    world.config.more = "[[connections]]\nname = \"initech-entra\"\nprovider = \"acme\"\n\
        connection_id = \"con_waad000000000001\"\nscopes = [\"get:users\"]\n\
        token_lifetime = \"30d\"\nrotate_before = \"10d\"\n\
        deliver_to = [{ sink = \"disk\", file = \"entra.token\" }]\n"
        .to_owned();
    world.configure();
    world.fault(Rule::new("GET", "/scim/", Act::HoldBefore));
    let document = world.run(&["check", "--online"]).exits(1).json();
    assert_eq!(document["results"].as_array().map(Vec::len), Some(2), "{document}");
    let took = took(&document);
    assert!(took >= TimeDelta::seconds(20) && took < BOUND, "one after the other: {took}");
    world.release();
}
