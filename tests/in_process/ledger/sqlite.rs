//! What is SQLite's own: files, modes, other processes, and what is no ledger.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    time::Duration,
};

use rusqlite::Connection;
use scimitar::{
    clock::{SystemEntropy, parse_timestamp},
    ledger::{
        Claimed, Ledger, LedgerError,
        inventory::{Inventory, Whose},
        sqlite::{LeaseClock, SqliteLedger},
    },
    provider::connections::Found,
    rotation::{
        notice::Occasion,
        watch::{Watch, WatchRecord},
    },
    token::{ConnectionId, ConnectionName, HookName},
};

use super::{
    run,
    sample::{LEASE, entry, granted, key, key_at, put, record, tenant},
};

fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, &SystemEntropy)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

/// What lies in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn assert_unusable<T>(answer: Result<T, LedgerError>, words: &str) {
    match answer {
        Err(error @ LedgerError::Unusable { .. }) => {
            assert!(error.to_string().contains(words), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[track_caller]
fn assert_unavailable<T>(answer: Result<T, LedgerError>, words: &str) {
    match answer {
        Err(error @ LedgerError::Unavailable { .. }) => {
            assert!(error.to_string().contains(words), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was done"),
    }
}

#[test]
fn it_is_made_for_its_owner_only_and_leaves_no_lock_behind() {
    let (folder, _) = folder();
    let deep = folder.path().join("new/deeper");
    let path = deep.join("ledger.db");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let ledger = open(&path).unwrap();
    run(put(&ledger, &record(&key("con_1"))));
    assert_eq!(mode(&deep), 0o700);
    assert_eq!(mode(&folder.path().join("new")), 0o700);
    let holders = deep.join("ledger.db.holders");
    assert_eq!(mode(&holders), 0o700);
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        assert_eq!(mode(&deep.join(file)), 0o600, "{file}");
    }
    let holder = names(&holders);
    assert_eq!(holder.len(), 1);
    assert_eq!(mode(&holders.join(&holder[0])), 0o600);
    drop(ledger);
    assert_eq!(names(&holders), Vec::<String>::new());
    assert_eq!(names(&deep), ["ledger.db", "ledger.db.holders"]);
}

#[test]
fn it_is_durable_by_its_settings() {
    let (_folder, path) = folder();
    drop(open(&path).unwrap());
    let database = Connection::open(&path).unwrap();
    let mode: String = database.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn several_first_starts_at_once_make_one_ledger() {
    for _ in 0..5 {
        let (_folder, path) = folder();
        let start = Arc::new(Barrier::new(8));
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let (path, start) = (path.clone(), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    open(&path).map(|ledger| ledger.id().clone())
                })
            })
            .collect();
        let ids: Vec<_> = starts.into_iter().map(|start| start.join().unwrap().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    let (_one, path) = folder();
    let (_other, other) = folder();
    assert_ne!(open(&path).unwrap().id(), open(&other).unwrap().id());
}

#[test]
fn a_link_to_it_is_the_same_ledger() {
    let (folder, path) = folder();
    let ledger = open(&path).unwrap();
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let linked = open(&link).unwrap();
    let looker = SqliteLedger::open_read_only(&link).unwrap().unwrap();
    run(async {
        put(&ledger, &record(&key("con_1"))).await;
        let claimed = ledger.claim(&key("con_1"), LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Yes(..)));
        let claimed = linked.claim(&key("con_1"), LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Held(_)));
        assert_eq!(looker.all().await.unwrap().len(), 1);
    });
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("link.db.")));
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_is() {
    let (folder, path) = folder();
    assert_unusable(open(folder.path()), "it is a folder");

    fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    assert_unusable(open(&path), "not a ledger");
    assert_unusable(SqliteLedger::open_read_only(&path), "not a ledger");
    assert!(fs::read_to_string(&path).unwrap().starts_with("dear diary"));

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
    let theirs = fs::read(&path).unwrap();
    assert_unusable(open(&path), "not a Scimitar ledger");
    assert_unusable(SqliteLedger::open_read_only(&path), "not a Scimitar ledger");
    assert_eq!(fs::read(&path).unwrap(), theirs);
}

#[test]
fn a_newer_ledger_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    drop(open(&path).unwrap());
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 5).unwrap();
    drop(database);
    let newer = fs::read(&path).unwrap();
    assert_unusable(open(&path), "its tables have version 5,");
    assert_unusable(SqliteLedger::open_read_only(&path), "or a newer one");
    assert_eq!(fs::read(&path).unwrap(), newer);
}

/// What hooks were told is kept, and only whoever has the claim writes it.
#[test]
fn what_is_known_of_a_watched_token_is_fenced() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    let name = ConnectionName::try_new("initech-sso").unwrap();
    assert_eq!(run(ledger.watched(&name)).unwrap(), None);
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let watch = Watch {
        name: name.clone(),
        expires_at: at,
        owner: None,
        note: None,
        link: None,
        notify_before: [Duration::from_secs(60)].into(),
        shadowed: false,
    };
    let pager = HookName::try_new("pager").unwrap();
    let mut record = WatchRecord::default();
    record.follow(&watch, &[(pager, [Occasion::Expiring].into())].into(), at);
    let claim = granted(&run(ledger.claim(&watch.key(), LEASE)).unwrap());
    run(ledger.keep_watched(&claim, &name, &record)).unwrap();
    run(ledger.release(&claim)).unwrap();
    let other = WatchRecord::default();
    let late = run(ledger.keep_watched(&claim, &name, &other));
    assert!(matches!(late, Err(LedgerError::ClaimLost)), "{late:?}");
    drop(ledger);
    let looks = SqliteLedger::open_read_only(&path).unwrap().unwrap();
    assert_eq!(run(looks.watched(&name)).unwrap(), Some(record));
    // Nothing takes it for a connection.
    assert_eq!(run(looks.all()).unwrap(), []);
}

#[test]
fn what_a_tenant_has_is_kept_until_the_next_list() {
    let (_folder, path) = folder();
    let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
    let found = |ids: &[&str]| -> Vec<Found> {
        let one = |id: &&str| Found {
            id: ConnectionId::try_new(*id).unwrap(),
            name: format!("name of {id}"),
            strategy: "okta".to_owned(),
        };
        ids.iter().map(one).collect()
    };
    let (acme, other) = (tenant("acme"), tenant("other"));
    let ledger = open(&path).unwrap();
    assert_eq!(run(ledger.inventory(&acme)).unwrap(), None);
    let first = Inventory::after(None, &found(&["con_1", "con_2"]), at, false, |_| Whose::Ours);
    run(ledger.keep_inventory(&acme, &first)).unwrap();
    let next = Inventory::after(Some(&first), &found(&["con_2"]), at, false, |_| Whose::Ours);
    run(ledger.keep_inventory(&acme, &next)).unwrap();
    run(ledger.keep_inventory(&other, &first)).unwrap();
    drop(ledger);
    let looked = SqliteLedger::open_read_only(&path).unwrap().unwrap();
    assert_eq!(run(looked.inventory(&acme)).unwrap(), Some(next));
    assert_eq!(run(looked.inventory(&other)).unwrap(), Some(first.clone()));
    assert_unavailable(run(looked.keep_inventory(&acme, &first)), "opened read-only");
}

#[test]
fn a_newer_record_in_a_known_ledger_is_refused_and_kept() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    run(put(&ledger, &record(&key("con_1"))));
    let database = Connection::open(&path).unwrap();
    let changed = database
        .execute("UPDATE records SET schema = 3, document = json_set(document, '$.schema', 3)", ())
        .unwrap();
    assert_eq!(changed, 1);
    assert_unusable(run(ledger.load(&key("con_1"))), "schema 3");
    assert_unusable(run(ledger.all()), "a newer one");
}

#[test]
fn damage_is_said_with_the_way_out() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    run(put(&ledger, &record(&key("con_1"))));
    drop(ledger);
    // Everything behind the page that says what the file is.
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xAA);
    fs::write(&path, bytes).unwrap();
    assert_unusable(open(&path), "restore it from a backup");
}

#[test]
fn a_file_that_is_taken_away_is_not_written_to() {
    let (folder, path) = folder();
    let ledger = open(&path).unwrap();
    run(async {
        let claim = granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
        let one = record(&key("con_1"));
        ledger.store(&claim, 0, &one, &entry("")).await.unwrap();

        let moved = folder.path().join("moved.db");
        fs::rename(&path, &moved).unwrap();
        let gone = "removed or replaced";
        assert_unavailable(ledger.store(&claim, 1, &one, &entry("")).await, gone);
        assert_unavailable(ledger.claim(&key("con_2"), LEASE).await, gone);
        assert_unavailable(ledger.load(&key("con_1")).await, gone);

        fs::copy(&moved, &path).unwrap();
        assert_unavailable(ledger.store(&claim, 1, &one, &entry("")).await, gone);
        // Back where it was, it goes on.
        fs::rename(&moved, &path).unwrap();
        assert_eq!(ledger.store(&claim, 1, &one, &entry("")).await.unwrap(), 2);
    });
}

#[test]
fn claims_of_another_boot_are_free() {
    let (_folder, path) = folder();
    let long_ago = || Duration::from_secs(1_000_000);
    let just_now = || Duration::from_secs(3);
    let boot = |id: &str, since: fn() -> Duration| {
        SqliteLedger::open_with(&path, &SystemEntropy, LeaseClock::new(id, since)).unwrap()
    };
    let before = boot("boot-1", long_ago);
    let after = boot("boot-2", just_now);
    run(async {
        let old = granted(&before.claim(&key("con_1"), LEASE).await.unwrap());
        let new = granted(&after.claim(&key("con_1"), LEASE).await.unwrap());
        assert!(new.fence > old.fence);
        let record = record(&key("con_1"));
        let refused = before.store(&old, 0, &record, &entry("")).await;
        assert!(matches!(refused, Err(LedgerError::ClaimLost)));
        after.store(&new, 0, &record, &entry("")).await.unwrap();
    });
}

#[test]
fn a_holder_whose_lock_file_is_removed_stands_again() {
    let (folder, path) = folder();
    let (one, other) = (open(&path).unwrap(), open(&path).unwrap());
    run(async {
        let claim = granted(&one.claim(&key("con_1"), LEASE).await.unwrap());
        fs::remove_dir_all(folder.path().join("ledger.db.holders")).unwrap();
        one.renew(&claim, LEASE).await.unwrap();
        let claimed = other.claim(&key("con_1"), LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Held(_)));
    });
}

#[test]
fn looking_makes_nothing() {
    let (folder, path) = folder();
    assert!(SqliteLedger::open_read_only(&path).unwrap().is_none());
    let deep = folder.path().join("no/such/ledger.db");
    assert!(SqliteLedger::open_read_only(&deep).unwrap().is_none());
    assert_eq!(names(folder.path()), Vec::<String>::new());
    fs::write(&path, "").unwrap();
    assert!(SqliteLedger::open_read_only(&path).unwrap().is_none());
    assert_eq!(names(folder.path()), ["ledger.db"]);
}

#[test]
fn looking_works_beside_a_writer_after_it_and_without_it() {
    // Characters that mean something in a URI.
    let (folder, _) = folder();
    let path = folder.path().join("50% of #1?.db");
    let writer = open(&path).unwrap();
    let looker = SqliteLedger::open_read_only(&path).unwrap().unwrap();
    assert_eq!(looker.id(), writer.id());
    let (one, two) = (record(&key("con_1")), record(&key("con_2")));
    let seen = || run(looker.all()).unwrap().len();

    assert_eq!(seen(), 0);
    run(put(&writer, &one));
    assert_eq!(seen(), 1, "what is written meanwhile is seen");
    let claimed = run(writer.claim(&key("con_1"), LEASE)).unwrap();
    let claim = granted(&claimed);
    let refused = "opened read-only";
    assert_unavailable(run(looker.claim(&key("con_2"), LEASE)), refused);
    assert_unavailable(run(looker.renew(&claim, LEASE)), refused);
    assert_unavailable(run(looker.release(&claim)), refused);
    assert_unavailable(run(looker.store(&claim, 1, &one, &entry(""))), refused);

    // A pair of files as a backup has it: the log holds what the database does not yet.
    let copies = folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy = copies.join("ledger.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(folder.path().join("50% of #1?.db-wal"), copies.join("ledger.db-wal")).unwrap();
    let copied = SqliteLedger::open_read_only(&copy).unwrap().unwrap();
    assert_eq!(run(copied.all()).unwrap().len(), 1);
    assert_eq!(names(&copies), ["ledger.db", "ledger.db-wal"]);

    drop(writer);
    let left = ["50% of #1?.db", "50% of #1?.db.holders", "copies"];
    assert_eq!(names(folder.path()), left);
    assert_eq!(seen(), 1);
    assert_eq!(run(looker.history(&key("con_1"), 9)).unwrap().len(), 1);
    assert_eq!(names(folder.path()), left, "nothing is made where nobody writes");

    let again = open(&path).unwrap();
    run(put(&again, &two));
    assert_eq!(seen(), 2);
    drop(again);
    fs::remove_file(&path).unwrap();
    assert_unavailable(run(looker.all()), "look at it");
}

/// A look must be whole while a writer starts, writes and stops.
#[test]
fn looking_is_never_torn() {
    let (_folder, path) = folder();
    let key = key("con_1");
    run(put(&open(&path).unwrap(), &record(&key)));
    let looker = SqliteLedger::open_read_only(&path).unwrap().unwrap();
    let writer = std::thread::spawn({
        let (path, key) = (path, key.clone());
        move || {
            run(async {
                for version in 1..40 {
                    let ledger = open(&path).unwrap();
                    let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
                    let mut record = record(&key);
                    record.generation = version + 1;
                    record.warnings.insert("x".repeat(20_000));
                    let entry = entry(&(version + 1).to_string());
                    ledger.store(&claim, version, &record, &entry).await.unwrap();
                }
            });
        }
    });
    run(async {
        let mut before = 0;
        while !writer.is_finished() {
            match looker.load(&key).await {
                Ok(found) => {
                    let found = found.unwrap();
                    assert!(found.version >= before, "{} after {before}", found.version);
                    assert!(found.version == 1 || found.record.generation == found.version);
                    before = found.version;
                }
                Err(LedgerError::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let last = looker.load(&key).await.unwrap().unwrap();
        assert_eq!(last.version, 40);
    });
    writer.join().unwrap();
}

#[test]
fn records_move_to_another_tenant_name_with_all_their_rows() {
    run(async {
        let (_folder, path) = folder();
        let ledger = open(&path).unwrap();
        let at = |tenant: &str, id: &str| key_at(tenant, id);
        let (old, new) = ("login.acme.example", "acme.example");
        for id in ["con_1", "con_2", "con_3", "con_4"] {
            put(&ledger, &record(&at(old, id))).await;
        }
        put(&ledger, &record(&at(new, "con_2"))).await;
        put(&ledger, &record(&at("other.example", "con_1"))).await;
        // One is acted on now, one was given back.
        granted(&ledger.claim(&at(old, "con_3"), LEASE).await.unwrap());
        let given = granted(&ledger.claim(&at(old, "con_4"), LEASE).await.unwrap());
        ledger.release(&given).await.unwrap();
        let history = ledger.history(&at(old, "con_1"), 10).await.unwrap();
        assert!(!history.is_empty());

        let moved = ledger.move_tenant(&tenant(old), &tenant(new)).await.unwrap();
        assert_eq!(moved, 2);
        let stored = ledger.load(&at(new, "con_1")).await.unwrap().unwrap();
        assert_eq!(stored.record, record(&at(new, "con_1")));
        assert_eq!(ledger.history(&at(new, "con_1"), 10).await.unwrap(), history);
        assert!(ledger.load(&at(old, "con_1")).await.unwrap().is_none());
        assert!(ledger.load(&at("other.example", "con_1")).await.unwrap().is_some());
        for stays in ["con_2", "con_3"] {
            assert!(ledger.load(&at(old, stays)).await.unwrap().is_some(), "{stays}");
        }
        // A fence number never goes back: an old worker's write is refused.
        let next = granted(&ledger.claim(&at(new, "con_4"), LEASE).await.unwrap());
        assert!(next.fence > given.fence, "{next:?} {given:?}");
        let late = ledger.store(&given, 1, &record(&at(old, "con_4")), &entry("late")).await;
        assert!(matches!(late, Err(LedgerError::ClaimLost)), "{late:?}");
        assert_eq!(ledger.move_tenant(&tenant(old), &tenant(new)).await.unwrap(), 0);
    });
}
