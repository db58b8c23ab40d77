//! A tenant's limit that replicas share, by the database's clock.

use std::time::Duration;

use scimitar::{
    ledger::Ledger,
    provider::budget::{RateLimit, Turns, Wanted},
    token::Tenant,
};
use scimitar_test_support::ledger_conformance::run;

use super::site::{fresh, lab, lab_at, look, open};

fn tenant(name: &str) -> Tenant {
    Tenant::try_new(name).unwrap()
}

fn wanted(turns: u32) -> Wanted {
    let limit = |per_second| RateLimit::try_new(per_second, 5).unwrap();
    Wanted { turns, whole: limit(2.0), ours: limit(1.0) }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn replicas_take_their_turns_out_of_one_account() {
    run(async {
        let lab = lab().await;
        let (one, other) = (lab.process().ledger, lab.process().ledger);
        let (one, other) = (one.limits().unwrap(), other.limits().unwrap());
        let tenant_1 = tenant("acme.eu.auth0.com");
        let nothing = Turns { pause: Duration::ZERO, ours: Duration::ZERO, whole: Duration::ZERO };
        assert_eq!(one.take_turns(&tenant_1, wanted(3)).await.unwrap(), nothing);
        // Three are taken: 3 s of our share, 1.5 s of the whole.
        let taken = other.take_turns(&tenant_1, wanted(1)).await.unwrap();
        assert_eq!(taken, Turns { ours: seconds(3.0), whole: seconds(1.5), ..nothing });
        lab.pass(seconds(2.0));
        let taken = one.take_turns(&tenant_1, wanted(0)).await.unwrap();
        assert_eq!(taken, Turns { ours: seconds(2.0), whole: seconds(0.0), ..nothing });
        // Another tenant has an account of its own; what has filled up stays full.
        assert_eq!(one.take_turns(&tenant("b.auth0.com"), wanted(1)).await.unwrap(), nothing);
        lab.pass(seconds(60.0));
        assert_eq!(other.take_turns(&tenant_1, wanted(1)).await.unwrap(), nothing);
        let taken = other.take_turns(&tenant_1, wanted(0)).await.unwrap();
        assert_eq!(taken, Turns { ours: seconds(1.0), whole: seconds(0.5), ..nothing });
    });
}

#[test]
fn a_pause_is_seen_by_all_and_the_longest_one_counts() {
    run(async {
        let lab = lab().await;
        let (one, other) = (lab.process().ledger, lab.process().ledger);
        let (one, other) = (one.limits().unwrap(), other.limits().unwrap());
        let acme = tenant("acme.eu.auth0.com");
        one.pause(&acme, seconds(10.0)).await.unwrap();
        one.pause(&acme, seconds(2.0)).await.unwrap();
        let pause = async || other.take_turns(&acme, wanted(1)).await.unwrap().pause;
        assert_eq!(pause().await, seconds(10.0));
        lab.pass(seconds(4.0));
        assert_eq!(pause().await, seconds(6.0));
        lab.pass(seconds(7.0));
        assert_eq!(pause().await, Duration::ZERO);
    });
}

#[test]
fn turns_that_are_asked_for_together_are_given_out_once() {
    run(async {
        let (server, url, database) = fresh().await;
        // By a clock that stands still: nothing fills up again meanwhile.
        let lab = lab_at(server, database, url.clone()).await;
        let mut asked = Vec::new();
        for _ in 0..4 {
            let limits = lab.process().ledger.limits().unwrap();
            asked.push(tokio::spawn(async move {
                for _ in 0..25 {
                    limits.take_turns(&tenant("acme.eu.auth0.com"), wanted(1)).await.unwrap();
                }
            }));
        }
        for task in asked {
            task.await.unwrap();
        }
        let limits = open(&url).await.limits().unwrap();
        let left = limits.take_turns(&tenant("acme.eu.auth0.com"), wanted(0)).await.unwrap().ours;
        assert_eq!(left, seconds(100.0));
        assert!(look(&url).await.unwrap().unwrap().limits().is_none(), "a look takes nothing");
    });
}
