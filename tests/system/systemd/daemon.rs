//! The daemon's life: installed, started, looked at, reloaded, killed, starved, stopped.

use serde_json::Value;

use super::machine::{CONFIG, Machine, SECOND, SECRET, command};

const SERVICE: &str = "scimitar.service";

/// What a test cannot wait for in full.
const SHORT: &str = "[Service]\nRestartSec=100ms\n";

/// The same, where it alone is looked at: a machine may stand still for that long.
const WATCHDOG: &str = "[Service]\nWatchdogSec=10s\n";

#[test]
fn the_service_starts_reloads_survives_and_stops() {
    let Some(machine) = Machine::boot() else { return };
    machine.put("short.conf", SHORT);
    machine.run(&command("secrets"));
    machine.run("install -m 0644 short.conf /etc/systemd/system/scimitar.service.d/zz-short.conf");
    started(&machine);
    served(&machine);
    confined(&machine);
    reloaded(&machine);
    killed(&machine);
    starved(&machine);
    stopped(&machine);
}

/// `start` returns when it is ready; it rotates, says what comes next, and works by hand as well.
fn started(machine: &Machine) {
    let said = machine.run(&command("start"));
    assert!(said.contains("Active: active (running)"), "{said}");
    let value = machine.file("/var/lib/scimitar/tokens/initech.token");
    assert_eq!(machine.file("/run/scimitar/initech.token"), value);
    assert_eq!(machine.tokens(), 1);
    let status = machine.until(SERVICE, "StatusText", |text| text.contains("rotation"));
    assert!(!status.contains(&value), "{status}");
    let said = machine.run(&command("by hand"));
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    assert!(machine.run("scimitar status").contains("initech-okta"));
    // Standard error is the journal: lines went there with their fields, which it finds them by.
    let minted = machine.run(
        "journalctl --sync; journalctl -t scimitar -o json --no-pager \
         SCIMITAR_EVENT=minted SCIMITAR_CONNECTION=initech-okta",
    );
    assert_eq!(minted.lines().count(), 1, "{minted}");
    for field in ["\"_SYSTEMD_UNIT\":\"scimitar.service\"", "\"PRIORITY\":\"6\""] {
        assert!(minted.contains(field), "{field}: {minted}");
    }
}

/// Whoever types a command needs no secret: the service, which has it, carries it out.
fn served(machine: &Machine) {
    const SOCKET: &str = "/run/scimitar/control.sock";
    let held = || machine.file("/var/lib/scimitar/tokens/initech.token");
    assert_eq!(machine.run(&format!("stat -c '%a %U %G' {SOCKET}")), "660 scimitar scimitar\n");
    let before = held();
    let explained = machine.run("scimitar explain initech-okta");
    assert!(explained.contains("con_okta000000000001 at acme"), "{explained}");
    assert!(!explained.contains("not asked"), "the provider was asked: {explained}");
    let rotated = machine.run("scimitar -q -o json rotate initech-okta 2> /dev/null");
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    let row = &rotated["results"][0];
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_ne!(held(), before);
    assert_eq!(machine.tokens(), 2);
    let previous = row["previous_token_id"].as_str().unwrap();
    machine.run(&format!("scimitar revoke initech-okta --token-id {previous}"));
    assert_eq!(machine.tokens(), 1);
    let (status, said) = machine.attempt("scimitar adopt initech-okta --token-id tok_nobodys");
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("the provider does not list tok_nobodys"), "{said}");
    let journal = machine.journal();
    assert!(journal.contains("root (uid 0, pid "), "{journal}");
    assert!(journal.contains("runs `scimitar -q -o json rotate initech-okta`"), "{journal}");
}

/// The account, the folders and the credential are as the unit says.
fn confined(machine: &Machine) {
    let main = machine.property(SERVICE, "MainPID");
    // Not dumpable: what could show its memory is root's.
    assert_eq!(machine.run(&format!("stat -c %u /proc/{main}/environ")), "0\n");
    let status = machine.run(&format!("cat /proc/{main}/status"));
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name}: {status}")).to_owned()
    };
    let user: u32 = line("Uid").split('\t').next().unwrap().parse().unwrap();
    assert!((61_184..=65_519).contains(&user), "a dynamic account: {user}");
    assert_eq!(line("CapBnd").trim_start_matches('0'), "");
    assert_eq!((line("NoNewPrivs").as_str(), line("Seccomp").as_str()), ("1", "2"));
    let modes = machine.run(
        "stat -L -c '%a %U %n' /var/lib/scimitar /var/log/scimitar /run/scimitar \
         /var/lib/scimitar/tokens/initech.token /run/scimitar/initech.token; \
         readlink /var/lib/scimitar; stat -c '%a %U' /var/lib/private",
    );
    let wanted = "700 scimitar /var/lib/scimitar\n700 scimitar /var/log/scimitar\n\
                  755 scimitar /run/scimitar\n\
                  600 scimitar /var/lib/scimitar/tokens/initech.token\n\
                  644 scimitar /run/scimitar/initech.token\nprivate/scimitar\n700 root\n";
    assert_eq!(modes, wanted);
    // It reaches its credential, and nobody else does.
    let credential = format!("/run/credentials/{SERVICE}/auth0-acme");
    let (status, said) = machine.attempt(&format!("runuser -u nobody -- cat {credential}"));
    assert!(status != Some(0) && said.contains("denied"), "{said}");
    let seen = machine.run(&format!("tr '\\0' '\\n' < /proc/{main}/environ; {}", "journalctl"));
    assert!(seen.contains("CREDENTIALS_DIRECTORY="), "{seen}");
    let told = seen.lines().filter(|line| !line.contains("--client-secret"));
    assert!(told.clone().count() > 10);
    assert_eq!(told.filter(|line| line.contains(SECRET)).count(), 0, "the secret is nowhere");
}

/// A changed configuration is in force, one with mistakes is not, and the status says which.
fn reloaded(machine: &Machine) {
    let main = machine.property(SERVICE, "MainPID");
    machine.put("config.example.toml", &format!("{CONFIG}{SECOND}"));
    machine.run("install -m 0644 config.example.toml /etc/scimitar/scimitar.toml");
    machine.run("systemctl reload scimitar");
    let second = machine.file("/var/lib/scimitar/tokens/hooli.token");
    assert!(second.starts_with("tok_"));
    machine.until(SERVICE, "StatusText", |text| text.contains("2 connections"));
    // One with mistakes: it is said, and both connections stay.
    machine.put("config.example.toml", &format!("{CONFIG}rotate_befor = \"1d\"\n"));
    machine.run("install -m 0644 config.example.toml /etc/scimitar/scimitar.toml");
    machine.run("systemctl reload scimitar");
    let bad = machine.until(SERVICE, "StatusText", |text| text.contains("reload rejected"));
    assert!(bad.contains("1 error") && bad.contains("2 connections"), "{bad}");
    machine.until(SERVICE, "SubState", |state| state == "running");
    let journal = machine.journal();
    assert!(journal.contains("scimitar.toml") && journal.contains("rotate_befor"), "{journal}");
    // And back.
    machine.put("config.example.toml", &format!("{CONFIG}{SECOND}"));
    machine.run("install -m 0644 config.example.toml /etc/scimitar/scimitar.toml");
    machine.run("systemctl reload scimitar");
    machine.until(SERVICE, "StatusText", |text| !text.contains("reload rejected"));
    assert_eq!(machine.property(SERVICE, "MainPID"), main, "it was one process all the time");
    assert_eq!(machine.property(SERVICE, "NRestarts"), "0");
}

/// After `kill -9` it is started again and goes on; nothing is minted anew.
fn killed(machine: &Machine) {
    let value = machine.file("/var/lib/scimitar/tokens/initech.token");
    machine.run("systemctl kill --kill-whom=main --signal=KILL scimitar");
    machine.until(SERVICE, "NRestarts", |count| count == "1");
    machine.until(SERVICE, "SubState", |state| state == "running");
    // The folder in memory went with it; it is filled from the other sink.
    assert_eq!(machine.file("/run/scimitar/initech.token"), value);
    assert_eq!(machine.tokens(), 1);
}

/// A process that stands still is found out and replaced.
fn starved(machine: &Machine) {
    machine.put("watchdog.conf", WATCHDOG);
    machine.run(
        "install -m 0644 watchdog.conf /etc/systemd/system/scimitar.service.d/zz-watchdog.conf
         systemctl daemon-reload; systemctl restart scimitar",
    );
    let main = machine.property(SERVICE, "MainPID");
    machine.run("systemctl kill --kill-whom=main --signal=STOP scimitar");
    machine.until(SERVICE, "NRestarts", |count| count == "1");
    machine.until(SERVICE, "SubState", |state| state == "running");
    assert_ne!(machine.property(SERVICE, "MainPID"), main);
    let journal = machine.journal();
    assert!(journal.contains("Failed with result 'watchdog'"), "{journal}");
    assert_eq!(machine.tokens(), 1);
    machine
        .run("rm /etc/systemd/system/scimitar.service.d/zz-watchdog.conf; systemctl daemon-reload");
}

/// It stops well within its time, in order, and starts again from there.
fn stopped(machine: &Machine) {
    machine.run("systemctl stop scimitar");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    assert_eq!(machine.property(SERVICE, "Result"), "success");
    assert_eq!(machine.property(SERVICE, "ExecMainStatus"), "0");
    let journal = machine.journal();
    assert!(!journal.contains("timed out"), "{journal}");
    machine.run("systemctl start scimitar");
    machine.file("/run/scimitar/initech.token");
    assert_eq!(machine.tokens(), 1);
    // Status 2 is not tried again.
    machine.run("systemctl stop scimitar; echo mistaken > /etc/scimitar/scimitar.toml");
    let (status, _) = machine.attempt("systemctl start scimitar");
    assert_ne!(status, Some(0));
    assert_eq!(machine.property(SERVICE, "ExecMainStatus"), "2");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "failed");
}
