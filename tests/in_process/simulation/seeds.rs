//! Thousands of lives, each from one seed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::life::{Lived, live, live_in_fleet};

/// How many lives the normal test run lives, at least.
const LIVES: u64 = 20_000;

/// Failing lives that are shown; the rest is counted.
const SHOWN: usize = 60;

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

pub(crate) fn attempt(seed: u64, tracing: bool) -> Result<Lived, String> {
    catch_unwind(AssertUnwindSafe(|| live(seed, tracing)))
        .unwrap_or_else(|_| Err("it panicked".to_owned()))
}

pub(crate) fn attempt_in_fleet(seed: u64, tracing: bool) -> Result<Lived, String> {
    catch_unwind(AssertUnwindSafe(|| live_in_fleet(seed, tracing)))
        .unwrap_or_else(|_| Err("it panicked".to_owned()))
}

#[test]
fn seeds() {
    if let Some(seed) = number("SCIMITAR_SEED") {
        attempt(seed, true).unwrap_or_else(|how| panic!("seed {seed}: {how}"));
        return;
    }
    let lives = number("SCIMITAR_SEEDS").unwrap_or(LIVES);
    let first = number("SCIMITAR_FIRST_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let sums = Mutex::new((0_u64, Lived::default()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + lives {
                        return;
                    }
                    match attempt(seed, false) {
                        Ok(lived) => {
                            let (count, sum) = &mut *sums.lock().unwrap();
                            *count += 1;
                            sum.days += lived.days;
                            sum.calls += lived.calls;
                            sum.mints += lived.mints;
                            sum.deletes += lived.deletes;
                            sum.deaths += lived.deaths;
                        }
                        Err(how) => failed.lock().unwrap().push((seed, how)),
                    }
                }
            });
        }
    });
    let (count, sum) = sums.into_inner().unwrap();
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let report: String = failed.iter().take(SHOWN).fold(String::new(), |text, (seed, how)| {
        format!(
            "{text}\nseed {seed}: {how}\n  replay: SCIMITAR_SEED={seed} cargo test --test in_process simulation::seeds -- --nocapture"
        )
    });
    assert!(failed.is_empty(), "{} of {lives} lives broke a promise:{report}", failed.len());
    assert_eq!(count, lives, "every life was lived to its end");
    // A world in which nothing happens proves nothing.
    assert!(sum.mints > lives && sum.deletes > lives / 2 && sum.deaths > lives / 20, "{sum:?}");
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{count} lives: {sum:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in [3, 14, 159, 2_653] {
        let digest = |_| attempt(seed, false).map(|lived| (lived.digest, lived.calls));
        assert_eq!(digest(0), digest(1), "seed {seed}");
    }
}
