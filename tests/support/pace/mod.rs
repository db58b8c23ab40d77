//! Time that runs faster than the host's, for the real program and for whatever a test runs in its own
//! process: the same moment everywhere, but for the skew that a test gives one program.
//!
//! A program gets it from a library that is loaded in front of the C library and built here from `pace.c`.
//! libfaketime does much the same. It counts each process from its own start, keeps files in `/dev/shm`
//! that a killed process leaves behind, cannot be told another skew while the program runs, and does not
//! know how Rust's condition variables wait.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use scimitar::clock::{Clock, SystemClock, Timestamp};

use crate::{binary::Call, built};

/// Where the library reads the skew, and where it says that it was loaded.
const SKEW: u64 = 16;
const LOADED: u64 = 24;

/// A speed, and the moment from which on it has been that.
#[derive(Debug)]
pub struct Pace {
    clock: Fast,
    folder: tempfile::TempDir,
}

/// The clock of a test's own process.
#[derive(Clone, Copy, Debug)]
pub struct Fast {
    base: Timestamp,
    speed: i32,
}

/// The clock of one program.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    library: PathBuf,
}

impl Pace {
    /// Everything runs so many times as fast from now on.
    pub fn new(speed: i32) -> Self {
        let folder = tempfile::tempdir_in(built::scratch()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("pace/pace.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        compiler.arg(folder.path().join("pace.so")).arg(&source);
        let output = compiler.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { clock: Fast { base: SystemClock.now(), speed }, folder }
    }

    pub fn clock(&self) -> Fast {
        self.clock
    }

    /// A clock for a program.
    pub fn page(&self, name: &str) -> Page {
        let page = Page {
            path: self.folder.path().join(name),
            library: self.folder.path().join("pace.so"),
        };
        let base = self.clock.base.timestamp_nanos_opt().unwrap();
        let words = [base, self.clock.speed.into(), 0, 0].map(i64::to_ne_bytes);
        fs::write(&page.path, words.concat()).unwrap();
        page
    }

    /// The body of a function in SQL that tells the same time.
    pub fn in_sql(&self) -> String {
        let Fast { base, speed } = self.clock;
        let base = format!("timestamptz '{}'", base.to_rfc3339());
        format!("SELECT {base} + (pg_catalog.clock_timestamp() - {base}) * {speed}")
    }
}

impl Fast {
    /// A moment of the host's clock.
    pub fn at(self, outside: Timestamp) -> Timestamp {
        self.base + (outside - self.base) * self.speed
    }

    /// Waits for as long as something lasts.
    pub async fn pass(self, time: TimeDelta) {
        self.sleep_until(self.now() + time).await;
    }
}

#[async_trait]
impl Clock for Fast {
    fn now(&self) -> Timestamp {
        self.at(SystemClock.now())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let outside = (deadline - self.base) / self.speed + TimeDelta::milliseconds(1);
        SystemClock.sleep_until(self.base + outside).await;
    }
}

impl Page {
    /// A program that goes by this clock.
    pub fn given_to(&self, call: Call) -> Call {
        call.env("LD_PRELOAD", self.library.to_str().unwrap())
            .env("PACE_FILE", self.path.to_str().unwrap())
    }

    /// The program's clock is so far ahead from now on.
    pub fn skew(&self, by: TimeDelta) {
        let file = File::options().write(true).open(&self.path).unwrap();
        file.write_all_at(&by.num_nanoseconds().unwrap().to_ne_bytes(), SKEW).unwrap();
    }

    /// Whether a program goes by it. One that is linked statically never does.
    pub fn is_read(&self) -> bool {
        let mut loaded = [0; 8];
        File::open(&self.path).unwrap().read_exact_at(&mut loaded, LOADED).unwrap();
        i64::from_ne_bytes(loaded) != 0
    }
}
