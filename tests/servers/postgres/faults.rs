//! The server goes away, ends connections, is slow, or is another one.

use std::sync::Arc;

use scimitar::ledger::{Ledger, LedgerError};
use scimitar_test_support::{
    bao::pause,
    ledger_conformance::{
        run,
        sample::{LEASE, entry, granted, key, put, record},
    },
    postgres::Postgres,
};

use super::site::{REPLACED, assert_unavailable, fresh, look, open, settings, try_open};

/// Ends every other connection to the database.
const END_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn a_restarted_server_is_found_again() {
    run(async {
        let server = Postgres::start(&[]).await;
        let ledger = open(&server.url("postgres")).await;
        let key = key("con_1");
        put(&ledger, &record(&key)).await;
        let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
        server.fall();
        assert_unavailable(ledger.load(&key).await, "nothing listens there");
        assert_unavailable(ledger.writable().await, "nothing listens there");
        server.rise().await;
        ledger.writable().await.unwrap();
        // The claim outlives the restart, as everything that was acknowledged does.
        ledger.renew(&claim, LEASE).await.unwrap();
        assert_eq!(ledger.store(&claim, 1, &record(&key), &entry("after")).await.unwrap(), 2);
    });
}

/// Connections end at any moment, also between a COMMIT and its answer: what is asked is asked again, and
/// nothing is done twice.
#[test]
fn ended_connections_lose_nothing_and_double_nothing() {
    const ROUNDS: u64 = 200;
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = Arc::new(open(&url).await);
        let key = key("con_1");
        let work = tokio::spawn({
            let (ledger, key) = (Arc::clone(&ledger), key.clone());
            async move {
                for version in 0..ROUNDS {
                    let claim = loop {
                        match ledger.claim(&key, LEASE).await {
                            Ok(claimed) => break granted(&claimed),
                            // As often as it is tried, its connection was ended: a run comes again.
                            Err(error) => assert!(is_away(&error), "{error}"),
                        }
                    };
                    let line = entry(&version.to_string());
                    let mut stored = ledger.store(&claim, version, &record(&key), &line).await;
                    while let Err(error) = &stored {
                        assert!(is_away(error), "{error}");
                        // As the engine does: what is there says whether it was written.
                        let there = ledger.load(&key).await;
                        stored = match there.map(|there| there.map_or(0, |there| there.version)) {
                            Ok(found) if found == version + 1 => Ok(found),
                            Ok(_) => ledger.store(&claim, version, &record(&key), &line).await,
                            Err(error) => Err(error),
                        };
                    }
                    assert_eq!(stored.unwrap(), version + 1);
                    while let Err(error) = ledger.release(&claim).await {
                        assert!(is_away(&error), "{error}");
                    }
                }
            }
        });
        let mut ends = 0;
        while !work.is_finished() {
            server.run(&database, END_ALL).await;
            ends += 1;
            pause(60).await;
        }
        work.await.unwrap();
        assert!(ends > 3, "{ends}");
        let history = ledger.history(&key, 1_000).await.unwrap();
        let words: Vec<_> = history.iter().rev().map(|line| line.words.clone()).collect();
        assert_eq!(words, (0..ROUNDS).map(|number| number.to_string()).collect::<Vec<_>>());
    });
}

fn is_away(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable { .. })
}

/// A write whose COMMIT arrived and whose answer did not is found to be done.
#[test]
fn a_lost_answer_to_a_commit_is_found_out() {
    run(async {
        let server = Postgres::start(&[]).await;
        let ledger = Arc::new(open(&server.url("postgres")).await);
        let key = key("con_1");
        put(&*ledger, &record(&key)).await;
        let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
        // COMMIT waits for a standby that is not there; the session that waits is ended by force, which
        // leaves the transaction committed and the client without an answer.
        let waited_for = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
        server.run("postgres", waited_for).await;
        server.run("postgres", "SELECT pg_reload_conf()").await;
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        // Some time after it was told to, the server does as it is told.
        for probe in 0.. {
            let client = server.connect("postgres").await.unwrap();
            let statement = format!("CREATE TABLE public.probe_{probe} ()");
            tokio::spawn(async move { client.batch_execute(&statement).await });
            pause(50).await;
            if server.number("postgres", waits).await > 0 {
                break;
            }
        }
        let writing = tokio::spawn({
            let (ledger, claim, record) = (Arc::clone(&ledger), claim.clone(), record(&key));
            async move { ledger.store(&claim, 1, &record, &entry("once")).await }
        });
        while server.number("postgres", waits).await < 2 {
            pause(5).await;
        }
        server.run("postgres", "ALTER SYSTEM RESET synchronous_standby_names").await;
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        server.run("postgres", end).await;
        server.run("postgres", "SELECT pg_reload_conf()").await;
        assert_eq!(writing.await.unwrap().unwrap(), 2);
        assert_eq!(ledger.history(&key, 9).await.unwrap().len(), 2);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_given_up() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        put(&ledger, &record(&key("con_1"))).await;
        let lock = server.connect(&database).await.unwrap();
        lock.batch_execute("BEGIN; LOCK TABLE scimitar.records").await.unwrap();
        assert_unavailable(ledger.load(&key("con_1")).await, "took longer than 5000 ms");
        lock.batch_execute("ROLLBACK").await.unwrap();
        assert!(ledger.load(&key("con_1")).await.unwrap().is_some());
    });
}

/// Somebody keeps a row locked for longer than a write waits.
#[test]
fn a_lock_that_is_not_had_in_time_is_tried_for_again() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = Arc::new(open(&url).await);
        let claim = granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
        let lock = server.connect(&database).await.unwrap();
        lock.batch_execute("BEGIN; SELECT FROM scimitar.claims FOR UPDATE").await.unwrap();
        let renewing = tokio::spawn({
            let (ledger, claim) = (Arc::clone(&ledger), claim.clone());
            async move { ledger.renew(&claim, LEASE).await }
        });
        // When what waits for the lock began to: 0 while nothing does.
        let waits = "SELECT coalesce(max((extract(epoch FROM query_start) * 1000000)::int8), 0)
            FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let mut first = 0;
        loop {
            assert!(!renewing.is_finished(), "it does not wait for the lock, or not twice");
            match server.number(&database, waits).await {
                0 => {}
                began if first == 0 => first = began,
                // `lock_timeout` was over: this is another attempt.
                began if began > first => break,
                _ => {}
            }
            pause(20).await;
        }
        lock.batch_execute("ROLLBACK").await.unwrap();
        renewing.await.unwrap().unwrap();
    });
}

#[test]
fn a_standby_can_be_looked_at_and_not_written() {
    run(async {
        let server = Postgres::start(&[]).await;
        let primary = server.url("postgres");
        let ledger = open(&primary).await;
        put(&ledger, &record(&key("con_1"))).await;
        let standby = server.standby().await;
        let url = standby.url("postgres");
        assert_unavailable(try_open(settings(&url)).await.map(drop), "is a standby");
        let looker = look(&url).await.unwrap().unwrap();
        assert_eq!(looker.all().await.unwrap().len(), 1);
        // Both are named: the one that can be written is found, wherever it stands.
        let both = format!(
            "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres",
            standby.port, server.port
        );
        let ledger = open(&both).await;
        ledger.writable().await.unwrap();
        // The primary is gone and the standby takes its place.
        server.fall();
        assert_unavailable(ledger.writable().await, "nothing listens there");
        standby.run("postgres", "SELECT pg_promote()").await;
        ledger.writable().await.unwrap();
        assert_eq!(ledger.all().await.unwrap().len(), 1);
    });
}

/// A server that turns read-only under an open ledger, and back.
#[test]
fn what_turns_read_only_is_unavailable_until_it_does_not() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        let turn = |on: &str| {
            format!("ALTER DATABASE {database} SET default_transaction_read_only = {on}")
        };
        server.run("postgres", &turn("on")).await;
        server.run(&database, END_ALL).await;
        assert_unavailable(ledger.writable().await, "made read-only");
        assert_unavailable(ledger.claim(&key("con_1"), LEASE).await, "made read-only");
        server.run("postgres", &turn("off")).await;
        ledger.writable().await.unwrap();
    });
}

#[test]
fn another_ledger_in_its_place_is_not_written_to() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        put(&ledger, &record(&key("con_1"))).await;
        server.run(&database, "DROP SCHEMA scimitar CASCADE").await;
        drop(open(&url).await);
        server.run(&database, END_ALL).await;
        assert_unavailable(ledger.load(&key("con_1")).await, REPLACED);
        assert_unavailable(ledger.claim(&key("con_1"), LEASE).await, REPLACED);
    });
}
