//! What a rotation leaves in the audit log and in the logs, and how it is read.

use std::{collections::BTreeSet, fs};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::TimeDelta;
use serde_json::Value;

use super::{
    binary::{Call, Ended},
    world::{CLIENT_SECRET, NAME, World},
};

/// A world whose runs are noted in `audit.jsonl`.
pub(crate) fn audited() -> World {
    audited_as("text")
}

fn audited_as(format: &str) -> World {
    let mut world = World::new();
    world.config.more = format!("[log]\naudit = \"audit.jsonl\"\nformat = \"{format}\"\n");
    world.configure();
    world
}

pub(crate) fn entries(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.path("audit.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub(crate) fn verify(world: &World, arguments: &[&str]) -> Ended {
    let all: Vec<&str> =
        ["audit", "verify", "--output", "json"].iter().chain(arguments).copied().collect();
    Call::new(world.folder.path(), &all).run()
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of<'a>(entries: &'a [Value], event: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["event"] == event).collect()
}

#[test]
fn a_rotation_is_in_it_step_by_step() {
    let world = audited();
    world.run(&["--rotate-now"]).exits(0);
    let first = world.held();
    world.pass(TimeDelta::seconds(61));
    world.run(&["--rotate-now"]).exits(0);
    let second = world.held();
    let entries = entries(&world);
    let events: Vec<&str> = entries.iter().map(|it| it["event"].as_str().unwrap()).collect();
    let rotation = [
        "intended",
        "minted",
        "probe_announced",
        "proven",
        "promote_begun",
        "delivered",
        "settled",
    ];
    let found: Vec<&str> =
        events.iter().rev().take_while(|event| **event != "intended").copied().collect();
    let found: Vec<&str> =
        found.into_iter().chain(["intended"]).rev().filter(|it| rotation.contains(it)).collect();
    assert_eq!(found, rotation, "{events:?}");
    assert_eq!(events[0], "log_opened");

    let delivered = of(&entries, "delivered");
    let last = delivered.last().unwrap();
    assert_eq!(last["token_id_sha256"], sha256(&second));
    assert_eq!(last["previous_token_id_sha256"], sha256(&first));
    assert_eq!(last["outcome"], "done");
    assert_eq!(last["connection"], NAME);
    assert_eq!(last["provider"], "acme");
    assert_eq!(last["sink"], "disk");
    assert_eq!(last["actor"]["command"], "--rotate-now");
    assert_eq!(last["actor"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(last["actor"]["pid"].is_u64() && last["actor"]["uid"].is_u64(), "{last}");
    assert_eq!(last["replaced_version"], delivered[delivered.len() - 2]["version"], "{last}");
    assert!(last["replaced_foreign"].is_null(), "{last}");
    assert!(last["time"].as_str().unwrap().ends_with('Z'));
    let text = fs::read_to_string(world.path("audit.jsonl")).unwrap();
    for id in [&first, &second] {
        assert!(!text.contains(id.as_str()), "ids stand there as hashes alone: {text}");
    }
    let intact = verify(&world, &["audit.jsonl"]).exits(0).json();
    assert_eq!(intact["audit"]["lines"], entries.len());
    assert_eq!(intact["audit"]["head"], entries.last().unwrap()["hash"]);
}

#[test]
fn what_it_did_not_write_is_named_when_it_is_overwritten() {
    let mut world = audited();
    world.config.set("on_drift", "\"restore\"");
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    world.put("something else entirely");
    world.run(&["--once"]);
    let entries = entries(&world);
    let begun = of(&entries, "promote_begun");
    let last = begun.last().unwrap();
    assert_eq!(last["replaced_foreign"], true, "{last}");
    assert!(last["replaced_version"].is_string(), "{last}");
}

#[test]
fn it_holds_operator_decisions_and_refused_ones_too() {
    let world = audited();
    world.run(&["--rotate-now"]).exits(0);
    let held = world.held();
    world.run(&["revoke", NAME, "--token-id", &held]).exits(3);
    world.run(&["revoke", NAME, "--token-id", &held, "--force"]);
    world.run(&["--rotate-now", "--compromised"]);
    world.run(&["adopt", NAME, "--place", "nowhere"]).exits(3);
    let entries = entries(&world);
    let place = of(&entries, "accept_place_asked");
    assert_eq!((place.len(), &place[0]["outcome"]), (1, &"refused".into()));
    assert!(place[0]["why"].as_str().unwrap().contains("no sink location is called nowhere"));
    let refused = of(&entries, "revoke_asked");
    assert_eq!(refused[0]["outcome"], "refused");
    assert_eq!(refused[0]["actor"]["kind"], "operator");
    assert_eq!(refused[0]["token_id_sha256"], sha256(&held));
    assert_eq!(of(&entries, "forced_revoke_asked")[0]["outcome"], "noted");
    let revoked = of(&entries, "revoked");
    assert!(revoked.iter().any(|entry| entry["actor"]["command"] == "revoke --force"));
    let condemned = of(&entries, "condemned");
    assert_eq!(condemned[0]["actor"]["command"], "--rotate-now --compromised", "{condemned:?}");
}

#[test]
fn nothing_is_noted_by_commands_that_only_look() {
    let world = audited();
    for arguments in [&["check"][..], &["plan"], &["status"], &["--once", "--dry-run"]] {
        world.run(arguments).exits(0);
        assert!(!world.path("audit.jsonl").exists(), "{arguments:?}");
    }
}

#[test]
fn a_changed_line_is_named_and_a_cut_is_shown_by_the_head() {
    let world = audited();
    let ended = world.call(&["--rotate-now", "-v"]).run().exits(0);
    let (_, head) = ended.stderr.split_once("audit_head=\"").expect("the head is told at the end");
    let head = &head[..64];
    let path = world.path("audit.jsonl");
    let good = fs::read_to_string(&path).unwrap();
    let found = verify(&world, &["audit.jsonl", "--head", head]).exits(0).json();
    assert_eq!(found["audit"]["after_head"], 0);

    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    fs::write(&path, lines[..lines.len() - 1].concat()).unwrap();
    verify(&world, &["audit.jsonl"]).exits(0);
    let cut = verify(&world, &["audit.jsonl", "--head", head]).exits(1).json();
    assert_eq!(cut["error"]["class"], "audit");
    assert!(cut["error"]["problems"][0]["message"].as_str().unwrap().contains(head), "{cut}");

    fs::write(&path, good.replacen("\"event\":\"minted\"", "\"event\":\"mended\"", 1)).unwrap();
    let changed = verify(&world, &["audit.jsonl"]).exits(1);
    let document = changed.json();
    let line = 1 + lines.iter().position(|line| line.contains("\"event\":\"minted\"")).unwrap();
    assert_eq!(document["error"]["problems"][0]["line"], line, "{document}");
    assert!(changed.stderr.contains(&format!("audit.jsonl:{line}:")), "{}", changed.stderr);
    // That no log is there says nothing of one: it is no failed verification.
    let none = verify(&world, &["missing.jsonl"]).exits(2);
    let words = "error: no such file: missing.jsonl; nothing was verified";
    assert!(none.stderr.contains(words), "{}", none.stderr);
    Call::new(world.folder.path(), &["audit", "verify"]).run().exits(2);
    Call::new(world.folder.path(), &["audit", "verify", "x", "--head", "7"]).run().exits(2);
}

#[test]
fn a_rotated_file_goes_on_where_the_other_ended() {
    let world = audited();
    world.run(&["--rotate-now"]).exits(0);
    fs::rename(world.path("audit.jsonl"), world.path("audit.jsonl.1")).unwrap();
    world.run(&["--rotate-now"]).exits(0);
    verify(&world, &["audit.jsonl.1", "audit.jsonl"]).exits(0);
    let alone = verify(&world, &["audit.jsonl"]).exits(0).json();
    assert!(alone["audit"]["follows"].is_string(), "{alone}");
    let turned = verify(&world, &["audit.jsonl", "audit.jsonl.1"]).exits(1);
    assert!(turned.stderr.contains("audit.jsonl.1:1:"), "{}", turned.stderr);
}

/// At the highest verbosity, in each format: no value in what was printed or noted.
#[test]
fn no_value_is_in_any_log() {
    for format in ["text", "json"] {
        let world = audited_as(format);
        let mut printed = String::new();
        for arguments in [&["--rotate-now", "-vvv"][..], &["--once", "-vvv"]] {
            let ended = world.call(arguments).run().exits(0);
            printed.push_str(&ended.stderr);
            world.pass(TimeDelta::seconds(61));
        }
        let told = fs::read_to_string(world.path("audit.jsonl")).unwrap();
        let mut secrets: BTreeSet<String> = world.entropy.drawn();
        secrets.insert(CLIENT_SECRET.to_owned());
        let value = world.file();
        assert!(secrets.iter().any(|secret| value.contains(secret)), "the search would find it");
        for secret in &secrets {
            assert!(!printed.contains(secret) && !told.contains(secret), "{format}: {secret}");
        }
        let minted =
            printed.lines().find(|line| line.contains("minted") && line.contains(" was created"));
        let minted = minted.unwrap_or_else(|| panic!("one line a step:\n{printed}"));
        if format == "json" {
            for line in printed.lines().filter(|line| line.starts_with('{')) {
                serde_json::from_str::<Value>(line).unwrap();
            }
            let line: Value = serde_json::from_str(minted).unwrap();
            assert_eq!(line["connection"], NAME);
            assert_eq!(line["event"], "minted");
            assert_eq!(line["token_id"], world.held());
            assert_eq!(line["level"], "INFO");
        } else {
            assert!(minted.contains("connection=initech-okta"), "{minted}");
        }
    }
}
