//! Who may use the socket.

use std::{
    fs::{self, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use scimitar_test_support::root::runs_as_root;

use super::{super::rotation::world::until, audited, rotated, world};

/// A user that no machine has.
const STRANGER: &str = "--reuid=54321";

#[test]
fn others_are_refused_and_members_of_the_group_are_served() {
    if !runs_as_root("who may use the control socket") {
        return;
    }
    let world = world();
    let daemon = rotated(&world);
    // The configuration is for all to read, as in /etc.
    fs::set_permissions(world.folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("scimitar.toml"), Permissions::from_mode(0o644)).unwrap();
    let rotate = |words: &[&str]| {
        let call = world.call(&["--rotate-now", "--output", "json"]);
        call.through(&[&["setpriv", STRANGER, "--regid=54321"][..], words].concat()).run()
    };
    // The kernel keeps strangers out.
    let refused = rotate(&["--clear-groups"]).exits(2);
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("you have no access to the control socket"), "{message}");
    // Where somebody opened the socket to everybody, the daemon does.
    fs::set_permissions(world.path("control.sock"), Permissions::from_mode(0o666)).unwrap();
    let refused = rotate(&["--clear-groups"]).exits(2);
    let message = refused.json()["error"]["message"].to_string();
    assert!(
        message.contains("uid 54321") && message.contains("nor in the socket's group"),
        "{message}"
    );
    assert_eq!(world.creates(), 1);
    fs::set_permissions(world.path("control.sock"), Permissions::from_mode(0o660)).unwrap();
    let group = nix::unistd::getegid();
    let served = rotate(&[&format!("--groups={group}")]).exits(0);
    assert_eq!(served.row()["outcome"], "rotated");
    let lines = audited(&world);
    let refused = lines.iter().find(|line| line["event"] == "control_refused").unwrap();
    assert!(refused["why"].as_str().unwrap().contains("uid 54321"), "{refused}");
    let rotated = lines.iter().find(|line| line["actor"]["command"] == "--rotate-now").unwrap();
    assert_eq!(rotated["actor"]["uid"], 54321, "{rotated}");
    daemon.signal("TERM");
    daemon.ended().exits(0);
}

/// Serves a socket, accepts once, and prints what it is told.
const IMPOSTOR: &str = "use IO::Socket::UNIX; \
    my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die; \
    my $c = $s->accept(); my $told; sysread($c, $told, 65536); print $told;";

#[test]
fn a_socket_that_another_user_serves_is_told_nothing() {
    if !runs_as_root("a control socket that another user serves") {
        return;
    }
    let world = world();
    fs::set_permissions(world.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let open = world.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    let socket = open.join("control.sock");
    let mut impostor = Command::new("setpriv");
    impostor.args([STRANGER, "--regid=54321", "--clear-groups", "perl", "-e", IMPOSTOR]);
    let mut impostor = impostor.arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    until("somebody else serves", || socket.exists());
    let call = world.call(&["--rotate-now", "--output", "json"]);
    let refused = call.env("SCIMITAR_SOCKET", socket.to_str().unwrap()).run().exits(2);
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("uid 54321 serves it"), "{message}");
    let mut told = String::new();
    impostor.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
    impostor.wait().unwrap();
}

#[test]
fn who_may_neither_ask_nor_read_is_sent_to_sudo_or_the_group() {
    if !runs_as_root("a caller without any right") {
        return;
    }
    let world = world();
    let daemon = rotated(&world);
    fs::set_permissions(world.folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("scimitar.toml"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(world.path("ledger.db"), Permissions::from_mode(0o600)).unwrap();
    let stranger = &["setpriv", STRANGER, "--regid=54321", "--clear-groups"][..];
    let refused = |status| {
        let call = world.call(&["status", "--output", "json"]).through(stranger).run();
        call.exits(status).json()["error"]["message"].as_str().unwrap().to_owned()
    };
    let expects = |message: &str, why: [&str; 2]| {
        for words in [why[0], why[1], "Run `sudo scimitar ", "usermod -aG scimitar USER"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(!message.contains("must be writable"), "{message}");
    };
    expects(&refused(1), ["you may not read ", "no access to the control socket"]);
    fs::set_permissions(world.path("scimitar.toml"), Permissions::from_mode(0o600)).unwrap();
    expects(&refused(2), ["you may not read scimitar.toml. Run", "is named in scimitar.toml"]);
    daemon.signal("TERM");
    daemon.ended().exits(0);
}
