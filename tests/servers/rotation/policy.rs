//! What the policy asks for before an older token goes, and what a stranger's fate is.

use chrono::TimeDelta;

use super::world::{OKTA, World};

/// A world in overlap under a policy; what the current token's file holds is its value.
fn in_overlap(keys: &[(&'static str, &str)]) -> (World, String) {
    let mut world = World::new();
    for (key, value) in keys {
        world.config.set(key, value);
    }
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let previous = world.held();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    (world, previous)
}

#[test]
fn the_old_token_stays_until_someone_else_used_the_new_one() {
    let (world, previous) = in_overlap(&[("revoke_after_use", "true")]);
    // Our own probe has used it, but that is no evidence, however long ago.
    for time in [TimeDelta::minutes(2), TimeDelta::days(2)] {
        world.pass(time);
        let row = world.run(&["--once"]).exits(0).row();
        let reason = "delivered_not_used".into();
        assert_eq!((&row["outcome"], &row["reason"]), (&"waiting".into(), &reason));
        assert!(row["warnings"].to_string().contains("check the clients that read"), "{row}");
        assert!(world.listed().contains(&previous));
    }
    assert_eq!(world.use_token(&world.file()), 200);
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&previous));
    world.assert_sound("after its first use");
}

#[test]
fn the_older_token_stays_while_it_is_used_and_that_is_reported() {
    let mut world = World::new();
    world.config.set("revoke_when_idle", "\"2h\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let (previous, value) = (world.held(), world.file());
    world.run(&["--rotate-now"]).exits(0);
    for _ in 0..3 {
        world.pass(TimeDelta::minutes(90));
        assert_eq!(world.use_token(&value), 200);
        let row = world.run(&["--once"]).exits(0).row();
        assert_eq!((&row["outcome"], &row["reason"]), (&"waiting".into(), &"evidence".into()));
        assert!(row["warnings"].to_string().contains("previous_still_used"), "{row}");
    }
    world.pass(TimeDelta::minutes(121));
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&previous));
    world.assert_sound("idle");
}

#[test]
fn the_revocation_of_a_token_in_use_is_a_warning() {
    for is_used in [true, false] {
        let world = World::rotated();
        let (previous, value) = (world.held(), world.file());
        world.run(&["--rotate-now"]).exits(0);
        world.pass(TimeDelta::hours(3));
        if is_used {
            assert_eq!(world.use_token(&value), 200);
        }
        let ended = world.run(&["--once"]).exits(0);
        assert!(!world.listed().contains(&previous), "its overlap is over: {}", ended.stdout);
        let warned = ended.stderr.lines().any(|line| {
            line.contains(" WARN ")
                && line.contains(&format!("revoking {previous}, which was used"))
        });
        assert_eq!(warned, is_used, "{}", ended.stderr);
    }
}

#[test]
fn revoke_at_latest_ends_the_wait_for_evidence() {
    let keys = [("revoke_after_use", "true"), ("revoke_at_latest", "\"72h\"")];
    let (world, previous) = in_overlap(&keys);
    world.pass(TimeDelta::hours(71));
    world.run(&["--once"]).exits(0);
    assert!(world.listed().contains(&previous));
    world.pass(TimeDelta::minutes(61));
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&previous));
    world.assert_sound("at the latest");
}

#[test]
fn an_unmanaged_token_is_retired_only_by_policy_and_if_unused() {
    for (unmanaged, retired) in [("report", false), ("retire", true)] {
        let mut world = World::new();
        let (theirs, _) = world.mint(OKTA);
        world.config.set("unmanaged", &format!("\"{unmanaged}\""));
        world.configure();
        // Older than ours, and seen from now on.
        world.run(&["--rotate-now"]).exits(0);
        for days in [3, 3] {
            world.pass(TimeDelta::days(days));
            world.run(&["--once"]).exits(3);
        }
        world.pass(TimeDelta::days(2));
        let status = world.run(&["--once"]).status;
        assert_eq!(status, Some(if retired { 0 } else { 3 }), "{unmanaged}");
        world.pass(TimeDelta::seconds(61));
        world.run(&["--once"]);
        assert_eq!(!world.listed().contains(&theirs), retired, "{unmanaged}");
    }
}

#[test]
fn after_a_long_sleep_an_expired_token_is_replaced() {
    let world = World::rotated();
    let expired = world.held();
    world.pass(TimeDelta::days(45));
    assert_eq!(world.use_token(&world.file()), 401);
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_ne!(world.held(), expired);
    world.assert_sound("after the sleep");
}

#[test]
fn the_metrics_of_a_one_shot_say_how_it_ended_and_name_no_token() {
    let world = World::new();
    for (arguments, status) in [("--rotate-now", 0), ("--rotate-now", 0), ("--rotate-now", 3)] {
        world.run(&[arguments]).exits(status);
        let text = world.textfile();
        let exit = format!("scimitar_last_run_exit_status {status}\n");
        assert!(text.contains(&exit), "{exit}: {text}");
        assert!(!text.contains("tok_"), "{text}");
    }
    let text = world.textfile();
    let labels = "{connection=\"initech-okta\",provider=\"acme\"";
    for series in [
        "scimitar_tokens{connection=\"initech-okta\",kind=\"previous\",provider=\"acme\"} 1"
            .to_owned(),
        format!("scimitar_token_created_timestamp_seconds{labels}}}"),
        format!("scimitar_token_expiry_timestamp_seconds{labels}}}"),
    ] {
        assert!(text.contains(&series), "{series}: {text}");
    }
}

/// What an answer of the tenant takes on its way is no reason to wait.
#[test]
fn without_overlap_a_rotation_is_whole_in_one_call() {
    let mut world = World::new();
    world.config.set("overlap", "\"0s\"");
    world.configure();
    for deletes in 0..3 {
        world.run(&["--rotate-now"]).exits(0);
        assert_eq!(world.deletes(), deletes);
        world.assert_sound("after a rotation without overlap");
    }
}
