//! A ledger that is moved between a file and a database, and back.

use std::{path::Path, sync::Arc};

use scimitar::{
    clock::SystemEntropy,
    ledger::{
        Ledger,
        inventory::Inventory,
        moving::{Movable, Shelf, Standing, transfer},
        postgres::PostgresLedger,
        sqlite::SqliteLedger,
    },
    token::Tenant,
};
use scimitar_test_support::ledger_conformance::{
    run,
    sample::{LEASE, entry, granted, key, put, record},
};

use super::site::{
    assert_unavailable, assert_unusable, fresh, grants, look, open, settings, try_open,
};
use crate::rotation::world::World;

fn file(path: &Path) -> SqliteLedger {
    SqliteLedger::open_to_move(path, &SystemEntropy).unwrap()
}

async fn database(url: &str) -> PostgresLedger {
    PostgresLedger::open_to_move(settings(url), Arc::new(SystemEntropy)).await.unwrap()
}

/// A hundred and twenty connections, one with a longer history, and one that was only claimed.
async fn worked_with(ledger: &dyn Ledger) {
    for number in 0..120 {
        let key = key(&format!("con_{number}"));
        for round in 0..if number == 7 { 3 } else { 1 } {
            let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
            let words = format!("round {round}");
            ledger.store(&claim, round, &record(&key), &entry(&words)).await.unwrap();
            ledger.release(&claim).await.unwrap();
        }
    }
    let bare = granted(&ledger.claim(&key("con_bare"), LEASE).await.unwrap());
    ledger.release(&bare).await.unwrap();
    let at = "2026-11-22T04:00:00Z".parse().unwrap();
    let inventory = Inventory { at, connections: Default::default(), held: None };
    ledger.keep_inventory(&Tenant::try_new("acme").unwrap(), &inventory).await.unwrap();
}

#[test]
fn a_file_goes_into_a_database_and_back_with_all_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    run(async {
        let (_, url, _) = fresh().await;
        worked_with(&SqliteLedger::open(&path, &SystemEntropy).unwrap()).await;
        let before = file(&path).rows(None, 1000).await.unwrap();
        let id = file(&path).id().clone();
        transfer(&file(&path), &database(&url).await).await.unwrap();
        let there = open(&url).await;
        assert_eq!(*there.id(), id);
        assert_eq!(there.rows(None, 1000).await.unwrap(), before);
        assert!(there.inventory(&Tenant::try_new("acme").unwrap()).await.unwrap().is_some());
        // It goes on: the next line of history, the next fence.
        let claim = granted(&there.claim(&key("con_7"), LEASE).await.unwrap());
        assert_eq!(claim.fence, 4);
        there.store(&claim, 3, &record(&key("con_7")), &entry("there")).await.unwrap();
        there.release(&claim).await.unwrap();
        transfer(&database(&url).await, &file(&path)).await.unwrap();
        let back = SqliteLedger::open(&path, &SystemEntropy).unwrap();
        let words: Vec<String> = back
            .history(&key("con_7"), 10)
            .await
            .unwrap()
            .into_iter()
            .map(|line| line.words)
            .collect();
        assert_eq!(words, ["there", "round 2", "round 1", "round 0"]);
        assert_eq!(granted(&back.claim(&key("con_7"), LEASE).await.unwrap()).fence, 5);
        // The database is of no use: to whoever has it open, and to whoever opens it.
        assert_unusable(there.claim(&key("con_1"), LEASE).await, "it was moved to sqlite://");
        assert_unusable(try_open(settings(&url)).await, "it was moved to sqlite://");
        assert_unusable(look(&url).await, "it was moved to sqlite://");
    });
}

#[test]
fn a_database_that_is_worked_with_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (_, url, _) = fresh().await;
        let there = open(&url).await;
        let claim = granted(&there.claim(&key("con_1"), LEASE).await.unwrap());
        let to = file(&folder.path().join("ledger.db"));
        let refused = transfer(&database(&url).await, &to).await.unwrap_err().to_string();
        assert!(refused.contains("acts on connection con_1"), "{refused}");
        there.renew(&claim, LEASE).await.unwrap();
        there.release(&claim).await.unwrap();
        assert_eq!(database(&url).await.standing().await.unwrap(), Standing::InUse);
        transfer(&database(&url).await, &to).await.unwrap();
    });
}

/// The first of two copies has filled a part when the second one begins: whoever goes on has all of it
/// there, and what is of use by then is not touched.
async fn one_of_two_goes_on(from: &dyn Movable, first: &dyn Movable, second: &dyn Movable) {
    from.seal(Some(first.url())).await.unwrap();
    let rows = from.rows(None, 1000).await.unwrap();
    let (half, rest) = rows.split_at(60);
    let shelf = from.shelf(Shelf::Inventories).await.unwrap();
    first.empty(from.id(), from.url()).await.unwrap();
    first.fill(half.to_vec()).await.unwrap();
    second.empty(from.id(), from.url()).await.unwrap();
    second.fill(half.to_vec()).await.unwrap();
    let refused = "another `scimitar state copy` has taken it over";
    assert_unavailable(first.fill(rest.to_vec()).await, refused);
    assert_unavailable(first.put(Shelf::Inventories, shelf.clone()).await, refused);
    assert_unavailable(first.open().await, refused);
    second.fill(rest.to_vec()).await.unwrap();
    second.put(Shelf::Inventories, shelf).await.unwrap();
    second.open().await.unwrap();
    assert_unavailable(
        first.empty(from.id(), from.url()).await,
        "a process began to use it just now",
    );
    assert_unavailable(first.fill(half.to_vec()).await, refused);
    assert_unavailable(first.open().await, refused);
    assert_eq!(second.standing().await.unwrap(), Standing::InUse);
    assert_eq!(second.rows(None, 1000).await.unwrap(), rows);
}

#[test]
fn of_two_copies_at_once_one_stops_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(async {
        let (_, url, _) = fresh().await;
        worked_with(&SqliteLedger::open(&path("old.db"), &SystemEntropy).unwrap()).await;
        let from = file(&path("old.db"));
        one_of_two_goes_on(&from, &database(&url).await, &database(&url).await).await;
        drop(open(&url).await);
        let from = database(&url).await;
        one_of_two_goes_on(&from, &file(&path("new.db")), &file(&path("new.db"))).await;
        drop(SqliteLedger::open(&path("new.db"), &SystemEntropy).unwrap());
    });
}

/// Each of the two would be of use in the end, with one id.
#[test]
fn what_was_moved_to_one_place_is_not_moved_to_another() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (_, url, _) = fresh().await;
        let old = folder.path().join("old.db");
        for from in [&file(&old) as &dyn Movable, &database(&url).await] {
            from.seal(Some("sqlite:///one.db")).await.unwrap();
            from.seal(Some("sqlite:///one.db")).await.unwrap();
            let other = from.seal(Some("sqlite:///other.db")).await;
            assert_unusable(other, "it was moved to sqlite:///one.db");
        }
    });
}

/// With the rights that docs/postgresql.md grants an empty database is filled. To empty one takes more:
/// that is said while the old ledger is still of use.
#[test]
fn rights_that_are_missing_are_told_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    run(async {
        let (server, url, name) = fresh().await;
        drop(open(&url).await);
        let role = format!("role_{name}");
        let as_role = server.url_of(&role, &name);
        server.run(&name, &format!("CREATE ROLE {role} LOGIN; {}", grants(&role))).await;
        // What replicas took of a limit says nothing of whether a ledger is in use.
        let took = "INSERT INTO scimitar.limits VALUES ('acme', now(), now(), NULL)";
        server.run(&name, took).await;
        put(&SqliteLedger::open(&path, &SystemEntropy).unwrap(), &record(&key("con_1"))).await;
        transfer(&file(&path), &database(&as_role).await).await.unwrap();
        transfer(&database(&as_role).await, &file(&path)).await.unwrap();
        // Back again, over the rows that are there.
        let refused = transfer(&file(&path), &database(&as_role).await).await.unwrap_err();
        assert!(refused.to_string().contains("DELETE ON scimitar.records"), "{refused}");
        assert_eq!(file(&path).standing().await.unwrap(), Standing::InUse);
        let all = format!("GRANT DELETE ON scimitar.records TO {role}");
        server.run(&name, &all).await;
        transfer(&file(&path), &database(&as_role).await).await.unwrap();
        assert_eq!(open(&as_role).await.all().await.unwrap().len(), 1);
    });
}

/// By hand, with the program: what is in force goes on in the other ledger, without a rotation.
#[test]
fn the_program_goes_on_where_its_ledger_went() {
    let mut world = World::new();
    world.run(&["--rotate-now"]).exits(0);
    let (_, url, _) = super::site::now_in(fresh());
    let old = format!("sqlite://{}", world.path("ledger.db").display());
    let moved = world.call(&["state", "copy", &old, &url]).run().exits(0);
    assert!(moved.stdout.contains("moved 1 connections"), "{}", moved.stdout);
    let refused = world.call(&["status"]).run().exits(1);
    assert!(refused.stderr.contains(&format!("it was moved to {url}")), "{}", refused.stderr);
    world.config.state = format!("url = \"{url}\"");
    world.configure();
    let once = world.run(&["--once"]).exits(0);
    assert!(once.stdout.contains("unchanged"), "{}", once.stdout);
    // The new one is lost for good, says whoever knows: the old one is of use again.
    let again = world.call(&["state", "copy", &old, &url]).run().exits(2);
    assert!(
        again.stderr.contains(&format!("{old} was already moved to {url}")),
        "{}",
        again.stderr
    );
    world.call(&["state", "reopen", &old]).run().exits(0);
    world.config.state = format!("url = \"{old}\"");
    world.configure();
    world.call(&["status"]).run().exits(0);
    let twice = world.call(&["state", "reopen", &old]).run().exits(2);
    assert!(twice.stderr.contains("was not moved"), "{}", twice.stderr);
    let secret = "postgres://u:canary-url-password@127.0.0.1/x";
    let bad = world.call(&["state", "copy", secret, &old]).run().exits(2);
    assert!(!bad.stderr.contains("canary-url-password"), "{}", bad.stderr);
}
