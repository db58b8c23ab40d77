//! What a process costs: this very program, called again, starts it, waits for it, and asks the
//! kernel for the times and the peak of its only child.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use serde::{Deserialize, Serialize};

use super::figure::now;

/// Waits for so long, whatever happens meanwhile.
#[expect(clippy::disallowed_methods, reason = "a bench measures what really passes")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The first argument of such a call; the second names the file that the cost is written to.
pub(crate) const METER: &str = "--meter";

/// What a process cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From its start to its end, in ms.
    pub(crate) wall_ms: f64,
    /// User and system time of all its threads, in ms.
    pub(crate) cpu_ms: f64,
    /// Peak resident memory, in MiB. Never less than the meter's own, about 6 MiB.
    pub(crate) peak_mib: f64,
    /// Its exit status; -1 after a signal.
    pub(crate) status: i32,
}

/// Runs a process to its end, with its output into `log`, and measures it.
pub(crate) fn measure(
    program: impl Into<OsString>,
    arguments: impl IntoIterator<Item = OsString>,
    scratch: &Path,
) -> anyhow::Result<Cost> {
    let (answer, log) = (scratch.join("cost.json"), scratch.join("output.log"));
    let output = File::create(&log)?;
    let program = program.into();
    let status = Command::new(std::env::current_exe()?)
        .arg(METER)
        .arg(&answer)
        .arg(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    anyhow::ensure!(status.success(), "{} could not be measured", program.display());
    serde_json::from_slice(&fs::read(&answer)?).context("what the meter wrote")
}

/// The meter's side: the arguments are the file, the program, and the program's own arguments.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let answer = arguments.next().context("no file to write the cost to")?;
    let program = arguments.next().context("no program to measure")?;
    let began = now();
    let status = Command::new(program).args(arguments).status()?;
    let wall = began.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cost = Cost {
        wall_ms: milliseconds(wall),
        cpu_ms: milliseconds(duration(usage.user_time()) + duration(usage.system_time())),
        // Linux counts in KiB.
        peak_mib: usage.max_rss() as f64 / 1024.0,
        status: status.code().unwrap_or(-1),
    };
    fs::write(answer, serde_json::to_vec(&cost)?)?;
    Ok(())
}

/// A duration in ms.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
