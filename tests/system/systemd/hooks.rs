//! What `docs/hooks.md` shows, inside the unit's sandbox.

use super::machine::{CONFIG, Machine, SECOND, block, command};

const PAGE: &str = include_str!("../../../docs/hooks.md");

const SERVICE: &str = "scimitar.service";

const HOOKS: &str = r#"
[[hooks]]
on = ["delivered", "refused"]
exec = ["/usr/local/bin/after-rotation"]
"#;

/// Takes mail for anybody, and keeps it beside what it was called with.
const MAIL: &str = r#"
import socketserver

class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        answer = lambda text: self.wfile.write(text + b"\r\n")
        answer(b"220 mail.example")
        inside = False
        for line in self.rfile:
            if inside and line == b".\r\n":
                inside = False
                answer(b"250 kept")
            elif inside:
                with open("/mnt/mail", "ab") as kept:
                    kept.write(line)
            elif line.startswith(b"DATA"):
                inside = True
                answer(b"354 go on")
            elif line.startswith(b"QUIT"):
                return answer(b"221 goodbye")
            else:
                answer(b"250 yes")

socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("127.0.0.1", 25), Mail).serve_forever()
"#;

#[test]
fn the_hook_of_the_documents_works_inside_the_unit() {
    let Some(machine) = Machine::boot() else { return };
    machine.run(&command("secrets"));
    machine.put("after-rotation", &block(PAGE, "hook"));
    machine.put("restart-idp-agent.path", &block(PAGE, "hook path"));
    machine.put("restart-idp-agent.service", &block(PAGE, "hook service"));
    machine.put("idp-agent.service", "[Service]\nExecStart=sleep infinity\n");
    machine.put("mail.py", MAIL);
    machine.put("config.example.toml", &format!("{CONFIG}{SECOND}{HOOKS}"));
    machine.run(
        "install -m 0755 after-rotation /usr/local/bin/after-rotation
         install -m 0644 *idp-agent.* /etc/systemd/system/
         install -m 0644 config.example.toml /etc/scimitar/scimitar.toml
         systemd-run --quiet --unit=mail python3 /mnt/mail.py
         until (: < /dev/tcp/127.0.0.1/25) 2> /dev/null; do sleep 0.1; done
         systemctl daemon-reload
         systemctl start idp-agent",
    );
    machine.run(&block(PAGE, "hook enable"));
    let first = machine.property("idp-agent.service", "InvocationID");
    // Both slots of the second connection are taken: it is refused.
    machine.mint("con_waad000000000001");
    machine.mint("con_waad000000000001");
    machine.run(&command("start"));
    // The token of the first one came, and whoever may do so restarted its reader.
    machine.file("/var/lib/scimitar/tokens/initech.token");
    machine.until("idp-agent.service", "InvocationID", |id| !id.is_empty() && id != first);
    machine.until("restart-idp-agent.path", "SubState", |state| state == "waiting");
    machine.run("! [ -e /var/lib/scimitar/restart-idp-agent ]");
    // Somebody hears of the other one, by mail and in the journal.
    let mail = machine.run("until grep -q refused mail; do sleep 0.1; done; cat mail");
    assert!(mail.contains("Subject: SCIM token of hooli-waad: refused"), "{mail}");
    let why = mail.lines().last().unwrap();
    assert!(why.split_whitespace().count() > 3, "in words: {mail}");
    let logged = machine.run(
        "until journalctl -q -t scimitar-hook | grep -q refused; do sleep 0.1; done
         journalctl -q -t scimitar-hook -p warning -o cat",
    );
    assert!(logged.contains("hooli-waad") && logged.contains(why), "{logged}");
    assert_eq!(machine.property(SERVICE, "NRestarts"), "0");
    let journal = machine.journal();
    assert!(!journal.contains(" failed, which the rotation is not touched by"), "{journal}");
}
