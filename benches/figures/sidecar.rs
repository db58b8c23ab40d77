//! The least that it takes to run: a daemon with one connection, as beside one application.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;

use super::{
    figure::{Book, now},
    meter::milliseconds,
    resident::resident,
    scene::scratch,
};

const RUNS: usize = 10;

/// One connection at the embedded tenant, delivered to a file; the pages are open.
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// How long one is left alone before its wake-ups are counted, and how long they are.
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(120);

pub(crate) fn run(book: &mut Book) -> anyhow::Result<()> {
    let program = env!("CARGO_BIN_EXE_scimitar");
    let size = fs::metadata(program)?.len() as f64 / (1024.0 * 1024.0);
    book.note("sidecar", "size of the program, as built", "MiB", vec![size])?;
    let mut ready = Vec::new();
    for _ in 0..RUNS {
        let folder = scratch()?;
        ready.push(Sidecar::start(folder.path())?.ready_after);
    }
    book.note("sidecar", "start to READY=1", "ms", ready)?;
    let folder = scratch()?;
    let sidecar = Sidecar::start(folder.path())?;
    pause(SETTLE);
    let (held, peak) = resident(sidecar.child.id())?;
    book.note("sidecar", "1 connection: resident", "MiB", vec![held])?;
    book.note("sidecar", "1 connection: peak", "MiB", vec![peak])?;
    let before = switches(sidecar.child.id())?;
    pause(WATCH);
    let after = switches(sidecar.child.id())?;
    let of_thread = |(thread, count): (&String, &f64)| count - before.get(thread).unwrap_or(&0.0);
    let woken: f64 = after.iter().map(of_thread).sum::<f64>() / (WATCH.as_secs_f64() / 60.0);
    book.note("sidecar", "idle: times that any thread was woken", "a minute", vec![woken])
}

struct Sidecar {
    child: Child,
    ready_after: f64,
}

impl Sidecar {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join("scimitar.toml");
        fs::write(&config, format!("{EXAMPLE}\n[server]\nlisten = \"127.0.0.1:0\"\n"))?;
        let socket = UnixDatagram::bind(folder.join("notify"))?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let began = now();
        let child = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut sidecar = Self { child, ready_after: 0.0 };
        let mut message = [0; 4096];
        loop {
            let read = socket.recv(&mut message).context("it does not become ready")?;
            let text = String::from_utf8_lossy(message.get(..read).unwrap_or_default());
            if text.contains("READY=1") {
                sidecar.ready_after = milliseconds(began.elapsed());
                return Ok(sidecar);
            }
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended already, or is ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often each thread of a process has gone to sleep of its own will so far.
fn switches(pid: u32) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?;
        // It may have ended meanwhile.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.context("the kernel does not count them")?.trim().parse::<f64>()?;
        all.insert(thread.file_name().to_string_lossy().into_owned(), count);
    }
    Ok(all)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures what really passes")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
