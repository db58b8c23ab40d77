//! What only looks changes nothing: not a byte here, not a token there.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::TimeDelta;

use crate::world::{NAME, OKTA, TOKENS, World, files};

const LOOKS: [&[&str]; 9] = [
    &["plan"],
    &["plan", NAME, "--until", "400d"],
    &["--once", "--dry-run"],
    &["--rotate-now", "--dry-run"],
    &["--rotate-now", "--compromised", "--dry-run"],
    &["explain", NAME],
    &["status"],
    &["check"],
    &["check", "--online"],
];

/// Everything but the tenant, which notes who logs in and who uses what.
fn bytes(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(world.folder.path());
    files.retain(|path, _| !path.starts_with(world.path("tenant")));
    files
}

/// Looks in every way, and asserts that nothing is different afterwards.
fn assert_untouched(world: &World, when: &str) {
    let (before, listed) = (bytes(world), world.listed());
    for look in LOOKS {
        world.faults.forget_requests();
        world.call(look).run();
        let after = bytes(world);
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "{when}: {look:?}");
        for (path, bytes) in &after {
            assert_eq!(before.get(path), Some(bytes), "{when}: {look:?}: {}", path.display());
        }
        let changes: Vec<_> = world
            .faults
            .requests()
            .into_iter()
            .filter(|seen| seen.method != "GET" && seen.path != "/oauth/token")
            .collect();
        assert!(changes.is_empty(), "{when}: {look:?}: {changes:?}");
        assert_eq!(world.listed(), listed, "{when}: {look:?}");
    }
}

#[test]
fn looking_before_the_first_run_leaves_no_trace() {
    assert_untouched(&World::new(), "never run");
}

#[test]
fn looking_at_a_connection_in_overlap_leaves_no_trace() {
    let world = World::rotated();
    world.run(&["--rotate-now"]).exits(0);
    assert_untouched(&world, "in overlap");
}

#[test]
fn looking_at_a_token_that_could_be_revoked_leaves_no_trace() {
    let world = World::rotated();
    world.run(&["--rotate-now"]).exits(0);
    world.pass(TimeDelta::seconds(61));
    assert_untouched(&world, "overlap over");
}

#[test]
fn looking_at_a_connection_in_trouble_leaves_no_trace() {
    let world = World::rotated();
    world.mint(OKTA);
    assert_untouched(&world, "a stranger in the slot");
    world.put("not a token");
    assert_untouched(&world, "drift");
}

#[test]
fn plan_shows_the_calls_and_a_dry_run_the_refusal() {
    let world = World::new();
    let row = world.run(&["plan"]).exits(0).row();
    assert_eq!(row["outcome"], "planned", "{row}");
    let steps = row["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["call"].to_string().contains("create a token")), "{row}");
    for step in steps {
        for member in ["at", "call", "why", "if_it_dies"] {
            assert!(step[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {step}");
        }
        assert!(step["slots_used"].as_u64().unwrap() <= 2, "{step}");
    }
    let row = world.run(&["--rotate-now", "--dry-run"]).exits(0).row();
    assert_eq!(row["outcome"], "planned", "{row}");
    world.run(&["--rotate-now"]).exits(0);
    world.run(&["--rotate-now"]).exits(0);
    let row = world.run(&["--rotate-now", "--dry-run"]).exits(3).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"previous_in_use".into()));
    // `status` shows and exits 0; with --exit-code it says what `--once` would.
    world.mint_after_overlap();
    world.run(&["--once"]).exits(3);
    world.run(&["status"]).exits(0);
    world.run(&["status", "--exit-code"]).exits(3);
}

#[test]
fn check_online_names_the_right_that_is_missing() {
    let world = World::new();
    world.run(&["check", "--online"]).exits(0);
    world.faults.quirks(|quirks| {
        quirks.grant = Some(vec!["read:scim_token".into(), "create:scim_token".into()]);
    });
    let ended = world.run(&["check", "--online"]).exits(1);
    assert!(ended.row()["error"]["message"].to_string().contains("delete:scim_token"));
    assert_eq!(world.asked("POST", TOKENS), 0);
}
