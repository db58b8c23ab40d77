//! The daemon, signals and time-outs: it always parks safely.

use std::{
    collections::BTreeSet,
    fs::{self, File},
};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::world::{TOKENS, World, until};

const STOPPING: &str = "shutting down";

#[test]
fn the_daemon_rotates_what_is_due_and_sigterm_ends_it_with_0() {
    let world = World::new();
    let daemon = world.start(&["run"]);
    until("the first delivery", || world.path("tokens/initech.token").exists());
    // `status` beside it works on the same ledger.
    until("the rotation on record", || world.status()["token_id"].is_string());
    assert_eq!(world.status()["token_id"], world.held());
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert_eq!(world.creates(), 1);
    world.assert_sound("after the daemon");
    // Without a command it is the same daemon.
    let daemon = world.start(&[]);
    daemon.err.until_text("running");
    daemon.signal("INT");
    daemon.ended().exits(0);
    assert_eq!(world.creates(), 1);
}

#[test]
fn the_daemon_revokes_the_older_token_when_its_overlap_is_over() {
    let mut world = World::new();
    world.config.set("overlap", "\"1s\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    world.run(&["--rotate-now"]).exits(0);
    let daemon = world.start(&["run"]);
    until("the older token is gone", || world.listed().len() == 1);
    daemon.signal("TERM");
    daemon.ended().exits(0);
    world.assert_sound("after the overlap");
}

#[test]
fn ctrl_c_in_mid_create_revokes_the_new_token_and_exits_130() {
    let world = World::rotated();
    let current = world.held();
    world.fault(Rule::new("POST", "", Act::HoldAfter).ending(TOKENS).nth(1));
    let call = world.start(&["--rotate-now", "--output", "json"]);
    world.until_held(1);
    call.signal("INT");
    call.err.until_text(STOPPING);
    world.release();
    let row = call.ended().exits(130).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"waiting".into(), &"interrupted".into()));
    assert_eq!(world.listed(), BTreeSet::from([current.clone()]));
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["token_id"]), (&"unchanged".into(), &current.into()));
    world.assert_sound("after Ctrl-C");
}

#[test]
fn sigterm_ends_a_one_shot_with_143() {
    let world = World::rotated();
    world.fault(Rule::new("GET", "", Act::HoldAfter).ending(TOKENS).nth(1));
    let call = world.start(&["--rotate-now"]);
    world.until_held(1);
    call.signal("TERM");
    call.err.until_text(STOPPING);
    world.release();
    call.ended().exits(143);
    assert_eq!(world.creates(), 0, "nothing is begun after the signal");
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_start_picks_up() {
    let world = World::rotated();
    world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1));
    let call = world.start(&["--rotate-now"]);
    world.until_held(1);
    call.signal("INT");
    call.err.until_text(STOPPING);
    call.signal("INT");
    // It ends although its request is still held.
    call.ended().exits(130);
    world.release();
    assert_eq!(world.listed().len(), 2);
    world.run(&["--once"]).exits(0);
    world.assert_sound("after two signals");
    assert_eq!(world.listed().len(), 1);
}

#[test]
fn at_the_deadline_an_undelivered_token_is_revoked_with_exit_1() {
    let world = World::rotated();
    let current = world.held();
    // The endpoint is there before the mint and says nothing after it.
    let mut silent = Rule::new("GET", "/scim/", Act::Status(503));
    silent.skip = 1;
    world.fault(silent);
    let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(1).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"failed".into(), &"timeout".into()), "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 1));
    assert_eq!(world.listed(), BTreeSet::from([current]));
    world.faults.clear();
    world.pass(TimeDelta::minutes(1));
    world.run(&["--once"]).exits(0);
    world.assert_sound("after the time-out");
}

#[test]
fn at_the_deadline_a_delivered_token_is_left_to_the_next_run() {
    let mut world = World::rotated();
    let previous = world.held();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    // The second place is taken by somebody only after it was shown writable.
    world.fault(Rule::new("GET", "/scim/", Act::HoldBefore).nth(2));
    let call = world.start(&["--rotate-now", "--timeout", "10s", "--output", "json"]);
    world.until_held(1);
    let busy = File::open(world.path("tokens/.second.token.scimitar.lock")).unwrap();
    busy.lock().unwrap();
    world.release();
    let row = call.ended().exits(1).row();
    assert_eq!(row["outcome"], "failed", "{row}");
    let new = world.held();
    assert_ne!(new, previous, "the first place has it");
    assert_eq!(world.listed(), BTreeSet::from([new.clone(), previous.clone()]));
    // The older one stays, since somebody may read the other place, until both have the new one.
    world.pass(TimeDelta::minutes(5));
    assert_eq!(world.run(&["--once", "--timeout", "1s"]).status, Some(1));
    assert!(world.listed().contains(&previous));
    drop(busy);
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["token_id"], &row["previous_token_id"]), (&new.into(), &previous.into()));
    assert_eq!(fs::read_to_string(world.path("tokens/second.token")).unwrap(), world.file());
    assert_eq!(world.creates(), 1);
    world.assert_sound("delivered by the next run");
}
