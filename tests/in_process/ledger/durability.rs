//! Whatever was acknowledged outlives a SIGKILL, and the claim does not.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use scimitar::{
    clock::SystemEntropy,
    ledger::{Claimed, Ledger, sqlite::SqliteLedger},
};

use super::{
    run,
    sample::{LEASE, entry, granted, key, record},
};

/// Set for the child: the ledger that it stores to until it is killed.
const LEDGER: &str = "SCIMITAR_TEST_LEDGER";
const ROUNDS: u64 = 20;
const SEED: u64 = 0x5CA1_AB1E;

/// The test starts itself again as the child, so that no further binary is needed.
#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    if let Some(path) = env::var_os(LEDGER) {
        run(store_until_killed(&PathBuf::from(path)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut random = SEED;
    let mut before = 0;
    for round in 0..ROUNDS {
        let acknowledged = kill_in_mid_work(&path, &mut random);
        assert!(acknowledged > before, "round {round}: nothing was stored");
        before = run(inspect(&path, acknowledged, round));
    }
}

async fn store_until_killed(path: &Path) {
    let ledger = SqliteLedger::open(path, &SystemEntropy).unwrap();
    let key = key("con_1");
    let mut claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
    let mut version = ledger.load(&key).await.unwrap().map_or(0, |stored| stored.version);
    loop {
        let mut record = record(&key);
        record.generation = version + 1;
        // Now and then a long one, so that the log is copied back into the database as well.
        if version % 5 == 0 {
            record.warnings.insert("x".repeat(200_000));
        }
        let words = (version + 1).to_string();
        version = ledger.store(&claim, version, &record, &entry(&words)).await.unwrap();
        let mut out = io::stdout().lock();
        writeln!(out, "stored {version}").unwrap();
        out.flush().unwrap();
        drop(out);
        if version % 7 == 0 {
            ledger.release(&claim).await.unwrap();
            claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
        }
    }
}

/// Starts a child, kills it at a drawn moment, and gives the last version that it acknowledged.
fn kill_in_mid_work(path: &Path, random: &mut u64) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "ledger::durability::kill_9_loses_nothing_that_was_acknowledged",
            "--exact",
            "--nocapture",
        ])
        .env(LEDGER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut acknowledge = |line: io::Result<String>| {
        // The test harness writes to the same pipe, and the last line may be cut off.
        let version = line.ok()?.split_once("stored ")?.1.parse().ok()?;
        last = version;
        Some(version)
    };
    let wanted = 1 + draw(random) % 25;
    let mut seen = 0;
    while seen < wanted {
        let line = lines.next().expect("the child stores until it is killed");
        seen += u64::from(acknowledge(line).is_some());
    }
    // Into the middle of the next store, somewhere.
    for _ in 0..draw(random) % 400_000 {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    for line in lines {
        acknowledge(line);
    }
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was killed, and did not end by itself");
    last
}

async fn inspect(path: &Path, acknowledged: u64, round: u64) -> u64 {
    let ledger = SqliteLedger::open(path, &SystemEntropy).unwrap();
    let key = key("con_1");
    let stored = ledger.load(&key).await.unwrap().unwrap();
    assert!(
        (acknowledged..=acknowledged + 1).contains(&stored.version),
        "round {round}: {acknowledged} was acknowledged, {} is there",
        stored.version
    );
    // Record, version and history are of one write.
    assert_eq!(stored.record.generation, stored.version);
    let newest = ledger.history(&key, 1).await.unwrap().remove(0);
    assert_eq!(newest.words, stored.version.to_string());

    let database = rusqlite::Connection::open(path).unwrap();
    let verdict: String =
        database.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok", "round {round}");

    let claimed = ledger.claim(&key, LEASE).await.unwrap();
    assert!(matches!(claimed, Claimed::Yes(..)), "round {round}: its holder is dead");
    stored.version
}

/// A step of xorshift64: repeatable moments.
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
