//! Replicas that ask for the same at the same moment.

use std::{collections::BTreeSet, sync::Arc};

use scimitar::ledger::{Claimed, Ledger, LedgerError};
use scimitar_test_support::ledger_conformance::{
    run,
    sample::{LEASE, entry, granted, key, noon, put, record},
};

use super::site::{fresh, lab, open};

/// Three share a hundred connections: each is claimed once, and nobody waits for another.
#[test]
fn replicas_share_what_is_due() {
    run(async {
        let (_, url, _) = fresh().await;
        let replicas = [open(&url).await, open(&url).await, open(&url).await].map(Arc::new);
        for nth in 0..100 {
            let mut due = record(&key(&format!("con_{nth}")));
            due.wake_at = Some(noon());
            put(&*replicas[0], &due).await;
        }
        // None goes on before each has its first: otherwise one might have done all of it by then.
        let begun = Arc::new(tokio::sync::Barrier::new(replicas.len()));
        let work = replicas.iter().map(|replica| {
            let (replica, begun) = (Arc::clone(replica), Arc::clone(&begun));
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let due = replica.due(noon(), 100).await.unwrap();
                    let not_yet = |key: &&_| !mine.contains(*key);
                    let Some(next) = due.iter().find(not_yet) else { return mine };
                    if let Claimed::Yes(claim, _) = replica.claim(next, LEASE).await.unwrap() {
                        mine.push(claim.key);
                        if mine.len() == 1 {
                            begun.wait().await;
                        }
                    }
                }
            })
        });
        let mut all = BTreeSet::new();
        let mut count = 0;
        for done in work.collect::<Vec<_>>() {
            let mine = done.await.unwrap();
            assert!(!mine.is_empty(), "one had none of it");
            count += mine.len();
            all.extend(mine);
        }
        assert_eq!((count, all.len()), (100, 100));
    });
}

/// A row that somebody is changing is not waited for.
#[test]
fn a_row_that_is_locked_is_held_and_never_waited_for() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        let claim = granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
        ledger.release(&claim).await.unwrap();
        let other = server.connect(&database).await.unwrap();
        other.batch_execute("BEGIN; SELECT FROM scimitar.claims FOR UPDATE").await.unwrap();
        // The row stays locked: whoever waited for it would get no answer.
        let claimed = ledger.claim(&key("con_1"), LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Held(_)), "{claimed:?}");
        other.batch_execute("ROLLBACK").await.unwrap();
        granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
    });
}

/// The holder is frozen past its lease; another takes over, and whatever the first one does then does
/// nothing.
#[test]
fn a_frozen_holder_is_fenced_off_when_it_thaws() {
    run(async {
        let lab = lab().await;
        let (frozen, other) = (lab.process().ledger, lab.process().ledger);
        let key = key("con_1");
        put(&*frozen, &record(&key)).await;
        let old = granted(&frozen.claim(&key, LEASE).await.unwrap());
        lab.pass(LEASE);
        let new = granted(&other.claim(&key, LEASE).await.unwrap());
        other.store(&new, 1, &record(&key), &entry("new")).await.unwrap();
        let late = frozen.store(&old, 1, &record(&key), &entry("late")).await;
        assert!(matches!(late, Err(LedgerError::ClaimLost)), "{late:?}");
        let late = frozen.renew(&old, LEASE).await;
        assert!(matches!(late, Err(LedgerError::ClaimLost)), "{late:?}");
        frozen.release(&old).await.unwrap();
        other.renew(&new, LEASE).await.unwrap();
        assert_eq!(other.load(&key).await.unwrap().unwrap().version, 2);
    });
}

/// While a write is being made durable nobody takes the connection over, though the lease is over.
#[test]
fn a_write_that_began_in_time_is_not_overtaken() {
    run(async {
        let lab_of = super::site::lab_at;
        let (server, url, database) = fresh().await;
        let lab = lab_of(server, database.clone(), url).await;
        let (one, other) = (lab.process().ledger, lab.process().ledger);
        let key = key("con_1");
        put(&*one, &record(&key)).await;
        let claim = granted(&one.claim(&key, LEASE).await.unwrap());
        // The record is locked: the write stands in mid-transaction, the claim's row in its hands.
        let lock = server.connect(&database).await.unwrap();
        lock.batch_execute("BEGIN; SELECT FROM scimitar.records FOR UPDATE").await.unwrap();
        let writing = tokio::spawn({
            let (one, claim, record) = (Arc::clone(&one), claim.clone(), record(&key));
            async move { one.store(&claim, 1, &record, &entry("in time")).await }
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = \
                     current_database()";
        while server.number(&database, waits).await == 0 {
            tokio::task::yield_now().await;
        }
        lab.pass(LEASE);
        let claimed = other.claim(&key, LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Held(_)), "{claimed:?}");
        lock.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(writing.await.unwrap().unwrap(), 2);
        let next = granted(&other.claim(&key, LEASE).await.unwrap());
        assert!(next.fence > claim.fence);
    });
}

/// Two names of one tenant: what is free is moved, with its history and its fence, and what another acts
/// on stays.
#[test]
fn records_are_kept_under_another_name_of_their_tenant() {
    use scimitar_test_support::ledger_conformance::sample::{key_at, tenant};
    run(async {
        let lab = lab().await;
        let (one, other) = (lab.process().ledger, lab.process().ledger);
        let (old, new) = ("login.example", "acme.example");
        for id in ["con_1", "con_2", "con_3"] {
            put(&*one, &record(&key_at(old, id))).await;
        }
        put(&*one, &record(&key_at(new, "con_2"))).await;
        granted(&other.claim(&key_at(old, "con_3"), LEASE).await.unwrap());
        let before = granted(&one.claim(&key_at(old, "con_1"), LEASE).await.unwrap());
        one.release(&before).await.unwrap();
        assert_eq!(one.move_tenant(&tenant(old), &tenant(new)).await.unwrap(), 1);
        let moved = one.load(&key_at(new, "con_1")).await.unwrap().unwrap();
        assert_eq!((moved.version, &moved.record.key), (1, &key_at(new, "con_1")));
        assert_eq!(one.history(&key_at(new, "con_1"), 9).await.unwrap(), [entry("put")]);
        assert_eq!(one.load(&key_at(old, "con_1")).await.unwrap(), None);
        assert!(one.load(&key_at(old, "con_2")).await.unwrap().is_some());
        assert!(one.load(&key_at(old, "con_3")).await.unwrap().is_some());
        let after = granted(&one.claim(&key_at(new, "con_1"), LEASE).await.unwrap());
        assert!(after.fence > before.fence, "{after:?} {before:?}");
    });
}
