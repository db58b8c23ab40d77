//! What only looks changes nothing: not a byte here, not a token there.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};
use serde_json::Value;

use super::world::{NAME, OKTA, TOKENS, World, files};

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

#[test]
fn check_online_without_a_ledger_does_not_claim_all_rights() {
    let world = World::new();
    let file = world.path("scimitar.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("sqlite://ledger.db", "sqlite:///proc/ledger.db")).unwrap();
    let ended = world.call(&["check", "--online"]).run().exits(1);
    assert!(ended.stderr.contains("stores no files"), "{}", ended.stderr);
    let said = "the ledger cannot be written";
    assert!(
        ended.stdout.contains(said) && !ended.stdout.contains("every permission"),
        "{}",
        ended.stdout
    );
}

#[test]
fn an_unreachable_provider_is_no_missing_right_but_a_retry() {
    let world = World::rotated();
    let away = Act::Status(503);
    world.fault(Rule::new("", "", away));
    let ended = world.call(&["check", "--online"]).run().exits(1);
    assert!(ended.stdout.contains("permissions could not be checked"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("missing"), "{}", ended.stdout);
    let row = world.run(&["check", "--online"]).exits(1).row();
    assert_eq!(row["error"]["class"], "transient", "{row}");
    assert_eq!(row["reason"], "provider_unavailable", "{row}");

    world.pass(TimeDelta::days(25));
    world.run(&["--once", "--timeout", "5s"]).exits(1);
    let row = world.status();
    assert_eq!(row["reason"], "provider_unavailable", "{row}");
}

#[test]
fn a_file_that_is_not_there_has_no_version() {
    let mut world = World::rotated();
    world.config.deliver_to.push("{ sink = \"disk\", file = \"second.token\" }".to_owned());
    world.configure();
    let row = world.run(&["plan"]).exits(0).row();
    let sinks = row["sinks"].as_array().unwrap();
    let second = sinks.iter().find(|sink| sink["location"].to_string().contains("second")).unwrap();
    assert_eq!(second["version"], Value::Null, "{row}");
    assert!(sinks.iter().any(|sink| sink["version"].is_string()), "{row}");
}

#[test]
fn status_and_check_need_no_secret_and_others_say_which() {
    let world = World::rotated();
    let path = world.path("scimitar.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("file = \"client-secret\"", "credential = \"x\"")).unwrap();
    assert_eq!(world.status()["outcome"], "unchanged");
    let ended = world.call(&["check"]).run().exits(0);
    assert!(ended.stderr.contains("it can only be read inside the unit"), "{}", ended.stderr);
    for command in [&["--once"][..], &["check", "--online"]] {
        let ended = world.call(command).run().exits(2);
        let way = "-p StateDirectoryMode=0700 -p LoadCredential=NAME:/path scimitar";
        assert!(ended.stderr.contains(way), "{command:?}: {}", ended.stderr);
    }
    // What only looks answers from the ledger.
    for command in [&["explain", NAME][..], &["plan", NAME]] {
        let ended = world.call(command).run().exits(0);
        let why =
            "providers and sinks were not asked, because `client_secret`: $CREDENTIALS_DIRECTORY";
        assert!(ended.stderr.contains(why), "{command:?}: {}", ended.stderr);
        assert!(ended.stdout.contains(NAME), "{command:?}: {}", ended.stdout);
    }
}

#[test]
fn what_a_dry_run_would_do_now_waits_for_nothing() {
    let world = World::rotated();
    let row = world.run(&["--rotate-now", "--dry-run"]).exits(0).row();
    assert!(row["why"].as_str().unwrap().starts_with("an operator asked for it"), "{row}");
    assert_eq!(row["reason"], Value::Null, "{row}");
}

/// What a rotation would be refused for is said before one is due.
#[test]
fn check_online_names_what_blocks_a_rotation_and_the_way_out() {
    let mut world = World::new();
    world.put("-----BEGIN PRIVATE KEY-----\n");
    let in_the_way = |world: &World, reason: &str, words: &[&str]| {
        let said = world.call(&["check", "--online"]).run().exits(1).stdout;
        assert!(said.contains("a rotation is blocked by"), "{said}");
        let row = world.run(&["check", "--online"]).exits(1).row();
        assert_eq!((&row["reason"], &row["error"]["class"]), (&reason.into(), &"terminal".into()));
        for words in words {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!(world.creates(), 0);
    };
    in_the_way(&world, "foreign_content", &["overwrite = true"]);

    // The readers' token, under a key that this delivery does not write.
    let (id, value) = world.mint(OKTA);
    world.config.deliver_to =
        vec!["{ sink = \"disk\", file = \"initech.token\", format = \"json\" }".to_owned()];
    world.configure();
    world.put(&serde_json::json!({ "OKTA_TOKEN": value }).to_string());
    let payload = "payload = { OKTA_TOKEN = \"{{ token }}\" }";
    in_the_way(&world, "token_elsewhere", &[&id, payload]);

    // The folder that was delivered to is not there any more.
    world.delete(&id);
    std::fs::remove_dir_all(world.path("tokens")).unwrap();
    world.run(&["--once"]).exits(0);
    world.faults.forget_requests();
    world.run(&["check", "--online"]).exits(0);
    std::fs::remove_dir_all(world.path("tokens")).unwrap();
    in_the_way(&world, "place_changed", &["adopt initech-okta --place"]);
}
