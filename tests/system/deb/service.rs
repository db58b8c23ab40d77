//! The package's units, which differ from those of `systemd/` by its drop-ins: what systemd's checkers
//! say of them, and what they do under a real systemd.

use std::{fs, os::unix::fs::symlink, process::Command};

use super::{
    analyze::{MOST_EXPOSED, analyze, is_exposed_to, is_right},
    machine::{CONFIG, Machine, SECOND},
    package, run,
};

const SERVICE: &str = "scimitar.service";
const ONCE: &str = "scimitar-once.service";
const INSTANCE: &str = "scimitar@acme.service";

/// The drop-in of the package, in the folder of each of its services.
const OWN: &str = "10-package.conf";

/// Where the packages' units are, below a root.
const UNITS: &str = "usr/lib/systemd/system";

/// Hands the secret over, as `systemctl edit` would.
const CREDENTIALS: &str =
    "[Service]\nLoadCredential=auth0-acme:/etc/scimitar/credentials/auth0-acme\n";

/// The package's units and drop-ins, with a program that is there.
fn units() -> tempfile::TempDir {
    let tree = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    run(Command::new("dpkg-deb").arg("--extract").arg(package()).arg(tree.path()));
    let folder = tree.path().join(UNITS);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("/usr/bin/scimitar", env!("CARGO_BIN_EXE_scimitar"));
            fs::write(&path, text).unwrap();
        }
    }
    symlink("scimitar@.service", folder.join(INSTANCE)).unwrap();
    tree
}

#[test]
fn its_units_are_right_and_exposed_to_little() {
    let tree = units();
    let folder = tree.path().join(UNITS);
    for unit in [SERVICE, ONCE, INSTANCE, "scimitar-once.timer"] {
        is_right(&folder, unit, "as packaged");
    }
    // One tenth more for an instance, whose account is a second one: it reads its configuration as a member
    // of the package's group (SupplementaryGroups=).
    for (unit, tenths) in
        [(SERVICE, MOST_EXPOSED), (ONCE, MOST_EXPOSED), (INSTANCE, MOST_EXPOSED + 1)]
    {
        let (little, said) = is_exposed_to(&folder, unit, tenths);
        assert!(little, "{unit}: {said}");
    }
    // It is the drop-ins as well that are looked at.
    for unit in [SERVICE, ONCE, "scimitar@.service"] {
        let path = folder.join(format!("{unit}.d")).join(OWN);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("[Service]\n", "[Service]\nUsers=\n")).unwrap();
        let path = format!("./{}", unit.replace("@.", "@acme."));
        let (_, said) = analyze(&folder, &["verify", "--recursive-errors=yes", &path]);
        assert!(said.contains(OWN) && said.contains("Users"), "{unit}: {said}");
    }
}

/// Puts a configuration into its place, as the package's folder for it is meant.
fn configure(machine: &Machine, name: &str, text: &str) {
    machine.put("scimitar.toml", text);
    machine.run(&format!("install -o root -g scimitar -m 0640 scimitar.toml /etc/scimitar/{name}"));
}

#[test]
fn installed_on_a_machine_with_systemd_it_serves() {
    let Some(machine) = Machine::bare() else { return };
    machine.put("credentials.conf", CREDENTIALS);
    fs::copy(package(), machine.path("scimitar.deb")).unwrap();
    // What keeps services from starting in a container's image is not this machine's wish.
    machine.run("rm -f /usr/sbin/policy-rc.d; dpkg --install scimitar.deb");
    // Nothing runs before there is a configuration, though it is enabled.
    assert_eq!(machine.property(SERVICE, "UnitFileState"), "enabled");
    assert_eq!(machine.property(SERVICE, "ConditionResult"), "no");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    machine.start_tenant("/usr/bin/scimitar");
    machine.run(
        "install -d -m 0700 /etc/scimitar/credentials
         install -m 0600 client-secret /etc/scimitar/credentials/auth0-acme
         for unit in scimitar.service scimitar-once.service scimitar@acme.service; do
             install -D -m 0644 credentials.conf /etc/systemd/system/$unit.d/credentials.conf
         done
         systemctl daemon-reload",
    );
    daemon(&machine);
    timer(&machine);
    instance(&machine);
    // An instance goes with the package as well.
    machine.run("dpkg --remove scimitar");
    let (_, left) = machine.attempt("pgrep -a scimitar | grep -v sandbox");
    assert_eq!(left, "");
}

/// Started, looked at, reloaded, stopped: with the account that the package made.
fn daemon(machine: &Machine) {
    configure(machine, "scimitar.toml", CONFIG);
    machine.run("systemctl start scimitar");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    let value = machine.file("/var/lib/scimitar/tokens/initech.token");
    assert_eq!(machine.file("/run/scimitar/initech.token"), value);
    let main = machine.property(SERVICE, "MainPID");
    let user = |pid: &str| machine.run(&format!("awk '/^Uid:/ {{ print $2 }}' /proc/{pid}/status"));
    assert_eq!(user(&main), machine.run("id -u scimitar"));
    // Real folders, of an account with a number that lasts.
    let modes = machine.run(
        "stat -c '%F %a %U:%G' /var/lib/scimitar /var/log/scimitar /run/scimitar /etc/scimitar",
    );
    let wanted = "directory 700 scimitar:scimitar\ndirectory 700 scimitar:scimitar\n\
                  directory 755 scimitar:scimitar\ndirectory 750 root:scimitar\n";
    assert_eq!(modes, wanted);
    assert!(machine.run("runuser -u scimitar -- scimitar status").contains("initech-okta"));
    configure(machine, "scimitar.toml", &format!("{CONFIG}{SECOND}"));
    machine.run("systemctl reload scimitar");
    machine.file("/var/lib/scimitar/tokens/hooli.token");
    machine.until(SERVICE, "StatusText", |text| text.contains("2 connections"));
    assert_eq!(machine.property(SERVICE, "MainPID"), main);
    // As README.Debian says.
    machine.run("systemctl disable --now scimitar.service");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    assert_eq!(machine.property(SERVICE, "Result"), "success");
    assert_eq!(machine.property(SERVICE, "ExecMainStatus"), "0");
    assert_eq!(machine.tokens(), 1);
}

/// A timer instead, on the same ledger.
fn timer(machine: &Machine) {
    configure(machine, "scimitar.toml", &CONFIG.replace("/run/scimitar", "/var/lib/scimitar/more"));
    machine.run("systemctl enable --now scimitar-once.timer; systemctl start scimitar-once");
    assert_eq!(machine.property(ONCE, "Result"), "success");
    assert_eq!(machine.property(ONCE, "ExecMainStatus"), "0");
    machine.file("/var/lib/scimitar/more/initech.token");
    assert_eq!(machine.tokens(), 1);
}

/// An instance has an account of its own, and reads its configuration by its group.
fn instance(machine: &Machine) {
    let config = CONFIG
        .replace("/var/lib/scimitar/", "/var/lib/scimitar-acme/")
        .replace("/run/scimitar", "/run/scimitar-acme")
        .replace("con_okta000000000001", "con_waad000000000001");
    configure(machine, "acme.toml", &config);
    machine.run("systemctl start scimitar@acme");
    machine.file("/var/lib/scimitar-acme/tokens/initech.token");
    let modes = machine.run("stat -L -c '%a %U' /var/lib/scimitar-acme");
    assert_eq!(modes, "700 scimitar-acme\n");
}
