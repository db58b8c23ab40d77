//! Connections on which nothing is answered any more, while the server answers on new ones: a machine
//! between the two has forgotten them, or the server's processes hang.

use std::{process::Command, sync::Arc, time::Duration};

use scimitar::ledger::Ledger;
use scimitar_test_support::{
    bao::pause,
    ledger_conformance::{
        run,
        sample::{LEASE, entry, granted, key, put, record},
    },
    postgres::Postgres,
};

use super::site::{fresh, open};

/// So many are open at once.
const OPEN: usize = 3;

/// The server's processes for all that is open of a ledger, stopped; they go on when this is dropped.
struct Stopped(Vec<String>);

impl Stopped {
    async fn all(server: &Postgres, database: &str) -> Self {
        let client = server.connect(database).await.unwrap();
        let query = "SELECT pid::text FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'scimitar'";
        let rows = client.query_typed(query, &[]).await.unwrap();
        let stopped = Self(rows.iter().map(|row| row.get(0)).collect());
        stopped.signal("STOP");
        stopped
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        let status = kill.args(["-c", "kill -s \"$@\"", "sh", name]).args(&self.0).status();
        assert!(status.unwrap().success(), "{:?}", self.0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

#[test]
fn what_is_not_answered_is_done_over_another_connection() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = Arc::new(open(&url).await);
        let key = key("con_1");
        put(&*ledger, &record(&key)).await;
        let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
        let load = || {
            let (ledger, key) = (Arc::clone(&ledger), key.clone());
            tokio::spawn(async move { ledger.load(&key).await.unwrap().unwrap().version })
        };
        // All of them wait for one lock, so that each is open by then.
        let lock = server.connect(&database).await.unwrap();
        lock.batch_execute("BEGIN; LOCK TABLE scimitar.records").await.unwrap();
        let loads: Vec<_> = (0..OPEN).map(|_| load()).collect();
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = \
                     current_database()";
        while server.number(&database, waits).await < OPEN as i64 {
            pause(5).await;
        }
        lock.batch_execute("ROLLBACK").await.unwrap();
        for load in loads {
            assert_eq!(load.await.unwrap(), 1);
        }
        let stopped = Stopped::all(server, &database).await;
        assert!(stopped.0.len() >= OPEN, "{:?}", stopped.0);
        let stored = ledger.store(&claim, 1, &record(&key), &entry("once")).await;
        assert_eq!(stored.unwrap(), 2);
        // The others are as old, and nobody waits for each of them in turn.
        let loads: Vec<_> = (0..OPEN).map(|_| load()).collect();
        for load in loads {
            let loaded = tokio::time::timeout(Duration::from_secs(5), load).await;
            assert_eq!(loaded.unwrap().unwrap(), 2);
        }
        // What was sent to the silent one is read at last, and does nothing.
        let gone = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid IN ({})",
            stopped.0.join(", ")
        );
        drop(stopped);
        while server.number(&database, &gone).await > 0 {
            pause(20).await;
        }
        assert_eq!(ledger.load(&key).await.unwrap().unwrap().version, 2);
        assert_eq!(ledger.history(&key, 9).await.unwrap().len(), 2);
    });
}
