//! The daemon: reloads, is supervised, and outlives a ledger that cannot be used for a while.

use std::{fs, net::TcpListener, os::unix::net::UnixDatagram, time::Duration};

use super::{
    binary::{LIMIT, Running},
    world::{NAME, TOKENS, WAAD, World, until},
};

/// A second connection, as it stands in a configuration.
const SECOND: &str = "[[connections]]\nname = \"initech-entra\"\nprovider = \"acme\"\n\
    connection_id = \"con_waad000000000001\"\nscopes = [\"get:users\"]\ntoken_lifetime = \"30d\"\n\
    rotate_before = \"10d\"\ndeliver_to = [{ sink = \"disk\", file = \"entra.token\" }]\n";

/// What stands where systemd listens.
struct Notify {
    socket: UnixDatagram,
    seen: Vec<String>,
}

impl Notify {
    fn new(world: &World) -> Self {
        let socket = UnixDatagram::bind(world.path("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, seen: Vec::new() }
    }

    /// Waits for a message that holds all of this, and gives it back.
    fn until(&mut self, wanted: &[&str]) -> String {
        let mut buffer = [0; 4096];
        loop {
            let read = self.socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("{wanted:?} did not come: {error}; {:#?}", self.seen)
            });
            let message = String::from_utf8(buffer[..read].to_vec()).unwrap();
            self.seen.push(message.clone());
            if wanted.iter().all(|wanted| message.contains(wanted)) {
                return message;
            }
        }
    }
}

fn supervised(world: &World, watchdog: Duration) -> Running {
    world
        .call(&["run"])
        .env("NOTIFY_SOCKET", world.path("notify").to_str().unwrap())
        .env("WATCHDOG_USEC", &watchdog.as_micros().to_string())
        .start()
}

#[test]
fn a_supervisor_is_told_all_along() {
    let world = World::new();
    let mut notify = Notify::new(&world);
    let daemon = supervised(&world, Duration::from_millis(500));
    let ready = notify.until(&["READY=1"]);
    assert!(ready.contains("STATUS=1 connection"), "{ready}");
    let name = &world.config.name;
    let status = notify.until(&["STATUS=", &format!("; next rotation: {name} ")]);
    assert!(status.contains("WATCHDOG=1"), "{status}");
    // The watchdog is fed although nothing is due for weeks.
    for _ in 0..3 {
        notify.until(&["WATCHDOG=1"]);
    }
    daemon.signal("HUP");
    notify.until(&["RELOADING=1", "MONOTONIC_USEC="]);
    notify.until(&["READY=1"]);
    fs::write(world.path("scimitar.toml"), "nonsense = 1\n").unwrap();
    daemon.signal("HUP");
    notify.until(&["RELOADING=1"]);
    notify.until(&["READY=1"]);
    let status = notify.until(&["STATUS=reload rejected"]);
    assert!(status.contains("keeping the previous configuration; 1 connection"), "{status}");
    world.configure();
    daemon.signal("HUP");
    let status = notify.until(&["STATUS=1 connection"]);
    assert!(!status.contains("reload"), "{status}");
    daemon.signal("TERM");
    notify.until(&["STOPPING=1", "STATUS=stopping"]);
    daemon.ended().exits(0);
    world.assert_sound("after the daemon");
}

/// Its socket takes a few messages and no more.
#[test]
fn a_supervisor_that_does_not_listen_holds_nobody_up() {
    let world = World::new();
    let mut notify = Notify::new(&world);
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = other.send_to(b"WATCHDOG=1", world.path("notify")) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    let daemon = supervised(&world, Duration::from_millis(500));
    until("the first delivery", || world.path("tokens/initech.token").exists());
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    // It listens again, and is told in the order in which things happened.
    notify.until(&["READY=1"]);
    notify.until(&["RELOADING=1"]);
    daemon.signal("TERM");
    notify.until(&["STOPPING=1"]);
    daemon.ended().exits(0);
}

#[test]
fn a_reload_takes_what_is_new_and_lets_go_of_what_is_gone() {
    let mut world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    let first = world.config.clone();
    world.config.more = SECOND.to_owned();
    world.configure();
    daemon.signal("HUP");
    until("the second one's delivery", || world.path("tokens/entra.token").exists());
    daemon.err.until_text("configuration reloaded");
    assert_eq!(world.tokens_of(WAAD).len(), 1);
    let looks = || {
        let of_it = |path: &str| path.contains("/con_okta") && path.ends_with(TOKENS);
        world.faults.requests().iter().filter(|seen| of_it(&seen.path)).count()
    };
    // It is looked at every second, until it leaves.
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let often = text.replacen("[engine]", "[engine]\nsurvey_interval = \"1s\"", 1);
    fs::write(world.path("scimitar.toml"), &often).unwrap();
    daemon.signal("HUP");
    let before = looks();
    until("more looks", || looks() > before + 2);
    let (before_all, _) = often.split_once("[[connections]]").unwrap();
    let alone = format!("{before_all}{SECOND}");
    fs::write(world.path("scimitar.toml"), alone).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("\"removed\":1");
    // What was in hand then is parked; after that nothing asks for it while the other is looked at.
    let others =
        || world.faults.requests().iter().filter(|seen| seen.path.contains("/con_waad")).count();
    let seen = others();
    until("the other one's looks", || others() > seen + 2);
    let (before, seen) = (looks(), others());
    until("more of them", || others() > seen + 3);
    assert_eq!(looks(), before, "what left is not touched any more");
    // It comes back and is the same as before.
    world.config = first;
    world.configure();
    let held = world.held();
    daemon.signal("HUP");
    until("it is looked at again", || looks() > before);
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert_eq!((world.held(), world.creates()), (held, 2), "one each");
    world.assert_sound("after the reloads");
}

#[test]
fn a_changed_policy_acts_from_the_next_decision_on() {
    let mut world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    until("it is on record", || world.status()["token_id"].is_string());
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    daemon.signal("HUP");
    until("it is delivered there as well", || world.path("tokens/second.token").exists());
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert_eq!(world.creates(), 1, "that takes no other token");
    assert_eq!(fs::read_to_string(world.path("tokens/second.token")).unwrap(), world.file());
    world.assert_sound("after another policy");
}

#[test]
fn a_bad_file_changes_nothing_and_is_named() {
    let world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let bad = text.replacen("rotate_before", "rotate_bfore", 1);
    fs::write(world.path("scimitar.toml"), bad).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("keeping the previous configuration");
    daemon.err.until_text("rotate_bfore");
    let elsewhere = text.replacen("ledger.db", "another.db", 1);
    fs::write(world.path("scimitar.toml"), elsewhere).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("names another ledger: change it back, or move the ledger");
    assert!(!world.path("another.db").exists());
    // It still does its work: the file is healed from nothing but what it knows.
    fs::write(world.path("scimitar.toml"), &text).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.assert_sound("after bad files");
}

#[test]
fn a_configuration_that_nobody_writes_to_holds_up_nothing() {
    let world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    let file = world.path("scimitar.toml");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    daemon.signal("HUP");
    daemon.err.until_text("it is not a regular file");
    daemon.err.until_text("keeping the previous configuration");
    fs::remove_file(&file).unwrap();
    world.configure();
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn a_reload_moves_the_port_and_a_rejected_one_does_not() {
    let mut world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    world.config.more = first.clone();
    world.configure();
    let daemon = world.start(&["run"]);
    daemon.err.until_text("the status page is open");
    until("it is ready", || world.run(&["healthcheck"]).status == Some(0));
    // The same number at every interface: the port that it moves from is its own.
    world.config.more = format!("[server]\nlisten = \"0.0.0.0:{port}\"\n");
    world.configure();
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    until("it is ready there", || world.run(&["healthcheck"]).status == Some(0));
    let of_another = taken.local_addr().unwrap();
    world.config.more = format!("[server]\nlisten = \"{of_another}\"\n");
    world.configure();
    daemon.signal("HUP");
    daemon.err.until_text("keeping the previous configuration");
    world.config.more = first;
    world.configure();
    daemon.signal("HUP");
    until("it is back", || {
        let text = daemon.err.text();
        text.matches("configuration reloaded").count() == 2
    });
    until("it is ready again", || world.run(&["healthcheck"]).status == Some(0));
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn a_ledger_that_is_locked_for_a_while_is_said_and_waited_for() {
    let world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    until("it is on record", || world.status()["token_id"].is_string());
    let lock = rusqlite::Connection::open(world.path("ledger.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::remove_file(world.path("tokens/initech.token")).unwrap();
    // A reload makes it look; to act it has to write.
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let often = text.replacen("[engine]", "[engine]\nsurvey_interval = \"30s\"", 1);
    fs::write(world.path("scimitar.toml"), often).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("ledger unavailable, rotations are on hold");
    assert!(!world.path("tokens/initech.token").exists());
    lock.execute_batch("ROLLBACK").unwrap();
    daemon.err.until_text("ledger is back after");
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    let said = ended.stderr.matches("ledger unavailable, rotations are on hold").count();
    assert_eq!(said, 1, "{}", ended.stderr);
    assert!(world.creates() >= 1);
}

/// How long a file may be that the process writes: 0 makes each write fail, to files that it has open
/// as well, as a file system does that turned read-only under it. Reading goes on.
fn limit_files(daemon: &Running, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let pid = daemon.pid().to_string();
    let set = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(set.success());
}

#[test]
fn a_read_only_ledger_is_reported_once_and_loses_nothing() {
    let mut world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.config.more = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    world.configure();
    // A write that fails so would end it otherwise, which no read-only file system does.
    let daemon = world.call(&["run"]).through(&["/usr/bin/env", "--ignore-signal=XFSZ"]).start();
    until("the first delivery", || world.path("tokens/initech.token").exists());
    until("it is on record", || world.status()["token_id"].is_string());
    until("it is ready", || world.run(&["healthcheck"]).status == Some(0));
    let before = world.held();
    let minted = world.creates();
    limit_files(&daemon, "0");
    // There is something to do; nothing is begun that cannot be written down.
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    fs::write(world.path("scimitar.toml"), text + SECOND).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("ledger unavailable, rotations are on hold");
    // It is tried again after 1, 2 and 4 s, and is not ready all the while.
    for _ in 0..60 {
        let asked = world.run(&["healthcheck"]).exits(1);
        let why = asked.json()["error"]["message"].to_string();
        assert!(why.contains("disk I/O error") && why.contains("nothing is lost"), "{why}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(world.creates(), minted);
    // What only reads goes on.
    let row = world.run(&["status", NAME]).exits(0).row();
    assert_eq!(row["token_id"], before.as_str());
    limit_files(&daemon, "unlimited");
    daemon.err.until_text("ledger is back after");
    until("it was done", || world.path("tokens/entra.token").exists());
    until("it is ready again", || world.run(&["healthcheck"]).status == Some(0));
    assert_eq!((world.held(), world.tokens_of(WAAD).len()), (before, 1), "each has its one token");
    assert_eq!(world.listed().len(), 1);
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    for words in ["ledger unavailable, rotations are on hold", "ledger is back after"] {
        assert_eq!(ended.stderr.matches(words).count(), 1, "{words}: {}", ended.stderr);
    }
}
