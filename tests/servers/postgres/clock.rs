//! The database's clock is set back: what was written by the old time holds nobody up for as long.

use std::{sync::Arc, time::Duration};

use scimitar::{
    clock::SystemEntropy,
    engine::worker,
    ledger::{
        Claimed,
        moving::Movable,
        postgres::{LONGEST_LEASE, PostgresLedger},
    },
    provider::budget::{RateLimit, Turns, Wanted},
};
use scimitar_test_support::{
    ledger_conformance::{
        Lab, run,
        sample::{LEASE, granted, key, noon, put, record, tenant},
    },
    postgres::Postgres,
};

use super::site::{assert_unavailable, fresh, lab_at, settings};

/// A ledger with a clock that can be set back.
struct Settable {
    lab: Lab,
    server: &'static Postgres,
    database: String,
}

impl Settable {
    async fn new() -> Self {
        let (server, url, database) = fresh().await;
        let lab = lab_at(server, database.clone(), url).await;
        Self { lab, server, database }
    }

    async fn set_back(&self, hours: u32) {
        let statement = format!("UPDATE public.clock SET at = at - {hours} * interval '1 hour'");
        self.server.run(&self.database, &statement).await;
    }
}

#[test]
fn no_worker_asks_for_a_longer_lease_than_the_longest() {
    assert_eq!(LONGEST_LEASE, worker::LEASE);
}

/// A dead holder's claim would last five hours longer, and nobody would even look.
#[test]
fn a_claim_lasts_one_lease_from_when_its_end_is_seen() {
    run(async {
        let site = Settable::new().await;
        let (holds, other) = (site.lab.process().ledger, site.lab.process().ledger);
        let mut due = record(&key("con_1"));
        due.wake_at = Some(noon());
        put(&*holds, &due).await;
        let claim = granted(&holds.claim(&due.key, LONGEST_LEASE).await.unwrap());
        assert!(other.due(noon(), 9).await.unwrap().is_empty(), "another acts on it");
        site.set_back(5).await;
        // Whoever looks for work finds it, and is told when it is free.
        assert_eq!(other.due(noon(), 9).await.unwrap(), [due.key.clone()]);
        assert_eq!(other.due_of_each(noon(), 9).await.unwrap(), [due.key.clone()]);
        assert_eq!(other.claim(&due.key, LEASE).await.unwrap(), Claimed::Held(LONGEST_LEASE));
        assert!(other.due(noon(), 9).await.unwrap().is_empty(), "another may act on it");
        assert!(other.due_of_each(noon(), 9).await.unwrap().is_empty(), "another may act on it");
        // One that lives keeps it.
        site.lab.pass(LONGEST_LEASE - Duration::from_secs(1));
        holds.renew(&claim, LONGEST_LEASE).await.unwrap();
        site.lab.pass(LONGEST_LEASE);
        let next = granted(&other.claim(&due.key, LEASE).await.unwrap());
        assert!(next.fence > claim.fence, "{next:?} {claim:?}");
    });
}

#[test]
fn a_ledger_with_such_a_claim_is_moved_one_lease_later() {
    run(async {
        let site = Settable::new().await;
        granted(&site.lab.process().ledger.claim(&key("con_1"), LEASE).await.unwrap());
        site.set_back(5).await;
        let url = site.server.url(&site.database);
        let opened = PostgresLedger::open_to_move(settings(&url), Arc::new(SystemEntropy)).await;
        let opened = opened.unwrap();
        let there = Some("sqlite:///there.db");
        assert_unavailable(opened.seal(there).await, "acts on connection con_1");
        site.lab.pass(LONGEST_LEASE);
        opened.seal(there).await.unwrap();
    });
}

#[test]
fn what_was_taken_of_a_limit_holds_nobody_up_for_long() {
    run(async {
        let site = Settable::new().await;
        let limits = site.lab.process().ledger.limits().unwrap();
        let acme = tenant("acme.eu.auth0.com");
        let limit = |per_second| RateLimit::try_new(per_second, 5).unwrap();
        let wanted = Wanted { turns: 1, whole: limit(2.0), ours: limit(1.0) };
        limits.take_turns(&acme, wanted).await.unwrap();
        limits.pause(&acme, Duration::from_secs(10)).await.unwrap();
        site.set_back(5).await;
        // Two minutes and what a burst takes, the longest pause: however often it is asked.
        let most = Turns {
            pause: Duration::from_secs(3_600),
            ours: Duration::from_secs(125),
            whole: Duration::from_millis(122_500),
        };
        for _ in 0..3 {
            assert_eq!(limits.take_turns(&acme, wanted).await.unwrap(), most);
        }
        site.lab.pass(Duration::from_secs(3_600));
        let none = Turns { pause: Duration::ZERO, ours: Duration::ZERO, whole: Duration::ZERO };
        assert_eq!(limits.take_turns(&acme, wanted).await.unwrap(), none);
        // The same where the next thing that is kept is another pause.
        limits.pause(&acme, Duration::from_secs(3_000)).await.unwrap();
        site.set_back(5).await;
        limits.pause(&acme, Duration::from_secs(5)).await.unwrap();
        site.lab.pass(Duration::from_secs(3_600));
        let turns = limits.take_turns(&acme, wanted).await.unwrap();
        assert_eq!(turns.pause, Duration::ZERO);
    });
}
