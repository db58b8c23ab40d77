//! Three replicas on one ledger, through every weather: real processes, a real PostgreSQL, OpenBao and moto,
//! and the tenant in this process.
//!
//! A seed draws what befalls them (`weather.rs`): replicas are killed, updated, frozen for longer than their
//! leases last, told another time, cut off from the database, the tenant or a place; the database is
//! restarted, crashes, hangs; the tenant loses answers after the effect, lets effects come late, throttles,
//! fails, answers from the past; a person rotates by hand. Consumers read tokens from both places all the time
//! and use them, at once and until most of the overlap is over: each has to be accepted. In the end all is
//! mended, and every token that was ever made has to be the one in use or revoked, after its overlap if any
//! reader can have had it.
//!
//! Tokens live for an hour, overlaps are minutes and a lease is two: everything here runs 24 times as fast as
//! outside, replicas (a library in front of the C library, `tests/support/pace`), tenant, and the leases in
//! the database. Real time alone stays what it is: between an answer and what is made of it passes 24 times
//! as much as in any data centre.
//!
//! Every run has the same weather, so that one fails because of a change and not because of a draw;
//! `SCIMITAR_FLEET_SEED=N` draws another (`.ci/run draws` does), `SCIMITAR_FLEET_ROTATIONS=500` makes it as
//! long as that.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

mod consumer;
mod judge;
mod replica;
mod site;
mod weather;
mod witness;

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use scimitar::clock::{Clock, SystemClock};
use scimitar_test_support::{bao::ROOT, binary::Ended, rng::Rng};
use tokio::task::{JoinHandle, block_in_place};
use tokio_util::sync::CancellationToken;

use self::{
    consumer::{Heard, consume},
    judge::{Account, account, leaked, ledger, unsettled},
    site::{Connection, Fleet},
    weather::Weather,
    witness::{Books, witness},
};
use crate::rotation::world::CLIENT_SECRET;

/// So many tokens are made, at least, where nobody asks for more.
const SHORT: u64 = 40;

/// The weather where nobody asks for another.
const SEED: u64 = 1;

/// Outside, so long may it take until all are served and until all has settled.
const PATIENCE: TimeDelta = TimeDelta::seconds(120);

fn told(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Whoever looks on, until told to stop.
struct Onlookers {
    books: Arc<Mutex<Books>>,
    heard: Arc<Mutex<Heard>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Onlookers {
    fn of(fleet: &Fleet, rng: &mut Rng) -> Self {
        let (books, heard): (Arc<Mutex<Books>>, Arc<Mutex<Heard>>) = Default::default();
        let (sources, stop) = (&fleet.sources, CancellationToken::new());
        let mut tasks = vec![tokio::spawn(witness(sources.clone(), books.clone(), stop.clone()))];
        for _ in 0..2 {
            let consumer = consume(sources.clone(), rng.fork(), heard.clone(), stop.clone());
            tasks.push(tokio::spawn(consumer));
        }
        Self { books, heard, stop, tasks }
    }

    fn made(&self) -> usize {
        self.books.lock().unwrap().lives.len()
    }

    fn saw_one_replaced(&self) -> bool {
        self.heard.lock().unwrap().replaced
    }

    /// What is wrong right now.
    async fn unsettled(&self, fleet: &Fleet) -> Vec<String> {
        let books = {
            let mut books = self.books.lock().unwrap();
            books.read(&fleet.sources);
            books.clone()
        };
        unsettled(fleet, &books).await
    }

    async fn leave(self) -> (Books, Heard) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let books = std::mem::take(&mut *self.books.lock().unwrap());
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        (books, heard)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_come_through_every_weather() {
    let seed = told("SCIMITAR_FLEET_SEED").unwrap_or(SEED);
    let wanted = usize::try_from(told("SCIMITAR_FLEET_ROTATIONS").unwrap_or(SHORT)).unwrap();
    let mut weather = Weather::new(Rng::new(seed));
    say(&format!("SCIMITAR_FLEET_SEED={seed} SCIMITAR_FLEET_ROTATIONS={wanted}"));
    let mut fleet = Fleet::new().await;
    let onlookers = Onlookers::of(&fleet, &mut Rng::new(seed));
    fleet.replicas.iter_mut().for_each(replica::Replica::start);

    let began = SystemClock.now();
    let longest = PATIENCE + TimeDelta::seconds(5) * i32::try_from(wanted).unwrap();
    // A slow machine may need all of them for the first time of each connection.
    while onlookers.made() < wanted || weather.rounds == 0 || !onlookers.saw_one_replaced() {
        weather.turns(&mut fleet).await;
        let took = SystemClock.now() - began;
        assert!(took < longest, "only {} are made: {}", onlookers.made(), tale(&weather, &fleet));
    }
    let calls = weather.clears(&mut fleet).await;
    let statuses = calls.iter().map(|it| it.status).collect::<Vec<_>>();
    assert!(statuses.iter().all(|it| matches!(it, Some(0 | 1 | 3))), "{statuses:?}");
    let by_hand = statuses.iter().filter(|it| **it == Some(0)).count();
    for replica in &fleet.replicas {
        assert!(replica.page.is_read(), "{} goes by the host's clock", replica.name);
    }
    let stormy = SystemClock.now() - began;
    say(&format!("{} tokens are made after {} s", onlookers.made(), stormy.num_seconds()));
    settle(&mut fleet, &onlookers, &weather).await;

    let (books, heard) = onlookers.leave().await;
    let account = account(&fleet, &books).await;
    say(&format!(
        "{} tokens were made and {} delivered ({} generations), all settled after {} s; the shortest \
         overlap was {:?} s; {} uses; {by_hand} of {} calls by hand succeeded",
        account.made,
        account.delivered,
        account.generations,
        (SystemClock.now() - began).num_seconds(),
        account.shortest.map(|it| it.num_seconds()),
        heard.accepted,
        calls.len(),
    ));
    let tale = || tale(&weather, &fleet);
    assert_eq!(heard.refused, Vec::<String>::new(), "{}", tale());
    assert_eq!(account.findings, Vec::<String>::new(), "{}", tale());
    // What was made and not delivered was given up, with or without its answer, and is revoked.
    let rotations = u64::try_from(account.delivered).unwrap();
    assert!(rotations >= 24 && rotations <= account.generations, "{account:?}");
    assert!(account.generations <= u64::try_from(account.made).unwrap(), "{account:?}");
    assert!(heard.accepted > 200, "{}", heard.accepted);
    nothing_leaks(&fleet).await;
    the_judges_see(&fleet, books, &heard).await;
    let (mut lines, mut missed) = (0, 0);
    for replica in &mut fleet.replicas {
        replica.stop();
        let of_it = verified(replica, &calls);
        (lines, missed) = (lines + of_it.0, missed + of_it.1);
    }
    assert!(lines > 60 && missed * 20 < lines, "{missed} of {lines}");
}

/// One intact chain. The disk is not 24 times as fast as outside: where it did not take a line within what
/// are 5 s to a replica, the log says so, and whoever could not write it said so at the time. Gives how many
/// lines there are, and how many are not.
fn verified(replica: &replica::Replica, calls: &[Ended]) -> (u64, u64) {
    let arguments = ["audit", "verify", "audit.jsonl", "--output", "json"];
    let ended = block_in_place(|| replica.call(&arguments).run());
    let found = ended.json()["audit"].clone();
    let (lines, missed) = (found["lines"].as_u64(), found["missed"].as_u64());
    let (Some(lines), Some(missed)) = (lines, missed) else {
        panic!("{}: {}", replica.name, ended.stderr);
    };
    // It could not be written, or the call or the process ended first.
    let words = [
        "rotations continue without it",
        "interrupted before the line was written to the audit log",
        "lines could be written to the audit log",
    ];
    let said = |text: &str| words.iter().any(|words| text.contains(words));
    let told = said(&replica.said()) || calls.iter().any(|call| said(&call.stderr));
    assert!(missed == 0 || told, "{}: nobody said that {missed} were missed", replica.name);
    ended.exits(i32::from(missed > 0));
    (lines, missed)
}

/// Waits until nothing is left to be done.
async fn settle(fleet: &mut Fleet, onlookers: &Onlookers, weather: &Weather) {
    // By hand alone are tokens replaced from now on.
    fleet.configure("");
    let ends = SystemClock.now() + PATIENCE;
    let mut told = BTreeSet::new();
    loop {
        for replica in &mut fleet.replicas {
            replica.tend();
            // Before it answers it would die of this.
            if told.len() < 3 && !told.contains(&replica.name) && answers(&replica.web).await {
                replica.signal("HUP");
                told.insert(replica.name.clone());
            }
        }
        let left = onlookers.unsettled(fleet).await;
        if left.is_empty() && told.len() == fleet.replicas.len() {
            return;
        }
        if SystemClock.now() >= ends {
            let heard = onlookers.heard.lock().unwrap().refused.clone();
            panic!("it does not settle: {left:#?}\nrefused: {heard:?}\n{}", tale(weather, fleet));
        }
        fleet.sources.clock.pass(TimeDelta::seconds(12)).await;
    }
}

async fn answers(web: &str) -> bool {
    page(web, "livez").await.is_some()
}

/// What a replica shows.
async fn page(web: &str, path: &str) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{web}/{path}")).send().await.ok()?;
    answer.text().await.ok()
}

/// No part of any token, log-in or credential is in anything but the two places.
async fn nothing_leaks(fleet: &Fleet) {
    let secrets = fleet.entropy.drawn();
    let held = fleet.sources.vault(&fleet.sources.connections[0], None).await;
    assert!(leaked(&held.to_string(), &secrets).is_some(), "the search finds what is in a place");
    let mut texts = vec![("the ledger".to_owned(), ledger(fleet).await)];
    for replica in &fleet.replicas {
        let name = &replica.name;
        texts.push((format!("what {name} said"), replica.said()));
        texts.push((format!("the audit log of {name}"), replica.audit_log()));
        for path in ["metrics", "", "api/v1/connections"] {
            let shown = page(&replica.web, path).await.unwrap();
            texts.push((format!("{name}/{path}"), shown));
        }
    }
    for (what, text) in &texts {
        assert!(text.len() > 500, "{what} says nothing: {text}");
        let secret = leaked(text, &secrets);
        assert_eq!(secret, None, "{what}");
        assert!(!text.contains(CLIENT_SECRET) && !text.contains(ROOT), "{what}");
    }
}

/// Nobody could have been cut off unseen: whoever keeps a token for too long is refused, and a replacement
/// that leaves readers no overlap is found out.
async fn the_judges_see(fleet: &Fleet, mut books: Books, heard: &Heard) {
    let (connection, kept, current) = replaced(fleet, heard).await;
    assert!(!fleet.sources.accepts(connection, kept).await, "an old token is refused");
    let leaked = ["--rotate-now", &connection.name, "--compromised", "--timeout", "20m"];
    block_in_place(|| fleet.person.call(&leaked).run()).exits(0);
    books.read(&fleet.sources);
    let Account { findings, .. } = account(fleet, &books).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(&current) && findings[0].contains("was revoked"), "{findings:?}");
}

/// A connection that was rotated since a consumer first read its token: that token, and the id of the one
/// in use.
async fn replaced<'a>(fleet: &'a Fleet, heard: &'a Heard) -> (&'a Connection, &'a str, String) {
    for connection in &fleet.sources.connections {
        let kept = &heard.first[&connection.name];
        let current = fleet.sources.vault(connection, None).await;
        if current["token"] != kept.as_str() {
            return (connection, kept, current["token_id"].as_str().unwrap().to_owned());
        }
    }
    panic!("no connection was rotated twice");
}

/// What happened, and the last that everybody said.
fn tale(weather: &Weather, fleet: &Fleet) -> String {
    let mut tale = weather.story.join("\n");
    for replica in &fleet.replicas {
        let said = replica.said();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.len().saturating_sub(60);
        let _ = writeln!(tale, "\n== {}, restarted after {:?}", replica.name, replica.ended);
        tale += &lines[last..].join("\n");
    }
    tale
}

#[expect(clippy::print_stderr, reason = "the seed is for whoever wants the same weather again")]
fn say(words: &str) {
    eprintln!("fleet: {words}");
}
