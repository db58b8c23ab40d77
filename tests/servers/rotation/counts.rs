//! What the real binary counts: in the file that a one-shot leaves, and at the daemon's port.

use std::{fs, time::Duration};

use scimitar::sandbox::{Act, Rule};

use super::{
    binary::{LIMIT, Running},
    world::{TOKENS, World},
};

/// What the daemon logs when it can be asked, with its address.
const OPEN: &str = "the status page is open";

const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";

const SUCCESSFUL: &str = "scimitar_config_last_reload_successful";
const SUCCEEDED_AT: &str = "scimitar_config_last_reload_success_timestamp_seconds";

/// The value of a series; `None` where there is none.
fn value(text: &str, series: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

fn textfile(world: &World) -> String {
    world.textfile()
}

/// How many writes to the sink came to each outcome, in the order of names.
fn writes(text: &str) -> [f64; 5] {
    ["ambiguous", "conflict", "delivered", "terminal", "transient"].map(|outcome| {
        let series = format!("scimitar_sink_writes_total{{outcome=\"{outcome}\",sink=\"disk\"}}");
        value(text, &series).unwrap_or_else(|| panic!("{series}: {text}"))
    })
}

/// How many rotations were timed, and how long they took.
fn rotations(text: &str) -> (f64, f64) {
    let of = |part: &str| {
        let series = format!("scimitar_rotation_duration_seconds_{part}{{provider=\"acme\"}}");
        value(text, &series).unwrap_or_else(|| panic!("{series}: {text}"))
    };
    (of("count"), of("sum"))
}

/// What the daemon answers at `/metrics`.
fn scraped(world: &World, daemon: &Running) -> String {
    daemon.err.until_text(OPEN);
    let log = daemon.err.text();
    let line = log.lines().find(|line| line.contains(OPEN)).unwrap();
    let (_, behind) = line.split_once("http://").unwrap();
    let (address, _) = behind.split_once('/').unwrap();
    let sent = world.client.get(format!("http://{address}/metrics")).send();
    world.block_on(async {
        let answer = sent.await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    })
}

/// Waits for metrics of the daemon; shows the last ones and the log when they do not come.
fn until_scraped(world: &World, daemon: &Running, what: &str, done: impl Fn(&str) -> bool) {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut text = String::new();
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        text = scraped(world, daemon);
        if done(&text) {
            return;
        }
        std::thread::park_timeout(PAUSE);
    }
    panic!("it did not come to pass: {what}\n{text}\n{}", daemon.err.text());
}

#[test]
fn a_one_shot_counts_its_writes_and_times_its_rotation() {
    let mut world = World::new();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    world.fault(Rule::new("POST", "", Act::Delay(1)).ending(TOKENS));
    world.run(&["--rotate-now"]).exits(0);
    let text = textfile(&world);
    assert_eq!(writes(&text), [0.0, 0.0, 2.0, 0.0, 0.0], "one a place");
    let (count, sum) = rotations(&text);
    assert!(count == 1.0 && sum >= 1.0, "{count} in {sum} s");
    // The next one counts what it does itself: nothing.
    world.run(&["--once"]).exits(0);
    let text = textfile(&world);
    assert_eq!((writes(&text), rotations(&text)), ([0.0; 5], (0.0, 0.0)));
}

#[test]
fn a_429_counts_as_throttled() {
    let world = World::new();
    let throttled = "scimitar_provider_throttled_total{provider=\"acme\"}";
    let once = Rule::new("POST", "", Act::Throttle { retry_after: Some(1) });
    world.fault(once.ending(TOKENS).times(1));
    world.run(&["--rotate-now"]).exits(0);
    let text = textfile(&world);
    assert_eq!(value(&text, throttled), Some(1.0), "{text}");
    world.run(&["--once"]).exits(0);
    assert_eq!(value(&textfile(&world), throttled), Some(0.0));
}

#[test]
fn a_write_that_fails_counts_by_its_class() {
    let mut world = World::rotated();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    // It can be read, but the marks beside it cannot be replaced: not even root gets past a folder.
    let obstacle = world.path("tokens/.second.token.scimitar.json");
    fs::create_dir(&obstacle).unwrap();
    world.run(&["--once", "--timeout", "1s"]).exits(1);
    let text = textfile(&world);
    assert_eq!(writes(&text), [0.0, 0.0, 0.0, 1.0, 0.0], "{text}");
    fs::remove_dir(&obstacle).unwrap();
    // It gets the current token first, then both places get the next one.
    world.run(&["--rotate-now"]).exits(0);
    assert_eq!(writes(&textfile(&world)), [0.0, 0.0, 3.0, 0.0, 0.0]);
}

#[test]
fn the_metrics_of_the_daemon_say_whether_its_file_is_in_force() {
    let mut world = World::new();
    world.config.more = SERVER.to_owned();
    world.configure();
    let daemon = world.start(&["run"]);
    let text = scraped(&world, &daemon);
    assert_eq!(value(&text, SUCCESSFUL), Some(1.0));
    let first = value(&text, SUCCEEDED_AT).unwrap();
    let good = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let bad = good.replacen("rotate_before", "rotate_bfore", 1);
    fs::write(world.path("scimitar.toml"), bad).unwrap();
    daemon.signal("HUP");
    until_scraped(&world, &daemon, "the mistake shows", |text| {
        value(text, SUCCESSFUL) == Some(0.0)
    });
    assert_eq!(
        value(&scraped(&world, &daemon), SUCCEEDED_AT),
        Some(first),
        "it is as old as before"
    );
    fs::write(world.path("scimitar.toml"), &good).unwrap();
    daemon.signal("HUP");
    until_scraped(&world, &daemon, "it is mended", |text| value(text, SUCCESSFUL) == Some(1.0));
    assert!(value(&scraped(&world, &daemon), SUCCEEDED_AT) > Some(first));
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn what_a_reload_removes_leaves_the_metrics_and_the_rest_stays() {
    const SECOND: &str = "[[connections]]\nname = \"initech-entra\"\nprovider = \"acme\"\n\
        connection_id = \"con_waad000000000001\"\nscopes = [\"get:users\"]\n\
        token_lifetime = \"30d\"\nrotate_before = \"10d\"\n\
        deliver_to = [{ sink = \"spare\", file = \"entra.token\" }]\n\
        [sinks.spare]\ntype = \"file\"\ndirectory = \"spare\"\n\
        [[hooks]]\nname = \"messenger\"\non = [\"delivered\"]\nexec = [\"/bin/true\"]\n";
    const GONE: [&str; 3] =
        ["connection=\"initech-entra\"", "sink=\"spare\"", "hook=\"messenger\""];
    let mut world = World::new();
    world.config.more = format!("{SERVER}{SECOND}");
    world.configure();
    let daemon = world.start(&["run"]);
    let told = "scimitar_hook_runs_total{hook=\"messenger\",outcome=\"succeeded\"}";
    let written = "scimitar_sink_writes_total{outcome=\"delivered\",sink=\"spare\"}";
    let steady = |name: &str| {
        let labels = format!("connection=\"{name}\",phase=\"steady\",provider=\"acme\"");
        format!("scimitar_connection_phase{{{labels}}}")
    };
    until_scraped(&world, &daemon, "both are delivered, and told of", |text| {
        let both = ["initech-entra", "initech-okta"];
        value(text, told) == Some(2.0)
            && value(text, written) == Some(1.0)
            && both.iter().all(|name| value(text, &steady(name)) == Some(1.0))
    });
    // Said once nothing of them is in hand: what is cut off may be told again when it comes back.
    daemon.err.until_text("initech-entra: rotated: ");
    daemon.err.until_text("initech-okta: rotated: ");
    let text = scraped(&world, &daemon);
    assert!(GONE.iter().all(|label| text.contains(label)), "{text}");
    assert_eq!(rotations(&text).0, 2.0);
    assert_eq!(writes(&text), [0.0, 0.0, 1.0, 0.0, 0.0]);
    world.config.more = SERVER.to_owned();
    world.configure();
    daemon.signal("HUP");
    daemon.err.until_text("\"removed\":1");
    // The scheduler takes it from whoever read it: a moment later.
    until_scraped(&world, &daemon, "what left is gone", |text| {
        GONE.iter().all(|label| !text.contains(label))
    });
    let text = scraped(&world, &daemon);
    assert_eq!(value(&text, &steady("initech-okta")), Some(1.0));
    assert_eq!(rotations(&text).0, 2.0, "what stays keeps its count");
    assert_eq!(writes(&text), [0.0, 0.0, 1.0, 0.0, 0.0]);
    // It comes back: its sink and its hook count anew, the connection goes on.
    world.config.more = format!("{SERVER}{SECOND}");
    world.configure();
    daemon.signal("HUP");
    until_scraped(&world, &daemon, "it is back", |text| {
        value(text, told) == Some(0.0)
            && value(text, written) == Some(0.0)
            && value(text, &steady("initech-entra")) == Some(1.0)
    });
    daemon.signal("TERM");
    daemon.ended().exits(0);
}
