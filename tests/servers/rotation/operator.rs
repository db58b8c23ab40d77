//! What operators decide: leaked tokens, revocations by hand, names, tenants; and what a lost or
//! old ledger costs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};

use super::world::{NAME, OKTA, TOKENS, World};

/// A world with a current and a previous token.
fn in_overlap() -> (World, String, String) {
    let world = World::rotated();
    let previous = world.held();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    let current = world.held();
    (world, current, previous)
}

fn copy_ledger(world: &World, from: &str, to: &str) {
    fs::copy(world.path(from), world.path(to)).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.path(&format!("{to}{side}")));
    }
}

#[test]
fn compromised_replaces_then_delivers_then_revokes_at_once() {
    let (world, current, previous) = in_overlap();
    let row = world.run(&["--rotate-now", "--compromised"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["phase"]), (&"rotated".into(), &"steady".into()), "{row}");
    let order: Vec<String> = world
        .faults
        .requests()
        .into_iter()
        .filter(|seen| {
            seen.method == "DELETE" || seen.path.ends_with(TOKENS) && seen.method == "POST"
        })
        .map(|seen| match seen.path.rsplit_once("/tok_") {
            Some((_, id)) => format!("{} tok_{id}", seen.method),
            None => seen.method,
        })
        .collect();
    let expected = [format!("DELETE {previous}"), "POST".to_owned(), format!("DELETE {current}")];
    assert_eq!(order, expected, "the retiring one first, since its slot is needed");
    assert_eq!(world.listed(), BTreeSet::from([world.held()]));
    world.assert_sound("after the leak");
}

#[test]
fn a_leaked_token_lives_until_every_sink_has_its_replacement() {
    let mut world = World::rotated();
    let leaked = world.held();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    // The second place is taken by somebody only after it was shown writable.
    world.fault(Rule::new("GET", "/scim/", Act::HoldBefore).nth(2));
    let arguments = ["--rotate-now", "--compromised", "--timeout", "10s", "--output", "json"];
    let call = world.start(&arguments);
    world.until_held(1);
    let busy = File::open(world.path("tokens/.second.token.scimitar.lock")).unwrap();
    busy.lock().unwrap();
    world.release();
    let row = call.ended().exits(1).row();
    assert_eq!(row["outcome"], "failed", "{row}");
    assert!(world.listed().contains(&leaked), "somebody may still need it: {row}");
    let why = row["why"].as_str().unwrap();
    assert!(why.contains(&leaked), "which one: {row}");
    assert!(why.contains(&format!("scimitar revoke {NAME} ")) && why.contains("--force"), "{row}");
    // Every later run honours it, without the flag.
    drop(busy);
    world.run(&["--once"]).exits(0);
    assert_eq!(world.listed(), BTreeSet::from([world.held()]));
    assert_ne!(world.held(), leaked);
    world.assert_sound("once the sink could take it");
}

#[test]
fn compromised_is_on_record_and_honoured_by_every_later_run() {
    let (world, current, previous) = in_overlap();
    world.fault(Rule::new("POST", "/api/", Act::HoldBefore));
    let call = world.start(&["--rotate-now", "--compromised"]);
    world.until_held(1);
    call.kill_9();
    world.faults.clear();
    world.release();
    // Neither flag nor name: what is condemned is due.
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let listed = world.listed();
    assert_eq!(listed, BTreeSet::from([world.held()]));
    assert!(!listed.contains(&current) && !listed.contains(&previous));
    world.assert_sound("after the crash");
}

#[test]
fn revoke_needs_force_for_the_token_in_use_and_then_rotates() {
    let world = World::rotated();
    let current = world.held();
    let row = world.run(&["revoke", NAME, "--token-id", &current]).exits(3).row();
    assert_eq!(row["outcome"], "refused", "{row}");
    let why = row["why"].as_str().unwrap();
    assert!(why.contains("`scimitar rotate ") && why.contains("--force"), "the ways out: {why}");
    assert!(world.listed().contains(&current));
    world.run(&["revoke", NAME, "--token-id", &current, "--force"]).exits(0);
    assert!(!world.listed().contains(&current));
    world.run(&["--once"]).exits(0);
    assert_ne!(world.held(), current);
    assert_eq!(world.creates(), 1);
    world.assert_sound("after the force");
}

#[test]
fn commands_about_a_token_that_is_not_there_say_what_is() {
    let world = World::rotated();
    for command in ["revoke", "adopt"] {
        let row = world.run(&[command, NAME, "--token-id", "tok_0000000000000000"]).exits(3).row();
        assert!(row["why"].as_str().unwrap().contains(&world.held()), "{row}");
    }
    assert_eq!((world.creates(), world.deletes()), (0, 0));
}

#[test]
fn with_the_provider_away_a_decision_fails_and_is_not_refused() {
    let world = World::rotated();
    let current = world.held();
    let away = Act::Status(503);
    world.fault(Rule::new("", "/api/", away));
    for command in ["revoke", "adopt"] {
        let row = world.run(&[command, NAME, "--token-id", &current]).exits(1).row();
        assert_eq!(
            (&row["outcome"], &row["reason"]),
            (&"failed".into(), &"provider_unavailable".into())
        );
        assert_eq!(row["error"]["class"], "transient", "{row}");
        assert!(row["error"]["message"].as_str().unwrap().contains("503"), "{row}");
    }
    let said = world.call(&["adopt", NAME, "--token-id", &current]).run().exits(1).stdout;
    assert!(!said.contains("try again") && !said.contains("help:"), "{said}");
}

#[test]
fn adopting_the_current_token_changes_nothing() {
    let world = World::rotated();
    let current = world.held();
    let row = world.run(&["adopt", NAME, "--token-id", &current]).exits(0).row();
    assert_eq!(row["outcome"], "unchanged", "{row}");
    assert!(row["why"].as_str().unwrap().contains("already the current token"), "{row}");
    let wrong = ["revoke", NAME, "--token-id", "tok_0000000000000000"];
    let said = world.call(&wrong).run().exits(3).stdout;
    assert!(!said.contains("explain"), "{said}");
}

#[test]
fn a_sandbox_that_cannot_start_stops_its_own_connections_only() {
    let mut world = World::new();
    fs::write(world.path("in-the-way"), "").unwrap();
    world.config.more = "[[connections]]\nname = \"lost\"\nprovider = \"box\"\n\
                         connection_id = \"con_okta000000000001\"\ntoken_lifetime = \"30d\"\n\
                         deliver_to = [{ sink = \"disk\", file = \"lost.token\" }]\n\
                         [providers.box]\ntype = \"sandbox\"\ndata_dir = \"in-the-way/box\"\n"
        .to_owned();
    world.configure();
    let document = world.run(&["--rotate-now", "--timeout", "10s"]).exits(1).json();
    let rows = document["results"].as_array().unwrap();
    assert_eq!(rows[0]["outcome"], "rotated", "{document}");
    assert_eq!(rows[1]["outcome"], "failed", "{document}");
    let message = rows[1]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("the provider box") && message.contains("another folder"),
        "{message}"
    );
}

#[test]
fn a_lost_ledger_is_rebuilt_from_the_marks_in_the_sinks() {
    let (world, current, previous) = in_overlap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(world.path(name));
    }
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(
        (&row["token_id"], &row["previous_token_id"]),
        (&current.into(), &previous.clone().into())
    );
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    // Only a mark speaks of the older one: it goes once it was unused for a day, and not before.
    world.pass(TimeDelta::seconds(61));
    world.run(&["--once"]).exits(0);
    assert!(world.listed().contains(&previous));
    world.pass(TimeDelta::hours(25));
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&previous));
    world.assert_sound("rebuilt");
}

#[test]
fn an_old_ledger_is_updated_and_revokes_nothing_by_itself() {
    let world = World::rotated();
    let first = world.held();
    copy_ledger(&world, "ledger.db", "old.db");
    world.run(&["--rotate-now"]).exits(0);
    let second = world.held();
    world.faults.forget_requests();
    copy_ledger(&world, "old.db", "ledger.db");
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(
        (&row["token_id"], &row["previous_token_id"]),
        (&second.clone().into(), &first.into())
    );
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    assert_eq!(world.held(), second);
    world.assert_sound("brought up to date");
}

#[test]
fn renaming_a_connection_moves_nothing() {
    let mut world = World::rotated();
    let current = world.held();
    world.config.name = "renamed".to_owned();
    world.configure();
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["connection"], &row["outcome"]), (&"renamed".into(), &"unchanged".into()));
    assert_eq!(row["token_id"], current);
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    world.assert_sound("renamed");
}

#[test]
fn another_tenant_under_the_same_name_is_refused() {
    let mut world = World::rotated();
    let current = world.held();
    world.config.domain = "other.eu.auth0.com".to_owned();
    world.configure();
    let row = world.run(&["--rotate-now"]).exits(3).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"tenant_changed".into()));
    let why = row["why"].as_str().unwrap();
    assert!(why.contains("acme.eu.auth0.com") && why.contains("other.eu.auth0.com"), "{why}");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    world.config.domain = "acme.eu.auth0.com".to_owned();
    world.configure();
    assert_eq!(world.run(&["--once"]).exits(0).row()["token_id"], current);
    world.assert_sound("pointed back");
}

#[test]
fn observe_changes_nothing_even_when_told_to_rotate() {
    let mut world = World::rotated();
    let current = world.file();
    world.config.set("mode", "\"observe\"");
    world.configure();
    let row = world.run(&["--rotate-now"]).exits(3).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"observe".into()));
    // Neither does what expires: the current token, and one of others.
    world.mint(OKTA);
    for days in [20, 20, 1] {
        world.pass(TimeDelta::days(days));
        for call in [&["--once"][..], &["--once"], &["--rotate-now"]] {
            let ended = world.run(call);
            assert_eq!((world.creates(), world.deletes()), (0, 0), "{call:?}: {}", ended.stdout);
        }
    }
    assert_eq!(world.file(), current);
}

#[test]
fn what_may_be_the_only_token_that_works_goes_by_force_alone() {
    let mut world = World::new();
    world.config.set("overlap", "\"10d\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let previous = world.held();
    world.pass(TimeDelta::hours(1));
    world.run(&["--rotate-now"]).exits(0);
    world.delete(&world.held());
    world.mint(OKTA);
    let force = format!("scimitar revoke initech-okta --token-id {previous} --force");
    // The command that is named is one that is not refused, from the first list without the current token.
    let explained = world.call(&["explain", "initech-okta"]).run().exits(0).stdout;
    assert!(explained.contains(&force), "{explained}");
    world.pass(TimeDelta::minutes(2));
    let row = world.run(&["--once"]).exits(0).row();
    let why = row["why"].as_str().unwrap();
    assert!(why.contains("locked out") && why.contains("--force` revokes it now"), "{row}");
    let revoke = ["revoke", "initech-okta", "--token-id", &previous];
    let row = world.run(&revoke).exits(3).row();
    assert!(row["why"].as_str().unwrap().contains(&force), "{row}");
    assert_eq!((world.deletes(), world.listed().contains(&previous)), (0, true), "{row}");
    let explained = world.call(&["explain", "initech-okta"]).run().exits(0).stdout;
    assert!(!explained.contains("requested by an operator"), "nothing is left of it: {explained}");
    world.run(&[&revoke[..], &["--force"]].concat()).exits(0);
    assert!(!world.listed().contains(&previous), "it is what was asked for");
}
