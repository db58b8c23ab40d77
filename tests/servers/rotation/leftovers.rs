//! `verify = "write"` where an endpoint hides or keeps what it should show or delete, and where the time of a
//! call ends, by the real program.

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::{
    world::{NAME, OKTA, World, until},
    writing::{asked, audited, creates, probes, rotated, users, warnings, warns},
};

/// What is about one user, and no list.
fn about_one(method: &str, act: Act) -> Rule {
    Rule::new(method, &format!("/scim/v2/connections/{OKTA}/Users/"), act)
}

fn sent(world: &World, what: &str) -> usize {
    asked(world).iter().filter(|asked| *asked == what).count()
}

#[test]
fn a_user_that_is_hidden_once_inactive_is_deleted() {
    let world = rotated();
    let before = users(&world);
    world.faults.quirks(|quirks| quirks.hides_inactive = true);
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_eq!((sent(&world, "DELETE one"), users(&world)), (1, before.clone()));
    assert_eq!(warnings(&row), [""; 0], "{row}");
    let proved = audited(&world, "proved_by_writing");
    assert!(proved.last().unwrap().ends_with("deactivate, delete"), "{proved:?}");

    // Also where nobody knows any more but the ledger that it was ours, and where the answer was lost.
    for act in [Act::HoldBefore, Act::HoldAfter] {
        world.pass(TimeDelta::seconds(61));
        world.fault(Rule::new("DELETE", "/scim/v2/", act).nth(1));
        let running = world.start(&["--rotate-now"]);
        world.until_held(1);
        running.kill_9();
        world.faults.clear();
        world.faults.quirks(|quirks| quirks.hides_inactive = true);
        world.run(&["--once"]).exits(0);
        assert_eq!(users(&world), before);
        world.release();
        assert!(!warns(&world.status(), "probe_user_left"));
    }
}

#[test]
fn a_delete_that_nothing_confirms_is_tried_again() {
    let world = rotated();
    // The read, that of the deactivation, that before the DELETE, and that after it.
    world.fault(about_one("GET", Act::Status(503)).nth(4));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!((row["outcome"].as_str(), sent(&world, "DELETE one")), (Some("rotated"), 1));
    assert!(warns(&row, "but it is not known whether the user is gone"), "{row}");
    let proved = audited(&world, "proved_by_writing");
    assert!(!proved.last().unwrap().contains("deactivate, delete"), "{proved:?}");
    world.faults.clear();
    until("Scimitar tries again", || {
        world.run(&["--once"]).exits(0);
        sent(&world, "DELETE one") == 2
    });
    assert!(!warns(&world.status(), "probe_user_left"));
}

#[test]
fn an_endpoint_without_active_claims_no_deactivation() {
    let world = rotated();
    world.faults.quirks(|quirks| quirks.hides_active = true);
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert!(warns(&row, "then showed the user without `active`, neither true nor false"), "{row}");
    assert!(!warns(&row, "still showed the user as active"), "{row}");
    let proved = audited(&world, "proved_by_writing");
    let proved = proved.last().unwrap();
    assert!(proved.contains("read, search, replace, patch, delete"), "{proved}");
}

#[test]
fn a_person_ends_the_search_for_a_user() {
    let world = rotated();
    world.fault(Rule::new("DELETE", "/scim/v2/", Act::Status(400)));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    let left = probes(&world).remove(0);
    let way_out = format!("`scimitar adopt {NAME} --user-gone {left}`");
    assert!(warns(&row, &way_out), "{row}");
    let other = "scimitar-probe-0123456789abcdef@scimitar.invalid";
    let refused = world.run(&["adopt", NAME, "--user-gone", other]).exits(3).row();
    assert!(refused["why"].as_str().unwrap().contains(&left), "{refused}");
    let row = world.run(&["adopt", NAME, "--user-gone", &left]).exits(0).row();
    assert!(!warns(&row, "probe_user_left"), "{row}");
    let again = world.run(&["adopt", NAME, "--user-gone", &left]).exits(0).row();
    assert!(again["why"].as_str().unwrap().contains("no throw-away user"), "{again}");
    // It is nobody's any more.
    world.faults.clear();
    world.run(&["--once"]).exits(0);
    assert_eq!(probes(&world), [left]);
}

#[test]
fn a_call_with_little_time_proves_by_reading() {
    let world = rotated();
    let row = world.run(&["--rotate-now", "--timeout", "5s"]).exits(0).row();
    assert_eq!((row["outcome"].as_str(), creates(&world)), (Some("rotated"), 0));
    assert!(warns(&row, "does not have enough time left"), "{row}");

    // Half of a longer one is for the writes, whatever they take.
    world.pass(TimeDelta::seconds(61));
    world.fault(about_one("PUT", Act::Delay(7)));
    let row = world.run(&["--rotate-now", "--timeout", "14s"]).exits(0).row();
    assert_eq!((row["outcome"].as_str(), creates(&world)), (Some("rotated"), 1));
    assert!(warns(&row, "patch, deactivate could be tried"), "{row}");
    assert_eq!(probes(&world), [""; 0]);
    world.assert_sound("in part");
}

#[test]
fn writes_that_outlast_a_call_hold_up_one_token() {
    let world = rotated();
    let (held, listed) = (world.held(), world.listed());
    world.fault(about_one("PUT", Act::HoldBefore));
    let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(1).row();
    assert_eq!((row["outcome"].as_str(), world.held()), (Some("failed"), held), "{row}");
    assert_eq!(world.listed(), listed, "its token is revoked in the same call");
    world.pass(TimeDelta::seconds(61));
    world.faults.forget_requests();
    let row = world.run(&["--rotate-now", "--timeout", "8s"]).exits(0).row();
    assert_eq!((row["outcome"].as_str(), creates(&world)), (Some("rotated"), 0));
    world.release();
    assert_eq!(probes(&world), [""; 0]);
}
