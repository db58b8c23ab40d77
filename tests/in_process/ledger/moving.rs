//! A ledger that is moved: what it knows goes along, and only one of the two is ever of use.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use scimitar::{
    clock::SystemEntropy,
    ledger::{
        Claimed, Ledger, LedgerError,
        inventory::Inventory,
        moving::{Movable, MoveError, Moved, Standing, transfer},
        sqlite::SqliteLedger,
    },
    token::Tenant,
};

use super::{
    run,
    sample::{LEASE, entry, granted, key, record},
};

fn open(path: &Path) -> SqliteLedger {
    SqliteLedger::open(path, &SystemEntropy).unwrap()
}

fn to_move(path: &Path) -> SqliteLedger {
    SqliteLedger::open_to_move(path, &SystemEntropy).unwrap()
}

fn inventory() -> Inventory {
    let at = "2026-11-22T04:00:00Z".parse().unwrap();
    Inventory { at, connections: std::collections::BTreeMap::new(), held: None }
}

/// A ledger that was worked with.
async fn worked_with(ledger: &dyn Ledger, connections: usize) {
    for number in 0..connections {
        let key = key(&format!("con_{number}"));
        for round in 0..if number == 7 { 3 } else { 1 } {
            let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
            let words = format!("round {round}");
            ledger.store(&claim, round, &record(&key), &entry(&words)).await.unwrap();
            ledger.release(&claim).await.unwrap();
        }
    }
    // Claimed, and nothing is written down yet.
    let bare = granted(&ledger.claim(&key("con_bare"), LEASE).await.unwrap());
    ledger.release(&bare).await.unwrap();
    let tenant = Tenant::try_new("acme.eu.auth0.com").unwrap();
    ledger.keep_inventory(&tenant, &inventory()).await.unwrap();
}

async fn is_whole(old: &SqliteLedger, new: &SqliteLedger) {
    assert_eq!(old.rows(None, 1000).await.unwrap(), new.rows(None, 1000).await.unwrap());
    assert_eq!(new.all().await.unwrap().len(), 210);
    let tenant = Tenant::try_new("acme.eu.auth0.com").unwrap();
    assert_eq!(new.inventory(&tenant).await.unwrap(), Some(inventory()));
    let lines = new.history(&key("con_7"), 10).await.unwrap();
    let words: Vec<&str> = lines.iter().map(|line| line.words.as_str()).collect();
    assert_eq!(words, ["round 2", "round 1", "round 0"]);
    // A fence goes on from where it was: one of the old ledger never equals one of the new.
    let claim = granted(&new.claim(&key("con_7"), LEASE).await.unwrap());
    assert_eq!(claim.fence, 4);
    let bare = granted(&new.claim(&key("con_bare"), LEASE).await.unwrap());
    assert_eq!(bare.fence, 2);
}

#[test]
fn everything_goes_along_and_the_old_one_is_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    run(async {
        worked_with(&open(&old), 210).await;
        // It has written nothing yet, so that nobody knows of it.
        let still_open = open(&old);
        let id = still_open.id().clone();
        let moved = transfer(&to_move(&old), &to_move(&new)).await.unwrap();
        assert_eq!(moved, Moved { connections: 210, lines: 212 });
        let opened = open(&new);
        assert_eq!(*opened.id(), id);
        is_whole(&to_move(&old), &opened).await;
        // Nobody works with the old one: neither who has it open nor who opens it.
        let refused = still_open.claim(&key("con_1"), LEASE).await.unwrap_err();
        let words = refused.to_string();
        assert!(
            words.contains("it was moved to sqlite:///") && words.contains("new.db"),
            "{words}"
        );
        assert!(matches!(refused, LedgerError::Unusable { .. }));
        assert!(SqliteLedger::open(&old, &SystemEntropy).is_err());
        drop(still_open);
        assert!(SqliteLedger::open_read_only(&old).is_err());
    });
}

#[test]
fn what_ended_in_the_middle_goes_on_and_neither_is_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    run(async {
        worked_with(&open(&old), 210).await;
        // It ended before the last page.
        {
            let (from, to) = (to_move(&old), to_move(&new));
            from.seal(Some(to.url())).await.unwrap();
            to.empty(from.id(), from.url()).await.unwrap();
            to.fill(from.rows(None, 200).await.unwrap()).await.unwrap();
        }
        assert!(SqliteLedger::open(&old, &SystemEntropy).is_err());
        let unfinished = SqliteLedger::open(&new, &SystemEntropy).unwrap_err().to_string();
        assert!(unfinished.contains("it is not filled from sqlite://"), "{unfinished}");
        transfer(&to_move(&old), &to_move(&new)).await.unwrap();
        is_whole(&to_move(&old), &open(&new)).await;
        // Once it is done it is not done again over what has happened since.
        let again = transfer(&to_move(&old), &to_move(&new)).await.unwrap_err();
        let words = again.to_string();
        assert!(words.contains("old.db was already moved to sqlite:///"), "{words}");
        assert!(words.ends_with("new.db, which is in use"), "{words}");
    });
}

#[test]
fn the_way_back_is_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    run(async {
        worked_with(&open(&old), 210).await;
        transfer(&to_move(&old), &to_move(&new)).await.unwrap();
        transfer(&to_move(&new), &to_move(&old)).await.unwrap();
        is_whole(&to_move(&new), &open(&old)).await;
        assert!(matches!(to_move(&new).standing().await.unwrap(), Standing::MovedTo(_)));
    });
}

#[test]
fn what_another_process_has_open_is_not_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    run(async {
        // It acts on nothing at the moment.
        let daemon = open(&old);
        worked_with(&daemon, 10).await;
        let lock_files = folder.path().join("old.db.holders");
        std::fs::write(lock_files.join("README"), "").unwrap();
        let refused = transfer(&to_move(&old), &to_move(&new)).await.unwrap_err();
        assert!(refused.to_string().contains("another process has it open"), "{refused}");
        assert_eq!(to_move(&old).standing().await.unwrap(), Standing::InUse);
        assert_eq!(to_move(&new).standing().await.unwrap(), Standing::Empty);
        // What a dead one left keeps nobody from it.
        std::fs::write(lock_files.join("f".repeat(32)), "").unwrap();
        drop(daemon);
        transfer(&to_move(&old), &to_move(&new)).await.unwrap();
    });
}

#[test]
fn what_is_worked_with_and_what_is_anothers_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(async {
        let busy = open(&path("busy.db"));
        let claimed = busy.claim(&key("con_1"), LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Yes(..)));
        let other = to_move(&path("other.db"));
        let refused = transfer(&to_move(&path("busy.db")), &other).await.unwrap_err();
        assert!(refused.to_string().contains("acts on connection con_1"), "{refused}");
        assert!(busy.claim(&key("con_2"), LEASE).await.is_ok(), "it is of use as before");
        // A dead process acts on nothing.
        drop(busy);
        worked_with(&open(&path("theirs.db")), 2).await;
        let from = to_move(&path("busy.db"));
        let refused = transfer(&from, &to_move(&path("theirs.db"))).await.unwrap_err();
        assert!(matches!(refused, MoveError::Refused(_)), "{refused}");
        assert_eq!(open(&path("theirs.db")).all().await.unwrap().len(), 2);
        assert!(SqliteLedger::open(&path("busy.db"), &SystemEntropy).is_ok());
        let nothing = transfer(&to_move(&path("none.db")), &other).await.unwrap_err();
        assert!(nothing.to_string().contains("is empty: there is nothing to move"), "{nothing}");
    });
}
