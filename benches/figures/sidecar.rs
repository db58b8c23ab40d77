//! The least that it takes to run: a daemon with one connection, as beside one application.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use scimitar_test_support::bao::{Bao, ROOT};
use tokio::runtime::Runtime;

use super::{
    figure::{Book, now},
    meter::{milliseconds, pause},
    resident::resident,
    scene::scratch,
};

const RUNS: usize = 10;

/// One connection at the embedded tenant, delivered to a file; the pages are open.
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// How long one is left alone before its wake-ups are counted, and how long they are.
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(120);

pub(crate) fn run(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let program = env!("CARGO_BIN_EXE_scimitar");
    let size = fs::metadata(program)?.len() as f64 / (1024.0 * 1024.0);
    book.note("sidecar", "size of the program, as built", "MiB", vec![size])?;
    let mut ready = Vec::new();
    for _ in 0..RUNS {
        let folder = scratch()?;
        ready.push(Sidecar::start(folder.path())?.ready_after);
    }
    book.note("sidecar", "start to READY=1", "ms", ready)?;
    shipped(book)?;
    beside_an_agent(runtime, book)?;
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

/// The static program, where `release/static.sh dist` puts it.
fn shipped(book: &mut Book) -> anyhow::Result<()> {
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    anyhow::ensure!(host.status.success(), "rustc does not say what it builds for");
    let host = String::from_utf8(host.stdout)?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(host.trim());
    let program = target.join("dist/scimitar");
    let Ok(found) = fs::metadata(&program) else {
        writeln!(
            std::io::stderr(),
            "the shipped program is not measured: there is no {}, which release/static.sh dist makes",
            program.display()
        )?;
        return Ok(());
    };
    let size = found.len() as f64 / (1024.0 * 1024.0);
    book.note("sidecar", "size of the program, as shipped", "MiB", (vec![size], 18.0))
}

/// From the start of each until what it is to deliver is in its file, and what it holds then: beside it,
/// OpenBao's own agent with one template.
fn beside_an_agent(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let bao = runtime.block_on(Bao::start(false));
    let secret = serde_json::json!({ "data": { "token": "canary" } });
    runtime.block_on(bao.must("POST", "secret/data/scim/one", secret));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let folder = scratch()?;
        let config = folder.path().join("scimitar.toml");
        fs::write(&config, EXAMPLE)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
        command.arg("--config").arg(&config).current_dir(folder.path());
        ours.push(Delivered::by(&mut command, &folder.path().join("example-data/tokens"))?);
        let folder = scratch()?;
        let agent = folder.path().join("agent.hcl");
        fs::write(&agent, agent_config(&bao.url, folder.path()))?;
        fs::write(folder.path().join("token"), ROOT)?;
        let mut command = Command::new(scimitar_test_support::venv::bin().join("bao"));
        command.args(["agent", "-config"]).arg(agent).env("HOME", folder.path());
        theirs.push(Delivered::by(&mut command, &folder.path().join("out"))?);
    }
    let after = |all: &[Delivered]| all.iter().map(|it| it.after).collect::<Vec<_>>();
    let held = |all: &[Delivered]| all.iter().map(|it| it.held).collect::<Vec<_>>();
    let part = |ours: &[f64], theirs: &[f64]| vec![middle(ours) / middle(theirs)];
    let of = [("first delivery", "ms", after(&ours), after(&theirs), 1.0 / 3.0)];
    let of = of.into_iter().chain([("resident", "MiB", held(&ours), held(&theirs), 1.0 / 8.0)]);
    for (figure, unit, ours, theirs, goal) in of {
        let ratio = part(&ours, &theirs);
        book.note("sidecar", &format!("{figure}, ours"), unit, ours)?;
        book.note("sidecar", &format!("{figure}, bao agent"), unit, theirs)?;
        book.note("sidecar", &format!("{figure}, ours by the agent's"), "", (ratio, goal))?;
    }
    Ok(())
}

fn agent_config(url: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "vault {{\n  address = \"{url}\"\n}}\nauto_auth {{\n  method \"token_file\" {{\n    \
         config = {{ token_file_path = \"{folder}/token\" }}\n  }}\n}}\ntemplate {{\n  \
         contents = \"{{{{ with secret \\\"secret/data/scim/one\\\" }}}}{{{{ .Data.data.token }}}}{{{{ end }}}}\"\n  \
         destination = \"{folder}/out/one\"\n}}\n"
    )
}

fn middle(samples: &[f64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A process that has delivered.
struct Delivered {
    /// After so many ms.
    after: f64,
    /// MiB resident then.
    held: f64,
}

impl Delivered {
    /// Waits until there is a file in this folder that holds something.
    fn by(command: &mut Command, folder: &Path) -> anyhow::Result<Self> {
        let began = now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let sidecar = Sidecar { child, ready_after: 0.0 };
        while !holds_something(folder) {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "nothing is delivered");
            pause(Duration::from_millis(1));
        }
        let after = milliseconds(began.elapsed());
        pause(Duration::from_secs(2));
        let (held, _) = resident(sidecar.child.id())?;
        Ok(Self { after, held })
    }
}

fn holds_something(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.into_iter().any(|file| {
        let own = file.file_name().to_string_lossy().starts_with('.');
        !own && file.metadata().is_ok_and(|found| found.is_file() && found.len() > 0)
    })
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
