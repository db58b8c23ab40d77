//! The timer's service, one instance a tenant, files for other accounts.

use super::machine::{CONFIG, Machine, command};

const ONCE: &str = "scimitar-once.service";
const INSTANCE: &str = "scimitar@acme.service";

/// Where node_exporter looks.
const FOLDER: &str = "/var/lib/node_exporter";
const METRICS: &str = "[metrics]\ntextfile = \"/var/lib/node_exporter/scimitar.prom\"\n";

#[test]
fn the_timer_makes_up_for_a_missed_call_and_what_fails_is_seen() {
    let Some(machine) = Machine::boot() else { return };
    machine.run(&command("secrets"));
    machine.run(
        "mv /etc/systemd/system/scimitar.service.d /etc/systemd/system/scimitar-once.service.d",
    );
    // In the state folder alone: there is no /run/scimitar here.
    let config = CONFIG.replace("/run/scimitar", "/var/lib/scimitar/second");
    machine.put("config.example.toml", &format!("{config}{METRICS}"));
    machine.run("install -m 0644 config.example.toml /etc/scimitar/scimitar.toml");
    machine.run(&command("textfile"));
    // The machine was off for a while; and a test does not wait for the site's spread.
    machine.put("now.conf", "[Timer]\nRandomizedDelaySec=0\nAccuracySec=1ms\n");
    machine.run(
        "install -D -m 0644 now.conf /etc/systemd/system/scimitar-once.timer.d/now.conf
         mkdir -p /var/lib/systemd/timers
         touch -d '3 hours ago' /var/lib/systemd/timers/stamp-scimitar-once.timer",
    );
    machine.run(&command("timer"));
    let value = machine.file("/var/lib/scimitar/tokens/initech.token");
    machine.until(ONCE, "ActiveState", |state| state == "inactive");
    assert_eq!(machine.property(ONCE, "Result"), "success");
    assert_eq!(machine.property(ONCE, "ExecMainStatus"), "0");
    assert_eq!(machine.tokens(), 1);
    assert_eq!(machine.property("scimitar-once.timer", "ActiveState"), "active");
    // node_exporter, which is nobody here, reads what the call left.
    let metrics = format!("{FOLDER}/scimitar.prom");
    assert_eq!(
        machine.run(&format!("stat -c %a {metrics}; ls -A {FOLDER}")),
        "644\nscimitar.prom\n"
    );
    let left = |line: &str| {
        let said = machine.run(&format!("runuser -u nobody -- cat {metrics}"));
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    };
    left("scimitar_last_run_exit_status{instance_name=\"scimitar\"} 0");
    // A second call finds nothing to do.
    machine.run("systemctl start scimitar-once");
    assert_eq!(machine.file("/var/lib/scimitar/tokens/initech.token"), value);
    assert_eq!(machine.tokens(), 1);
    // A configuration with mistakes is a failure that everybody sees, until the next good call.
    machine.run("sed -i 's/^overlap/overlop/' /etc/scimitar/scimitar.toml");
    let (status, _) = machine.attempt("systemctl start scimitar-once");
    assert_ne!(status, Some(0));
    assert!(machine.run("systemctl --failed --plain").contains(ONCE));
    assert_eq!(machine.property(ONCE, "ExecMainStatus"), "2");
    machine.run("sed -i 's/^overlop/overlap/' /etc/scimitar/scimitar.toml");
    machine.run("systemctl start scimitar-once");
    assert_eq!(machine.property(ONCE, "Result"), "success");
    // Whatever number the account had before: the file is replaced.
    machine.run(&format!("chown 61999 {FOLDER}/scimitar.prom; systemctl start scimitar-once"));
    assert_ne!(machine.run(&format!("stat -c %u {FOLDER}/scimitar.prom")), "61999\n");
    left("scimitar_last_run_exit_status{instance_name=\"scimitar\"} 0");
    // Without the drop-in it may not write there, and says so.
    machine.run(&format!(
        "rm {FOLDER}/scimitar.prom /etc/systemd/system/{ONCE}.d/textfile.conf
         systemctl daemon-reload; systemctl start scimitar-once; ! [ -e {FOLDER}/scimitar.prom ]
         journalctl --sync"
    ));
    assert!(machine.journal().contains("the metrics were not written"), "{}", machine.journal());
}

#[test]
fn an_instance_has_its_own_folders_and_may_encrypt_its_secret() {
    let Some(machine) = Machine::boot() else { return };
    let config = CONFIG.replace("/var/lib/scimitar/", "/var/lib/scimitar-acme/");
    machine.put("acme.toml", &config.replace("/run/scimitar", "/run/scimitar-acme"));
    machine.put(
        "encrypted.conf",
        "[Service]\n\
         LoadCredentialEncrypted=auth0-acme:/etc/scimitar/credentials/auth0-acme.cred\n",
    );
    machine.run("install -d -m 0700 /etc/scimitar/credentials");
    machine.run(&command("encrypted"));
    machine.run(
        "! grep -q canary /etc/scimitar/credentials/auth0-acme.cred
         install -D -m 0644 encrypted.conf /etc/systemd/system/scimitar@acme.service.d/e.conf",
    );
    machine.run(&command("instance"));
    assert_eq!(machine.property(INSTANCE, "ActiveState"), "active");
    machine.file("/var/lib/scimitar-acme/tokens/initech.token");
    assert_eq!(machine.tokens(), 1);
    let modes = machine.run("stat -L -c '%a %U' /var/lib/scimitar-acme");
    assert_eq!(modes, "700 scimitar-acme\n");
    // Its daemon carries out commands, at a socket of its own.
    let explained = machine.run("scimitar --config /etc/scimitar/acme.toml explain initech-okta");
    assert!(explained.contains("con_okta000000000001 at acme"), "{explained}");
    assert!(!explained.contains("not asked"), "{explained}");
    let socket = machine.run("stat -c '%a %U' /run/scimitar-acme/control.sock");
    assert_eq!(socket, "660 scimitar-acme\n");
}

#[test]
fn members_of_the_group_act_without_a_secret_and_others_do_not() {
    let Some(machine) = Machine::boot() else { return };
    machine.run(&command("secrets"));
    machine.run(
        "install -D -m 0644 systemd/scimitar.sysusers.conf /etc/sysusers.d/scimitar.conf
         systemd-sysusers; useradd --groups scimitar alice",
    );
    machine.run(&command("start"));
    let value = machine.file("/var/lib/scimitar/tokens/initech.token");
    let explained = machine.run("runuser -u alice -- scimitar explain initech-okta");
    assert!(explained.contains("con_okta000000000001 at acme"), "{explained}");
    assert!(!explained.contains("not asked"), "{explained}");
    machine.run("runuser -u alice -- scimitar rotate initech-okta");
    assert_eq!(machine.tokens(), 2);
    assert_ne!(machine.file("/var/lib/scimitar/tokens/initech.token"), value);
    let (status, said) = machine.attempt("runuser -u nobody -- scimitar rotate initech-okta");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("you have no access to the control socket"), "{said}");
    assert_eq!(machine.tokens(), 2);
    let journal = machine.journal();
    assert!(journal.contains("alice (uid "), "{journal}");
    assert!(journal.contains("runs `scimitar rotate initech-okta`"), "{journal}");
}

#[test]
fn a_reader_account_gets_its_file_and_only_listed_peers_work() {
    let Some(machine) = Machine::boot() else { return };
    machine.run(&command("secrets"));
    machine.run(
        "groupadd --system idp; useradd --system --gid idp idp
         install -d -o root -g idp -m 2770 /srv/idp/secrets
         for name in files addresses; do
             install -D -m 0644 systemd/scimitar.service.d/$name.conf \
                 /etc/systemd/system/scimitar.service.d/$name.conf
         done",
    );
    let config = CONFIG.replace("/run/scimitar", "/srv/idp/secrets");
    let config =
        config.replace("mode = \"0644\", shared = true", "mode = \"0640\", group = \"idp\"");
    machine.put("config.example.toml", &config);
    machine.run("install -m 0644 config.example.toml /etc/scimitar/scimitar.toml");
    machine.run(&command("start"));
    let value = machine.file("/srv/idp/secrets/initech.token");
    assert_eq!(machine.run("runuser -u idp -- cat /srv/idp/secrets/initech.token"), value);
    let mode = machine.run("stat -c '%a %U:%G' /srv/idp/secrets/initech.token");
    assert_eq!(mode, "640 scimitar:idp\n");
    // Loopback is listed, another address of this very machine is not.
    machine.run(
        "ip address add 203.0.113.9/32 dev lo
         systemd-run --quiet --unit=other python3 -m http.server --bind 203.0.113.9 4400
         until curl -s -o /dev/null http://203.0.113.9:4400/; do sleep 0.1; done",
    );
    let speak = |address: &str, within: u8| {
        machine
            .attempt(&format!(
                "systemd-run --quiet --wait --pipe -p DynamicUser=yes -p IPAddressDeny=any \
                 -p IPAddressAllow=localhost curl -sS -m {within} -o /dev/null http://{address}:4400/"
            ))
            .0
    };
    assert_eq!(speak("127.0.0.1", 60), Some(0));
    assert_ne!(speak("203.0.113.9", 2), Some(0));
}
