//! The daemon is gone, or what it works with is: `status` says so, in a sentence that has the way out.

use std::fs;

use super::{
    super::rotation::world::{CLIENT_SECRET, World, until},
    configure, daemon, rotated, world,
};

const KILLED: &str = "was killed or crashed. Nothing is rotated until it is started again";

fn status(world: &World) -> String {
    world.call(&["status"]).run().exits(0).stdout
}

#[test]
fn a_daemon_that_was_killed_is_told_of_until_another_runs() {
    let world = world();
    let first = rotated(&world);
    let pid = first.pid();
    assert!(!status(&world).contains("daemon"), "it answers");
    first.kill_9();
    let said = status(&world);
    assert!(said.contains(&format!("the daemon does not run: process {pid}, started ")), "{said}");
    assert!(said.contains(KILLED), "{said}");
    let explained = world.call(&["explain", "initech-okta"]).env("CLIENT_SECRET", CLIENT_SECRET);
    let explained = explained.run().stdout;
    assert!(
        explained.starts_with(&format!("the daemon does not run: process {pid}")),
        "{explained}"
    );
    // Nor does who has no secret have to know that another command says it.
    for command in ["explain", "plan"] {
        let said = world.call(&[command, "initech-okta"]).run().stdout;
        assert!(said.starts_with(&format!("the daemon does not run: process {pid}")), "{said}");
    }
    // Its work on one connection is not all of its work.
    let once = |arguments: &[&str]| {
        world.call(arguments).env("CLIENT_SECRET", CLIENT_SECRET).run().exits(0);
    };
    once(&["once", "initech-okta"]);
    assert!(status(&world).contains(KILLED));

    let second = daemon(&world);
    second.err.until_text(&format!("the previous daemon (process {pid}, started at "));
    until("it answers", || !status(&world).contains("daemon"));
    second.signal("TERM");
    second.ended().exits(0);
    let said = status(&world);
    assert!(said.contains("no daemon answered, last check ") && !said.contains(KILLED), "{said}");

    daemon(&world).kill_9();
    assert!(status(&world).contains(KILLED));
    once(&["once"]);
    assert!(!status(&world).contains(KILLED), "a timer does its work now");
    world.assert_sound("after the deaths of daemons");
}

#[test]
fn a_ledger_that_was_taken_away_is_no_empty_one() {
    let world = world();
    let daemon = rotated(&world);
    let (ledger, aside) = (world.path("ledger.db"), world.path("aside.db"));
    fs::rename(&ledger, &aside).unwrap();
    for command in [&["status"][..], &["explain", "initech-okta"], &["--rotate-now"]] {
        let said = world.call(command).run().exits(1);
        let words = "the file was removed or replaced while it was in use";
        assert!(said.stderr.contains(words), "{command:?}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{command:?}");
        assert!(!ledger.exists(), "{command:?} makes no other one");
    }
    fs::rename(&aside, &ledger).unwrap();
    assert!(status(&world).contains("1 connection: "));
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.assert_sound("after the ledger was away");
}

#[test]
fn a_rejected_reload_is_told_of_until_it_is_mended() {
    let world = world();
    let daemon = rotated(&world);
    let explained = || world.call(&["explain", "initech-okta"]).run().exits(0).stderr;
    let path = world.path("scimitar.toml");
    let right = fs::read_to_string(&path).unwrap();
    // Nothing is wrong with the file as such.
    fs::write(&path, right.replace("sqlite://ledger.db", "sqlite://other.db")).unwrap();
    daemon.signal("HUP");
    daemon.err.until_text("reload rejected");
    let said = explained();
    assert!(said.contains("scimitar.toml was rejected at the reload "), "{said}");
    assert!(said.contains("ago ([state] url names another ledger: change it back, or"), "{said}");
    configure(&world, "");
    assert_eq!(explained(), "", "the file is the one in force again");
    daemon.signal("TERM");
    daemon.ended().exits(0);
}
