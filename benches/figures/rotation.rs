//! What a rotation costs end to end: the real program, real HTTP, a rehearsal tenant in this
//! process, a durable ledger, and one file for each connection. The program's own processor time
//! is measured, not the tenant's; both share the machine, which decides the rate.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use scimitar_test_support::bao::{Bao, ROOT};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::{
    Wanted,
    figure::Book,
    meter::{self, Cost},
    scene::WHOLE,
    tenant::Scene,
};

/// How often every connection is rotated after its first time.
const ROUNDS: usize = 5;

/// How many connections are rotated to count durable writes.
const DURABLE: usize = 60;

/// The vendors' client libraries, from PyPI.
const LIBRARIES: [&str; 2] = ["auth0-python==6.8.0", "hvac==2.4.0"];

/// How many connections are delivered to a Vault.
const IN_VAULT: usize = 60;

pub(crate) fn run(runtime: &Runtime, book: &mut Book, wanted: &Wanted) -> anyhow::Result<()> {
    let sizes: &[usize] = if wanted.large { &[100, 1_000] } else { &[100] };
    for size in sizes {
        let scene = runtime.block_on(Scene::set(*size, WHOLE))?;
        ours(book, &scene, *size)?;
        if wanted.peer {
            peer(book, &scene, *size, &[])?;
        }
        runtime.block_on(scene.strike());
    }
    let alone = format!("{WHOLE}\n[engine]\nmax_parallel = 1");
    // What waits together is written together: side by side each rotation takes part in fewer.
    for (what, defaults, goal) in [("alone", alone.as_str(), 8.0), ("16 side by side", WHOLE, 3.0)]
    {
        let scene = runtime.block_on(Scene::set(DURABLE, defaults))?;
        durable_writes(book, &scene, what, goal)?;
        runtime.block_on(scene.strike());
    }
    if wanted.peer { in_vault(runtime, book) } else { Ok(()) }
}

/// How often a rotation waits for the disk, the ledger's opening and closing included; with `strace`,
/// where it is installed.
fn durable_writes(book: &mut Book, scene: &Scene, what: &str, goal: f64) -> anyhow::Result<()> {
    if Command::new("strace").arg("--version").output().is_err() {
        writeln!(std::io::stderr(), "durable writes are not counted: strace is not installed")?;
        return Ok(());
    }
    let log = scene.folder().join("durable.log");
    let mut samples = Vec::new();
    for round in 0..=ROUNDS {
        let status = Command::new("strace")
            // It stops at nothing else: a program that is slowed down has less that waits together.
            .args(["-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync,syncfs", "-o"])
            .args([log.as_os_str(), env!("CARGO_BIN_EXE_scimitar").as_ref()])
            .args(["--config".as_ref(), scene.config().as_os_str(), "--rotate-now".as_ref()])
            .output()?
            .status;
        anyhow::ensure!(status.success(), "--rotate-now under strace ended with {status}");
        let calls = fs::read_to_string(&log)?;
        let begun = calls.lines().filter(|line| line.contains("sync") && !line.contains("resumed"));
        // In the first round there is no older token to revoke.
        if round > 0 {
            samples.push(begun.count() as f64 / DURABLE as f64);
        }
    }
    book.note("rotation", &format!("durable writes a rotation, {what}"), "calls", (samples, goal))
}

/// Both in one run with a Vault as the sink: OpenBao, which the tests install.
fn in_vault(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let bao = runtime.block_on(Bao::start(false));
    let scene = runtime.block_on(Scene::set(IN_VAULT, WHOLE))?;
    let text = fs::read_to_string(scene.config())?;
    let sink = format!(
        "[sinks.disk]\ntype = \"vault\"\naddress = \"{}\"\n\
         auth = {{ method = \"token\", token = {{ file = \"vault-token\" }} }}\n",
        bao.url
    );
    let text = text.replace("[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n", &sink);
    fs::write(scene.config(), text.replace("file = \"0", "path = \"secret/scim/0"))?;
    let token = scene.folder().join("vault-token");
    fs::write(&token, ROOT)?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    let cost = |costs: &[f64]| costs.iter().sum::<f64>() / costs.len() as f64;
    let ours = ours(book, &scene, IN_VAULT)?;
    let peers = peer(book, &scene, IN_VAULT, &[&bao.url, ROOT])?;
    runtime.block_on(scene.strike());
    let part = cost(&ours) / cost(&peers);
    let name = "Vault: CPU a rotation by the peer's (one twelfth is 0.0833)";
    book.note("rotation", name, "", (vec![part], 1.0 / 12.0))
}

/// The CPU time that each of the rounds took a connection.
fn ours(book: &mut Book, scene: &Scene, size: usize) -> anyhow::Result<Vec<f64>> {
    let run = |command: &[&str]| {
        let mut arguments: Vec<OsString> = vec!["--config".into(), scene.config().into()];
        arguments.extend(command.iter().map(OsString::from));
        let cost = meter::measure(env!("CARGO_BIN_EXE_scimitar"), arguments, scene.folder())?;
        anyhow::ensure!(
            cost.status == 0,
            "{command:?} ended with {}: {}",
            cost.status,
            end_of(&scene.folder().join("output.log"))
        );
        Ok(cost)
    };
    let first = run(&["--rotate-now"])?;
    let rounds = (0..ROUNDS).map(|_| run(&["--rotate-now"])).collect::<anyhow::Result<Vec<_>>>()?;
    let looks = (0..ROUNDS).map(|_| run(&["--once"])).collect::<anyhow::Result<Vec<_>>>()?;
    figures(book, &format!("first of {size}"), size, &[first])?;
    figures(book, &format!("{size} connections"), size, &rounds)?;
    let per_look = looks.iter().map(|cost| cost.cpu_ms / size as f64).collect();
    let name = format!("{size}, nothing due: CPU a connection");
    book.note("rotation", &name, "ms", (per_look, 0.4))?;
    Ok(rounds.iter().map(|cost| cost.cpu_ms / size as f64).collect())
}

/// The same work as a script that a user would write, on the same tenant.
fn peer(book: &mut Book, scene: &Scene, size: usize, vault: &[&str]) -> anyhow::Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Told {
        seconds: f64,
        cpu_ms_per_rotation: f64,
    }
    let python = environment()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer.py");
    let (mut costs, mut loops, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut arguments: Vec<OsString> = vec![
            script.clone().into(),
            scene.url().into(),
            scene.folder().join("peer").into(),
            size.to_string().into(),
        ];
        arguments.extend(vault.iter().map(OsString::from));
        let cost = meter::measure(&python, arguments, scene.folder())?;
        let output = end_of(&scene.folder().join("output.log"));
        anyhow::ensure!(cost.status == 0, "the peer ended with {}: {output}", cost.status);
        let told: Told = output.lines().last().map(serde_json::from_str).context("no output")??;
        loops.push(told.cpu_ms_per_rotation);
        rates.push(size as f64 / told.seconds);
        costs.push(cost);
    }
    figures(book, &format!("{size} connections, peer"), size, &costs)?;
    let name = format!("{size} connections, peer without its start");
    book.note("rotation", &format!("{name}: CPU a rotation"), "ms", loops)?;
    book.note("rotation", &format!("{name}: rate"), "rotations/s", rates)?;
    Ok(costs.iter().map(|cost| cost.cpu_ms / size as f64).collect())
}

fn figures(book: &mut Book, what: &str, size: usize, costs: &[Cost]) -> anyhow::Result<()> {
    let of = |figure: fn(&Cost, f64) -> f64| {
        costs.iter().map(|cost| figure(cost, size as f64)).collect::<Vec<_>>()
    };
    let mut note = |figure: &str, unit: &str, samples| {
        book.note("rotation", &format!("{what}: {figure}"), unit, samples)
    };
    note("CPU a rotation", "ms", of(|cost, size| cost.cpu_ms / size))?;
    note("rate", "rotations/s", of(|cost, size| size * 1000.0 / cost.wall_ms))?;
    note("peak memory", "MiB", of(|cost, _| cost.peak_mib))
}

/// A Python with the vendors' libraries, made once below `target/`.
fn environment() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peer");
    let (python, complete) = (folder.join("bin/python"), folder.join(LIBRARIES.concat()));
    if complete.exists() {
        return Ok(python);
    }
    let venv = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).status();
    anyhow::ensure!(venv.context("start python3")?.success(), "python3 made no environment");
    let install = ["-m", "pip", "install", "--quiet"];
    let pip = Command::new(&python).args(install).args(LIBRARIES).status().context("start pip")?;
    anyhow::ensure!(pip.success(), "{} could not be installed", LIBRARIES.join(", "));
    fs::write(complete, "")?;
    Ok(python)
}

/// The last lines of what a process printed.
fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(5)).copied().collect::<Vec<_>>().join("\n")
}
