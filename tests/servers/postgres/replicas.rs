//! Several daemons on one ledger: each token is rotated once, whoever dies.

use std::{collections::BTreeMap, fs};

use scimitar::sandbox::{Act, Rule};
use scimitar_test_support::{binary::Running, postgres};

use crate::rotation::world::{OKTA, TOKENS, World, until};

use super::site::{now_in, open};

/// So many connections that are found, beside the one that is written down.
const MORE: usize = 24;

/// What somebody acts on, whose lease is not over.
const HELD: &str = "SELECT count(*) FROM scimitar.claims
    WHERE holder IS NOT NULL AND ends_at > scimitar.lease_clock()";

/// How many act on something.
const HOLDERS: &str = "SELECT count(DISTINCT holder) FROM scimitar.claims WHERE holder IS NOT NULL";

/// A tenant with many connections, a ledger for all who rotate them, and its database.
fn world() -> (World, String) {
    let mut world = World::limited(None, MORE);
    let database = now_in(async {
        let server = postgres::shared().await;
        let database = server.database().await;
        let url = server.url(&database);
        // The tables are there before anybody asks them what happens.
        drop(open(&url).await);
        world.config.state = format!("url = \"{url}\"");
        database
    });
    // Requests are held in some tests, and are not to be given up meanwhile.
    world.config.request_timeout = "1m".to_owned();
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

/// The tenant answers no request for a token before it is told to.
fn hold_creates() -> Rule {
    Rule::new("POST", "", Act::HoldBefore).ending(TOKENS)
}

/// So few that no replica can have all of the work.
fn few_at_once(world: &World) {
    let text = fs::read_to_string(world.path("scimitar.toml")).unwrap();
    let few = text.replace("request_timeout = ", "max_parallel = 4\nrequest_timeout = ");
    assert_ne!(few, text);
    fs::write(world.path("scimitar.toml"), few).unwrap();
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

/// The connection whose token a file is for.
fn connection_of(name: &str) -> &str {
    if name == "initech" { OKTA } else { name }
}

/// Every connection has one token, and it is the one in its file.
fn assert_sound(world: &World) {
    let held = delivered(world);
    assert_eq!(held.len(), 1 + MORE);
    for (name, value) in held {
        let listed = world.tokens_of(connection_of(&name));
        assert_eq!(listed.len(), 1, "{name}: {listed:?}");
        assert!(value.starts_with(listed[0]["token_id"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn replicas_rotate_each_token_once_and_share_the_work() {
    let (world, database) = world();
    few_at_once(&world);
    world.fault(hold_creates());
    let replicas = [daemon(&world), daemon(&world), daemon(&world)];
    until("each replica has a part of the work", || number(&database, HOLDERS) == replicas.len());
    world.faults.clear();
    until("every connection has its token", || {
        // One that came while the others were let go waits for the next time.
        world.release();
        delivered(&world).len() == 1 + MORE
    });
    let made = creates(&world);
    assert_eq!(made.len(), 1 + MORE, "{made:?}");
    assert!(made.values().all(|count| *count == 1), "{made:?}");
    until("all claims are given back", || number(&database, HELD) == 0);
    for replica in &replicas {
        replica.signal("TERM");
    }
    for replica in replicas {
        replica.ended().exits(0);
    }
    assert_sound(&world);
}

/// What one of them has looked at since they began, the others need not ask the tenant for again.
#[test]
fn replicas_that_begin_together_look_once() {
    let (world, database) = world();
    world.run(&["--once"]).exits(0);
    few_at_once(&world);
    let fences = || number(&database, "SELECT sum(fence)::int8 FROM scimitar.claims");
    let (claimed, looked) = (fences(), world.asked("GET", TOKENS));
    // None has seen anything before each has begun.
    world.fault(Rule::new("GET", "", Act::HoldBefore).ending(TOKENS));
    let replicas = [daemon(&world), daemon(&world), daemon(&world)];
    until("each replica looks", || number(&database, HOLDERS) == replicas.len());
    world.faults.clear();
    until("each has claimed each connection", || {
        world.release();
        fences() >= claimed + replicas.len() * (1 + MORE)
    });
    assert_eq!(world.asked("GET", TOKENS) - looked, 1 + MORE);
    drop(replicas);
}

/// Not even what nobody answers: nobody has to wait for the end of a lease.
#[test]
fn a_clean_end_gives_back_what_is_in_work() {
    let (world, database) = world();
    few_at_once(&world);
    world.fault(hold_creates());
    let replicas = [daemon(&world), daemon(&world)];
    until("both are at work", || number(&database, HOLDERS) == replicas.len());
    for replica in &replicas {
        replica.signal("TERM");
    }
    for replica in replicas {
        replica.ended().exits(0);
    }
    assert_eq!(number(&database, HOLDERS), 0);
    world.release();
}

/// One is killed in mid-work. What it held is taken over when its lease ends, and not before; nothing is
/// left behind at the tenant.
#[test]
fn what_a_dead_replica_held_is_taken_over() {
    const IN_WORK: usize = 3;
    let (world, database) = world();
    // These wait for an answer; the others are rotated meanwhile, whoever has them.
    world.fault(hold_creates().times(u32::try_from(IN_WORK).unwrap()));
    let dies = daemon(&world);
    world.until_held(IN_WORK);
    let lives = daemon(&world);
    until("all others have their token", || {
        delivered(&world).len() == 1 + MORE - IN_WORK && number(&database, HELD) == IN_WORK
    });
    dies.kill_9();
    // What it had asked for is made, and nobody has heard of it.
    world.release();
    let made = creates(&world);
    assert!(made.len() == 1 + MORE && made.values().all(|count| *count == 1), "{made:?}");
    assert!(number(&database, HELD) >= IN_WORK, "its leases are not over");
    now_in(async {
        let ends =
            "UPDATE scimitar.claims SET ends_at = clock_timestamp() WHERE holder IS NOT NULL";
        postgres::shared().await.run(&database, ends).await;
    });
    until("every connection has its one token", || {
        let held = delivered(&world);
        let is_alone = |name: &String| world.tokens_of(connection_of(name)).len() == 1;
        held.len() == 1 + MORE && number(&database, HELD) == 0 && held.keys().all(is_alone)
    });
    assert_sound(&world);
    let again = creates(&world).into_values().filter(|count| *count > 1).count();
    assert_eq!(again, IN_WORK, "each of what it held was made anew");
    lives.signal("TERM");
    lives.ended().exits(0);
}
