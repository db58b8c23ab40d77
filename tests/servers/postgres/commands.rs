//! The program on a ledger in PostgreSQL: every command, and never its password.

use std::{fs, os::unix::fs::PermissionsExt};

use scimitar_test_support::postgres::{OWNER, Postgres};

use crate::rotation::world::World;

use super::site::now_in;

const PASSWORD: &str = "ledger-password-canary-77d1";

/// A tenant, and a ledger that asks for a password.
fn world() -> (World, Postgres) {
    let mut world = World::new();
    let server = now_in(async {
        let server = Postgres::start(&["password_encryption=scram-sha-256"]).await;
        let role = format!("CREATE ROLE rotator LOGIN PASSWORD '{PASSWORD}'");
        server.run(OWNER, &role).await;
        server.run(OWNER, "CREATE DATABASE ledger OWNER rotator").await;
        server.admit("host all rotator 127.0.0.1/32 scram-sha-256").await;
        server
    });
    let secret = world.path("ledger-password");
    fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    world.config.state = format!(
        "url = \"{}\"\npassword = {{ file = \"ledger-password\" }}",
        server.url_of("rotator", "ledger")
    );
    world.configure();
    (world, server)
}

#[test]
fn every_command_works_and_none_shows_the_password() {
    let (world, server) = world();
    let mut printed = String::new();
    let mut run = |arguments: &[&str], status: i32| {
        let all: Vec<&str> = arguments.iter().copied().chain(["-vvv"]).collect();
        let ended = world.call(&all).env("SCIMITAR_LOG", "trace").run().exits(status);
        printed.push_str(&ended.stdout);
        printed.push_str(&ended.stderr);
        ended
    };
    run(&["check"], 0);
    // What only looks makes nothing.
    for looks in [&["check", "--online"][..], &["status"], &["plan"], &["explain", "initech-okta"]]
    {
        run(looks, 0);
    }
    let tables = "SELECT count(*) FROM pg_namespace WHERE nspname = 'scimitar'";
    assert_eq!(now_in(server.number("ledger", tables)), 0);
    run(&["--rotate-now"], 0);
    run(&["check", "--online"], 0);
    run(&["--once"], 0);
    for looks in ["status", "plan", "permissions"] {
        run(&[looks], 0);
    }
    let told = run(&["explain", "initech-okta"], 0);
    assert!(told.stdout.contains("every sink holds"), "{}", told.stdout);
    // A wrong password, and no server.
    fs::write(world.path("ledger-password"), "wrong-canary-1").unwrap();
    let refused = run(&["status"], 1);
    assert!(refused.stderr.contains("rejects the password"), "{}", refused.stderr);
    fs::write(world.path("ledger-password"), PASSWORD).unwrap();
    server.fall();
    for arguments in [&["status"][..], &["--once"]] {
        let away = run(arguments, 1);
        assert!(away.stderr.contains("nothing listens there"), "{}", away.stderr);
    }
    assert!(printed.len() > 5_000, "the highest verbosity says something");
    for canary in [PASSWORD, "wrong-canary-1"] {
        assert!(!printed.contains(canary), "the password was printed");
    }
    for (path, bytes) in crate::rotation::world::files(world.folder.path()) {
        let holds = String::from_utf8_lossy(&bytes).contains(PASSWORD);
        assert!(!holds || path.ends_with("ledger-password"), "{}", path.display());
    }
}
