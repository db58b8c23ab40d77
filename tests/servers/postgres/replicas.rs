//! Several daemons on one ledger: each token is rotated once, whoever dies.

use std::{collections::BTreeMap, fs};

use scimitar_test_support::{binary::Running, postgres};

use crate::rotation::world::{OKTA, TOKENS, World, until};

use super::site::now_in;

/// So many connections that are found, beside the one that is written down.
const MORE: usize = 24;

/// A tenant with many connections, a ledger for all who rotate them, and its database.
fn world() -> (World, String) {
    let mut world = World::limited(None, MORE);
    let database = now_in(async {
        let server = postgres::shared().await;
        let database = server.database().await;
        world.config.state = format!("url = \"{}\"", server.url(&database));
        database
    });
    world.config.more = String::from(
        "[[discover]]\nprovider = \"acme\"\nname = \"^extra-\"\nscopes = [\"get:users\"]\n\
         token_lifetime = \"30d\"\nrotate_before = \"10d\"\noverlap = \"1m\"\n\
         revoke_after_use = false\n\
         deliver_to = [{ sink = \"disk\", file = \"{{ connection.id }}.token\" }]\n",
    );
    world.configure();
    (world, database)
}

fn daemon(world: &World) -> Running {
    world.start(&["run"])
}

/// How many tokens were asked for, by connection.
fn creates(world: &World) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for seen in world.faults.requests() {
        if seen.method == "POST" && seen.path.ends_with(TOKENS) {
            *all.entry(seen.path.clone()).or_default() += 1;
        }
    }
    all
}

/// What each file holds, by its name without the end.
fn delivered(world: &World) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(world.path("tokens")) else { return BTreeMap::new() };
    let token = |name: &str| name.strip_suffix(".token").map(str::to_owned);
    entries
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let name =
                token(entry.file_name().to_str().unwrap()).filter(|it| !it.starts_with('.'))?;
            Some((name, fs::read_to_string(entry.path()).unwrap()))
        })
        .collect()
}

fn number(database: &str, query: &str) -> usize {
    let number = now_in(async { postgres::shared().await.number(database, query).await });
    usize::try_from(number).unwrap()
}

/// Every connection has one token, and it is the one in its file.
fn assert_sound(world: &World) {
    let held = delivered(world);
    assert_eq!(held.len(), 1 + MORE);
    for (name, value) in held {
        let connection = if name == "initech" { OKTA } else { &name };
        let listed = world.tokens_of(connection);
        assert_eq!(listed.len(), 1, "{name}: {listed:?}");
        assert!(value.starts_with(listed[0]["token_id"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn replicas_rotate_each_token_once_and_share_the_work() {
    let (world, database) = world();
    let replicas = [daemon(&world), daemon(&world), daemon(&world)];
    until("every connection has its token", || delivered(&world).len() == 1 + MORE);
    let made = creates(&world);
    assert_eq!(made.len(), 1 + MORE, "{made:?}");
    assert!(made.values().all(|count| *count == 1), "{made:?}");
    let holding = "SELECT count(*) FROM scimitar.claims WHERE holder IS NOT NULL";
    until("all claims are given back", || number(&database, holding) == 0);
    // By the mark of whoever acted last: a clean end leaves nothing held.
    for replica in &replicas {
        replica.signal("TERM");
    }
    for replica in replicas {
        replica.ended().exits(0);
    }
    assert_eq!(number(&database, holding), 0);
    assert_sound(&world);
}

/// One is killed in mid-work. What it held is taken over when its lease ends, and not before; nothing is
/// left behind at the tenant.
#[test]
fn what_a_dead_replica_held_is_taken_over() {
    let (world, database) = world();
    let [dies, lives] = [daemon(&world), daemon(&world)];
    until("the work has begun", || creates(&world).len() > 3);
    dies.kill_9();
    let holding = "SELECT count(*) FROM scimitar.claims WHERE holder IS NOT NULL";
    until("only what the dead one held is left", || {
        delivered(&world).len() + number(&database, holding) > MORE
            && number(&database, "SELECT count(DISTINCT holder) FROM scimitar.claims") <= 1
    });
    // Its lease is over.
    now_in(async {
        let ends =
            "UPDATE scimitar.claims SET ends_at = clock_timestamp() WHERE holder IS NOT NULL";
        postgres::shared().await.run(&database, ends).await;
    });
    until("every connection has its token", || {
        delivered(&world).len() == 1 + MORE && number(&database, holding) == 0
    });
    assert_sound(&world);
    lives.signal("TERM");
    lives.ended().exits(0);
}
