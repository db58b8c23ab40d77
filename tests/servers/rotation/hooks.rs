//! Hooks of the real binary: what they are told, that no value is in it, and that nothing waits.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};
use serde_json::Value;

use super::world::{CLIENT_SECRET, NAME, OKTA, TOKENS, World, files, until};

/// Notes all that it is given, each run in files of its own.
const NOTES: &str = "#!/bin/sh\n\
    n=\"$1/$SCIMITAR_EVENT.$SCIMITAR_NOTICE_ID\"\n\
    cat /proc/$$/environ > \"$n.environ\"\n\
    cat /proc/$$/cmdline > \"$n.cmdline\"\n\
    cat > \"$n.event\"\n\
    echo \"$SCIMITAR_EVENT\" >> \"$1/order\"\n\
    echo nothing of interest\n";

/// Hangs the first time that it is told of something, and not the second.
const HANGS_ONCE: &str = "#!/bin/sh\n\
    n=\"$1/$SCIMITAR_NOTICE_ID\"\n\
    if test -e \"$n.begun\"; then echo $$ > \"$n.done\"; exit 0; fi\n\
    echo $$ > \"$n.new\"; mv \"$n.new\" \"$n.begun\"\n\
    exec sleep 1000\n";

/// A world with a script as its hook, whose notes go to the folder `told`.
fn told_by(script: &str, on: &str) -> World {
    let mut world = World::new();
    fs::create_dir(world.path("told")).unwrap();
    fs::write(world.path("after.sh"), script).unwrap();
    fs::set_permissions(world.path("after.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = world.path("told");
    world.config.more = format!(
        "[[hooks]]\non = {on}\nexec = [\"after.sh\", \"{}\"]\ntimeout = \"1m\"\n",
        folder.display()
    );
    world.configure();
    world
}

const ALL: &str = "[\"delivered\", \"revoked\", \"failed\", \"refused\"]";

/// The one event of this kind that was noted.
fn event(world: &World, kind: &str) -> Value {
    let found: Vec<_> = files(&world.path("told"))
        .into_iter()
        .filter(|(path, _)| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(kind) && name.ends_with(".event")
        })
        .collect();
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    serde_json::from_slice(&found[0].1).unwrap()
}

fn only(world: &World, end: &str) -> PathBuf {
    let mut found: Vec<_> = files(&world.path("told"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|extension| extension == end))
        .collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}

fn runs(world: &World, outcome: &str) -> String {
    let text = world.textfile();
    let start = "scimitar_hook_runs_total{hook=";
    let line = text.lines().find(|line| line.starts_with(start) && line.contains(outcome));
    line.unwrap_or_else(|| panic!("{text}")).rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn hooks_get_the_ids_of_a_delivery_and_a_revocation_no_value() {
    let world = told_by(NOTES, ALL);
    let call = |arguments: &[&str]| {
        let ended = world.call(arguments).env("CANARY", "canary-of-the-environment").run();
        ended.exits(0)
    };
    call(&["--rotate-now", "--dry-run"]);
    call(&["plan"]);
    call(&["check", "--online"]);
    assert!(files(&world.path("told")).is_empty(), "looking runs no hook");

    call(&["--rotate-now"]);
    let first = world.held();
    let delivered = event(&world, "delivered");
    assert_eq!(delivered["type"], "scimitar.connection.delivered");
    assert_eq!(delivered["subject"], NAME);
    assert_eq!(delivered["source"], format!("/scimitar/acme.eu.auth0.com/{OKTA}"));
    assert_eq!(delivered["data"]["token_id"], first);
    assert_eq!(delivered["data"]["previous_token_id"], Value::Null);
    assert_eq!((runs(&world, "succeeded"), runs(&world, "failed")), ("1".into(), "0".into()));
    let plan = world.call(&["plan", "--until", "40d"]).run().exits(0).stdout;
    assert!(plan.contains("run the hook after.sh"), "{plan}");

    let mut seen = files(&world.path("told"));
    fs::remove_dir_all(world.path("told")).unwrap();
    fs::create_dir(world.path("told")).unwrap();
    call(&["--rotate-now"]);
    world.pass(TimeDelta::seconds(61));
    call(&["--once"]);
    let second = world.held();
    let delivered = event(&world, "delivered");
    assert_eq!(delivered["data"]["token_id"], second);
    assert_eq!(delivered["data"]["previous_token_id"], first);
    let revoked = event(&world, "revoked");
    assert_eq!(revoked["data"]["token_id"], first);
    assert_ne!(revoked["id"], delivered["id"]);
    assert!(revoked["data"]["number"].as_u64() > delivered["data"]["number"].as_u64());
    let order = fs::read_to_string(world.path("told/order")).unwrap();
    assert_eq!(order, "delivered\nrevoked\n");
    let explained = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(explained.contains("The hook after.sh was last told (revoked)"), "{explained}");

    seen.extend(
        files(&world.path("told")).into_iter().map(|(path, bytes)| (path.join("2"), bytes)),
    );
    let mut secrets = world.entropy.drawn();
    secrets.extend([CLIENT_SECRET, "canary-of-the-environment"].map(str::to_owned));
    assert!(secrets.iter().any(|part| world.file().contains(part.as_str())), "it would be found");
    for (path, bytes) in &seen {
        let text = String::from_utf8_lossy(bytes);
        let part = secrets.iter().find(|part| text.contains(part.as_str()));
        assert_eq!(part, None, "{}", path.display());
    }
    let environ = seen.iter().find(|(path, _)| path.to_string_lossy().contains("environ")).unwrap();
    let names: BTreeMap<&str, &str> = std::str::from_utf8(environ.1)
        .unwrap()
        .split_terminator('\0')
        .map(|line| line.split_once('=').unwrap())
        .collect();
    assert!(names.keys().all(|name| *name == "PATH" || name.starts_with("SCIMITAR_")), "{names:?}");
    assert!(!names.contains_key("SCIMITAR_CONFIG"));
}

#[test]
fn a_hook_that_always_fails_keeps_nothing_from_happening() {
    let world = told_by("#!/bin/sh\necho \"of no use to the ledger\" >&2\nexit 3\n", ALL);
    let ended = world.run(&["--rotate-now"]).exits(0);
    assert!(ended.stderr.contains("of no use to the ledger"), "it is in the log: {}", ended.stderr);
    let row = ended.row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let warnings = row["warnings"].to_string();
    assert!(warnings.contains("the hook after.sh could not be told"), "{row}");
    assert!(warnings.contains("exit status 3"), "{row}");
    assert_eq!((runs(&world, "succeeded"), runs(&world, "failed")), ("0".into(), "1".into()));
    let first = world.held();
    world.run(&["--rotate-now"]).exits(0);
    world.pass(TimeDelta::seconds(61));
    world.run(&["--once"]).exits(0);
    assert!(!world.listed().contains(&first), "it was revoked");
    let row = world.assert_sound("a hook always fails");
    assert_eq!(row["error"], Value::Null, "{row}");
    let explained = world.call(&["explain", NAME]).run().exits(0).stdout;
    assert!(explained.contains("was last told (revoked) and failed"), "{explained}");
    assert!(!explained.contains("of no use to the ledger"), "{explained}");
}

#[test]
fn killed_while_a_hook_runs_it_is_told_again_with_the_same_id() {
    let world = told_by(HANGS_ONCE, "[\"delivered\"]");
    let running = world.start(&["--rotate-now"]);
    begun(&world);
    running.kill_9();
    let id = only(&world, "begun").file_stem().unwrap().to_owned();
    end(&fs::read_to_string(only(&world, "begun")).unwrap());
    world.run(&["--once"]).exits(0);
    assert_eq!(only(&world, "done").file_stem().unwrap(), id);
    assert_eq!(world.creates(), 1, "no rotation is repeated for a hook");
    world.assert_sound("killed in a hook");
}

#[test]
fn a_process_that_is_stopped_ends_a_hook_and_tells_it_later() {
    let world = told_by(HANGS_ONCE, "[\"delivered\"]");
    let running = world.start(&["run"]);
    begun(&world);
    running.signal("TERM");
    running.ended().exits(0);
    let pid = fs::read_to_string(only(&world, "begun")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.map_or(true, |stat| stat.contains(") Z ")), "nothing of it is left");
    world.run(&["--once"]).exits(0);
    only(&world, "done");
    world.assert_sound("stopped in a hook");
}

#[test]
fn what_needs_a_person_is_told_at_once() {
    let world = told_by(NOTES, ALL);
    world.fault(Rule::new("POST", "/", Act::Status(403)).ending(TOKENS));
    world.run(&["--rotate-now", "--timeout", "5s"]).exits(1);
    let failed = event(&world, "failed");
    assert_eq!(failed["data"]["reason"], "terminal", "{failed}");
    assert_eq!(failed["data"]["token_id"], Value::Null);
    // A later run, while it still fails, says nothing new.
    world.run(&["--rotate-now", "--timeout", "5s"]).exits(1);
    event(&world, "failed");
}

/// The page's own receiver, called by the real binary.
#[test]
fn the_documented_receiver_accepts_only_signed_requests() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hooks.md");
    let page = fs::read_to_string(page).unwrap();
    let block = |language: &str| {
        let (_, code) = page.split_once(&format!("```{language}\n")).unwrap();
        code.split("```").next().unwrap().to_owned()
    };
    let mut world = World::new();
    fs::write(world.path("receiver.py"), block("python")).unwrap();
    fs::write(world.path("example.sh"), block("sh")).unwrap();
    let checked = Command::new("sh").arg("-n").arg(world.path("example.sh")).status().unwrap();
    assert!(checked.success());
    let _receiver = Server(
        Command::new("python3")
            .arg(world.path("receiver.py"))
            .env("WEBHOOK_SECRET", SECRET)
            .env("PORT", "0")
            .stdout(fs::File::create(world.path("said")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let noted = world.path("said");
    let said = || fs::read_to_string(&noted).unwrap();
    until("it listens", || said().contains('\n'));
    let port = said().trim().rsplit(' ').next().unwrap().to_owned();
    let key = world.path("webhook-secret");
    let with = |secret: &str| {
        fs::write(&key, secret).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    with(SECRET);
    world.config.more = format!(
        "[[hooks]]\nname = \"receiver\"\non = [\"delivered\"]\n\
         webhook = {{ url = \"http://127.0.0.1:{port}/\", secret = {{ file = \"webhook-secret\" }} }}\n"
    );
    world.configure();
    world.run(&["--rotate-now"]).exits(0);
    let line = format!("scimitar.connection.delivered {NAME} every sink holds {}", world.held());
    until("it was told", || said().contains(&line));
    assert_eq!(runs(&world, "succeeded"), "1");
    // Another key: what it signs is refused, and the rotation is done all the same.
    with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let row = world.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated");
    assert!(row["warnings"].to_string().contains("answered 401"), "{row}");
    assert!(!said().contains(&world.held()), "{}", said());
}

struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the hook of [`HANGS_ONCE`] runs.
fn begun(world: &World) {
    until("the hook runs", || {
        files(&world.path("told"))
            .into_keys()
            .any(|path| path.extension().is_some_and(|extension| extension == "begun"))
    });
}

/// Ends what a process that was killed left running.
pub(super) fn end(pid: &str) {
    let ended = Command::new("sh").args(["-c", "kill -9 \"$0\"", pid.trim()]).status().unwrap();
    assert!(ended.success());
}
