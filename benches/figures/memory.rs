//! How much memory the daemon holds, by the number of its connections, and how long its first
//! pass over all of them takes.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::runtime::Runtime;

use super::{
    figure::{Book, now},
    ledger,
    meter::{self, pause},
    resident::resident,
    tenant::Scene,
};

/// How long the daemon is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a first pass is watched, where it is too long to be waited for.
const WATCH: Duration = Duration::from_secs(300);

/// How long an idle daemon is watched.
const IDLE: Duration = Duration::from_secs(30);

pub(crate) fn run(runtime: &Runtime, book: &mut Book, large: bool) -> anyhow::Result<()> {
    let one = daemon(runtime, book, 1, "rotate")?;
    daemon(runtime, book, 1_000, "rotate")?;
    if large {
        let few = daemon(runtime, book, 10_000, "observe")?;
        let many = daemon(runtime, book, 100_000, "observe")?;
        let goals = [
            ("first survey of 10,000, tenant without limits", "s", few.pass, 6.0),
            ("first survey of 100,000 by that of 10,000", "times", many.pass / few.pass, 10.0),
            ("100,000 connections: resident", "MiB", many.held, 200.0),
            ("100,000 connections: start to ready", "s", many.ready, 2.0),
            ("idle CPU of 100,000 less that of one", "ms/s", many.idle - one.idle, 1.0),
        ];
        for (figure, unit, value, goal) in goals {
            book.note("memory", figure, unit, (vec![value], goal))?;
        }
        looking(runtime, book, 100_000)?;
    }
    Ok(())
}

/// What a daemon took; without end where it did not attend to every connection.
struct Took {
    /// Until it was ready, and until it had attended to every connection, in s.
    ready: f64,
    pass: f64,
    /// MiB resident then.
    held: f64,
    /// Processor time while nothing is due, in ms a second.
    idle: f64,
}

/// Runs the daemon until it has attended to every connection and is idle, or for [`WATCH`].
fn daemon(runtime: &Runtime, book: &mut Book, size: usize, mode: &str) -> anyhow::Result<Took> {
    let scene = runtime.block_on(Scene::set(size, &format!("mode = \"{mode}\"")))?;
    let began = now();
    let (watched, attended) = Daemon::start(&scene)?;
    let ready = watched.ready_after(began)?;
    book.note("memory", &format!("{size} connections, {mode}: start to ready"), "s", vec![ready])?;
    let mut done = 0_usize;
    while done < size && began.elapsed() < WATCH {
        match attended.recv_timeout(Duration::from_secs(1)) {
            Ok(()) => done += 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the daemon ended by itself"),
        }
    }
    let pass = began.elapsed().as_secs_f64();
    let took = pass;
    let name = format!("{size} connections, {mode}");
    if done == size {
        // Nothing is due now.
        pause(SETTLE);
        book.note("memory", &format!("{name}: first pass"), "s", vec![took])?;
    } else {
        book.note("memory", &format!("{name}: attended to in {took:.0} s"), "", vec![done as f64])?;
    }
    let (held, peak) = resident(watched.child.id())?;
    book.note("memory", &format!("{name}: resident"), "MiB", vec![held])?;
    book.note("memory", &format!("{name}: peak"), "MiB", vec![peak])?;
    let (before, since) = (cpu(watched.child.id())?, now());
    pause(IDLE);
    let idle = (cpu(watched.child.id())? - before) / since.elapsed().as_secs_f64();
    book.note("memory", &format!("{name}: CPU while idle"), "ms/s", vec![idle])?;
    drop(watched);
    runtime.block_on(scene.strike());
    // One that was given up has taken for ever; what it held by then, and did at work, meets no goal.
    let whole = |value: f64| if done == size { value } else { f64::INFINITY };
    Ok(Took { ready, pass: whole(pass), held: whole(held), idle: whole(idle) })
}

/// Processor time that a process has had so far, in ms; the kernel counts in hundredths of a second.
fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("the kernel's line")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * 10.0)
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
    for command in [vec!["check"], vec!["status"], vec!["status", "--output", "json"]] {
        let mut arguments: Vec<OsString> = vec![
            // At once: a signal that can be caught would be one to finish the work after.
            "--signal=KILL".into(),
            WATCH.as_secs().to_string().into(),
            env!("CARGO_BIN_EXE_scimitar").into(),
            "--config".into(),
            scene.config().into(),
        ];
        arguments.extend(command.iter().map(OsString::from));
        let command = command.join(" ");
        let cost = meter::measure("timeout", arguments, scene.folder())?;
        let name = match cost.status {
            0 => format!("{size} connections, {command}"),
            137 | -1 => format!("{size} connections, {command}, given up"),
            status => anyhow::bail!("{command} ended with {status}"),
        };
        book.note("memory", &format!("{name}: time"), "ms", (vec![cost.wall_ms], 2_000.0))?;
        book.note("memory", &format!("{name}: CPU"), "ms", vec![cost.cpu_ms])?;
        book.note("memory", &format!("{name}: peak"), "MiB", (vec![cost.peak_mib], 200.0))?;
    }
    runtime.block_on(scene.strike());
    Ok(())
}

/// A daemon that is killed when it is not watched any more.
struct Daemon {
    child: Child,
    notices: UnixDatagram,
}

impl Daemon {
    /// Starts it; the receiver gets a message for each connection that was attended to.
    fn start(scene: &Scene) -> anyhow::Result<(Self, Receiver<()>)> {
        let notify = scene.folder().join("notify");
        let notices = UnixDatagram::bind(&notify)?;
        notices.set_read_timeout(Some(WATCH))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .env("NOTIFY_SOCKET", notify)
            .arg("--config")
            .arg(scene.config())
            .arg("run")
            // A connection that is as it should be is worth no line otherwise.
            .env("SCIMITAR_LOG", "scimitar::engine::telling=debug")
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
        Ok((Self { child, notices }, told))
    }

    /// How long after that moment it says that it is ready, in s.
    fn ready_after(&self, began: Instant) -> anyhow::Result<f64> {
        let mut message = [0; 4096];
        loop {
            let read = self.notices.recv(&mut message).context("it does not become ready")?;
            let text = String::from_utf8_lossy(message.get(..read).unwrap_or_default());
            if text.contains("READY=1") {
                return Ok(began.elapsed().as_secs_f64());
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
