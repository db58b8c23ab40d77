//! Either end dies, or says what makes no sense.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use scimitar::sandbox::{Act, Rule};

use super::{
    super::rotation::world::{TOKENS, World, until},
    daemon, rotated, world,
};

/// A rotation over the socket whose create is held back.
fn held_create(world: &World) -> scimitar_test_support::binary::Running {
    world.fault(Rule::new("POST", "", Act::HoldAfter).ending(TOKENS).nth(1));
    let call = world.start(&["--rotate-now", "--output", "json"]);
    world.until_held(1);
    call
}

fn stop(daemon: scimitar_test_support::binary::Running) {
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

#[test]
fn a_signal_to_the_caller_parks_its_command() {
    let world = world();
    let daemon = rotated(&world);
    let current = world.held();
    world.faults.forget_requests();
    let call = held_create(&world);
    call.signal("INT");
    call.err.until_text("shutting down");
    daemon.err.until_text("interrupted its command");
    world.release();
    let row = call.ended().exits(130).row();
    assert_eq!(row["reason"], "interrupted", "{row}");
    assert_eq!(world.held(), current);
    world.run(&["--rotate-now"]).exits(0);
    assert_ne!(world.held(), current, "nothing is in the way of the next one");
    stop(daemon);
    world.assert_sound("after a signal to the caller");
}

#[test]
fn a_caller_that_dies_leaves_a_parked_rotation() {
    let world = world();
    let daemon = rotated(&world);
    let current = world.held();
    world.faults.forget_requests();
    held_create(&world).kill_9();
    daemon.err.until_text("disconnected: its command");
    world.release();
    until("the rotation is parked", || world.status()["phase"] == "steady");
    world.run(&["--rotate-now"]).exits(0);
    assert_ne!(world.held(), current);
    stop(daemon);
    world.assert_sound("after the caller's death");
}

#[test]
fn a_daemon_that_dies_is_told_of_and_the_next_goes_on() {
    let world = world();
    let first = rotated(&world);
    world.faults.forget_requests();
    let call = held_create(&world);
    first.kill_9();
    let ended = call.ended().exits(1);
    let error = &ended.json()["error"];
    assert_eq!(error["class"], "system", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("lost contact with the daemon"), "{message}");
    assert!(message.contains("last reported: initech-okta: "), "{message}");
    world.release();
    assert!(world.path("control.sock").exists(), "a dead daemon removes nothing");
    // What it left is replaced.
    let second = daemon(&world);
    world.run(&["--rotate-now"]).exits(0);
    stop(second);
    world.assert_sound("after the daemon's death");
}

#[test]
fn a_daemon_that_is_stopped_parks_what_it_does_for_others() {
    let world = world();
    let daemon = rotated(&world);
    world.faults.forget_requests();
    let call = held_create(&world);
    daemon.signal("TERM");
    daemon.err.until_text("shutting down");
    world.release();
    let row = call.ended().exits(143).row();
    assert_eq!(row["reason"], "interrupted", "{row}");
    daemon.ended().exits(0);
    world.assert_sound("after the daemon's end");
}

#[test]
fn garbage_giants_and_the_slow_keep_nobody_waiting() {
    let world = world();
    let daemon = rotated(&world);
    let connect = || {
        let stream = UnixStream::connect(world.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    // They say nothing, and stay.
    let slow: Vec<_> = (0..20).map(|_| connect()).collect();
    let answered = |request: &[u8]| {
        let mut stream = connect();
        // One that is declined may be cut off before all of it is sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    for (request, words) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "is not understood"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"{\"protocol\":99}\n", "speaks version 1 of the control protocol, not 99"),
        (&[b'x'; 1_000_000], "too long"),
    ] {
        let answer = answered(request);
        assert!(answer.contains("declined") && answer.contains(words), "{answer}");
    }
    let config = world.path("scimitar.toml").canonicalize().unwrap();
    let asked = |config: &str, command: &str| {
        let request = format!(
            "{{\"protocol\":1,\"version\":\"9\",\"args\":[\"scimitar\",{command}],\"config\":\"{config}\",\
             \"lines\":null,\"asks\":false}}\n"
        );
        answered(request.as_bytes())
    };
    let config = config.to_str().unwrap();
    assert!(asked("/etc/other.toml", "\"status\"").contains("it runs with the configuration"));
    assert!(asked(config, "\"new-command\"").contains("does not know this command line"));
    assert!(asked(config, "\"run\"").contains("does not run this command"));
    world.run(&["--rotate-now"]).exits(0);
    drop(slow);
    stop(daemon);
}

#[test]
fn a_second_daemon_leaves_the_socket_to_the_first() {
    let world = world();
    let first = rotated(&world);
    let second = world.call(&["run"]).env("CLIENT_SECRET", super::CLIENT_SECRET).start();
    second.err.until_text("another process serves");
    second.err.until_text("running");
    stop(second);
    world.run(&["explain", "initech-okta"]).exits(0);
    let said = world.call(&["explain", "initech-okta"]).run().exits(0).stderr;
    assert_eq!(said, "", "the first one still serves");
    stop(first);
}
