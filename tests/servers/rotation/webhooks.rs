//! Webhooks whose URL, headers and body hold keys: told what happens, and nothing of the keys is
//! shown, written down or logged.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{fs, os::unix::fs::PermissionsExt};

use chrono::TimeDelta;
use scimitar_test_support::receiver::Receiver;
use serde_json::Value;

use super::world::{NAME, OKTA, World, files};

/// Parts of a URL in a file, of a header, of a body, and of a URL in the configuration itself.
const CANARIES: [&str; 6] = [
    "path-canary-1a2b",
    "query-canary-3c4d",
    "header-canary-5e6f",
    "body-canary-7a8b",
    "plain-path-canary-9c0d",
    "plain-query-canary-1e2f",
];

fn secret(world: &World, name: &str, text: &str) {
    fs::write(world.path(name), text).unwrap();
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Told by a URL that is a secret, with a key in a header and another in the body.
const BODY: &str = r#"'{ "event": "{{ event }}", "token": "{{ token_id }}", "threshold": "{{ threshold }}", "expires": "{{ expires_at }}", "why": "{{ why }}", "key": "{{ secrets.key }}" }'"#;

fn hook(on: &str) -> String {
    format!(
        "[[hooks]]\nname = \"chat\"\non = {on}\n[hooks.webhook]\nurl = {{ file = \"chat-url\" }}\n\
         headers = {{ Authorization = {{ file = \"chat-header\" }} }}\nbody = {BODY}\n\
         secrets = {{ key = {{ file = \"chat-key\" }} }}\n"
    )
}

fn keys(world: &World, service: &Receiver) {
    let [path, query, header, body, ..] = CANARIES;
    let url = format!("http://127.0.0.1:{}/{path}?key={query}", service.port);
    secret(world, "chat-url", &url);
    secret(world, "chat-header", &format!("Bearer {header}"));
    secret(world, "chat-key", body);
}

#[test]
fn no_key_of_a_webhook_is_shown_at_any_verbosity() {
    let service = Receiver::start();
    let mut world = World::new();
    keys(&world, &service);
    let [.., path, query] = CANARIES;
    let all = "[\"delivered\", \"revoked\", \"failed\", \"refused\"]";
    world.config.more = format!(
        "{}[[hooks]]\nname = \"plain\"\non = {all}\nwebhook = {{ url = \"http://127.0.0.1:{}/{path}?sig={query}\" }}\n",
        hook(all),
        service.port
    );
    world.configure();
    let mut printed = String::new();
    let mut run = |arguments: &[&str], status: Option<i32>| {
        let all: Vec<&str> = arguments.iter().copied().chain(["-vvv"]).collect();
        let ended = world.call(&all).env("SCIMITAR_LOG", "trace").run();
        let ended = match status {
            Some(status) => ended.exits(status),
            None => ended,
        };
        printed.push_str(&ended.stdout);
        printed.push_str(&ended.stderr);
    };
    run(&["--rotate-now"], Some(0));
    let seen = service.seen().concat();
    for canary in CANARIES {
        assert!(seen.contains(canary), "{canary} was sent: {seen}");
    }
    for refusal in [403, 404, 500, 308] {
        service.answers(refusal);
        world.pass(TimeDelta::seconds(61));
        run(&["--once"], None);
        run(&["--rotate-now"], None);
    }
    // An address that is none, and one where nobody is.
    secret(&world, "chat-url", &format!("http://chat.example.com/{}", CANARIES[0]));
    run(&["check"], Some(2));
    secret(&world, "chat-url", &format!("http://127.0.0.1:1/{}?key={}", CANARIES[0], CANARIES[1]));
    drop(service);
    world.pass(TimeDelta::seconds(61));
    run(&["--rotate-now"], None);
    for arguments in [
        &["check"][..],
        &["status"],
        &["status", "--output", "json"],
        &["explain", NAME],
        &["plan"],
        &["plan", "--output", "json"],
        &["permissions"],
    ] {
        run(arguments, Some(0));
    }
    assert!(printed.contains("hook chat failed"), "a failure was told");
    let exempt = ["chat-url", "chat-header", "chat-key", "scimitar.toml"].map(|it| world.path(it));
    let written = files(world.folder.path());
    let written = written.iter().filter(|(path, _)| !exempt.contains(path));
    let texts = written.map(|(path, bytes)| {
        (path.display().to_string(), String::from_utf8_lossy(bytes).into_owned())
    });
    for (what, text) in texts.chain([("what was printed".to_owned(), printed)]) {
        for canary in CANARIES {
            assert!(!text.contains(canary), "{what} holds {canary}");
        }
    }
}

#[test]
fn what_is_only_observed_is_told_once_each() {
    let service = Receiver::start();
    let mut world = World::new();
    keys(&world, &service);
    world.config.more = hook("[\"expiring\", \"unmanaged\", \"drift\", \"revocation_blocked\"]");
    world.config.set("mode", "\"observe\"");
    let thresholds = "[\"29d 23h 59m 30s\", \"29d 23h 59m 40s\", \"3d\"]";
    world.config.set("notify_before", thresholds);
    world.configure();
    let (current, value) = world.mint(OKTA);
    world.put(&value);
    let (stranger, _) = world.mint(OKTA);
    world.pass(TimeDelta::seconds(61));
    for _ in 0..3 {
        world.run(&["--once"]);
    }
    let expiring = service.told("expiring");
    assert_eq!(expiring.len(), 1, "the nearest alone: {expiring:?}");
    assert_eq!(
        (&expiring[0]["token"], &expiring[0]["threshold"]),
        (&Value::from(current), &Value::from("2591970s"),)
    );
    assert_ne!(expiring[0]["expires"], "");
    let unmanaged = service.told("unmanaged");
    assert_eq!(unmanaged.len(), 1, "{unmanaged:?}");
    assert_eq!(unmanaged[0]["token"], stranger);
    assert!(service.told("drift").is_empty());
    world.put("what nobody knows");
    for _ in 0..3 {
        world.run(&["--once"]);
    }
    let drift = service.told("drift");
    assert_eq!(drift.len(), 1, "{drift:?}");
    assert!(drift[0]["why"].as_str().unwrap().contains("changed outside Scimitar"), "{drift:?}");
    assert_eq!(service.seen().len(), 3, "{:?}", service.seen());
    assert_eq!((world.creates(), world.deletes()), (0, 0), "nothing was changed");
}
