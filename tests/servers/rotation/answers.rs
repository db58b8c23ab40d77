//! Lost answers, late effects, lagging lists, refusals: it always ends well.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::world::{NAME, TOKENS, World, side_by_side, until};

fn on(method: &str, act: Act) -> Rule {
    let rule = Rule::new(method, "/api/", act);
    if method == "DELETE" { rule } else { rule.ending(TOKENS) }
}

#[test]
fn a_lost_create_answer_leaves_no_orphan_and_no_lost_rotation() {
    side_by_side(
        [
            (Act::DropBefore, 0),
            (Act::Status(503), 0),
            (Act::BadGateway, 0),
            (Act::DropAfter, 1),
            (Act::CutAfter(90), 1),
            (Act::ErrorAfter, 1),
            (Act::Truncate, 1),
        ],
        |(act, orphans)| {
            let world = World::rotated();
            world.fault(on("POST", act.clone()).nth(1));
            let row = world.run(&["--rotate-now"]).exits(0).row();
            assert_eq!(row["outcome"], "rotated", "{act:?}: {row}");
            assert_eq!((world.creates(), world.deletes()), (2, orphans), "{act:?}");
            world.assert_sound(&format!("{act:?}"));
            assert_eq!(world.listed().len(), 2, "current and previous");
        },
    );
}

#[test]
fn a_lost_answer_of_a_delete_is_settled_by_a_list() {
    side_by_side([Act::DropBefore, Act::Status(500), Act::DropAfter, Act::ErrorAfter], |act| {
        let world = World::rotated();
        world.run(&["--rotate-now"]).exits(0);
        world.pass(TimeDelta::seconds(61));
        world.fault(on("DELETE", act.clone()).nth(1));
        let row = world.run(&["--once"]).exits(0).row();
        assert!(row["previous_token_id"].is_null(), "{act:?}: {row}");
        assert_eq!(world.deletes(), 2, "{act:?}");
        assert_eq!(world.listed().len(), 1, "{act:?}");
        world.assert_sound(&format!("{act:?}"));
    });
}

#[test]
fn a_429_is_waited_out_and_its_create_sent_again() {
    let world = World::rotated();
    world.fault(on("POST", Act::Throttle { retry_after: Some(1) }).nth(1));
    world.fault(on("GET", Act::Throttle { retry_after: Some(1) }).nth(1));
    world.run(&["--rotate-now"]).exits(0);
    assert_eq!(world.creates(), 2);
    world.assert_sound("after 429");
}

#[test]
fn a_login_that_the_tenant_has_forgotten_is_renewed_once() {
    let world = World::rotated();
    world.fault(on("POST", Act::Status(401)).nth(1));
    world.run(&["--rotate-now"]).exits(0);
    assert_eq!((world.creates(), world.asked("POST", "/oauth/token")), (2, 2));
    world.assert_sound("after 401");
}

#[test]
fn lists_that_lag_take_nothing_away() {
    let world = World::rotated();
    world.fault(on("GET", Act::Lag(50)));
    world.fault(Rule::new("GET", "/scim/", Act::Lag(1)));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["token_id"], world.held(), "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 0));
    world.faults.clear();
    world.run(&["--once"]).exits(0);
    world.assert_sound("after the lag");
}

#[test]
fn an_orphan_that_lists_do_not_show_yet_is_revoked_once_they_do() {
    let world = World::rotated();
    let current = world.held();
    world.fault(on("GET", Act::Freeze));
    world.fault(on("POST", Act::DropAfter).nth(1));
    // The orphan holds the slot, and nothing can tell who it is.
    let ended = world.run(&["--rotate-now", "--timeout", "10s"]);
    assert!(matches!(ended.status, Some(1 | 3)), "{ended:?}");
    assert_eq!(world.held(), current);
    assert_eq!(world.listed().len(), 2);
    world.release();
    world.run(&["--once"]).exits(0);
    assert_eq!(world.listed(), BTreeSet::from([current]));
    world.assert_sound("after the thaw");
}

#[test]
fn an_unmanaged_token_in_the_slot_names_both_ways_out() {
    side_by_side(["revoke", "adopt"], |way| {
        let world = World::rotated();
        let current = world.held();
        let (unmanaged, value) = world.mint(super::world::OKTA);
        let row = world.run(&["--rotate-now"]).exits(3).row();
        assert_eq!(
            (&row["outcome"], &row["reason"]),
            (&"refused".into(), &"unmanaged_token".into())
        );
        let why = row["why"].as_str().unwrap();
        for command in ["revoke", "adopt"] {
            let command = format!("scimitar {command} {NAME} --token-id {unmanaged}");
            assert!(why.contains(&command), "{command}: {why}");
        }
        // From the moment it is seen, not from the day it is due.
        let row = world.run(&["--once"]).exits(3).row();
        assert_eq!(row["reason"], "unmanaged_token", "{row}");
        assert_eq!((world.creates(), world.deletes()), (0, 0));
        assert_eq!(world.use_token(&value), 200, "it is never revoked unasked");

        let retire = ["--retire"].into_iter().filter(|_| way == "adopt");
        let command: Vec<&str> =
            [way, NAME, "--token-id", &unmanaged].into_iter().chain(retire).collect();
        let row = world.run(&command).exits(0).row();
        if way == "revoke" {
            assert_eq!(world.listed(), BTreeSet::from([current.clone()]), "{row}");
        } else {
            assert_eq!(row["previous_token_id"], unmanaged, "{row}");
            assert_eq!(world.listed().len(), 2);
            world.run(&["--rotate-now"]).exits(3);
            world.pass(TimeDelta::seconds(61));
        }
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["previous_token_id"], current, "{row}");
        assert!(!world.listed().contains(&unmanaged));
        world.assert_sound(way);
    });
}

#[test]
fn an_expired_token_holds_no_slot_and_is_not_touched() {
    let world = World::rotated();
    let (unmanaged, _) = world.mint_for(super::world::OKTA, 901);
    world.run(&["--rotate-now"]).exits(3);
    world.pass(TimeDelta::seconds(901 + 301));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 0));
    assert!(world.listed().contains(&unmanaged), "the tenant lists it for a while");
}

#[test]
fn a_token_refused_for_good_reaches_no_sink_and_is_revoked() {
    let world = World::rotated();
    let current = world.file();
    let mut refuses = Rule::new("GET", "/scim/", Act::Status(401));
    refuses.skip = 1;
    world.fault(refuses);
    let call = world.start(&["--rotate-now", "--timeout", "50s", "--output", "json"]);
    until("the first refusal", || world.asked("GET", "/Users") >= 2);
    // The provider's minute for propagation is over as soon as the next list says so.
    world.pass(TimeDelta::seconds(61));
    until("its revocation", || world.deletes() == 1);
    // What came of it is written down a moment after the provider was asked.
    until("its fault", || world.status()["error"]["class"] == "terminal");
    let row = world.status();
    assert_eq!(row["token_id"], world.held(), "{row}");
    assert!(row["why"].as_str().unwrap().contains("401"), "{row}");
    // Nothing but a person mends that: the call ends, and does not make the next one.
    let row = call.ended().exits(1).row();
    assert_eq!((&row["outcome"], &row["error"]["class"]), (&"failed".into(), &"terminal".into()));
    assert_eq!((world.creates(), world.deletes()), (1, 1));
    assert_eq!(world.file(), current);
    world.faults.clear();
    world.assert_sound("after the refusals");
}

#[test]
fn a_token_that_is_still_refused_when_the_time_is_up_is_revoked() {
    let world = World::rotated();
    let current = world.file();
    let mut refuses = Rule::new("GET", "/scim/", Act::Status(401));
    refuses.skip = 1;
    world.fault(refuses);
    let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(1).row();
    assert_eq!(row["outcome"], "failed", "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 1));
    assert_eq!(world.file(), current);
    world.faults.clear();
    world.run(&["--once"]).exits(0);
    world.assert_sound("after the refusals");
}

/// 403 is as good as a proof only where the token was never given the scope to read users.
#[test]
fn a_token_that_may_read_users_is_not_proven_by_403() {
    let world = World::rotated();
    let current = world.file();
    let mut forbids = Rule::new("GET", "/scim/", Act::Status(403));
    forbids.skip = 1;
    world.fault(forbids);
    let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(1).row();
    assert_eq!(row["outcome"], "failed", "{row}");
    assert_eq!((world.creates(), world.deletes()), (1, 1));
    assert_eq!(world.file(), current);
    world.faults.clear();
    world.assert_sound("after the refusals");
}

#[test]
fn nothing_is_minted_while_the_endpoint_is_away() {
    side_by_side([Act::Status(503), Act::DropBefore, Act::Status(404), Act::Status(200)], |act| {
        let world = World::rotated();
        world.fault(Rule::new("GET", "/scim/", act.clone()));
        let row = world.run(&["--rotate-now", "--timeout", "5s"]).exits(1).row();
        assert_eq!(row["outcome"], "failed", "{act:?}: {row}");
        assert!(row["error"]["message"].as_str().unwrap().contains("SCIM"), "{act:?}: {row}");
        assert_eq!(world.creates(), 0, "{act:?}");
        world.faults.clear();
        world.assert_sound(&format!("{act:?}"));
    });
}

#[test]
fn a_list_that_cannot_be_had_proves_nothing() {
    side_by_side(
        [Act::NoConnection, Act::ScimNotConfigured, Act::ScimUnsupported, Act::Status(500)],
        |act| {
            let world = World::rotated();
            let current = world.held();
            world.fault(on("GET", act.clone()));
            let row = world.run(&["--once", "--timeout", "1s"]).exits(1).row();
            assert_eq!(row["token_id"], current, "{act:?}: {row}");
            assert_eq!((world.creates(), world.deletes()), (0, 0), "{act:?}");
            world.faults.clear();
            world.assert_sound(&format!("{act:?}"));
        },
    );
}

#[test]
fn a_current_token_that_is_gone_is_replaced_at_once() {
    let world = World::rotated();
    let gone = world.held();
    world.delete(&gone);
    // Two lists 5 s apart and the endpoint's 401 prove it; a list in the minute after it was made
    // would not count.
    world.pass(TimeDelta::minutes(2));
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_ne!(world.held(), gone);
    assert_eq!(world.creates(), 1);
    world.assert_sound("after the loss");
}

#[test]
fn it_rotates_by_itself_when_the_token_is_due_and_not_before() {
    let world = World::new();
    // Put there by hand: it is taken over, so that no rotation of ours is only minutes old.
    let (first, value) = world.mint(super::world::OKTA);
    world.put(&value);
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["token_id"]), (&"unchanged".into(), &first.clone().into()));
    world.pass(TimeDelta::days(18));
    assert_eq!(world.run(&["--once"]).exits(0).row()["outcome"], "unchanged");
    assert_eq!(world.creates(), 0);
    world.pass(TimeDelta::days(2));
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["previous_token_id"]), (&"rotated".into(), &first.into()));
    assert_eq!(world.creates(), 1);
    world.assert_sound("on time");
}
