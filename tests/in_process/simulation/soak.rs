//! Lives without end: a run that can be stopped at any moment and goes on from where it was.
//!
//! `SCIMITAR_SOAK=n cargo test --test in_process simulation::soak -- --nocapture` lives on until n lives were
//! lived by this commit (10,000,000 for a release). What was lived is in `SCIMITAR_SOAK_STATE`, by default
//! `target/soak.json`; `SCIMITAR_SOAK_HOURS` ends it earlier. A failing life does not end it: what lives it
//! again is kept.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use scimitar::clock::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};

use super::seeds::{attempt, attempt_in_fleet};

/// What is lived between two writes of the state: so much is lived again after a stop.
const CHUNK: u64 = 100;

/// One life in so many is one with replicas.
const FLEET: u64 = 8;

/// Failing lives that are kept; the rest is counted.
const KEPT: usize = 200;

/// What was lived so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Soak {
    /// The sources that it was lived by.
    commit: String,
    first_seed: u64,
    next_seed: u64,
    failed: u64,
    /// Seeds, what lives them again, and how they failed.
    failures: BTreeMap<u64, String>,
    /// Calls to a service, mints, deletes and deaths of a process in all of them.
    calls: u64,
    mints: u64,
    deletes: u64,
    deaths: u64,
    /// How long that took, in all runs.
    seconds: u64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// Whether the life of this seed is one with replicas.
fn is_fleet(seed: u64) -> bool {
    seed.is_multiple_of(FLEET)
}

/// What lives it again, and shows it.
fn replay(seed: u64) -> String {
    let (variable, test) =
        if is_fleet(seed) { ("SCIMITAR_FLEET", "fleet") } else { ("SCIMITAR_SEED", "seeds") };
    format!("{variable}={seed} cargo test --test in_process simulation::{test} -- --nocapture")
}

/// The last commit that changed the sources, and whether they are other than it says.
fn commit() -> String {
    const SOURCES: [&str; 4] = ["src", "tests", "Cargo.toml", "Cargo.lock"];
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).arg("--").args(SOURCES).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=%H"]);
    match (commit, git(&["status", "--porcelain"]).as_deref()) {
        (Some(commit), Some("")) => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        (None, _) => "unknown".to_owned(),
    }
}

impl Soak {
    /// What is written there, or a new one. Lives of other sources are no lives of these.
    fn resume(path: &Path, commit: &str, first_seed: u64) -> Self {
        let new = || Self {
            commit: commit.to_owned(),
            first_seed,
            next_seed: first_seed,
            ..Self::default()
        };
        let Ok(text) = fs::read_to_string(path) else { return new() };
        let read: Self = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            read.commit == commit,
            "{} was lived by {}, these sources are {commit}: move it away",
            path.display(),
            read.commit
        );
        read
    }

    fn keep(&self, path: &Path) {
        let part = path.with_extension("part");
        fs::write(&part, serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
        fs::rename(&part, path).unwrap();
    }

    fn lives(&self) -> u64 {
        self.next_seed - self.first_seed
    }

    /// Lives `count` lives, on all processors, and keeps the state after them.
    fn live(&mut self, count: u64, path: &Path) {
        let began = SystemClock.now();
        let next = Mutex::new(self.next_seed..self.next_seed + count);
        let sums = Mutex::new(&mut *self);
        let panicked = AtomicBool::new(false);
        let work = || {
            loop {
                let Some(seed) = next.lock().unwrap().next() else { return };
                let lived = if is_fleet(seed) {
                    attempt_in_fleet(seed, false)
                } else {
                    attempt(seed, false)
                };
                let mut sums = sums.lock().unwrap();
                match lived {
                    Ok(lived) => {
                        sums.calls += lived.calls;
                        sums.mints += lived.mints;
                        sums.deletes += lived.deletes;
                        sums.deaths += lived.deaths;
                    }
                    Err(how) => {
                        sums.failed += 1;
                        if sums.failures.len() < KEPT {
                            sums.failures.insert(seed, format!("{}: {how}", replay(seed)));
                        }
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for worker in (0..threads).map(|_| scope.spawn(work)).collect::<Vec<_>>() {
                panicked.fetch_or(worker.join().is_err(), Ordering::Relaxed);
            }
        });
        assert!(!panicked.into_inner(), "a thread of the soak died");
        self.next_seed += count;
        self.seconds += since(began).as_secs();
        self.keep(path);
    }
}

#[test]
fn soak() {
    let Some(lives) = number("SCIMITAR_SOAK") else { return };
    let path = std::env::var_os("SCIMITAR_SOAK_STATE")
        .map_or_else(|| PathBuf::from("target/soak.json"), PathBuf::from);
    let began = SystemClock.now();
    let longest = number("SCIMITAR_SOAK_HOURS").map(|hours| Duration::from_secs(hours * 3600));
    let first = number("SCIMITAR_FIRST_SEED").unwrap_or(1);
    let mut soak = Soak::resume(&path, &commit(), first);
    let mut said = SystemClock.now();
    while soak.lives() < lives && longest.is_none_or(|longest| since(began) < longest) {
        soak.live(CHUNK.min(lives - soak.lives()), &path);
        if since(said) > Duration::from_secs(60) {
            said = SystemClock.now();
            say(&soak);
        }
    }
    say(&soak);
    assert!(soak.failed == 0, "{} lives broke a promise: {:#?}", soak.failed, soak.failures);
}

fn say(soak: &Soak) {
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{} lives, {} failed, next seed {}", soak.lives(), soak.failed, soak.next_seed);
    }
}

/// Stopped and gone on, it has lived each life once; other sources begin with none.
#[test]
fn a_soak_that_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soak.json");
    let mut whole = Soak::resume(&path, "one", 5);
    whole.live(4, &path);
    fs::remove_file(&path).unwrap();
    let mut begun = Soak::resume(&path, "one", 5);
    begun.live(1, &path);
    drop(begun);
    let mut resumed = Soak::resume(&path, "one", 99);
    assert_eq!(resumed.next_seed, 6);
    resumed.live(3, &path);
    assert_eq!(resumed, Soak::resume(&path, "one", 5), "it is written down");
    let lived = |soak: &Soak| (soak.lives(), soak.calls, soak.mints, soak.deaths, soak.failed);
    assert_eq!(lived(&resumed), lived(&whole));
    let other = std::panic::catch_unwind(|| Soak::resume(&path, "another", 5));
    assert!(other.is_err(), "lives of other sources are not counted");
}

/// A failure names what lives it again: the two kinds of lives have a test each.
#[test]
fn a_failure_says_how_it_is_replayed() {
    assert!(replay(16).starts_with("SCIMITAR_FLEET=16 "), "{}", replay(16));
    assert!(replay(16).contains(" simulation::fleet "), "{}", replay(16));
    assert!(replay(17).starts_with("SCIMITAR_SEED=17 "), "{}", replay(17));
    assert!(replay(17).contains(" simulation::seeds "), "{}", replay(17));
}

fn since(began: Timestamp) -> Duration {
    (SystemClock.now() - began).to_std().unwrap_or_default()
}
