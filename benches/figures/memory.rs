//! How much memory the daemon holds, by the number of its connections, and how long its first
//! pass over all of them takes.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use anyhow::Context;
use tokio::runtime::Runtime;

use super::{
    figure::{Book, now},
    ledger, meter,
    resident::resident,
    tenant::Scene,
};

/// How long the daemon is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a first pass is watched, where it is too long to be waited for.
const WATCH: Duration = Duration::from_secs(120);

pub(crate) fn run(runtime: &Runtime, book: &mut Book, large: bool) -> anyhow::Result<()> {
    daemon(runtime, book, 1, "rotate")?;
    daemon(runtime, book, 1_000, "rotate")?;
    if large {
        daemon(runtime, book, 10_000, "observe")?;
        daemon(runtime, book, 100_000, "observe")?;
        looking(runtime, book, 100_000)?;
    }
    Ok(())
}

/// Runs the daemon until it has attended to every connection and is idle, or for [`WATCH`].
fn daemon(runtime: &Runtime, book: &mut Book, size: usize, mode: &str) -> anyhow::Result<()> {
    let scene = runtime.block_on(Scene::set(size, &format!("mode = \"{mode}\"")))?;
    let began = now();
    let (watched, attended) = Daemon::start(&scene)?;
    let mut done = 0_usize;
    while done < size && began.elapsed() < WATCH {
        match attended.recv_timeout(Duration::from_secs(1)) {
            Ok(()) => done += 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the daemon ended by itself"),
        }
    }
    let took = began.elapsed().as_secs_f64();
    let name = format!("{size} connections, {mode}");
    if done == size {
        // Nothing is due now; a message would be a surprise, and is not waited for.
        let _ = attended.recv_timeout(SETTLE);
        book.note("memory", &format!("{name}: first pass"), "s", vec![took])?;
    } else {
        book.note("memory", &format!("{name}: attended to in {took:.0} s"), "", vec![done as f64])?;
    }
    let (held, peak) = resident(watched.0.id())?;
    book.note("memory", &format!("{name}: resident"), "MiB", vec![held])?;
    book.note("memory", &format!("{name}: peak"), "MiB", vec![peak])?;
    drop(watched);
    runtime.block_on(scene.strike());
    Ok(())
}

/// What the commands that only look cost with so many records in the ledger.
fn looking(runtime: &Runtime, book: &mut Book, size: usize) -> anyhow::Result<()> {
    let scene = runtime.block_on(Scene::set(size, ""))?;
    let memory = tempfile::Builder::new().prefix("scimitar-bench-").tempdir_in("/dev/shm")?;
    let path = memory.path().join("ledger.db");
    runtime.block_on(ledger::fill(&path, size, |_| {}))?;
    let text = fs::read_to_string(scene.config())?;
    let url = format!("sqlite://{}", path.display());
    fs::write(scene.config(), text.replace("sqlite://ledger.db", &url))?;
    for command in ["check", "status"] {
        let arguments: [OsString; 6] = [
            // At once: a signal that can be caught would be one to finish the work after.
            "--signal=KILL".into(),
            WATCH.as_secs().to_string().into(),
            env!("CARGO_BIN_EXE_scimitar").into(),
            "--config".into(),
            scene.config().into(),
            command.into(),
        ];
        let cost = meter::measure("timeout", arguments, scene.folder())?;
        let name = match cost.status {
            0 => format!("{size} connections, {command}"),
            137 | -1 => format!("{size} connections, {command}, given up"),
            status => anyhow::bail!("{command} ended with {status}"),
        };
        book.note("memory", &format!("{name}: time"), "ms", vec![cost.wall_ms])?;
        book.note("memory", &format!("{name}: CPU"), "ms", vec![cost.cpu_ms])?;
        book.note("memory", &format!("{name}: peak"), "MiB", vec![cost.peak_mib])?;
    }
    runtime.block_on(scene.strike());
    Ok(())
}

/// A daemon that is killed when it is not watched any more.
struct Daemon(Child);

impl Daemon {
    /// Starts it; the receiver gets a message for each connection that was attended to.
    fn start(scene: &Scene) -> anyhow::Result<(Self, Receiver<()>)> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .arg("--config")
            .arg(scene.config())
            .arg("run")
            // A connection that is as it should be is worth no line otherwise.
            .env("SCIMITAR_LOG", "scimitar::engine::daemon=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().context("the daemon's log")?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(log).lines().map_while(Result::ok);
            for _ in lines.filter(|line| line.contains("\"outcome\":")) {
                if tell.send(()).is_err() {
                    return;
                }
            }
        });
        Ok((Self(child), told))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
