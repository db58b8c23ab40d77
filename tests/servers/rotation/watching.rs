//! `[[watch]]`: a token that no provider is asked about, in every process and on every surface.

use std::{fs, os::unix::fs::PermissionsExt};

use chrono::TimeDelta;
use scimitar::clock::{Clock, SystemClock, rfc3339};
use serde_json::Value;

use super::{
    hooks::end,
    world::{NAME, World, files, until},
};

const WATCHED: &str = "initech-sso";

/// Writes down each event, and hangs at the first where the folder says so.
const NOTES: &str = "#!/bin/sh\n\
    if test -e \"$1/hang\"; then rm \"$1/hang\"; echo $SCIMITAR_NOTICE_ID $$ > \"$1/hung\"; exec sleep 1000; fi\n\
    cat > \"$1/$SCIMITAR_NOTICE_ID.new\"; mv \"$1/$SCIMITAR_NOTICE_ID.new\" \"$1/$SCIMITAR_NOTICE_ID.event\"\n\
    echo \"$SCIMITAR_CONNECTION $SCIMITAR_EVENT $SCIMITAR_THRESHOLD$SCIMITAR_PROVIDER\" >> \"$1/order\"\n";

/// A date so many days from now, as it is written down.
fn in_days(days: i64) -> String {
    rfc3339(SystemClock.now() + TimeDelta::days(days))
}

fn watch(name: &str, expires_at: &str) -> String {
    format!(
        "[[watch]]\nname = \"{name}\"\nexpires_at = {expires_at}\nowner = \"identity team\"\n\
         note = \"tell #identity\"\nlink = \"https://admin.example.com/scim#tokens\"\n"
    )
}

/// A world with a hook that wants to know what expires, and with these watched tokens.
fn watching(watches: &str) -> World {
    let mut world = World::new();
    fs::create_dir(world.path("told")).unwrap();
    fs::write(world.path("after.sh"), NOTES).unwrap();
    fs::set_permissions(world.path("after.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    rewrite(&mut world, watches);
    world
}

fn rewrite(world: &mut World, watches: &str) {
    let folder = world.path("told");
    world.config.more = format!(
        "[[hooks]]\non = [\"expiring\"]\nexec = [\"after.sh\", \"{}\"]\n{watches}",
        folder.display()
    );
    world.configure();
}

/// What the hook was told, in order.
fn told(world: &World) -> Vec<String> {
    let order = fs::read_to_string(world.path("told/order")).unwrap_or_default();
    order.lines().map(str::to_owned).collect()
}

fn watched(world: &World, arguments: &[&str]) -> Vec<Value> {
    let document = world.run(arguments).exits(0).json();
    document["watched"].as_array().cloned().unwrap_or_default()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn a_watched_token_is_seen_wherever_connections_are() {
    let soon = in_days(5);
    let world = watching(&format!("{}{}", watch(WATCHED, &soon), watch("far", "2099-03-01")));
    world.run(&["--once"]).exits(0);
    let rows = watched(&world, &["status"]);
    assert_eq!(names(&rows), [WATCHED, "far"]);
    assert_eq!(
        (&rows[0]["standing"], &rows[0]["expires_at"]),
        (&"expires_soon".into(), &soon.into())
    );
    assert_eq!(
        (&rows[0]["owner"], &rows[1]["standing"]),
        (&"identity team".into(), &"valid".into())
    );
    let filters: [([&str; 2], &[&str]); 7] = [
        (["--match", "initech-*"], &[WATCHED]),
        (["--where", "expiring<30d"], &[WATCHED]),
        (["--where", "attention"], &[WATCHED]),
        (["--where", "expired"], &[]),
        (["--provider", "acme"], &[]),
        (["--sort", "name"], &["far", WATCHED]),
        (["--sort", "expiry"], &[WATCHED, "far"]),
    ];
    for (filter, expected) in filters {
        let rows = watched(&world, &["status", filter[0], filter[1]]);
        assert_eq!(names(&rows), expected, "{filter:?}");
    }
    assert_eq!(names(&watched(&world, &["status", "far"])), ["far"]);
    let text = world.call(&["status"]).run().exits(0).stdout;
    let line = text.lines().find(|line| line.starts_with(WATCHED)).unwrap();
    assert!(line.contains("expires soon") && line.contains("in 5 days"), "{text}");
    assert!(text.contains("then change `expires_at` of initech-sso"), "{text}");
    let alone = world.call(&["status", "far"]).run().exits(0).stdout;
    assert!(!alone.contains("CONNECTION"), "no empty table: {alone}");
    let told = world.call(&["explain", WATCHED]).run().exits(0).stdout;
    for words in [
        "initech-sso is only watched",
        "Owner: identity team.",
        "Note: tell #identity.",
        "Renew it at https://admin.example.com/scim#tokens",
        "run 14d, 3d, 24h before it expires; alerts begin 14d before.",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let check = world.call(&["check"]).run().exits(0);
    assert!(check.stdout.contains(", 2 watched tokens\n"), "{}", check.stdout);
    let metrics = world.textfile();
    for series in ["scimitar_token_expiry_timestamp_seconds", "scimitar_watch_notice_seconds"] {
        let of = format!("{series}{{connection=\"{WATCHED}\",provider=\"[[watch]]\"}} ");
        assert!(metrics.contains(&of), "{of}: {metrics}");
    }
}

#[test]
fn what_only_is_watched_cannot_be_acted_on() {
    let world = watching(&watch(WATCHED, "2001-02-03"));
    for call in [
        &["--rotate-now", WATCHED][..],
        &["plan", WATCHED],
        &["adopt", WATCHED, "--token-id", "tok_1"],
        &["revoke", WATCHED, "--token-id", "tok_1"],
        &["pause", NAME, WATCHED, "--until", "2099-01-01", "--reason", "holidays"],
        &["resume", WATCHED],
        &["handoff", WATCHED, "--done"],
    ] {
        let said = world.call(call).run().exits(2).stderr;
        assert!(
            said.contains("initech-sso is only watched ([[watch]] in the configuration)"),
            "{said}"
        );
        assert!(said.contains("https://admin.example.com/scim#tokens"), "the way out: {said}");
    }
    // A pattern that would be right for connections takes no watched token along.
    let none = world.call(&["--once", "--match", "initech-s*"]).run().exits(2).stderr;
    assert!(none.contains("no connection matches pattern initech-s*"), "{none}");
    assert_eq!((world.creates(), world.path("ledger.db").exists()), (0, false), "nothing was done");
    let check = world.call(&["check"]).run().exits(0).stderr;
    assert!(
        check.contains("initech-sso expired at 2001-02-03 00:00 UTC (`expires_at`)"),
        "{check}"
    );
    world.run(&["--once"]).exits(0);
    world.run(&["status"]).exits(0);
    world.run(&["status", "--exit-code"]).exits(3);
    world.run(&["status", NAME, "--exit-code"]).exits(0);
}

#[test]
fn hooks_are_told_once_an_occasion_over_restarts_and_reloads() {
    let mut world = watching(&watch(WATCHED, &in_days(10)));
    world.run(&["--rotate-now"]).exits(0);
    world.run(&["--once", "--match", NAME]).exits(0);
    world.run(&["--once", "--dry-run"]).exits(0);
    assert_eq!(told(&world), [""; 0], "nobody asked for all that is due");
    world.run(&["--once"]).exits(0);
    assert_eq!(told(&world), ["initech-sso expiring 14d"], "and no provider");
    let events: Vec<_> = files(&world.path("told")).into_iter().collect();
    let event = events.iter().find(|(path, _)| path.extension().is_some_and(|it| it == "event"));
    let event: Value = serde_json::from_slice(&event.unwrap().1).unwrap();
    assert_eq!(event["type"], "scimitar.watch.expiring");
    assert_eq!(event["source"], "/scimitar/watch/initech-sso");
    let why = event["data"]["why"].as_str().unwrap();
    assert!(why.contains("owner: identity team") && why.contains("scim#tokens"), "{why}");
    world.run(&["--once"]).exits(0);
    let daemon = world.start(&["run"]);
    daemon.err.until_text("running version");
    // A nearer date, and another token beside it.
    let second = watch("second", &in_days(2));
    rewrite(&mut world, &format!("{}{second}", watch(WATCHED, &in_days(9))));
    daemon.signal("HUP");
    until("both are told", || told(&world).len() == 3);
    let mut new = told(&world).split_off(1);
    new.sort();
    assert_eq!(new, ["initech-sso expiring 14d", "second expiring 3d"]);
    // What left is gone; what is renewed is no news.
    rewrite(&mut world, &watch("second", "2099-03-01"));
    daemon.signal("HUP");
    daemon.err.until_text("configuration reloaded");
    assert_eq!(names(&watched(&world, &["status"])), ["second"]);
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.run(&["--once"]).exits(0);
    assert_eq!(told(&world).len(), 3);
}

#[test]
fn a_hook_that_was_cut_off_is_told_again_with_the_same_id() {
    let world = watching(&watch(WATCHED, &in_days(2)));
    fs::write(world.path("told/hang"), "").unwrap();
    let daemon = world.start(&["run"]);
    until("the hook hangs", || {
        fs::read_to_string(world.path("told/hung")).is_ok_and(|id| id.ends_with('\n'))
    });
    daemon.kill_9();
    let hung = fs::read_to_string(world.path("told/hung")).unwrap();
    let (id, pid) = hung.trim().split_once(' ').unwrap();
    end(pid);
    world.run(&["--once"]).exits(0);
    assert_eq!(told(&world), ["initech-sso expiring 3d"]);
    assert!(world.path(&format!("told/{id}.event")).exists(), "the same event");
}

#[test]
fn a_configuration_of_watched_tokens_alone_is_enough() {
    let world = watching("");
    let text = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[[hooks]]\non = [\"expiring\"]\n\
         exec = [\"after.sh\", \"{}\"]\n{}",
        world.path("told").display(),
        watch(WATCHED, &in_days(1))
    );
    fs::write(world.path("scimitar.toml"), text).unwrap();
    let check = world.call(&["check"]).run().exits(0);
    assert!(!check.stderr.contains("no connections"), "{}", check.stderr);
    world.run(&["--once"]).exits(0);
    assert_eq!(told(&world), ["initech-sso expiring 24h"]);
    let daemon = world.start(&["run"]);
    daemon.err.until_text("running version");
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert_eq!(told(&world).len(), 1);
}
