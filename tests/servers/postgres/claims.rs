//! Who is told that a connection is claimed: nobody who cannot act on it.

use scimitar::ledger::Ledger;
use scimitar_test_support::ledger_conformance::{
    run,
    sample::{LEASE, granted, key, put, record},
};

use super::site::{REPLACED, assert_unavailable, assert_unusable, fresh, open};

/// While a newer program writes records that this one cannot read, say: it is not in the other's way.
#[test]
fn a_record_that_cannot_be_read_is_left_unclaimed() {
    run(async {
        let (server, url, database) = fresh().await;
        let (one, other) = (open(&url).await, open(&url).await);
        let key = key("con_1");
        put(&one, &record(&key)).await;
        server.run(&database, "CREATE TABLE public.kept AS TABLE scimitar.records").await;
        let newer = "UPDATE scimitar.records
            SET schema = 99, document = jsonb_set(document::jsonb, '{schema}', '99')::text";
        server.run(&database, newer).await;
        assert_unusable(one.claim(&key, LEASE).await, "has schema 99");
        let held = "SELECT count(*) FROM scimitar.claims WHERE holder IS NOT NULL";
        assert_eq!(server.number(&database, held).await, 0);
        let older = "UPDATE scimitar.records AS records
            SET schema = kept.schema, document = kept.document FROM public.kept AS kept";
        server.run(&database, older).await;
        granted(&other.claim(&key, LEASE).await.unwrap());
    });
}

/// The connection stays open while something else takes the ledger's place.
#[test]
fn an_open_connection_claims_in_no_other_ledger() {
    run(async {
        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        let key = key("con_1");
        put(&ledger, &record(&key)).await;
        // A newer program has moved it on.
        let meta = |what: &str| format!("UPDATE scimitar.meta SET {what}");
        server.run(&database, &meta("version = 3, min_reader = 3")).await;
        assert_unusable(ledger.claim(&key, LEASE).await, "knows version 3");
        server.run(&database, &meta("version = 1, min_reader = 1")).await;
        let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
        ledger.release(&claim).await.unwrap();
        // It was restored from another one's backup.
        server.run(&database, &meta("ledger_id = repeat('0', 32)")).await;
        assert_unavailable(ledger.claim(&key, LEASE).await, REPLACED);
        server.run(&database, "DELETE FROM scimitar.meta").await;
        assert_unusable(ledger.claim(&key, LEASE).await, "it has no id");
        // It was dropped, and the next start of another replica made a new one.
        server.run(&database, "DROP SCHEMA scimitar CASCADE").await;
        drop(open(&url).await);
        assert_unavailable(ledger.claim(&key, LEASE).await, REPLACED);
        let claims = "SELECT count(*) FROM scimitar.claims";
        assert_eq!(server.number(&database, claims).await, 0);
    });
}
