//! First starts, two versions at once, rights, and what is no ledger.

use std::{sync::Arc, time::Duration};

use scimitar::{
    clock::{SystemEntropy, parse_timestamp},
    ledger::{
        Ledger, LedgerError,
        inventory::{Inventory, Whose},
        postgres::PostgresLedger,
    },
    provider::connections::Found,
    rotation::{
        notice::Occasion,
        watch::{Watch, WatchRecord},
    },
    token::{ConnectionId, ConnectionName, HookName},
};
use scimitar_test_support::{
    ledger_conformance::{
        run,
        sample::{LEASE, entry, granted, key, put, record, tenant},
    },
    postgres::{self, OWNER},
};

use super::site::{
    assert_unavailable, assert_unusable, fresh, grants, look, open, settings, try_open,
};

async fn trouble(url: &str) -> Result<(), LedgerError> {
    PostgresLedger::trouble(settings(url), Arc::new(SystemEntropy)).await
}

#[test]
fn several_first_starts_at_once_make_one_ledger() {
    run(async {
        let (_, url, _) = fresh().await;
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { open(&url).await.id().clone() })
            })
            .collect();
        let mut ids = Vec::new();
        for start in starts {
            ids.push(start.await.unwrap());
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let (_, other, _) = fresh().await;
        assert_ne!(*open(&other).await.id(), ids[0]);
    });
}

#[test]
fn looking_makes_nothing() {
    run(async {
        let (server, url, database) = fresh().await;
        assert!(look(&url).await.unwrap().is_none());
        trouble(&url).await.unwrap();
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'scimitar'";
        assert_eq!(server.number(&database, schemas).await, 0);
        let ledger = open(&url).await;
        put(&ledger, &record(&key("con_1"))).await;
        let claim = granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
        let looker = look(&url).await.unwrap().unwrap();
        assert_eq!(looker.id(), ledger.id());
        assert_eq!(looker.all().await.unwrap().len(), 1);
        let refused = "opened read-only";
        assert_unavailable(looker.claim(&key("con_2"), LEASE).await, refused);
        assert_unavailable(looker.renew(&claim, LEASE).await, refused);
        assert_unavailable(looker.release(&claim).await, refused);
        let stored = looker.store(&claim, 1, &record(&key("con_1")), &entry("")).await;
        assert_unavailable(stored, refused);
        assert_unavailable(looker.writable().await, refused);
    });
}

/// A newer program has added to the tables and this one goes on; until one comes that it cannot bear.
#[test]
fn a_newer_ledger_is_used_as_long_as_it_can_be() {
    run(async {
        let (server, url, database) = fresh().await;
        let before = open(&url).await;
        put(&before, &record(&key("con_1"))).await;
        let newer = "ALTER TABLE scimitar.records ADD COLUMN later text;
            UPDATE scimitar.meta SET version = 2";
        server.run(&database, newer).await;
        let beside = open(&url).await;
        put(&beside, &record(&key("con_2"))).await;
        put(&before, &record(&key("con_3"))).await;
        assert_eq!(look(&url).await.unwrap().unwrap().all().await.unwrap().len(), 3);
        server.run(&database, "UPDATE scimitar.meta SET version = 3, min_reader = 3").await;
        assert_unusable(try_open(settings(&url)).await.map(drop), "or a newer one");
        assert_unusable(look(&url).await.map(drop), "knows version 3");
        // One that was open already finds out with its next connection.
        let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        server.run(&database, ends).await;
        assert_unusable(before.load(&key("con_1")).await, "or a newer one");
    });
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_is() {
    run(async {
        let (server, url, database) = fresh().await;
        let theirs = "CREATE SCHEMA scimitar; CREATE TABLE scimitar.songs (name text)";
        server.run(&database, theirs).await;
        assert_unusable(try_open(settings(&url)).await.map(drop), "do not belong to Scimitar");
        assert_unusable(look(&url).await.map(drop), "do not belong to Scimitar");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'scimitar'";
        assert_eq!(server.number(&database, tables).await, 1);

        let (server, url, database) = fresh().await;
        let ledger = open(&url).await;
        server.run(&database, "DELETE FROM scimitar.meta").await;
        assert_unusable(try_open(settings(&url)).await.map(drop), "it has no id");
        server.run(&database, "DROP TABLE scimitar.records").await;
        assert_unusable(ledger.load(&key("con_1")).await, "damaged or were changed");

        server.run(OWNER, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").await;
        assert_unusable(try_open(settings(&server.url("latin"))).await.map(drop), "in UTF8");
    });
}

/// The rights that docs/postgresql.md grants are enough for everything; with fewer it is said which lack.
#[test]
fn a_role_needs_no_more_than_was_granted() {
    run(async {
        let (server, url, database) = fresh().await;
        let role = format!("role_{database}");
        let as_role = server.url_of(&role, &database);
        server.run(&database, &format!("CREATE ROLE {role} LOGIN")).await;
        assert_unavailable(try_open(settings(&as_role)).await.map(drop), "GRANT CREATE");
        assert_unavailable(trouble(&as_role).await, "docs/postgresql.md");
        // Whoever administers the database makes the tables.
        server.run(&database, &scimitar::ledger::postgres::tables()).await;
        assert_unavailable(try_open(settings(&as_role)).await.map(drop), "may not do that");
        assert_unavailable(trouble(&as_role).await, "lacks permissions");
        server.run(&database, &grants(&role)).await;
        trouble(&as_role).await.unwrap();
        let ledger = open(&as_role).await;
        put(&ledger, &record(&key("con_1"))).await;
        ledger.writable().await.unwrap();
        ledger.move_tenant(&tenant("acme.example"), &tenant("other.example")).await.unwrap();
        assert_eq!(ledger.all().await.unwrap()[0].record.key.tenant, tenant("other.example"));
        server.run(&database, &format!("REVOKE UPDATE ON scimitar.claims FROM {role}")).await;
        assert_unavailable(trouble(&as_role).await, "UPDATE ON scimitar.claims");
        drop(open(&url).await);
    });
}

#[test]
fn who_may_not_come_in_is_told_what_to_do() {
    run(async {
        let server = postgres::Postgres::start(&["password_encryption=scram-sha-256"]).await;
        server.run(OWNER, "CREATE ROLE secured LOGIN PASSWORD 'right-canary'").await;
        server.admit("host all secured 127.0.0.1/32 scram-sha-256").await;
        let url = server.url_of("secured", "postgres");
        let as_one = |password: Option<&str>| {
            let password = password.map(|text| {
                let text = text.to_owned();
                scimitar::secret::SecretSource::new(move || {
                    Ok(scimitar::secret::Secret::new(text.clone()))
                })
            });
            scimitar::ledger::postgres::Settings { password, ..settings(&url) }
        };
        server.run(OWNER, "GRANT CREATE ON DATABASE postgres TO secured").await;
        assert_unavailable(try_open(as_one(None)).await.map(drop), "asks for a password");
        let wrong = try_open(as_one(Some("wrong-canary"))).await.map(drop);
        assert!(!format!("{wrong:?}").contains("canary"), "{wrong:?}");
        assert_unavailable(wrong, "rejects the password");
        drop(try_open(as_one(Some("right-canary"))).await.unwrap());
        let nobody = server.url_of("nobody", "postgres");
        assert_unavailable(try_open(settings(&nobody)).await.map(drop), "pg_hba.conf");
        let none = server.url("none_of_this_name");
        assert_unavailable(try_open(settings(&none)).await.map(drop), "there is no database");
        // Over the socket in its folder.
        let socket = format!(
            "postgres:///postgres?host={}&port={}&user={OWNER}",
            server.data().display(),
            server.port
        );
        drop(open(&socket).await);
        server.fall();
        let refused = try_open(settings(&server.url("postgres"))).await.map(drop);
        assert_unavailable(refused, "nothing listens there");
    });
}

#[test]
fn what_is_kept_beside_the_records_comes_back_and_is_fenced() {
    run(async {
        let (_, url, _) = fresh().await;
        let ledger = open(&url).await;
        let at = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let found = |ids: &[&str]| -> Vec<Found> {
            let one = |id: &&str| Found {
                id: ConnectionId::try_new(*id).unwrap(),
                name: format!("name of {id}"),
                strategy: "okta".to_owned(),
            };
            ids.iter().map(one).collect()
        };
        let acme = tenant("acme");
        assert_eq!(ledger.inventory(&acme).await.unwrap(), None);
        for ids in [&["con_1", "con_2"][..], &["con_2"]] {
            let list = Inventory::after(None, &found(ids), at, false, |_| Whose::Ours);
            ledger.keep_inventory(&acme, &list).await.unwrap();
            assert_eq!(ledger.inventory(&acme).await.unwrap(), Some(list));
        }
        let name = ConnectionName::try_new("initech-sso").unwrap();
        let watch = Watch {
            name: name.clone(),
            expires_at: at,
            owner: None,
            note: None,
            link: None,
            notify_before: [Duration::from_secs(60)].into(),
            shadowed: false,
        };
        let mut known = WatchRecord::default();
        let pager = HookName::try_new("pager").unwrap();
        known.follow(&watch, &[(pager, [Occasion::Expiring].into())].into(), at);
        let claim = granted(&ledger.claim(&watch.key(), LEASE).await.unwrap());
        ledger.keep_watched(&claim, &name, &known).await.unwrap();
        ledger.release(&claim).await.unwrap();
        let late = ledger.keep_watched(&claim, &name, &WatchRecord::default()).await;
        assert!(matches!(late, Err(LedgerError::ClaimLost)), "{late:?}");
        assert_eq!(ledger.watched(&name).await.unwrap(), Some(known));
        assert_eq!(ledger.all().await.unwrap(), []);
    });
}
