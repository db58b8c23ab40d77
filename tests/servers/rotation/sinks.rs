//! What people and accidents do to the sinks.

use std::{fs, os::unix::fs::symlink};

use chrono::TimeDelta;

use super::world::{OKTA, WAAD, World, prefix, side_by_side};

/// A world with a second file, rotated once.
fn with_two_files(on_drift: &str) -> World {
    let mut world = World::new();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.config.set("on_drift", &format!("\"{on_drift}\""));
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    world.faults.forget_requests();
    world
}

fn second(world: &World) -> String {
    fs::read_to_string(world.path("tokens/second.token")).unwrap()
}

#[test]
fn nothing_is_minted_while_a_sink_cannot_be_written() {
    // A folder in the way of the file, of its marks or of its lock: not even root gets past that.
    const WAYS: [&str; 3] =
        ["second.token", ".second.token.scimitar.json", ".second.token.scimitar.lock"];
    side_by_side(WAYS, |name| {
        let mut world = World::rotated();
        world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
        world.configure();
        let current = world.file();
        let obstacle = world.path("tokens").join(name);
        fs::create_dir(&obstacle).unwrap();
        let row = world.run(&["--rotate-now", "--timeout", "5s"]).exits(1).row();
        assert_eq!(row["outcome"], "failed", "{name}: {row}");
        let message = row["error"]["message"].as_str().unwrap();
        assert!(message.contains("second.token"), "{name}: {row}");
        assert_eq!((world.creates(), world.deletes()), (0, 0), "{name}");
        assert_eq!(world.file(), current);
        // Once the way is free, the next run does what was asked for.
        fs::remove_dir(&obstacle).unwrap();
        let row = world.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{name}: {row}");
        assert_eq!(second(&world), world.file());
        world.assert_sound(name);
    });
}

#[test]
fn an_emptied_sink_is_filled_from_another_without_a_rotation() {
    let world = with_two_files("report");
    let current = world.file();
    for name in ["tokens/second.token", "tokens/initech.token"] {
        fs::remove_file(world.path(name)).unwrap();
        let row = world.run(&["--once"]).exits(0).row();
        assert!(row["sinks"].as_array().unwrap().iter().all(|sink| sink["state"] == "delivered"));
        assert_eq!((world.file(), second(&world)), (current.clone(), current.clone()), "{name}");
    }
    assert_eq!((world.creates(), world.deletes()), (0, 0));
}

#[test]
fn a_sink_that_is_new_in_the_policy_joins_without_a_rotation() {
    let mut world = World::rotated();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    world.run(&["--once"]).exits(0);
    assert_eq!(second(&world), world.file());
    assert_eq!(world.creates(), 0);
}

#[test]
fn a_live_token_that_somebody_put_there_is_taken_over() {
    let world = World::rotated();
    let ours = world.held();
    let (theirs, value) = world.mint(OKTA);
    world.put(&value);
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!(
        (&row["token_id"], &row["previous_token_id"]),
        (&theirs.clone().into(), &ours.clone().into())
    );
    assert_eq!(world.file(), value, "it is not overwritten");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    // Ours was in use until then: it is retired, not revoked on the spot.
    world.pass(TimeDelta::seconds(61));
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&ours));
    world.assert_sound("after the overlap");
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["previous_token_id"], theirs, "{row}");
    world.assert_sound("rotated by hand and then by us");
}

#[test]
fn junk_is_reported_as_drift_and_repaired_by_the_next_rotation() {
    let world = World::rotated();
    let current = world.held();
    world.put("not a token");
    let row = world.run(&["--once"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"unchanged".into(), &"drift".into()), "{row}");
    assert_eq!((&row["token_id"], &row["sinks"][0]["state"]), (&current.into(), &"drift".into()));
    assert_eq!(fs::read_to_string(world.path("tokens/initech.token")).unwrap(), "not a token");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(
        (&row["outcome"], &row["sinks"][0]["state"]),
        (&"rotated".into(), &"delivered".into())
    );
    world.assert_sound("after the repair");
}

/// What others wrote is not lost: `check --online` says so first, and nothing is minted for it.
#[test]
fn a_file_that_cannot_be_parsed_is_refused_before_a_mint() {
    const THEIRS: &str = "{\n  \"database\": \"theirs\",\n}\n";
    let mut world = World::new();
    let delivery = "{ sink = \"disk\", file = \"app.json\", format = \"json\" }";
    world.config.deliver_to = vec![delivery.to_owned()];
    world.configure();
    fs::create_dir_all(world.path("tokens")).unwrap();
    fs::write(world.path("tokens/app.json"), THEIRS).unwrap();
    let row = world.run(&["check", "--online"]).exits(1).row();
    let message = row["error"]["message"].as_str().unwrap();
    assert!(message.contains("trailing comma at line 3"), "{row}");
    assert!(message.contains("overwrite = true on this delivery"), "{row}");
    let ended = world.run(&["--rotate-now", "--timeout", "5s"]);
    assert_ne!(ended.status, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("trailing comma at line 3"), "{}", ended.stdout);
    assert_eq!(world.creates(), 0);
    assert_eq!(fs::read_to_string(world.path("tokens/app.json")).unwrap(), THEIRS);
    world.config.deliver_to = vec![delivery.replace(" }", ", overwrite = true }")];
    world.configure();
    world.run(&["check", "--online"]).exits(0);
    world.run(&["--rotate-now"]).exits(0);
    let delivered = fs::read_to_string(world.path("tokens/app.json")).unwrap();
    assert!(delivered.contains("\"token_id\"") && !delivered.contains("theirs"), "{delivered}");
}

#[test]
fn drift_is_healed_at_once_where_the_policy_says_so() {
    for (on_drift, healed) in [("report", false), ("restore", true)] {
        let world = with_two_files(on_drift);
        let current = world.file();
        fs::write(world.path("tokens/second.token"), "not a token").unwrap();
        let row = world.run(&["--once"]).exits(0).row();
        assert_eq!(row["token_id"], prefix(&current), "{row}");
        assert_eq!(second(&world) == current, healed, "{on_drift}");
        assert_eq!((world.creates(), world.deletes()), (0, 0));
        assert_eq!(world.file(), current);
    }
}

#[test]
fn a_symlink_in_place_of_the_file_is_not_followed() {
    let world = World::rotated();
    let elsewhere = world.path("elsewhere");
    fs::write(&elsewhere, "somebody's file").unwrap();
    fs::remove_file(world.path("tokens/initech.token")).unwrap();
    symlink(&elsewhere, world.path("tokens/initech.token")).unwrap();
    let row = world.run(&["--rotate-now", "--timeout", "5s"]).exits(1).row();
    assert!(row["error"]["message"].as_str().unwrap().contains("symbolic link"), "{row}");
    assert_eq!(world.creates(), 0);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "somebody's file");
}

#[test]
fn the_mark_of_another_connection_is_never_overwritten() {
    let mut world = World::rotated();
    let file = world.file();
    // The name now points at another connection, and delivers to the same place.
    world.config.connection_id = WAAD.to_owned();
    world.configure();
    let row = world.run(&["--rotate-now"]).exits(3).row();
    assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"foreign_owner".into()));
    assert!(row["why"].as_str().unwrap().contains(OKTA), "whose it is: {row}");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    assert_eq!(world.file(), file);
    assert!(world.tokens_of(WAAD).is_empty());
    // The first connection is what it was.
    world.config.connection_id = OKTA.to_owned();
    world.configure();
    world.run(&["--once"]).exits(0);
    world.assert_sound("pointed back");
}

/// Readers get nothing that works from what is left of a token: it is no opinion of anybody's.
#[test]
fn a_damaged_token_is_repaired_at_once_under_any_policy() {
    let world = with_two_files("report");
    let current = world.file();
    let id = prefix(&current);
    let whole = current.trim();
    let part: String = whole.chars().take(30).collect();
    for damaged in [part, format!("{whole}x"), format!("{id}."), id] {
        fs::write(world.path("tokens/second.token"), &damaged).unwrap();
        world.run(&["--once"]).exits(0);
        assert_eq!(second(&world), current, "{} characters", damaged.len());
    }
    assert_eq!((world.creates(), world.deletes()), (0, 0));
    // What may still work for its readers is not that.
    for kept in [format!("Bearer {whole}"), format!("\"{whole}\""), "not a token".to_owned()] {
        fs::write(world.path("tokens/second.token"), &kept).unwrap();
        let row = world.run(&["--once"]).exits(0).row();
        assert_eq!(second(&world), kept, "{row}");
    }
}

/// It may be the only copy that there is.
#[test]
fn a_first_delivery_overwrites_no_other_connections_token() {
    let world = World::new();
    fs::create_dir_all(world.path("tokens")).unwrap();
    let (theirs, value) = world.mint(WAAD);
    fs::write(world.path("tokens/initech.token"), &value).unwrap();
    let row = world.run(&["check", "--online"]).exits(1).row();
    let message = row["error"]["message"].as_str().unwrap();
    assert!(message.contains(&theirs) && message.contains("connection_id"), "{row}");
    assert!(!message.contains(&value));
    let row = world.run(&["--once"]).exits(3).row();
    assert_eq!(row["reason"], "foreign_content", "{row}");
    assert_eq!(world.creates(), 0);
    assert_eq!(fs::read_to_string(world.path("tokens/initech.token")).unwrap(), value);
}

/// Readers who take the token from a key of their own, or from inside other text, keep it.
#[test]
fn a_token_under_another_key_of_a_place_is_not_revoked() {
    let mut world = World::new();
    let delivery = "{ sink = \"disk\", file = \"app.json\", format = \"json\" }";
    world.config.deliver_to = vec![delivery.to_owned()];
    world.config.set("overlap", "\"0s\"");
    world.config.set("revoke_after_use", "false");
    world.configure();
    world.run(&["--once"]).exits(0);
    let file = world.path("tokens/app.json");
    let read = || -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap()
    };
    let first = read()["token"].as_str().unwrap().to_owned();
    let id = prefix(&first);
    for theirs in [first.clone(), format!("https://u:{first}@host/"), format!("bearer  {first}")] {
        let mut content = read();
        content["THEIRS"] = theirs.into();
        fs::write(&file, content.to_string()).unwrap();
        world.run(&["check", "--online"]).exits(1);
        let row = world.run(&["--rotate-now"]).exits(3).row();
        assert_eq!(row["reason"], "token_elsewhere", "{row}");
        assert!(row["why"].as_str().unwrap().contains(&id), "{row}");
    }
    let mut content = read();
    content.as_object_mut().unwrap().remove("THEIRS");
    fs::write(&file, content.to_string()).unwrap();
    world.config.set("overlap", "\"1h\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let mut content = read();
    content["THEIRS"] = first.into();
    fs::write(&file, content.to_string()).unwrap();
    world.pass(TimeDelta::hours(2));
    for arguments in [vec!["--once"], vec!["revoke", "initech-okta", "--token-id", &id]] {
        world.run(&arguments);
        assert!(world.listed().contains(&id), "{arguments:?}");
    }
}
