//! The stanza of the documents, by logrotate itself.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use chrono::TimeDelta;

use super::{
    debian,
    log::{audited, entries, verify},
    world::World,
};

/// Where the stanza's log is.
const LOG: &str = "/var/log/scimitar/audit.jsonl";

/// The page's stanza, for a file of the test's.
fn stanza(log: &Path) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logs-and-audit.md");
    let page = fs::read_to_string(page).unwrap();
    let start = page.find(&format!("{LOG} {{\n")).expect("the page has a stanza");
    let (stanza, _) = page[start..].split_once("```").unwrap();
    stanza.replace(LOG, log.to_str().unwrap())
}

/// Rotates at once; what was said.
fn rotate(world: &World, stanza: &str) -> String {
    let (config, state) = (world.path("logrotate.conf"), world.path("logrotate.state"));
    fs::write(&config, stanza).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = debian::command(&debian::root(&["logrotate"]), "usr/sbin/logrotate")
        .args(["--force", "--state"])
        .args([&state, &config])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{}: {said}", ended.status);
    said
}

#[test]
fn the_stanza_of_the_page_rotates_and_the_chain_goes_on() {
    let world = audited();
    let stanza = stanza(&world.path("audit.jsonl"));
    for line in ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2.gz"] {
        world.run(&["--rotate-now"]).exits(0);
        assert!(world.path(line).exists(), "{line}");
        world.pass(TimeDelta::seconds(120));
        assert_eq!(rotate(&world, &stanza), "");
        assert!(!world.path("audit.jsonl").exists(), "the next line makes it");
        assert!(world.path("audit.jsonl.head").exists());
    }
    world.run(&["--rotate-now"]).exits(0);
    let mode = fs::metadata(world.path("audit.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    assert_eq!(entries(&world)[0]["event"], "log_continued");
    for number in [2, 3] {
        let packed = world.path(&format!("audit.jsonl.{number}.gz"));
        let unpacked = std::process::Command::new("gzip").arg("-d").arg(packed).status().unwrap();
        assert!(unpacked.success());
    }
    let all = ["audit.jsonl.3", "audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"];
    let intact = verify(&world, &all).exits(0).json();
    let head = entries(&world).last().unwrap()["hash"].clone();
    assert_eq!(intact["audit"]["head"], head);
}
