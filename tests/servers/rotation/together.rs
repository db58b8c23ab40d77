//! Several processes on one ledger never rotate twice.

use std::{collections::BTreeSet, fs};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::world::{NAME, TOKENS, World, until};

/// How many processes stand at the ledger: each that asked for a claim has a file there.
fn status(world: &World) -> usize {
    fs::read_dir(world.path("ledger.db.holders")).map_or(0, |entries| {
        entries
            .filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count()
    })
}

#[test]
fn three_one_shots_at_once_make_one_token_and_all_report_it() {
    for round in 0..3 {
        let world = if round == 0 { World::new() } else { World::rotated() };
        // The create waits until all three have asked, so that it answers each of them.
        world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1));
        let calls: Vec<_> =
            (0..3).map(|_| world.start(&["--rotate-now", "--output", "json"])).collect();
        until("three processes at the ledger", || status(&world) == 3);
        world.until_held(1);
        world.release();
        let ids: BTreeSet<String> = calls
            .into_iter()
            .map(|call| {
                let row = call.ended().exits(0).row();
                assert_eq!(row["outcome"], "rotated", "{row}");
                row["token_id"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(ids, BTreeSet::from([world.held()]));
        assert_eq!(world.creates(), 1);
        world.assert_sound("after three at once");
    }
}

#[test]
fn a_one_shot_beside_the_daemon_joins_its_rotation() {
    let world = World::new();
    world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1));
    let daemon = world.start(&["run"]);
    world.until_held(1);
    let call = world.start(&["--rotate-now", "--output", "json"]);
    until("two processes at the ledger", || status(&world) == 2);
    world.release();
    let row = call.ended().exits(0).row();
    assert_eq!((&row["outcome"], &row["token_id"]), (&"rotated".into(), &world.held().into()));
    daemon.signal("TERM");
    daemon.ended().exits(0);
    assert_eq!(world.creates(), 1);
    world.assert_sound("beside the daemon");
}

#[test]
fn once_leaves_a_connection_alone_that_another_process_acts_on() {
    let world = World::new();
    world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1));
    let call = world.start(&["--rotate-now", "--output", "json"]);
    world.until_held(1);
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"waiting".into(), &"claimed_elsewhere".into()));
    world.release();
    call.ended().exits(0);
    assert_eq!(world.creates(), 1);
}

#[test]
fn a_rotation_that_ended_before_the_call_is_not_its_answer() {
    let world = World::rotated();
    let first = world.held();
    let row = world.run(&["--rotate-now", NAME]).exits(0).row();
    assert_eq!(row["previous_token_id"], first);
    world.pass(TimeDelta::seconds(61));
    let row = world.run(&["--rotate-now", NAME]).exits(0).row();
    assert_ne!(row["token_id"], first);
    assert_eq!(world.creates(), 2);
}
